/* What convolutions of all kinds share: the loops over positions, sizes, padded copies. */
#ifndef MICROFED_SPAN_LOOPS_H
#define MICROFED_SPAN_LOOPS_H

#include <math.h>
#include <string.h>

#include "train/conv.h"

static const mf_hold mf_free = {-INFINITY, INFINITY, 0.0f, 0.0f};

/* Floats from one sample to the next. */
static inline ptrdiff_t mf_in_size(const mf_geometry *g) {
    return (ptrdiff_t)g->rows.in * g->columns.in * g->in_channels;
}
static inline ptrdiff_t mf_out_size(const mf_geometry *g) {
    return (ptrdiff_t)g->rows.out * g->columns.out * g->out_channels;
}

/* Loops over samples × the positions of two spans of outputs: x first, y second. */
mf_loops mf_over_outputs(const mf_geometry *g, int32_t samples, const mf_span *row,
                         const mf_span *column);

/* Loops over samples × the positions of two spans of inputs: by_y first, by_x second. */
mf_loops mf_over_inputs(const mf_geometry *g, int32_t samples, const mf_span *row,
                        const mf_span *column);

/* Where the first position of two spans lies, in a sample of `width` × `channels`. */
static inline ptrdiff_t mf_position(int32_t row, int32_t column, int32_t width, int32_t channels) {
    return ((ptrdiff_t)row * width + column) * channels;
}

/* The outputs that one tap sees from: loops over samples × outputs, x first, by_y second,
 * and where both begin. */
typedef struct {
    mf_loops over;
    ptrdiff_t x, y;
} mf_seen;

mf_seen mf_seen_by(const mf_geometry *g, int32_t samples, int32_t i, int32_t j);

/* Where there is room for it, make x its padded copy, whose geometry has no padding. */
static inline mf_geometry mf_pad(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                                 const float **x, float *padded) {
    mf_geometry wide = *g;
    if (mf_width(kernels) == 1 || padded == NULL) {
        return wide;
    }
    wide.rows.in += g->rows.pad + mf_axis_pad_behind(&g->rows);
    wide.columns.in += g->columns.pad + mf_axis_pad_behind(&g->columns);
    wide.rows.pad = wide.columns.pad = 0;
    const size_t row = (size_t)(g->columns.in * g->in_channels);
    memset(padded, 0, (size_t)samples * (size_t)mf_in_size(&wide) * sizeof(float));
    for (int32_t s = 0; s < samples; s++) {
        for (int32_t i = 0; i < g->rows.in; i++) {
            const float *from = *x + s * mf_in_size(g) + (ptrdiff_t)i * (ptrdiff_t)row;
            float *to =
                padded + s * mf_in_size(&wide) +
                mf_position(i + g->rows.pad, g->columns.pad, wide.columns.in, g->in_channels);
            memcpy(to, from, row * sizeof(float));
        }
    }
    *x = padded;
    return wide;
}

#endif
