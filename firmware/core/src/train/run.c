#include "train/run.h"

#include <math.h>
#include <string.h>

#include "train/conv.h"
#include "train/lists.h"
#include "train/max_pool.h"
#include "train/parts.h"
#include "train/span_loops.h"

float *mf_value(const mf_run *run, int32_t tensor) {
    return run->workspace + run->plan->pieces + run->plan->values[tensor].at;
}

float *mf_gradient_of(const mf_run *run, int32_t tensor) {
    return run->workspace + run->plan->pieces + run->plan->gradients[tensor].at;
}

static uint8_t *winners_of(const mf_run *run, int32_t tensor) {
    return (uint8_t *)(run->workspace + run->plan->pieces + run->plan->winners[tensor].at);
}

static mf_shape shape_of(const mf_run *run, int32_t tensor) {
    return run->plan->model->tensors[tensor].shape;
}

static size_t size_of(const mf_run *run, int32_t tensor, int32_t samples) {
    return (size_t)mf_elements(shape_of(run, tensor)) * (size_t)samples;
}

static mf_hold hold_of(const mf_run *run, int32_t tensor) {
    const mf_train_tensor *t = &run->plan->model->tensors[tensor];
    const bool rounded = run->rounded && t->step > 0.0f;
    return (mf_hold){t->low, t->high, t->step, rounded ? 1.0f / t->step : 0.0f};
}

#if MF_WIDE
void mf_pack(const mf_run *run, int32_t samples) {
    const mf_train_model *model = run->plan->model;
    for (int32_t s = 0; s < model->step_count; s++) {
        const mf_step_plan *planned = &run->plan->steps[s];
        if (planned->packed == MF_ABSENT || mf_fill_lists(run, s, samples)) {
            continue;
        }
        const int32_t outputs = planned->geometry.out_channels, row = planned->packed_row;
        const int32_t taps = planned->weights / outputs;
        const float *from = run->weights + model->steps[s].weight;
        float *to = run->workspace + planned->packed;
        for (int32_t k = 0; k < taps; k++, to += row) {
            for (int32_t o = 0; o < outputs; o++) {
                to[o] = from[(ptrdiff_t)o * taps + k];
            }
        }
        const int32_t bias = model->steps[s].bias;
        if (bias >= 0) {
            memcpy(to, run->weights + bias, (size_t)outputs * sizeof(float));
        } else {
            memset(to, 0, (size_t)outputs * sizeof(float));
        }
    }
}
#endif

float *mf_input(const mf_run *run, int32_t sample) {
    const int32_t input = run->plan->model->input;
    return mf_value(run, input) + size_of(run, input, 1) * (size_t)sample;
}

void mf_feed(const mf_run *run, const float *x, int32_t sample) {
    const int32_t input = run->plan->model->input;
    const mf_hold hold = hold_of(run, input);
    run->plan->kernels->hold(&hold, x, mf_input(run, sample), size_of(run, input, 1));
}

static mf_pool pool_of(const mf_run *run, const mf_train_step *step) {
    const mf_shape in = shape_of(run, step->inputs[0]), out = shape_of(run, step->output);
    const mf_window *w = &step->window;
    return (mf_pool){in.height,       in.width,         out.height,      out.width,
                     in.channels,     w->kernel_height, w->kernel_width, w->stride_height,
                     w->stride_width, w->pad_top,       w->pad_left};
}

static void conv(const mf_run *run, int32_t index, int32_t samples, const float *x, float *y) {
    const mf_step_plan *planned = &run->plan->steps[index];
    const mf_train_step *step = &run->plan->model->steps[index];
    const mf_hold hold = hold_of(run, step->output);
    const int32_t outputs = planned->geometry.out_channels;
    const ptrdiff_t taps = planned->weights / outputs;
    const float *packed = run->workspace + planned->packed;
    mf_weights weights;
    if (mf_conv_by_lists(run, index, MF_FORTH, samples, x, &hold, y)) {
        return;
    }
    if (mf_width(run->plan->kernels) > 1) {
        weights = (mf_weights){packed, packed + taps * planned->packed_row, planned->packed_row, 1};
    } else if (mf_weights_in_place(run, index) != NULL) {
        weights = (mf_weights){mf_weights_in_place(run, index), mf_bias_of(run, index), 1, taps};
    } else {
        mf_conv_in_parts(run, index, samples, x, &hold, y);
        return;
    }
    mf_conv(run->plan->kernels, &planned->geometry, (mf_part){0, outputs}, samples, x, &weights,
            &hold, y);
}

/* Whether no step before this one writes its output: it clears what it does not fill. */
static bool writes_first(const mf_train_model *model, int32_t index) {
    for (int32_t s = 0; s < index; s++) {
        if (model->steps[s].output == model->steps[index].output) {
            return false;
        }
    }
    return true;
}

