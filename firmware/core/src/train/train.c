/* The calls of train.h: local training, and its parts. */
#include "microfed/train.h"

#include <math.h>
#include <string.h>

#include "train/random.h"
#include "train/run.h"

const uint32_t mf_train_sizes[5] = {sizeof(mf_train_tensor), sizeof(mf_train_step),
                                    sizeof(mf_train_model), sizeof(mf_recipe), sizeof(mf_samples)};

/* One training: the run, and what belongs to it alone. */
typedef struct {
    mf_run run;
    const mf_recipe *recipe;
    const mf_samples *samples;
    const float *received;
    const uint8_t *mask;
    float *weights;  /* the working copy, or the result itself */
    float *velocity; /* NULL: no momentum */
    float *turned;   /* room for one rotated sample; NULL: no rotation */
    uint32_t *order;
    mf_random random;
} training;

static uint64_t lines(uint64_t floats) {
    const uint64_t line = MF_ALIGN / sizeof(float);
    return (floats + line - 1) / line * line;
}

static int32_t sample_size(const mf_plan *plan) {
    return mf_elements(plan->model->tensors[plan->model->input].shape);
}

size_t mf_train_bytes(const mf_plan *plan, const mf_recipe *recipe, int32_t samples) {
    uint64_t floats = plan->workspace;
    if (recipe->momentum != 0.0f) {
        floats += lines((uint64_t)plan->trained);
    }
    if (recipe->rotation > 0.0f) {
        floats += lines((uint64_t)sample_size(plan));
    }
    if (samples > 0) {
        floats += lines((uint64_t)samples); /* the order: as many words */
    }
    const uint64_t bytes = lines(floats) * sizeof(float);
    return bytes < SIZE_MAX ? (size_t)bytes : SIZE_MAX;
}

static mf_status check_memory(const void *memory, size_t bytes, size_t needed) {
    if ((uintptr_t)memory % MF_ALIGN != 0) {
        return MF_MISALIGNED;
    }
    return bytes < needed ? MF_NO_MEMORY : MF_OK;
}

static bool within(float value, float least) {
    return value >= least && value < INFINITY;
}

static mf_status check_recipe(const mf_plan *plan, const mf_recipe *r) {
    const bool good = r->epochs >= 1 && r->batch >= 1 && fabsf(r->learning_rate) < INFINITY &&
                      fabsf(r->momentum) < INFINITY && within(r->weight_decay, 0.0f) &&
                      within(r->proximal, 0.0f) && within(r->clip_norm, 0.0f) &&
                      within(r->rotation, 0.0f);
    if (!good) {
        return MF_BAD_ARGUMENT;
    }
    const int32_t channels = plan->model->tensors[plan->model->input].shape.channels;
    return r->rotation > 0.0f && channels % 3 != 0 ? MF_BAD_ARGUMENT : MF_OK;
}

static mf_status check_samples(const mf_plan *plan, const mf_samples *samples) {
    if (samples->count < 1) {
        return MF_BAD_ARGUMENT;
    }
    if (plan->model->loss != MF_CROSS_ENTROPY) {
        return MF_OK;
    }
    const int32_t classes = mf_elements(plan->model->tensors[plan->model->output].shape);
    for (int32_t i = 0; i < samples->count; i++) {
        if (samples->y[i] < 0 || samples->y[i] >= classes) {
            return MF_BAD_ARGUMENT;
        }
    }
    return MF_OK;
}

static int32_t least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* What mf_labels calls the samples from `at` on. */
static mf_labels labels_from(const mf_samples *samples, const uint32_t *order, int32_t at) {
    if (order != NULL || samples->y == NULL) {
        return (mf_labels){samples->y, order == NULL ? NULL : order + at};
    }
    return (mf_labels){samples->y + at, NULL};
}

/* The mean loss over all samples as they are. */
static double mean_loss(mf_run *run, const mf_samples *samples) {
    const int32_t size = sample_size(run->plan);
    double loss = 0.0;
    run->rounded = false;
    mf_pack(run);
    for (int32_t at = 0, n; at < samples->count; at += n) {
        n = least(run->plan->tile, samples->count - at);
        for (int32_t s = 0; s < n; s++) {
            mf_feed(run, samples->x + (ptrdiff_t)(at + s) * size, s);
        }
        mf_forward(run, n);
        const mf_labels labels = labels_from(samples, NULL, at);
        loss = mf_loss(run, &labels, n, loss, 0.0f);
    }
    return loss / (double)samples->count;
}

