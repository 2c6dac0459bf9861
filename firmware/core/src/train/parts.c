#include "train/parts.h"

#include "train/descent.h"
#include "train/span_loops.h"
#include "train/stored.h"

static int32_t taps_of(const mf_step_plan *planned) {
    return planned->weights / planned->geometry.out_channels;
}

/* From a part of no outputs to the first one, then to the next; false after the last. */
static bool next_part(const mf_step_plan *planned, int32_t most, mf_part *part) {
    const int32_t left = planned->geometry.out_channels - part->first - part->count;
    part->first += part->count;
    part->count = left < most ? left : most;
    return left > 0;
}

const float *mf_weights_in_place(const mf_run *run, int32_t step) {
    const mf_plan *plan = run->plan;
    if (!mf_is_stored(plan)) {
        return run->weights + plan->model->steps[step].weight;
    }
    return mf_is_in_place(plan, step) ? run->weights + plan->steps[step].weight_gradient : NULL;
}

const float *mf_bias_of(const mf_run *run, int32_t step) {
    const mf_plan *plan = run->plan;
    const int32_t bias = plan->model->steps[step].bias;
    if (bias < 0) {
        return NULL;
    }
    if (!mf_is_stored(plan)) {
        return run->weights + bias;
    }
    if (plan->steps[step].bias_gradient != MF_ABSENT) {
        return run->weights + plan->steps[step].bias_gradient;
    }
    float *decoded = run->workspace + plan->biases;
    mf_decode_bias(plan, step, decoded);
    return decoded;
}

/* Make the weights [from, to) of a step floats; `unpruned` counts those that were before. */
static void make(const mf_run *run, int32_t step, int32_t from, int32_t to, int32_t *unpruned,
                 float *weights) {
    const mf_plan *plan = run->plan;
    const ptrdiff_t at = plan->steps[step].weight_gradient;
    if (at == MF_ABSENT) {
        mf_decode(plan, step, from, to, weights);
    } else {
        *unpruned +=
            mf_expand(&plan->stored[step], run->weights + at + *unpruned, from, to, weights);
    }
}

const float *mf_depthwise_weights(const mf_run *run, int32_t step) {
    const float *in_place = mf_weights_in_place(run, step);
    if (in_place != NULL) {
        return in_place;
    }
    float *room = run->workspace + run->plan->room;
    int32_t unpruned = 0;
    make(run, step, 0, run->plan->steps[step].weights, &unpruned, room);
    return room;
}

void mf_conv_in_parts(const mf_run *run, int32_t step, int32_t samples, const float *x,
                      const mf_hold *hold, float *y) {
    const mf_step_plan *planned = &run->plan->steps[step];
    const int32_t taps = taps_of(planned);
    const float *bias = mf_bias_of(run, step);
    float *room = run->workspace + run->plan->room;
    int32_t unpruned = 0;
    for (mf_part part = {0}; next_part(planned, planned->part, &part);) {
        make(run, step, part.first * taps, (part.first + part.count) * taps, &unpruned, room);
        const mf_weights weights = {room, bias == NULL ? NULL : bias + part.first, 1, taps};
        mf_conv(run->plan->kernels, &planned->geometry, part, samples, x, &weights, hold, y);
    }
}

/* by_x += by_y · weights (part, in) of one tap, over the outputs that see through it. */
static void by_input_of_tap(const mf_run *run, const mf_geometry *g, const mf_seen *seen,
                            mf_part part, const float *weights, const float *by_y, float *by_x) {
    const mf_loops *over = &seen->over;
    run->plan->kernels->product(&(mf_product){
        .a = by_y + seen->y + part.first,
        .b = weights,
        .c = by_x + seen->x,
        .rows = {.count = {over->count[0], over->count[1], over->count[2]},
                 .first = {over->second[0], over->second[1], over->second[2]},
                 .second = {over->first[0], over->first[1], over->first[2]}},
        .depth = {.count = {1, 1, part.count},
                  .first = {0, 0, 1},
                  .second = {0, 0, g->in_channels}},
        .columns = g->in_channels,
        .b_column = 1,
        .c_column = 1,
        .adds = true,
        .hold = mf_free,
    });
}

/* Sums are over (row, column, output channel): tap after tap, and the parts of each.  What is
 * unpruned of an output's weights is read tap by tap, so each output has its own place. */