/* The rows of a placed input: from each to its place in the output. */
typedef struct {
    size_t length;       /* of a row */
    ptrdiff_t in, out;   /* first row */
    int32_t rows, lines; /* each of `rows` image rows has `lines` */
    ptrdiff_t out_row, out_line;
} placed_rows;

static placed_rows placed(const mf_run *run, const mf_train_step *step, int32_t sample) {
    const mf_shape in = shape_of(run, step->inputs[0]), out = shape_of(run, step->output);
    const bool joined = in.channels == out.channels; /* a row of the image is one line */
    const int32_t *at = step->place;
    return (placed_rows){.length = (size_t)in.channels * (size_t)(joined ? in.width : 1),
                         .in = (ptrdiff_t)sample * mf_elements(in),
                         .out = (ptrdiff_t)sample * mf_elements(out) +
                                ((ptrdiff_t)at[0] * out.width + at[1]) * out.channels + at[2],
                         .rows = in.height,
                         .lines = joined ? 1 : in.width,
                         .out_row = (ptrdiff_t)out.width * out.channels,
                         .out_line = out.channels};
}

static void place(const mf_run *run, int32_t index, int32_t samples, const float *x, float *y) {
    const mf_train_model *model = run->plan->model;
    const mf_train_step *step = &model->steps[index];
    const mf_hold hold = hold_of(run, step->output);
    if (writes_first(model, index)) {
        memset(y, 0, size_of(run, step->output, samples) * sizeof(float));
    }
    for (int32_t s = 0; s < samples; s++) {
        const placed_rows p = placed(run, step, s);
        const float *from = x + p.in;
        for (int32_t i = 0; i < p.rows; i++) {
            for (int32_t j = 0; j < p.lines; j++, from += p.length) {
                run->plan->kernels->hold(&hold, from, y + p.out + i * p.out_row + j * p.out_line,
                                         p.length);
            }
        }
    }
}

static void forward_step(const mf_run *run, int32_t index, int32_t samples) {
    const mf_kernels *kernels = run->plan->kernels;
    const mf_train_step *step = &run->plan->model->steps[index];
    const mf_step_plan *planned = &run->plan->steps[index];
    const mf_hold hold = hold_of(run, step->output);
    const float *x = mf_value(run, step->inputs[0]);
    float *y = mf_value(run, step->output);
    const size_t size = size_of(run, step->output, samples);
    const int32_t kind = step->kind;
    if (mf_is(kind, MF_CONV) || mf_is(kind, MF_DENSE)) {
        conv(run, index, samples, x, y);
        return;
    }
    if (mf_is(kind, MF_DEPTHWISE)) {
        mf_depthwise(kernels, &planned->geometry, samples, x, mf_depthwise_weights(run, index),
                     mf_bias_of(run, index), &hold, y);
        return;
    }
    if (mf_is(kind, MF_AVERAGE_POOL)) {
        mf_average(kernels, &planned->geometry, samples, x, &hold, y);
        return;
    }
    if (mf_is(kind, MF_PLACE)) {
        place(run, index, samples, x, y);
        return;
    }
    if (mf_is(kind, MF_COPY)) {
        kernels->hold(&hold, x, y, size);
        return;
    }
    if (mf_is(kind, MF_MAX_POOL)) {
        const mf_pool pool = pool_of(run, step);
        if (MF_MARKED_ONLY || planned->marks) {
            mf_max_pool(&pool, samples, x, y, winners_of(run, step->output));
        } else {
            kernels->max_pool(&pool, samples, x, y);
        }
    } else if (mf_is(kind, MF_ADD)) {
        kernels->add(x, mf_value(run, step->inputs[1]), y, size);
    } else if (mf_is(kind, MF_MUL)) { /* check.c allows no other */
        kernels->multiply(x, mf_value(run, step->inputs[1]), y, size, false);
    }
    if (mf_is_held(&run->plan->model->tensors[step->output]) || hold.inverse != 0.0f) {
        kernels->hold(&hold, y, y, size);
    }
}

void mf_forward(const mf_run *run, int32_t samples) {
    for (int32_t s = 0; s < run->plan->model->step_count; s++) {
        forward_step(run, s, samples);
    }
}

void mf_loss(const mf_run *run, const mf_labels *labels, int32_t samples, mf_sum *loss,
             float share) {
    const mf_plan *plan = run->plan;
    const mf_train_model *model = plan->model;
    const int32_t size = mf_elements(shape_of(run, model->output));
    const float *y = mf_value(run, model->output);
    float *gradient =
        plan->trained > 0 && share != 0.0f ? mf_gradient_of(run, model->output) : NULL;
    if (mf_is(16 + model->loss, 16 + MF_SQUARED_ERROR)) {
        plan->kernels->squared_error(y, mf_value(run, model->input), size, samples, loss, share,
                                     gradient);
        return;
    }
    if (mf_is(16 + model->loss, 16 + MF_CROSS_ENTROPY)) {
        plan->kernels->cross_entropy(labels, y, size, samples, loss, share, gradient);
    }
}

