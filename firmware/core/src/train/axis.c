#include "train/axis.h"

static int32_t least(int32_t a, int32_t b) {
    return a < b ? a : b;
}
static int32_t most(int32_t a, int32_t b) {
    return a > b ? a : b;
}

int32_t mf_axis_pad_behind(const mf_axis *axis) {
    return most(0, (axis->out - 1) * axis->stride - axis->pad + axis->taps - axis->in);
}

bool mf_axis_is_whole(const mf_axis *axis) {
    return axis->pad == 0 && mf_axis_pad_behind(axis) == 0;
}

/* The span of output o alone. */
static mf_span output_alone(const mf_axis *axis, int32_t o) {
    const int32_t start = o * axis->stride - axis->pad;
    const int32_t tap = most(0, -start);
    const int32_t taps = most(0, least(axis->taps, axis->in - start) - tap);
    return (mf_span){.first = o,
                     .step = 1,
                     .count = 1,
                     .tap = tap,
                     .tap_step = 1,
                     .taps = taps,
                     .source = start + tap,
                     .source_step = axis->stride};
}

/* The span of input i alone. */
static mf_span input_alone(const mf_axis *axis, int32_t i) {
    const int32_t reach = i + axis->pad; /* output o sees i through tap reach − o · stride */
    const int32_t tap = most(reach % axis->stride, reach - (axis->out - 1) * axis->stride);
    const int32_t last = least(axis->taps - 1, reach);
    const int32_t taps = last < tap ? 0 : (last - tap) / axis->stride + 1;
    return (mf_span){.first = i,
                     .step = axis->stride,
                     .count = 1,
                     .tap = tap,
                     .tap_step = axis->stride,
                     .taps = taps,
                     .source = (reach - tap) / axis->stride,
                     .source_step = 1};
}

static void extend(const mf_axis *axis, mf_span *span, int32_t size,
                   mf_span (*alone)(const mf_axis *, int32_t)) {
    for (;;) {
        const int32_t next = span->first + span->count * span->step;
        if (next >= size) {
            return;
        }
        const mf_span other = alone(axis, next);
        if (other.tap != span->tap || other.taps != span->taps) {
            return;
        }
        span->count++;
    }
}

bool mf_next_outputs(const mf_axis *axis, mf_span *span) {
    const int32_t next = span->first + span->count;
    if (next >= axis->out) {
        return false;
    }
    *span = output_alone(axis, next);
    extend(axis, span, axis->out, output_alone);
    return true;
}

bool mf_next_inputs(const mf_axis *axis, mf_span *span) {
    int32_t next = span->first + span->count * span->step;
    if (span->count > 0 && next >= axis->in) {
        next = next % axis->stride + 1; /* the next phase of the stride */
        if (next >= axis->stride) {
            return false;
        }
    }
    if (next >= axis->in) {
        return false;
    }
    *span = input_alone(axis, next);
    extend(axis, span, axis->in, input_alone);
    return true;
}

void mf_outputs_of_tap(const mf_axis *axis, int32_t tap, int32_t *first, int32_t *last) {
    const int32_t before = axis->pad - tap; /* output o sees input o · stride − before */
    const int32_t end = axis->in - 1 + before;
    *first = before <= 0 ? 0 : (before + axis->stride - 1) / axis->stride;
    *last = end < 0 ? 0 : least(axis->out, end / axis->stride + 1);
}
