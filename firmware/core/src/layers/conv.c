#include "layers/path.h"

/* Where the window of one output position begins. */
typedef struct {
    int32_t top, left;
} corner;

/* Columns of the window, from `first` on, that are all inside or all outside for each of the
 * positions: bit p of `inside`. */
typedef struct {
    int32_t first, count;
    unsigned inside;
} run;

/* The columns of the window change between inside and outside twice for each position at most. */
#define RUNS (2 * MF_POSITIONS + 1)

static int find_runs(const mf_conv_layer *layer, const corner *at, run *runs) {
    int count = 0;
    for (int32_t j = 0; j < layer->window.kernel_width; j++) {
        unsigned inside = 0;
        for (int p = 0; p < MF_POSITIONS; p++) {
            int32_t x = at[p].left + j;
            inside |= (unsigned)(x >= 0 && x < layer->input.width) << p;
        }
        if (count > 0 && runs[count - 1].inside == inside) {
            runs[count - 1].count++;
        } else {
            runs[count++] = (run){j, 1, inside};
        }
    }
    return count;
}

/* The inputs that some positions see, one column of `length` for each. */
static void gather(const mf_conv_layer *layer, const int8_t *input, const corner *at,
                   int32_t length, mf_column *columns) {
    const mf_shape *in = &layer->input;
    const mf_window *w = &layer->window;
    const int32_t channels = in->channels, row_size = in->width * channels;
    const int in_words = channels % 4 == 0;
    if (length == channels && !layer->padding) { /* 1 × 1 */
        const int8_t *from[MF_POSITIONS];
        for (int p = 0; p < MF_POSITIONS; p++) {
            from[p] = input + at[p].top * row_size + at[p].left * channels;
        }
        mf_append(columns, length, 0, from, channels, in_words);
        mf_finish(columns, channels);
        return;
    }
    run runs[RUNS];
    const int count = find_runs(layer, at, runs);
    int32_t k = 0;
    for (int32_t i = 0; i < w->kernel_height; i++) {
        int32_t row[MF_POSITIONS]; /* where the window's first column is, inside or not */
        unsigned inside = 0;
        for (int p = 0; p < MF_POSITIONS; p++) {
            int32_t y = at[p].top + i;
            row[p] = y * row_size + at[p].left * channels;
            inside |= (unsigned)(y >= 0 && y < in->height) << p;
        }
        for (const run *r = runs; r != runs + count; r++) {
            const int8_t *from[MF_POSITIONS];
            for (int p = 0; p < MF_POSITIONS; p++) {
                const int there = (inside & r->inside & 1u << p) != 0;
                from[p] = there ? input + (row[p] + r->first * channels) : layer->padding;
            }
            mf_append(columns, length, k, from, r->count * channels, in_words);
            k += r->count * channels;
        }
    }
    mf_finish(columns, k);
}

void mf_layer_conv(const mf_conv_layer *layer, const int8_t *input, int8_t *output, void *scratch) {
    const mf_window *w = &layer->window;
    const int32_t k = w->kernel_height * w->kernel_width * layer->input.channels;
    const int32_t channels = layer->output.channels;
    int32_t left = layer->output.height * layer->output.width; /* positions */
    int32_t y = 0, x = 0;
    while (left > 0) {
        corner at[MF_POSITIONS];
        for (int p = 0; p < MF_POSITIONS; p++) {
            at[p].top = y * w->stride_height - w->pad_top;
            at[p].left = x * w->stride_width - w->pad_left;
            if (p + 1 < left && ++x == layer->output.width) {
                x = 0;
                y++;
            }
        }
        int32_t count = left < MF_POSITIONS ? left : MF_POSITIONS;
        gather(layer, input, at, k, scratch);
        mf_multiply(layer->weights, &layer->scaling, channels, scratch, k, output, count);
        output += count * channels;
        left -= count;
    }
}
