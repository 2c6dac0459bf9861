#include "train/span_loops.h"

void mf_conv(const mf_kernels *kernels, const mf_geometry *g, mf_part part, int32_t samples,
             const float *x, const mf_weights *weights, const mf_hold *hold, float *y) {
    const ptrdiff_t width = g->columns.taps;
    for (mf_span row = {0}; mf_next_outputs(&g->rows, &row);) {
        for (mf_span column = {0}; mf_next_outputs(&g->columns, &column);) {
            const ptrdiff_t tap = (row.tap * width + column.tap) * g->in_channels;
            kernels->product(&(mf_product){
                .a = x + mf_position(row.source, column.source, g->columns.in, g->in_channels),
                .b = weights->w + tap * weights->tap,
                .c = y + part.first +
                     mf_position(row.first, column.first, g->columns.out, g->out_channels),
                .start = weights->bias,
                .start_step = 1,
                .rows = mf_over_outputs(g, samples, &row, &column),
                .depth = {.count = {1, row.taps, column.taps * g->in_channels},
                          .first = {0, (ptrdiff_t)g->columns.in * g->in_channels, 1},
                          .second = {0, width * g->in_channels * weights->tap, weights->tap}},
                .columns = part.count,
                .b_column = weights->output,
                .c_column = 1,
                .hold = *hold,
            });
        }
    }
}

void mf_conv_by_input(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                      const float *by_y, const float *w, bool adds, float *by_x) {
    const ptrdiff_t width = g->columns.taps, in = g->in_channels;
    const ptrdiff_t per_output = g->rows.taps * width * in;
    for (mf_span row = {0}; mf_next_inputs(&g->rows, &row);) {
        for (mf_span column = {0}; mf_next_inputs(&g->columns, &column);) {
            kernels->product(&(mf_product){
                .a = by_y + mf_position(row.source, column.source, g->columns.out, g->out_channels),
                .b = w + (row.tap * width + column.tap) * in,
                .c = by_x + mf_position(row.first, column.first, g->columns.in, g->in_channels),
                .rows = mf_over_inputs(g, samples, &row, &column),
                .depth = {.count = {row.taps, column.taps, g->out_channels},
                          .first = {-(ptrdiff_t)g->columns.out * g->out_channels,
                                    -(ptrdiff_t)g->out_channels, 1},
                          .second = {row.tap_step * width * in, column.tap_step * in, per_output}},
                .columns = g->in_channels,
                .b_column = 1,
                .c_column = 1,
                .adds = adds,
                .hold = mf_free,
            });
        }
    }
}

#if MF_WIDE

enum { FIND = 48 }; /* multiply-adds in the time that it takes to find what is not 0 */

/* Whether so few of the gradients by the outputs are not 0 that products over `runs` runs of taps
 * should look for them, instead of `all` multiply-adds of vectors for each position.  A sum that
 * is kept in memory takes the time of two. */
static bool few_pay(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                    const float *by_y, int32_t run, int32_t runs, int64_t all) {
    if (kernels->width == 1) {
        return false;
    }
    const int64_t vectors = (run + kernels->width - 1) / kernels->width;
    const int64_t spans = (vectors + kernels->most_kept - 1) / kernels->most_kept;
    const int64_t blocks = (g->out_channels + MF_FEW_ROWS - 1) / MF_FEW_ROWS;
    const int64_t positions = (int64_t)samples * g->rows.out * g->columns.out;
    const int64_t kept = kernels->kept(by_y, (size_t)(positions * g->out_channels));
    const int64_t few =
        kept * (2 * vectors + 6 * spans) + positions * blocks * (spans * FIND + 2 * vectors);
    return 10 * runs * few < 9 * positions * all;
}

static void product_of_few(const mf_kernels *kernels, const mf_product *p, float *room) {
    kernels->product_of_few(p, room);
}

#else

static bool few_pay(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                    const float *by_y, int32_t run, int32_t runs, int64_t all) {
    (void)kernels, (void)g, (void)samples, (void)by_y, (void)run, (void)runs, (void)all;
    return false;
}

static void product_of_few(const mf_kernels *kernels, const mf_product *p, float *room) {
    (void)kernels, (void)p, (void)room;
}

#endif

/* Rows are outputs, vectors lie over the `run` taps from `tap` on, which are neighbours in x
 * and all see from the same outputs. */
