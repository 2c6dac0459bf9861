#include "update.h"

#include <string.h>

#include "blake2b.h"
#include "microfed/codec.h"
#include "microfed/node.h"
#include "version.h"

enum { SHARE = 32, LEAST = 32 }; /* without a budget: bytes for each so many values, at least */

/* Where everything lies while a task is worked on. */
typedef struct {
    void *plan;
    float *weights, *received;
    uint8_t *mask;
    uint8_t *rest; /* for mf_train, and then for the update */
    size_t rest_size;
} layout;

static size_t aligned(size_t bytes) {
    return (bytes + MF_ALIGN - 1) / MF_ALIGN * MF_ALIGN;
}

static mf_recipe recipe_of(const mf_task_recipe *r) {
    return (mf_recipe){
        .epochs = (int32_t)r->epochs,
        .batch = (int32_t)r->batch,
        .learning_rate = r->learning_rate,
        .momentum = r->momentum,
        .weight_decay = r->weight_decay,
        .proximal = r->proximal,
        .clip_norm = r->clip_norm,
        .rotation = r->rotation,
        .fake_quantize = (int32_t)r->fake_quantize,
    };
}

/* Bytes before the workspace of mf_train.  The weights as received are wanted to the end only
 * where a proximal term pulls to them. */
static size_t own_bytes(const mf_node_model *model, const mf_recipe *recipe) {
    const size_t count = (size_t)model->train->parameter_count;
    const size_t vectors = recipe->proximal != 0.0f ? 2 : 1;
    return aligned(mf_plan_bytes(model->train)) + vectors * aligned(count * sizeof(float)) +
           aligned(count);
}

static mf_status lay_out(const mf_assignment *a, const mf_recipe *recipe, layout *l) {
    const size_t count = (size_t)a->model->train->parameter_count,
                 own = own_bytes(a->model, recipe);
    const size_t vector = aligned(count * sizeof(float));
    if (own > a->work_size) {
        return MF_NO_MEMORY;
    }
    uint8_t *at = a->work;
    l->plan = at;
    at += aligned(mf_plan_bytes(a->model->train));
    l->weights = l->received = (float *)(void *)at;
    at += vector;
    if (recipe->proximal != 0.0f) {
        l->received = (float *)(void *)at;
        at += vector;
    }
    l->mask = at;
    l->rest = (uint8_t *)a->work + own;
    l->rest_size = a->work_size - own;
    return mf_plan_training(a->model->train, a->model->trains, 1, MF_PORTABLE, l->plan,
                            mf_plan_bytes(a->model->train));
}

size_t mf_node_work_bytes(const mf_node_model *model, const mf_recipe *recipe, int32_t samples,
                          uint32_t difference, void *plan, size_t plan_size) {
    const size_t count = (size_t)mf_unmasked(model);
    const size_t pulled = aligned(difference + difference / 8 + 1) + count * sizeof(int32_t) +
                          (size_t)model->scale_count * sizeof(float) + 8192;
    if (mf_plan_training(model->train, model->trains, 1, MF_PORTABLE, plan, plan_size) != MF_OK) {
        return 0;
    }
    const size_t before = (size_t)model->train->parameter_count * sizeof(float);
    const size_t train = mf_train_bytes(plan, recipe, samples);
    const size_t trained = own_bytes(model, recipe) + (train > before ? train : before);
    return trained > pulled ? trained : pulled;
}

uint32_t mf_update_budget(const mf_node_model *model, const mf_task *task) {
    const uint32_t count = (uint32_t)mf_unmasked(model), usual = (count + SHARE - 1) / SHARE;
    const uint32_t budget = task->budget != 0 ? task->budget : usual > LEAST ? usual : LEAST;
    return budget > MF_LEAST_BUDGET ? budget : MF_LEAST_BUDGET;
}

/* Write a number and what follows it. */
static char *put_number(char *to, char before, uint32_t number) {
    char digits[10];
    int count = 0;
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    *to++ = before;
    while (count > 0) {
        *to++ = digits[--count];
    }
    return to;
}

/* Hash "{device} {seed}", or "{device} {seed} {round}" where there is a round. */
static void hash(const char *device, uint32_t seed, uint32_t round, uint8_t *digest,
                 uint32_t size) {
    char text[MF_TEXT_BYTES + 24];
    const size_t length = strlen(device);
    memcpy(text, device, length);
    char *end = put_number(text + length, ' ', seed);
    if (round != 0) {
        end = put_number(end, ' ', round);
    }
    mf_blake2b(text, (uint32_t)(end - text), digest, size);
}

void mf_update_nonce(const char *device, const mf_task *task, uint8_t nonce[MF_ID_BYTES]) {
    hash(device, task->seed, task->round, nonce, MF_ID_BYTES);
}

static uint32_t training_seed(const char *device, uint32_t seed) {
    uint8_t d[4];
    hash(device, seed, 0, d, sizeof d);
    return (uint32_t)d[0] << 24 | (uint32_t)d[1] << 16 | (uint32_t)d[2] << 8 | d[3];
}

/* Turn trained weights into what they changed: the unmasked values, from the beginning. */
static void subtract(const mf_assignment *a, const layout *l) {
    const int32_t count = a->model->train->parameter_count;
    float *before = (float *)(void *)l->rest;
    mf_body_floats(a->model, a->body, before);
    int32_t kept = 0;
    for (int32_t i = 0; i < count; i++) {
        if (l->mask[i] != 0) {
            l->weights[kept++] = l->weights[i] - before[i];
        }
    }
}

/* Code what is owed, and leave in its place what the update does not say. */
static mf_status code(const mf_assignment *a, const layout *l, mf_made *made) {
    const mf_node_model *model = a->model;
    float *values = l->weights;
    mf_status status = mf_memory_owed(a->memory, model, values, (float *)(void *)l->rest);
    if (status == MF_OK) {
        status = mf_encode_update(values, model->bounds, model->tensor_count,
                                  (int32_t)mf_update_budget(model, a->task), l->rest, &made->size);
    }
    if (status == MF_OK) {
        status = mf_decode_update(l->rest, made->size, model->bounds, model->tensor_count, -1.0f,
                                  values);
    }
    made->data = l->rest;
    made->left = values;
    return status;
}

mf_status mf_make_update(const mf_assignment *assignment, mf_made *made) {
    const mf_assignment *a = assignment;
    const mf_recipe recipe = recipe_of(&a->task->recipe);
    layout l;
    double losses[2];
    mf_status status = lay_out(a, &recipe, &l);
    if (status != MF_OK) {
        return status;
    }
    const size_t vector = (size_t)a->model->train->parameter_count * sizeof(float);
    if (l.rest_size < vector || l.rest_size < mf_update_budget(a->model, a->task)) {
        return MF_NO_MEMORY;
    }
    mf_body_floats(a->model, a->body, l.received);
    mf_body_mask(a->model, l.mask);
    status = mf_train(l.plan, &recipe, a->samples, training_seed(a->device, a->task->seed),
                      l.received, l.mask, l.weights, losses, l.rest, l.rest_size);
    if (status != MF_OK) {
        return status;
    }
    made->loss_before = (float)losses[0];
    made->loss_after = (float)losses[1];
    subtract(a, &l);
    return code(a, &l, made);
}