/* The gradient of the mean loss over one batch, and the sum of its losses: samples
 * order[0 … count − 1], or the first where order is NULL. */
static double batch_gradient(training *t, const uint32_t *order, int32_t count) {
    const mf_plan *plan = t->run.plan;
    const int32_t size = sample_size(plan);
    double loss = 0.0;
    memset(t->run.workspace + plan->gradient, 0, (size_t)plan->trained * sizeof(float));
    mf_pack(&t->run);
    for (int32_t at = 0, n; at < count; at += n) {
        n = least(plan->tile, count - at);
        for (int32_t s = 0; s < n; s++) {
            const int32_t sample = order == NULL ? at + s : (int32_t)order[at + s];
            const float *x = t->samples->x + (ptrdiff_t)sample * size;
            if (t->turned != NULL) {
                mf_rotate(&t->random, t->recipe->rotation, x, t->turned, size);
            }
            mf_feed(&t->run, t->turned != NULL ? t->turned : x, s);
        }
        mf_forward(&t->run, n);
        const mf_labels labels = labels_from(t->samples, order, at);
        loss = mf_loss(&t->run, &labels, n, loss, 1.0f / (float)count);
        mf_backward(&t->run, n);
    }
    return loss;
}

/* The factor that cuts the gradient to the recipe's norm. */
static float clip_factor(const training *t) {
    if (t->recipe->clip_norm == 0.0f) {
        return 1.0f;
    }
    const mf_plan *plan = t->run.plan;
    const float *gradient = t->run.workspace + plan->gradient;
    float lanes[16] = {0};
    for (int32_t i = 0; i < plan->slot_count; i++) {
        const mf_slot *slot = &plan->slots[i];
        plan->kernels->squares(gradient + slot->gradient, t->mask + slot->parameter,
                               (size_t)slot->count, lanes);
    }
    const float norm = sqrtf(plan->kernels->folded(lanes));
    return norm > t->recipe->clip_norm ? t->recipe->clip_norm / norm : 1.0f;
}

static void update(training *t) {
    const mf_plan *plan = t->run.plan;
    const float *gradient = t->run.workspace + plan->gradient;
    mf_update u = {.learning_rate = t->recipe->learning_rate,
                   .momentum = t->recipe->momentum,
                   .proximal = t->recipe->proximal,
                   .clip = clip_factor(t)};
    for (int32_t i = 0; i < plan->slot_count; i++) {
        const mf_slot *slot = &plan->slots[i];
        u.weight_decay = slot->decays ? t->recipe->weight_decay : 0.0f;
        plan->kernels->update(&u, gradient + slot->gradient, t->mask + slot->parameter,
                              t->received + slot->parameter,
                              t->velocity == NULL ? NULL : t->velocity + slot->gradient,
                              t->weights + slot->parameter, (size_t)slot->count);
    }
}

static void train(training *t) {
    const int32_t count = t->samples->count;
    t->run.rounded = t->recipe->fake_quantize != 0;
    for (int32_t epoch = 0; epoch < t->recipe->epochs; epoch++) {
        mf_random_order(&t->random, t->order, count);
        for (int32_t at = 0; at < count;) {
            const int32_t n = least(t->recipe->batch, count - at);
            batch_gradient(t, t->order + at, n);
            update(t);
            at += n;
        }
    }
}

/* The part of the workspace where weights are packed and vectors read beyond the end: no
 * subnormal left there may slow the lanes that nobody looks at. */
static mf_run begin(const mf_plan *plan, void *memory, const float *weights) {
    mf_run run = {.plan = plan, .workspace = memory, .weights = weights};
    if (plan->weights == MF_ABSENT) {
        return run;
    }
    memset(run.workspace, 0, (size_t)plan->gradient * sizeof(float));
    float *own = run.workspace + plan->weights;
    memcpy(own, weights, (size_t)plan->model->parameter_count * sizeof(float));
    run.weights = own;
    return run;
}