void mf_conv_by_input_in_parts(const mf_run *run, int32_t step, int32_t samples, const float *by_y,
                               bool adds, float *by_x) {
    const mf_plan *plan = run->plan;
    const mf_step_plan *planned = &plan->steps[step];
    const mf_geometry *g = &planned->geometry;
    const int32_t taps = taps_of(planned), in = g->in_channels;
    const int32_t most = planned->part * taps / in;
    int32_t *unpruned = (int32_t *)(void *)(run->workspace + plan->places);
    float *room = run->workspace + plan->room;
    for (int32_t o = 0, before = 0; o < g->out_channels; o++) {
        unpruned[o] = before;
        before += mf_unpruned(&plan->stored[step], o * taps, (o + 1) * taps);
    }
    if (!adds) {
        memset(by_x, 0, (size_t)samples * (size_t)mf_in_size(g) * sizeof(float));
    }
    for (int32_t tap = 0; tap < taps / in; tap++) {
        const mf_seen seen = mf_seen_by(g, samples, tap / g->columns.taps, tap % g->columns.taps);
        for (mf_part part = {0}; next_part(planned, most, &part);) {
            for (int32_t i = 0; i < part.count; i++) {
                const int32_t o = part.first + i, from = o * taps + tap * in;
                make(run, step, from, from + in, &unpruned[o], room + i * in);
            }
            by_input_of_tap(run, g, &seen, part, room, by_y, by_x);
        }
    }
}

/* Add the gradient by the weights of a part, or update them. */
static void by_weights(const mf_run *run, const mf_slot *slot, mf_part part, int32_t samples,
                       const float *by_y) {
    const mf_plan *plan = run->plan;
    const mf_train_step *step = &plan->model->steps[slot->step];
    const mf_step_plan *planned = &plan->steps[slot->step];
    const mf_geometry *g = &planned->geometry;
    const bool packed = mf_is_stored(plan) && plan->stored[slot->step].mask != NULL;
    float *gradient = run->at_once == NULL ? run->gradient + slot->gradient : run->gradient;
    float *whole = packed ? run->workspace + plan->room : gradient;
    if (run->at_once != NULL) {
        mf_begin_update(run->at_once, slot, gradient);
    }
    if (packed) {
        mf_expand(&plan->stored[slot->step], gradient, slot->from, slot->to, whole);
    }
    float *padded =
        mf_padded_size(plan, planned, step->kind) > 0 ? run->workspace + plan->padded : NULL;
    const float *x = mf_value(run, step->inputs[0]);
    if (mf_is(step->kind, MF_DEPTHWISE)) {
        mf_depthwise_by_weights(plan->kernels, g, samples, x, by_y, padded, whole);
    } else {
        mf_conv_by_weights(plan->kernels, g, part, samples, x, by_y, padded,
                           run->workspace + plan->room, whole);
    }
    if (packed) {
        mf_compress(&plan->stored[slot->step], whole, slot->from, slot->to, gradient);
    }
    if (run->at_once != NULL) {
        mf_finish_update(run->at_once, slot, gradient);
    }
}

static void by_bias(const mf_run *run, const mf_slot *slot, int32_t samples, const float *by_y) {
    float *gradient = run->at_once == NULL ? run->gradient + slot->gradient : run->gradient;
    if (run->at_once != NULL) {
        mf_begin_update(run->at_once, slot, gradient);
    }
    mf_by_bias(run->plan->kernels, &run->plan->steps[slot->step].geometry, samples, by_y, gradient);
    if (run->at_once != NULL) {
        mf_finish_update(run->at_once, slot, gradient);
    }
}

void mf_by_parameters(const mf_run *run, int32_t step, int32_t samples, const float *by_y) {
    const mf_plan *plan = run->plan;
    const mf_step_plan *planned = &plan->steps[step];
    const mf_train_step *what = &plan->model->steps[step];
    const mf_stored *stored = mf_is_stored(plan) ? &plan->stored[step] : NULL;
    const int32_t outputs = planned->geometry.out_channels, taps = taps_of(planned);
    if (planned->bias_gradient != MF_ABSENT) {
        const mf_slot slot = {.step = step,
                              .parameter = what->bias,
                              .to = outputs,
                              .count = outputs,
                              .gradient = planned->bias_gradient};
        by_bias(run, &slot, samples, by_y);
    }
    if (planned->weight_gradient == MF_ABSENT) {
        return;
    }
    const bool whole = run->at_once == NULL && (!mf_is_stored(plan) || stored->mask == NULL);
    mf_slot slot = {.step = step, .gradient = planned->weight_gradient, .decays = true};
    for (mf_part part = {0}; next_part(planned, whole ? outputs : planned->part, &part);) {
        slot.from = part.first * taps;
        slot.to = slot.from + part.count * taps;
        slot.parameter = what->weight + slot.from;
        slot.count =
            mf_is_stored(plan) ? mf_unpruned(stored, slot.from, slot.to) : slot.to - slot.from;
        by_weights(run, &slot, part, samples, by_y);
        slot.gradient += slot.count;
    }
}