static void by_run_of_taps(const mf_kernels *kernels, const mf_geometry *g, mf_part part,
                           const mf_seen *seen, ptrdiff_t tap, int32_t run, const float *x,
                           const float *by_y, float *room, float *by_w) {
    const ptrdiff_t per_output = (ptrdiff_t)g->rows.taps * g->columns.taps * g->in_channels;
    const mf_loops *over = &seen->over;
    const mf_product p = {
        .a = by_y + seen->y + part.first,
        .b = x + seen->x,
        .c = by_w + tap,
        .rows = {.count = {1, 1, part.count}, .first = {0, 0, 1}, .second = {0, 0, per_output}},
        .depth = {.count = {over->count[0], over->count[1], over->count[2]},
                  .first = {over->second[0], over->second[1], over->second[2]},
                  .second = {over->first[0], over->first[1], over->first[2]}},
        .columns = run,
        .b_column = 1,
        .c_column = 1,
        .adds = true,
        .hold = mf_free,
    };
    if (room != NULL) {
        product_of_few(kernels, &p, room);
        return;
    }
    kernels->product(&p);
}

/* Rows are all taps, vectors lie over the outputs; x has no padding. */
static void by_outputs(const mf_kernels *kernels, const mf_geometry *g, mf_part part,
                       int32_t samples, const float *x, const float *by_y, float *by_w) {
    const int32_t run = g->columns.taps * g->in_channels;
    const mf_seen seen = mf_seen_by(g, samples, 0, 0);
    kernels->product(&(mf_product){
        .a = x,
        .b = by_y + part.first,
        .c = by_w,
        .rows = {.count = {1, g->rows.taps, run},
                 .first = {0, (ptrdiff_t)g->columns.in * g->in_channels, 1},
                 .second = {0, run, 1}},
        .depth = seen.over,
        .columns = part.count,
        .b_column = 1,
        .c_column = (ptrdiff_t)g->rows.taps * run,
        .adds = true,
        .hold = mf_free,
    });
}

/* Lanes that vectors of `width` spend on `count` values. */
static int32_t lanes(int32_t count, int32_t width) {
    return (count + width - 1) / width * width;
}

void mf_conv_by_weights(const mf_kernels *kernels, const mf_geometry *g, mf_part part,
                        int32_t samples, const float *x, const float *by_y, float *padded,
                        float *room, float *by_w) {
    const mf_geometry plain = mf_pad(kernels, g, samples, &x, padded);
    const bool whole = mf_axis_is_whole(&plain.rows) && mf_axis_is_whole(&plain.columns);
    const bool wide = mf_axis_is_whole(&plain.columns);
    const int32_t run = g->in_channels * (wide ? g->columns.taps : 1);
    const int32_t runs = g->rows.taps * g->columns.taps * g->in_channels / run;
    /* Products take rows in eights. */
    const int32_t width = mf_width(kernels);
    const int64_t over_taps = (int64_t)runs * lanes(run, width) * lanes(part.count, 8);
    const int64_t over_outputs = (int64_t)lanes(part.count, width) * lanes(runs * run, 8);
    const bool across = whole && width > 1 && over_outputs < over_taps;
    const int64_t all = (across ? over_outputs : over_taps) / width;
    const bool few = few_pay(kernels, g, samples, by_y, run, runs, all);
    if (across && !few) {
        by_outputs(kernels, &plain, part, samples, x, by_y, by_w);
        return;
    }
    const int32_t columns = wide ? 1 : g->columns.taps;
    for (int32_t i = 0; i < g->rows.taps; i++) {
        for (int32_t j = 0; j < columns; j++) {
            const mf_seen seen = mf_seen_by(&plain, samples, i, j);
            const ptrdiff_t tap = ((ptrdiff_t)i * g->columns.taps + j) * g->in_channels;
            by_run_of_taps(kernels, &plain, part, &seen, tap, run, x, by_y, few ? room : NULL,
                           by_w);
        }
    }
}

void mf_by_bias(const mf_kernels *kernels, const mf_geometry *g, int32_t samples, const float *by_y,
                float *by_bias) {
    const float one = 1.0f;
    kernels->product(&(mf_product){
        .a = &one,
        .b = by_y,
        .c = by_bias,
        .rows = {.count = {1, 1, 1}},
        .depth = {.count = {1, 1, samples * g->rows.out * g->columns.out},
                  .second = {0, 0, g->out_channels}},
        .columns = g->out_channels,
        .b_column = 1,
        .c_column = 1,
        .adds = true,
        .hold = mf_free,
    });
}
