#include "train/lists.h"

#if MF_WIDE

#include "train/span_loops.h"

enum {
    FEWEST_POSITIONS = 4,  /* in a row */
    NEAR = 14 << 10,       /* floats: a little more than the nearest cache has */
    MOST_TURNED = 1 << 16, /* floats of an input that is to stay in the next one */
    FEWEST_IN_ALL = 64,    /* positions of all samples of a call that are worth its lists */

    /* Multiply-adds of vectors that take as long as: */
    ENTRY = 3,   /* what an entry takes beside its own, one for each position; */
    HIDDEN = 10, /* an entry at least, whose sums wait for those of the one before; */
    BEGIN = 32,  /* beginning and ending the sums of a list; */
    TURN = 6,    /* turning a vector */
};

/* One step's lists in the workspace.  The entries of all outputs lie one after another. */
typedef struct {
    uint64_t *places; /* as mf_listed has them */
    float *values;
    int32_t *sources; /* where among the weights each value is read */
    int32_t *ends;    /* by output; the last one is 0 where there are no lists */
} lists;

static int32_t padded(const mf_axis *axis) {
    return axis->pad + axis->in + mf_axis_pad_behind(axis);
}

static mf_axis axis_of(const mf_axis *axis, mf_way way) {
    if (way == MF_FORTH) {
        return *axis;
    }
    return (mf_axis){.in = axis->out,
                     .out = axis->in,
                     .taps = axis->taps,
                     .stride = 1,
                     .pad = axis->taps - 1 - axis->pad};
}

/* The convolution that goes a way; on the way back its taps are those of the step from the last
 * to the first. */
static mf_geometry geometry_of(const mf_geometry *g, mf_way way) {
    return (mf_geometry){.rows = axis_of(&g->rows, way),
                         .columns = axis_of(&g->columns, way),
                         .in_channels = way == MF_FORTH ? g->in_channels : g->out_channels,
                         .out_channels = way == MF_FORTH ? g->out_channels : g->in_channels};
}

static bool goes_back(const mf_axis *axis) {
    return axis->stride == 1 && axis->pad < axis->taps;
}

static int64_t positions_of(const mf_geometry *g) {
    return (int64_t)g->rows.out * g->columns.out;
}

static int64_t turned_input(const mf_geometry *g, int32_t width) {
    return (int64_t)padded(&g->rows) * padded(&g->columns) * g->in_channels * width;
}

static bool can_list(const mf_plan *plan, int32_t step, mf_way way) {
    const mf_step_plan *planned = &plan->steps[step];
    const int32_t width = mf_width(plan->kernels);
    if (plan->model->steps[step].kind != MF_CONV || width == 1 || 2 * plan->tile <= width) {
        return false;
    }
    if (way == MF_BACK && !(planned->passes[0] && goes_back(&planned->geometry.rows) &&
                            goes_back(&planned->geometry.columns))) {
        return false;
    }
    const mf_geometry g = geometry_of(&planned->geometry, way);
    return g.columns.out >= FEWEST_POSITIONS && turned_input(&g, width) <= MOST_TURNED;
}

/* Entries of all lists at most: each is filled up to a multiple of four. */
static mf_total capacity(const mf_step_plan *planned, mf_way way) {
    const mf_geometry g = geometry_of(&planned->geometry, way);
    return ((mf_total)planned->weights + 3 * (mf_total)g.out_channels + 3) / 4 * 4;
}

mf_total mf_lay_out_lists(mf_plan *plan, mf_total at) {
    for (int32_t s = 0; s < plan->model->step_count; s++) {
        mf_step_plan *planned = &plan->steps[s];
        for (mf_way way = MF_FORTH; way <= MF_BACK; way++) {
            planned->lists[way] = MF_ABSENT;
            if (can_list(plan, s, way)) {
                const mf_geometry g = geometry_of(&planned->geometry, way);
                const mf_total most = capacity(planned, way);
                planned->lists[way] = (ptrdiff_t)at;
                at += mf_whole_lines(most / 2 + 2 * most + (mf_total)g.out_channels);
            }
        }
    }
    return at;
}

mf_total mf_turned_size(const mf_plan *plan, const mf_step_plan *planned) {
    const int32_t width = mf_width(plan->kernels);
    mf_total most = 0;
    for (mf_way way = MF_FORTH; way <= MF_BACK; way++) {
        if (planned->lists[way] != MF_ABSENT) {
            const mf_geometry g = geometry_of(&planned->geometry, way);
            const mf_total sums =
                (mf_total)(plan->kernels->most_kept * g.out_channels + width) * (mf_total)width;
            const mf_total size = mf_whole_lines((mf_total)turned_input(&g, width)) + sums;
            most = size > most ? size : most;
        }
    }
    return most;
}

static lists lists_of(const mf_run *run, int32_t step, mf_way way) {
    const mf_step_plan *planned = &run->plan->steps[step];
    float *at = run->workspace + planned->lists[way];
    const mf_total most = capacity(planned, way);
    return (lists){.places = (uint64_t *)(void *)at,
                   .values = at + most / 2,
                   .sources = (int32_t *)(void *)(at + most / 2 + most),
                   .ends = (int32_t *)(void *)(at + most / 2 + 2 * most)};
}

