/* Depthwise convolutions, and average pools, which are those with equal weights.  Output
 * channel c · times + k reads input channel c: for each k, all strides are constant. */
#include "train/span_loops.h"

void mf_depthwise(const mf_kernels *kernels, const mf_geometry *g, int32_t samples, const float *x,
                  const float *w, const float *bias, const mf_hold *hold, float *y) {
    const int32_t times = g->out_channels / g->in_channels;
    for (mf_span row = {0}; mf_next_outputs(&g->rows, &row);) {
        for (mf_span column = {0}; mf_next_outputs(&g->columns, &column);) {
            mf_product p = {
                .a = x + mf_position(row.source, column.source, g->columns.in, g->in_channels),
                .b = w + mf_position(row.tap, column.tap, g->columns.taps, g->out_channels),
                .c = y + mf_position(row.first, column.first, g->columns.out, g->out_channels),
                .start = bias,
                .start_step = times,
                .rows = mf_over_outputs(g, samples, &row, &column),
                .depth = {.count = {1, row.taps, column.taps},
                          .first = {0, (ptrdiff_t)g->columns.in * g->in_channels, g->in_channels},
                          .second = {0, (ptrdiff_t)g->columns.taps * g->out_channels,
                                     g->out_channels}},
                .columns = g->in_channels,
                .a_column = 1,
                .b_column = times,
                .c_column = times,
                .hold = *hold,
            };
            for (int32_t k = 0; k < times; k++, p.b++, p.c++) {
                kernels->by_channel(&p);
                if (p.start != NULL) {
                    p.start++;
                }
            }
        }
    }
}

void mf_depthwise_by_input(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                           const float *by_y, const float *w, bool adds, float *by_x) {
    const int32_t times = g->out_channels / g->in_channels;
    for (mf_span row = {0}; mf_next_inputs(&g->rows, &row);) {
        for (mf_span column = {0}; mf_next_inputs(&g->columns, &column);) {
            kernels->by_channel(&(mf_product){
                .a = by_y + mf_position(row.source, column.source, g->columns.out, g->out_channels),
                .b = w + mf_position(row.tap, column.tap, g->columns.taps, g->out_channels),
                .c = by_x + mf_position(row.first, column.first, g->columns.in, g->in_channels),
                .rows = mf_over_inputs(g, samples, &row, &column),
                .depth = {.count = {row.taps, column.taps, times},
                          .first = {-(ptrdiff_t)g->columns.out * g->out_channels,
                                    -(ptrdiff_t)g->out_channels, 1},
                          .second = {(ptrdiff_t)row.tap_step * g->columns.taps * g->out_channels,
                                     (ptrdiff_t)column.tap_step * g->out_channels, 1}},
                .columns = g->in_channels,
                .a_column = times,
                .b_column = times,
                .c_column = 1,
                .adds = adds,
                .hold = mf_free,
            });
        }
    }
}

/* One row of taps at a time where no tap falls beside the sample, else tap by tap. */
void mf_depthwise_by_weights(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                             const float *x, const float *by_y, float *padded, float *by_w) {
    const mf_geometry plain = mf_pad(kernels, g, samples, &x, padded);
    const int32_t times = g->out_channels / g->in_channels;
    const int32_t run = mf_axis_is_whole(&plain.columns) ? g->columns.taps : 1;
    for (int32_t i = 0; i < g->rows.taps; i++) {
        for (int32_t j = 0; j < g->columns.taps; j += run) {
            const mf_seen seen = mf_seen_by(&plain, samples, i, j);
            mf_product p = {
                .a = x + seen.x,
                .b = by_y + seen.y,
                .c = by_w + mf_position(i, j, g->columns.taps, g->out_channels),
                .rows = {.count = {1, 1, run},
                         .first = {0, 0, g->in_channels},
                         .second = {0, 0, g->out_channels}},
                .depth = seen.over,
                .columns = g->in_channels,
                .a_column = 1,
                .b_column = times,
                .c_column = times,
                .adds = true,
                .hold = mf_free,
            };
            for (int32_t k = 0; k < times; k++, p.b++, p.c++) {
                kernels->by_channel(&p);
            }
        }
    }
}

void mf_average(const mf_kernels *kernels, const mf_geometry *g, int32_t samples, const float *x,
                const mf_hold *hold, float *y) {
    for (mf_span row = {0}; mf_next_outputs(&g->rows, &row);) {
        for (mf_span column = {0}; mf_next_outputs(&g->columns, &column);) {
            const float share = 1.0f / (float)(row.taps * column.taps);
            kernels->by_channel(&(mf_product){
                .a = x + mf_position(row.source, column.source, g->columns.in, g->in_channels),
                .b = &share,
                .c = y + mf_position(row.first, column.first, g->columns.out, g->out_channels),
                .rows = mf_over_outputs(g, samples, &row, &column),
                .depth = {.count = {1, row.taps, column.taps},
                          .first = {0, (ptrdiff_t)g->columns.in * g->in_channels, g->in_channels}},
                .columns = g->in_channels,
                .a_column = 1,
                .c_column = 1,
                .hold = *hold,
            });
        }
    }
}

/* Each output's gradient is shared first: outputs at the border average fewer values. */
static void share_gradient(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                           float *by_y) {
    for (mf_span row = {0}; mf_next_outputs(&g->rows, &row);) {
        for (mf_span column = {0}; mf_next_outputs(&g->columns, &column);) {
            const float share = 1.0f / (float)(row.taps * column.taps);
            for (int32_t s = 0; s < samples; s++) {
                for (int32_t i = 0; i < row.count; i++) {
                    float *at =
                        by_y + s * mf_out_size(g) +
                        mf_position(row.first + i, column.first, g->columns.out, g->out_channels);
                    kernels->scale(share, at, (size_t)column.count * (size_t)g->out_channels);
                }
            }
        }
    }
}

void mf_average_by_input(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                         float *by_y, bool adds, float *by_x) {
    const float one = 1.0f;
    share_gradient(kernels, g, samples, by_y);
    for (mf_span row = {0}; mf_next_inputs(&g->rows, &row);) {
        for (mf_span column = {0}; mf_next_inputs(&g->columns, &column);) {
            kernels->by_channel(&(mf_product){
                .a = by_y + mf_position(row.source, column.source, g->columns.out, g->out_channels),
                .b = &one,
                .c = by_x + mf_position(row.first, column.first, g->columns.in, g->in_channels),
                .rows = mf_over_inputs(g, samples, &row, &column),
                .depth = {.count = {1, row.taps, column.taps},
                          .first = {0, -(ptrdiff_t)g->columns.out * g->out_channels,
                                    -(ptrdiff_t)g->out_channels}},
                .columns = g->in_channels,
                .a_column = 1,
                .c_column = 1,
                .adds = adds,
                .hold = mf_free,
            });
        }
    }
}
