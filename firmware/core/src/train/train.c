/* The calls of train.h: local training, and its parts. */
#include "microfed/train.h"

#include <math.h>
#include <string.h>

#include "train/lists.h"
#include "train/stored.h"
#include "train/training.h"

const uint32_t mf_train_sizes[6] = {sizeof(mf_train_tensor), sizeof(mf_train_step),
                                    sizeof(mf_train_model),  sizeof(mf_recipe),
                                    sizeof(mf_samples),      sizeof(mf_stored)};

/* Whether the weights can be updated part by part as soon as their gradient is there: every
 * batch goes through the network as one tile, and nothing is kept from batch to batch. */
static bool updates_at_once(const mf_plan *plan, const mf_recipe *recipe, int32_t samples) {
    const int32_t most = recipe->batch < samples ? recipe->batch : samples;
    return mf_width(plan->kernels) == 1 && !plan->shared && recipe->momentum == 0.0f &&
           recipe->clip_norm == 0.0f && most <= plan->tile;
}

/* Floats that gradients take: one array, which is the velocity too; two where the gradient is
 * clipped before it joins the velocity. */
static mf_total gradients(const mf_plan *plan, const mf_recipe *recipe, int32_t samples) {
    if (updates_at_once(plan, recipe, samples)) {
        return mf_whole_lines(plan->largest_part);
    }
    return mf_whole_lines((mf_total)plan->trained) * (recipe->clip_norm == 0.0f ? 1 : 2);
}

size_t mf_train_bytes(const mf_plan *plan, const mf_recipe *recipe, int32_t samples) {
    mf_total floats = plan->workspace + gradients(plan, recipe, samples);
    if (samples > 0) {
        floats += mf_whole_lines((mf_total)samples); /* the order: as many words */
    }
    const mf_total bytes = mf_whole_lines(floats) * sizeof(float);
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

/* The part of the workspace where weights are packed and vectors read beyond the end: no
 * subnormal left there may slow the lanes that nobody looks at. */
static mf_run begin(const mf_plan *plan, void *memory, const float *weights) {
    mf_run run = {.plan = plan, .workspace = memory, .weights = weights};
    if (mf_width(plan->kernels) == 1) {
        return run;
    }
    memset(run.workspace + plan->weights, 0,
           (size_t)(plan->padded - plan->weights) * sizeof(float));
    float *own = run.workspace + plan->weights;
    memcpy(own, weights, (size_t)plan->model->parameter_count * sizeof(float));
    run.weights = own;
    return run;
}

/* Cut what one training needs beside the workspace. */
static void carve(mf_training *t, void *memory) {
    const mf_plan *plan = t->run.plan;
    const mf_recipe *recipe = t->descent.recipe;
    float *at = (float *)memory + mf_whole_lines(plan->workspace);
    const mf_total floats = gradients(plan, recipe, t->samples->count);
    t->run.gradient = t->velocity = at;
    if (updates_at_once(plan, recipe, t->samples->count)) {
        t->run.at_once = &t->descent;
    } else {
        memset(at, 0, (size_t)floats * sizeof(float));
    }
    if (recipe->clip_norm != 0.0f) {
        t->run.gradient = t->clipped = at + floats / 2;
    }
    t->order = (uint32_t *)(void *)(at + floats);
}

static bool all_finite(const float *values, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        if (!(fabsf(values[i]) < INFINITY)) {
            return false;
        }
    }
    return true;
}

/* Train; whether the losses are finite. */
static bool descend(mf_training *t, const mf_recipe *recipe, uint32_t seed, float losses[2],
                    void *memory) {
    t->descent.plan = t->run.plan;
    t->descent.recipe = recipe;
    t->random = mf_random_from(seed);
    carve(t, memory);
    losses[0] = mf_mean_loss(&t->run, t->samples);
    mf_epochs(t);
    losses[1] = mf_mean_loss(&t->run, t->samples);
    return losses[0] - losses[0] == 0.0f && losses[1] - losses[1] == 0.0f;
}

static mf_status check(const mf_plan *plan, const mf_recipe *recipe, const mf_samples *samples,
                       const void *memory, size_t bytes) {
    mf_status status = check_recipe(plan, recipe);
    if (status == MF_OK) {
        status = check_samples(plan, samples);
    }
    if (status == MF_OK) {
        status = check_memory(memory, bytes, mf_train_bytes(plan, recipe, samples->count));
    }
    return status;
}

