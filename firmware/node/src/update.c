#include "update.h"

#include <string.h>

#include "blake2b.h"
#include "microfed/codec.h"
#include "microfed/node.h"
#include "scope.h"
#include "version.h"

enum { SHARE = 32, LEAST = 32 }; /* without a budget: bytes for each so many values, at least */

/* Where everything lies while a task is worked on: MF_NODE_WORK. */
typedef struct {
    mf_scope scope;
    void *plan;
    mf_stored *stored;
    float *weights;
    uint8_t *rest; /* for mf_train_stored, and then for the update */
    size_t rest_size;
} layout;

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

/* Plan the training of the held version, as it lies in flash. */
static mf_status lay_out(const mf_assignment *a, layout *l) {
    const mf_train_model *train = a->model->train;
    const size_t steps = (size_t)train->step_count;
    const size_t bounds = MF_LINES(((size_t)a->model->tensor_count + 1) * sizeof(int32_t));
    const size_t trains = MF_LINES(steps), plan = MF_LINES(mf_plan_bytes(train));
    const size_t stored = MF_LINES(steps * sizeof(mf_stored));
    size_t own = bounds + trains + plan + stored;
    uint8_t *at = a->work;
    if (own > a->work_size) {
        return MF_NO_MEMORY;
    }
    mf_scope_begin(&l->scope, a->model, &a->task->recipe.trains, (int32_t *)a->work, at + bounds);
    l->plan = at + bounds + trains;
    l->stored = (mf_stored *)(void *)(at + bounds + trains + plan);
    l->weights = (float *)(void *)(at + own);
    mf_body_stored(a->model, a->body, l->stored);
    const mf_status status = mf_plan_stored(train, l->scope.trains, l->stored, 1, l->plan, plan);
    if (status != MF_OK) {
        return status;
    }
    own += MF_LINES(mf_stored_count(l->plan) * sizeof(float));
    if (own + mf_update_budget(a->task, l->scope.values) > a->work_size) {
        return MF_NO_MEMORY;
    }
    l->rest = at + own;
    l->rest_size = a->work_size - own;
    return MF_OK;
}

uint32_t mf_update_budget(const mf_task *task, int32_t values) {
    const uint32_t usual = ((uint32_t)values + SHARE - 1) / SHARE;
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

/* Code what is owed, and leave in its place what the update does not say. */
static mf_status code(const mf_assignment *a, const layout *l, mf_made *made) {
    const mf_scope *scope = &l->scope;
    float *values = l->weights;
    mf_memory_owed(a->memory, values);
    const int32_t budget = (int32_t)mf_update_budget(a->task, scope->values);
    mf_status status =
        mf_encode_update(values, scope->bounds, scope->runs, budget, l->rest, &made->size);
    if (status == MF_OK) {
        status = mf_decode_update(l->rest, made->size, scope->bounds, scope->runs, -1.0f, values);
    }
    made->data = l->rest;
    made->left = values;
    return status;
}

mf_status mf_make_update(const mf_assignment *assignment, mf_made *made) {
    const mf_assignment *a = assignment;
    const mf_recipe recipe = recipe_of(&a->task->recipe);
    layout l;
    float losses[2];
    mf_status status = lay_out(a, &l);
    if (status == MF_OK && !mf_memory_fold(a->memory, a->model, a->flash, &l.scope, l.weights)) {
        status = MF_BAD_DATA;
    }
    if (status == MF_OK) {
        status =
            mf_train_stored(l.plan, &recipe, a->samples, training_seed(a->device, a->task->seed),
                            l.weights, losses, l.rest, l.rest_size);
    }
    if (status != MF_OK) {
        return status;
    }
    made->loss_before = losses[0];
    made->loss_after = losses[1];
    mf_stored_update(l.plan, l.weights);
    return code(a, &l, made);
}