/* Positions of a row whose sums are made together: what they see is to stay in the nearest
 * cache. */
static int32_t positions_at_once(const mf_kernels *kernels, const mf_geometry *g) {
    const int32_t seen = NEAR / (g->rows.taps * g->in_channels * mf_width(kernels));
    const int32_t fitting = (seen - g->columns.taps) / g->columns.stride + 1;
    const int32_t most = fitting < kernels->most_kept ? fitting : kernels->most_kept;
    return most > FEWEST_POSITIONS ? most : FEWEST_POSITIONS;
}

/* Blocks of positions that a row is cut into. */
static int32_t blocks_of(const mf_kernels *kernels, const mf_geometry *g) {
    const int32_t most = positions_at_once(kernels, g);
    return (g->columns.out + most - 1) / most;
}

/* Whether lists of so many entries are clearly quicker for so many samples, counted in
 * multiply-adds of vectors. */
static bool pays(const mf_plan *plan, int32_t step, mf_way way, int64_t entries, int32_t samples) {
    const mf_step_plan *planned = &plan->steps[step];
    const mf_geometry g = geometry_of(&planned->geometry, way);
    const int64_t width = mf_width(plan->kernels), positions = positions_of(&g);
    const int64_t blocks = blocks_of(plan->kernels, &g);
    const int64_t entry = (g.columns.out + blocks - 1) / blocks + ENTRY;
    const int64_t turned = turned_input(&g, 1) + positions * g.out_channels;
    const int64_t listed =
        g.rows.out * blocks *
            (entries * (entry > HIDDEN ? entry : HIDDEN) + BEGIN * g.out_channels) +
        TURN * turned;
    const int64_t vectors = (g.out_channels + width - 1) / width;
    const int64_t all = positions * (planned->weights / g.out_channels) * vectors;
    return 10 * listed * ((samples + width - 1) / width) < 9 * samples * all;
}

static void append(const lists *to, int32_t at, int32_t place, int32_t source) {
    uint64_t *four = &to->places[at / 4];
    *four = (at % 4 == 0 ? 0 : *four) | (uint64_t)place << 16 * (at % 4);
    to->sources[at] = source;
}

static bool is_kept(const mf_run *run, const uint8_t *mask, int32_t parameter) {
    return mask == NULL ? run->weights[parameter] != 0.0f : mask[parameter] != 0;
}

/* Entries are in the order of the sums: over (row, column, channel) of the step's taps. */
static void make(const mf_run *run, int32_t step, mf_way way, const uint8_t *mask) {
    const mf_plan *plan = run->plan;
    const mf_step_plan *planned = &plan->steps[step];
    const mf_geometry g = geometry_of(&planned->geometry, way);
    const int32_t per_output = planned->weights / planned->geometry.out_channels;
    const int32_t taps = g.rows.taps * g.columns.taps;
    const int32_t by_output = way == MF_FORTH ? per_output : 1;
    const int32_t by_channel = way == MF_FORTH ? 1 : per_output;
    const lists to = lists_of(run, step, way);
    int32_t count = 0;
    for (int32_t o = 0; o < g.out_channels; o++) {
        for (int32_t tap = 0; tap < taps; tap++) {
            const int32_t seen = way == MF_FORTH ? tap : taps - 1 - tap;
            const int32_t row = seen / g.columns.taps, column = seen % g.columns.taps;
            const int32_t place = (row * padded(&g.columns) + column) * g.in_channels;
            const int32_t source = plan->model->steps[step].weight + o * by_output +
                                   tap * planned->geometry.in_channels;
            for (int32_t c = 0; c < g.in_channels; c++) {
                if (is_kept(run, mask, source + c * by_channel)) {
                    append(&to, count++, place + c, source + c * by_channel);
                }
            }
        }
        while (count % 4 != 0) {
            append(&to, count++, 0, plan->model->parameter_count); /* behind them is a zero */
        }
        to.ends[o] = count;
    }
}

void mf_make_lists(const mf_run *run, const uint8_t *mask, int32_t samples) {
    const mf_plan *plan = run->plan;
    const int32_t together = samples < plan->tile ? samples : plan->tile;
    for (int32_t s = 0; s < plan->model->step_count; s++) {
        const mf_step_plan *planned = &plan->steps[s];
        for (mf_way way = MF_FORTH; way <= MF_BACK; way++) {
            if (planned->lists[way] == MF_ABSENT) {
                continue;
            }
            const mf_geometry g = geometry_of(&planned->geometry, way);
            int32_t kept = 0;
            for (int32_t i = 0; i < planned->weights; i++) {
                kept += is_kept(run, mask, plan->model->steps[s].weight + i);
            }
            if (pays(plan, s, way, kept, together) && positions_of(&g) * samples >= FEWEST_IN_ALL) {
                make(run, s, way, mask);
            } else {
                lists_of(run, s, way).ends[g.out_channels - 1] = 0;
            }
        }
    }
}

