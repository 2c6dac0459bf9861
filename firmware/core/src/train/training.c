#include "train/training.h"

#include <string.h>

int32_t mf_sample_size(const mf_plan *plan) {
    return mf_elements(plan->model->tensors[plan->model->input].shape);
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

static float mean(const mf_sum *sum, int32_t count) {
    return (sum->rounded + sum->lost) / (float)count;
}

float mf_mean_loss(mf_run *run, const mf_samples *samples) {
    const int32_t size = mf_sample_size(run->plan);
    mf_sum loss = {0};
    run->rounded = false;
    mf_pack(run, samples->count);
    for (int32_t at = 0, n; at < samples->count; at += n) {
        n = least(run->plan->tile, samples->count - at);
        for (int32_t s = 0; s < n; s++) {
            mf_feed(run, samples->x + (ptrdiff_t)(at + s) * size, s);
        }
        mf_forward(run, n);
        const mf_labels labels = labels_from(samples, NULL, at);
        mf_loss(run, &labels, n, &loss, 0.0f);
    }
    return mean(&loss, samples->count);
}

float mf_batch(mf_training *t, const uint32_t *order, int32_t count) {
    const mf_plan *plan = t->run.plan;
    const int32_t size = mf_sample_size(plan);
    const float degrees = t->descent.recipe == NULL ? 0.0f : t->descent.recipe->rotation;
    mf_sum loss = {0};
    mf_pack(&t->run, count);
    for (int32_t at = 0, n; at < count; at += n) {
        n = least(plan->tile, count - at);
        for (int32_t s = 0; s < n; s++) {
            const int32_t sample = order == NULL ? at + s : (int32_t)order[at + s];
            const float *x = t->samples->x + (ptrdiff_t)sample * size;
            if (degrees > 0.0f) {
                mf_rotate(&t->random, degrees, x, mf_input(&t->run, s), size);
                x = mf_input(&t->run, s);
            }
            mf_feed(&t->run, x, s);
        }
        mf_forward(&t->run, n);
        const mf_labels labels = labels_from(t->samples, order, at);
        mf_loss(&t->run, &labels, n, &loss, 1.0f / (float)count);
        mf_backward(&t->run, n);
    }
    return mean(&loss, count);
}

/* What the gradient of a batch is added to. */
static void begin_batch(mf_training *t) {
    const mf_plan *plan = t->run.plan;
    if (t->clipped != NULL) {
        memset(t->clipped, 0, (size_t)plan->trained * sizeof(float));
        return;
    }
    for (int32_t i = 0; i < plan->slot_count; i++) {
        const mf_slot *slot = &plan->slots[i];
        mf_begin_update(&t->descent, slot, t->run.gradient + slot->gradient);
    }
}

static void finish_batch(mf_training *t) {
    const mf_plan *plan = t->run.plan;
    const float factor = t->clipped == NULL ? 1.0f : mf_clip_factor(&t->descent, t->clipped);
    for (int32_t i = 0; i < plan->slot_count; i++) {
        const mf_slot *slot = &plan->slots[i];
        float *g = t->velocity + slot->gradient;
        if (t->clipped != NULL) {
            mf_begin_update(&t->descent, slot, g);
            plan->kernels->join(factor, t->clipped + slot->gradient, g, (size_t)slot->count);
        }
        mf_finish_update(&t->descent, slot, g);
    }
}

void mf_epochs(mf_training *t) {
    const mf_recipe *recipe = t->descent.recipe;
    const int32_t count = t->samples->count;
    t->run.rounded = recipe->fake_quantize != 0;
    for (int32_t epoch = 0; epoch < recipe->epochs; epoch++) {
        mf_random_order(&t->random, t->order, count);
        for (int32_t at = 0; at < count;) {
            const int32_t n = least(recipe->batch, count - at);
            if (t->run.at_once != NULL) {
                mf_batch(t, t->order + at, n);
            } else {
                begin_batch(t);
                mf_batch(t, t->order + at, n);
                finish_batch(t);
            }
            at += n;
        }
    }
}
