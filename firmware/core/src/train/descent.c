#include "train/descent.h"

#include <math.h>

#include "train/stored.h"

static float *weights_of(const mf_descent *descent, const mf_slot *slot) {
    return descent->weights +
           (!mf_is_stored(descent->plan) ? slot->parameter : (int32_t)slot->gradient);
}

void mf_begin_update(const mf_descent *descent, const mf_slot *slot, float *g) {
    const mf_plan *plan = descent->plan;
    const mf_recipe *recipe = descent->recipe;
    const mf_update u = {.momentum = recipe->momentum,
                         .weight_decay = slot->decays ? recipe->weight_decay : 0.0f,
                         .proximal = recipe->proximal};
    const float *w = weights_of(descent, slot);
    if (!mf_is_stored(plan) || recipe->proximal == 0.0f) {
        const float *received =
            descent->received == NULL ? NULL : descent->received + slot->parameter;
        plan->kernels->begin(&u, w, received, g, (size_t)slot->count);
        return;
    }
    float received[MF_STORED_AT_ONCE];
    for (int32_t at = slot->from; at < slot->to; at += MF_STORED_AT_ONCE) {
        const int32_t n = mf_stored_values(plan, slot, at, received);
        plan->kernels->begin(&u, w, received, g, (size_t)n);
        w += n;
        g += n;
    }
}

void mf_finish_update(const mf_descent *descent, const mf_slot *slot, float *g) {
    const uint8_t *mask =
        MF_STORED_ONLY || descent->mask == NULL ? NULL : descent->mask + slot->parameter;
    descent->plan->kernels->finish(descent->recipe->learning_rate, mask, g,
                                   weights_of(descent, slot), (size_t)slot->count);
}

float mf_clip_factor(const mf_descent *descent, const float *gradient) {
    const mf_plan *plan = descent->plan;
    float lanes[16] = {0};
    for (int32_t i = 0; i < plan->slot_count; i++) {
        const mf_slot *slot = &plan->slots[i];
        const float *g = gradient + slot->gradient;
        if (!mf_is_stored(plan)) {
            plan->kernels->squares(g, descent->mask + slot->parameter, (size_t)slot->count, lanes);
        } else {
            mf_stored_squares(plan, slot, g, lanes);
        }
    }
    const float norm = sqrtf(plan->kernels->folded(lanes));
    const float most = descent->recipe->clip_norm;
    return norm > most ? most / norm : 1.0f;
}