/* Entries of all lists of a step if they are to be used for so many samples, else 0. */
static int32_t entries_for(const mf_run *run, int32_t step, mf_way way, int32_t samples) {
    const mf_step_plan *planned = &run->plan->steps[step];
    if (planned->lists[way] == MF_ABSENT) {
        return 0;
    }
    const mf_geometry g = geometry_of(&planned->geometry, way);
    const int32_t entries = lists_of(run, step, way).ends[g.out_channels - 1];
    return pays(run->plan, step, way, entries, samples) ? entries : 0;
}

bool mf_fill_lists(const mf_run *run, int32_t step, int32_t samples) {
    const int32_t tile = run->plan->tile;
    const int32_t rest = samples % tile, whole = samples < tile ? rest : tile;
    bool always = true;
    for (mf_way way = MF_FORTH; way <= MF_BACK; way++) {
        const int32_t for_whole = entries_for(run, step, way, whole);
        const int32_t for_rest = rest == 0 ? for_whole : entries_for(run, step, way, rest);
        const int32_t entries = for_whole > 0 ? for_whole : for_rest;
        if (way == MF_FORTH) {
            always = for_whole > 0 && for_rest > 0;
        }
        if (entries > 0) {
            const int32_t *sources = lists_of(run, step, way).sources;
            float *values = lists_of(run, step, way).values;
            for (int32_t i = 0; i < entries; i++) {
                values[i] = run->weights[sources[i]];
            }
        }
    }
    return always;
}

/* Up to `width` samples of x with their padding, each number a vector over them. */
static void turn_padded(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                        const float *x, float *to) {
    const size_t wide = (size_t)g->in_channels * (size_t)mf_width(kernels);
    const size_t before = (size_t)g->columns.pad * wide;
    const size_t behind = (size_t)mf_axis_pad_behind(&g->columns) * wide;
    const size_t row = (size_t)g->columns.in * wide;
    for (int32_t i = -g->rows.pad; i < padded(&g->rows) - g->rows.pad; i++) {
        if (i < 0 || i >= g->rows.in) {
            memset(to, 0, (before + row + behind) * sizeof(float));
        } else {
            memset(to, 0, before * sizeof(float));
            kernels->turn(x + mf_position(i, 0, g->columns.in, g->in_channels), mf_in_size(g),
                          samples, to + before, (size_t)(g->columns.in * g->in_channels));
            memset(to + before + row, 0, behind * sizeof(float));
        }
        to += before + row + behind;
    }
}

/* One row of outputs of up to `width` samples, whose first block `part` is. */
static void row_of(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                   mf_listed *part, float *y) {
    int32_t blocks = blocks_of(kernels, g);
    for (int32_t left = g->columns.out; left > 0; left -= part->positions, blocks--) {
        part->positions = (left + blocks - 1) / blocks; /* nearly the same number in each */
        const size_t numbers = (size_t)part->positions * (size_t)g->out_channels;
        if (part->adds) {
            kernels->turn(y, mf_out_size(g), samples, part->y, numbers);
        }
        kernels->listed(part);
        kernels->turn_back(part->y, y, mf_out_size(g), samples, numbers);
        part->x += part->positions * part->x_position;
        y += numbers;
    }
}

bool mf_conv_by_lists(const mf_run *run, int32_t step, mf_way way, int32_t samples, const float *x,
                      const mf_hold *hold, float *y) {
    const mf_plan *plan = run->plan;
    if (entries_for(run, step, way, samples) == 0) {
        return false;
    }
    const mf_step_plan *planned = &plan->steps[step];
    const mf_geometry g = geometry_of(&planned->geometry, way);
    const int32_t width = mf_width(plan->kernels), bias = plan->model->steps[step].bias;
    const ptrdiff_t row = (ptrdiff_t)padded(&g.columns) * g.in_channels * width;
    float *turned = run->workspace + plan->padded;
    float *sums = turned + mf_whole_lines((mf_total)turned_input(&g, width));
    const lists l = lists_of(run, step, way);
    for (int32_t first = 0; first < samples; first += width) {
        const int32_t n = samples - first < width ? samples - first : width;
        turn_padded(plan->kernels, &g, n, x + first * mf_in_size(&g), turned);
        for (int32_t i = 0; i < g.rows.out; i++) {
            mf_listed part = {
                .x = turned + i * g.rows.stride * row,
                .x_position = (ptrdiff_t)g.columns.stride * g.in_channels * width,
                .places = l.places,
                .values = l.values,
                .ends = l.ends,
                .start = way == MF_FORTH && bias >= 0 ? run->weights + bias : NULL,
                .y = sums,
                .outputs = g.out_channels,
                .adds = way == MF_BACK && planned->adds[0],
                .hold = *hold,
            };
            row_of(plan->kernels, &g, n, &part,
                   y + first * mf_out_size(&g) + mf_position(i, 0, g.columns.out, g.out_channels));
        }
    }
    return true;
}

#endif

/* Without wide vectors this file is empty, which C99 does not allow. */
typedef int mf_lists_are_not_empty;