mf_status mf_train(const mf_plan *plan, const mf_recipe *recipe, const mf_samples *samples,
                   uint32_t seed, const float *received, const uint8_t *mask, float *weights,
                   float losses[2], void *memory, size_t bytes) {
    const int32_t size = plan->model->parameter_count;
    const mf_status status = check(plan, recipe, samples, memory, bytes);
    if (status != MF_OK) {
        return status;
    }
    if (mf_is_stored(plan) || (recipe->proximal != 0.0f && weights == received)) {
        return MF_BAD_ARGUMENT;
    }
    for (int32_t i = 0; i < size; i++) {
        weights[i] = mask[i] ? received[i] : 0.0f;
    }
    mf_training t = {.run = begin(plan, memory, weights), .samples = samples};
    float *working = plan->weights == MF_ABSENT ? weights : t.run.workspace + plan->weights;
    t.descent.received = received;
    t.descent.mask = mask;
    t.descent.weights = working;
    mf_make_lists(&t.run, mask, samples->count);
    const bool finite = descend(&t, recipe, seed, losses, memory);
    if (working != weights) {
        memcpy(weights, working, (size_t)size * sizeof(float));
    }
    return finite && all_finite(weights, size) ? MF_OK : MF_DIVERGED;
}

size_t mf_stored_count(const mf_plan *plan) {
    return (size_t)plan->trained;
}

/* Go through the unpruned values of all slots as received: the weights become them, or (with
 * `less`) less them. */
static void with_received(const mf_plan *plan, float *weights, bool less) {
    for (int32_t i = 0; i < plan->slot_count; i++) {
        float received[MF_STORED_AT_ONCE];
        for (int32_t at = 0; at < plan->slots[i].to; at += MF_STORED_AT_ONCE) {
            const int32_t n = mf_stored_values(plan, &plan->slots[i], at, received);
            for (int32_t k = 0; k < n; k++, weights++) {
                *weights = less ? *weights - received[k] : received[k];
            }
        }
    }
}

mf_status mf_train_stored(const mf_plan *plan, const mf_recipe *recipe, const mf_samples *samples,
                          uint32_t seed, float *weights, float losses[2], void *memory,
                          size_t bytes) {
    const mf_status status = check(plan, recipe, samples, memory, bytes);
    if (status != MF_OK) {
        return status;
    }
    if (!mf_is_stored(plan)) {
        return MF_BAD_ARGUMENT;
    }
    with_received(plan, weights, false);
    mf_training t = {.run = begin(plan, memory, weights), .samples = samples};
    t.descent.weights = weights;
    const bool finite = descend(&t, recipe, seed, losses, memory);
    return finite && all_finite(weights, (int32_t)plan->trained) ? MF_OK : MF_DIVERGED;
}

void mf_stored_update(const mf_plan *plan, float *weights) {
    with_received(plan, weights, true);
}

size_t mf_gradient_bytes(const mf_plan *plan) {
    return (size_t)(mf_whole_lines(plan->workspace) + mf_whole_lines((mf_total)plan->trained)) *
           sizeof(float);
}

mf_status mf_gradient(const mf_plan *plan, const mf_samples *samples, int32_t fake_quantize,
                      const float *weights, float *gradient, float *loss, void *memory,
                      size_t bytes) {
    mf_status status = !mf_is_stored(plan) ? check_samples(plan, samples) : MF_BAD_ARGUMENT;
    if (status == MF_OK) {
        status = check_memory(memory, bytes, mf_gradient_bytes(plan));
    }
    if (status != MF_OK) {
        return status;
    }
    mf_training t = {.run = begin(plan, memory, weights), .samples = samples};
    t.run.rounded = fake_quantize != 0;
    mf_make_lists(&t.run, NULL, samples->count);
    t.run.gradient = (float *)memory + mf_whole_lines(plan->workspace);
    memset(t.run.gradient, 0, (size_t)plan->trained * sizeof(float));
    *loss = mf_batch(&t, NULL, samples->count);
    memset(gradient, 0, (size_t)plan->model->parameter_count * sizeof(float));
    for (int32_t i = 0; i < plan->slot_count; i++) {
        const mf_slot *slot = &plan->slots[i];
        memcpy(gradient + slot->parameter, t.run.gradient + slot->gradient,
               (size_t)slot->count * sizeof(float));
    }
    return MF_OK;
}

mf_status mf_predict(const mf_plan *plan, const float *x, int32_t count, const float *weights,
                     float *outputs, void *memory, size_t bytes) {
    if (count < 0 || mf_is_stored(plan)) {
        return MF_BAD_ARGUMENT;
    }
    const mf_status status = check_memory(memory, bytes, plan->workspace * sizeof(float));
    if (status != MF_OK) {
        return status;
    }
    const mf_run run = begin(plan, memory, weights);
    const ptrdiff_t in = mf_sample_size(plan);
    const ptrdiff_t out = mf_elements(plan->model->tensors[plan->model->output].shape);
    mf_make_lists(&run, NULL, count);
    mf_pack(&run, count);
    for (int32_t at = 0, n; at < count; at += n) {
        n = plan->tile < count - at ? plan->tile : count - at;
        for (int32_t s = 0; s < n; s++) {
            mf_feed(&run, x + (at + s) * in, s);
        }
        mf_forward(&run, n);
        memcpy(outputs + at * out, mf_value(&run, plan->model->output),
               (size_t)(n * out) * sizeof(float));
    }
    return MF_OK;
}