/* Cut what one training needs beside the workspace. */
static void carve(training *t, void *memory) {
    const mf_plan *plan = t->run.plan;
    float *at = (float *)memory + lines(plan->workspace);
    if (t->recipe->momentum != 0.0f) {
        t->velocity = at;
        memset(at, 0, (size_t)plan->trained * sizeof(float));
        at += lines((size_t)plan->trained);
    }
    if (t->recipe->rotation > 0.0f) {
        t->turned = at;
        at += lines((size_t)sample_size(plan));
    }
    t->order = (uint32_t *)(void *)at;
}

static bool all_finite(const float *values, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        if (!(fabsf(values[i]) < INFINITY)) {
            return false;
        }
    }
    return true;
}

mf_status mf_train(const mf_plan *plan, const mf_recipe *recipe, const mf_samples *samples,
                   uint32_t seed, const float *received, const uint8_t *mask, float *weights,
                   double losses[2], void *memory, size_t bytes) {
    const int32_t size = plan->model->parameter_count;
    mf_status status = check_recipe(plan, recipe);
    if (status == MF_OK) {
        status = check_samples(plan, samples);
    }
    if (status == MF_OK) {
        status = check_memory(memory, bytes, mf_train_bytes(plan, recipe, samples->count));
    }
    if (status != MF_OK) {
        return status;
    }
    if (recipe->proximal != 0.0f && weights == received) {
        return MF_BAD_ARGUMENT;
    }
    for (int32_t i = 0; i < size; i++) {
        weights[i] = mask[i] ? received[i] : 0.0f;
    }
    training t = {.run = begin(plan, memory, weights),
                  .recipe = recipe,
                  .samples = samples,
                  .received = received,
                  .mask = mask,
                  .random = mf_random_from(seed)};
    t.weights = plan->weights == MF_ABSENT ? weights : t.run.workspace + plan->weights;
    carve(&t, memory);
    losses[0] = mean_loss(&t.run, samples);
    train(&t);
    losses[1] = mean_loss(&t.run, samples);
    if (t.weights != weights) {
        memcpy(weights, t.weights, (size_t)size * sizeof(float));
    }
    const bool finite = losses[0] - losses[0] == 0.0 && losses[1] - losses[1] == 0.0;
    return finite && all_finite(weights, size) ? MF_OK : MF_DIVERGED;
}

mf_status mf_gradient(const mf_plan *plan, const mf_samples *samples, int32_t fake_quantize,
                      const float *weights, float *gradient, double *loss, void *memory,
                      size_t bytes) {
    mf_status status = check_samples(plan, samples);
    if (status == MF_OK) {
        status = check_memory(memory, bytes, plan->workspace * sizeof(float));
    }
    if (status != MF_OK) {
        return status;
    }
    training t = {.run = begin(plan, memory, weights), .samples = samples};
    t.run.rounded = fake_quantize != 0;
    *loss = batch_gradient(&t, NULL, samples->count) / (double)samples->count;
    memset(gradient, 0, (size_t)plan->model->parameter_count * sizeof(float));
    for (int32_t i = 0; i < plan->slot_count; i++) {
        const mf_slot *slot = &plan->slots[i];
        memcpy(gradient + slot->parameter, t.run.workspace + plan->gradient + slot->gradient,
               (size_t)slot->count * sizeof(float));
    }
    return MF_OK;
}

mf_status mf_predict(const mf_plan *plan, const float *x, int32_t count, const float *weights,
                     float *outputs, void *memory, size_t bytes) {
    if (count < 0) {
        return MF_BAD_ARGUMENT;
    }
    const mf_status status = check_memory(memory, bytes, plan->workspace * sizeof(float));
    if (status != MF_OK) {
        return status;
    }
    const mf_run run = begin(plan, memory, weights);
    const ptrdiff_t in = sample_size(plan);
    const ptrdiff_t out = mf_elements(plan->model->tensors[plan->model->output].shape);
    mf_pack(&run);
    for (int32_t at = 0, n; at < count; at += n) {
        n = least(plan->tile, count - at);
        for (int32_t s = 0; s < n; s++) {
            mf_feed(&run, x + (at + s) * in, s);
        }
        mf_forward(&run, n);
        memcpy(outputs + at * out, mf_value(&run, plan->model->output),
               (size_t)(n * out) * sizeof(float));
    }
    return MF_OK;
}