/* Pass by_y on to an input that has the same values in the same order. */
static void pass_on(const mf_run *run, const mf_step_plan *planned, int input, const float *by_y,
                    float *by_x, size_t size) {
    if (planned->adds[input]) {
        run->plan->kernels->add(by_x, by_y, by_x, size);
    } else {
        memcpy(by_x, by_y, size * sizeof(float));
    }
}

static void place_back(const mf_run *run, int32_t index, int32_t samples, const float *by_y) {
    const mf_train_step *step = &run->plan->model->steps[index];
    float *by_x = mf_gradient_of(run, step->inputs[0]);
    for (int32_t s = 0; s < samples; s++) {
        const placed_rows p = placed(run, step, s);
        float *to = by_x + p.in;
        for (int32_t i = 0; i < p.rows; i++) {
            for (int32_t j = 0; j < p.lines; j++, to += p.length) {
                pass_on(run, &run->plan->steps[index], 0,
                        by_y + p.out + i * p.out_row + j * p.out_line, to, p.length);
            }
        }
    }
}

/* The gradient by inputs[0] of a step with a window; a pool spends by_y. */
static void backward_window(const mf_run *run, int32_t index, int32_t samples, float *by_y) {
    const mf_kernels *kernels = run->plan->kernels;
    const mf_train_step *step = &run->plan->model->steps[index];
    const mf_step_plan *planned = &run->plan->steps[index];
    const mf_geometry *g = &planned->geometry;
    float *by_x = mf_gradient_of(run, step->inputs[0]);
    if (mf_is(step->kind, MF_DEPTHWISE)) {
        mf_depthwise_by_input(kernels, g, samples, by_y, mf_depthwise_weights(run, index),
                              planned->adds[0], by_x);
        return;
    }
    if (mf_is(step->kind, MF_AVERAGE_POOL)) {
        mf_average_by_input(kernels, g, samples, by_y, planned->adds[0], by_x);
        return;
    }
    if (mf_is(step->kind, MF_MAX_POOL)) {
        const mf_pool pool = pool_of(run, step);
        const float *y = mf_value(run, step->output);
        if (MF_MARKED_ONLY || planned->marks) {
            if (!planned->adds[0]) {
                memset(by_x, 0, size_of(run, step->inputs[0], samples) * sizeof(float));
            }
            const mf_hold hold = hold_of(run, step->inputs[0]);
            mf_max_pool_back(&pool, samples, &hold, y, winners_of(run, step->output), by_y, by_x);
        } else {
            kernels->max_pool_back(&pool, samples, mf_value(run, step->inputs[0]), y, by_y,
                                   planned->adds[0], by_x);
        }
        return;
    }
    if (mf_conv_by_lists(run, index, MF_BACK, samples, by_y, &mf_free, by_x)) {
        return;
    }
    const float *w = mf_weights_in_place(run, index);
    if (w != NULL) {
        mf_conv_by_input(kernels, g, samples, by_y, w, planned->adds[0], by_x);
    } else {
        mf_conv_by_input_in_parts(run, index, samples, by_y, planned->adds[0], by_x);
    }
}

static void backward_step(const mf_run *run, int32_t index, int32_t samples) {
    const mf_kernels *kernels = run->plan->kernels;
    const mf_train_step *step = &run->plan->model->steps[index];
    const mf_step_plan *planned = &run->plan->steps[index];
    const size_t size = size_of(run, step->output, samples);
    float *by_y = mf_gradient_of(run, step->output);
    if (mf_is_gated(run->plan, index)) {
        const mf_hold hold = hold_of(run, step->output);
        kernels->gate(&hold, mf_value(run, step->output), by_y, size);
    }
    for (int i = 0; i < mf_inputs_of(step->kind); i++) {
        if (!planned->passes[i]) {
            continue;
        }
        float *by_x = mf_gradient_of(run, step->inputs[i]);
        if (mf_is(step->kind, MF_ADD) || mf_is(step->kind, MF_COPY)) {
            pass_on(run, planned, i, by_y, by_x, size);
        } else if (mf_is(step->kind, MF_MUL)) {
            kernels->multiply(by_y, mf_value(run, step->inputs[1 - i]), by_x, size,
                              planned->adds[i]);
        } else if (mf_is(step->kind, MF_PLACE)) {
            place_back(run, index, samples, by_y);
        } else {
            backward_window(run, index, samples, by_y);
        }
    }
    if (planned->weights > 0) { /* last: it may change the weights */
        mf_by_parameters(run, index, samples, by_y);
    }
}

void mf_backward(const mf_run *run, int32_t samples) {
    for (int32_t s = run->plan->model->step_count - 1; s >= 0; s--) {
        if (run->plan->steps[s].reached) {
            backward_step(run, s, samples);
        }
    }
}
