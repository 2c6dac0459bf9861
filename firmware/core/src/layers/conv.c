#include "layers/path.h"

/* Where the window of one output position begins. */
typedef struct {
    int32_t top, left;
} corner;

/* The tap `count` inputs from (y, x) on, or padding. */
static const int8_t *taps(const mf_conv_layer *layer, const int8_t *input, int32_t y, int32_t x,
                          int inside) {
    const mf_shape *in = &layer->input;
    return inside ? input + (y * in->width + x) * in->channels : layer->padding;
}

/* The inputs that some positions see, one column for each. */
static void gather(const mf_conv_layer *layer, const int8_t *input, const corner *at, int32_t length,
                   mf_column *columns) {
    const mf_shape *in = &layer->input;
    const mf_window *w = &layer->window;
    const int in_words = in->channels % 4 == 0;
    const int8_t *from[MF_POSITIONS];
    int whole_rows = w->dilation_width == 1; /* no window reaches out at a side */
    for (int p = 0; p < MF_POSITIONS; p++) {
        whole_rows &= at[p].left >= 0 && at[p].left + w->kernel_width <= in->width;
    }
    int32_t k = 0;
    for (int32_t i = 0; i < w->kernel_height; i++) {
        int32_t steps = whole_rows ? 1 : w->kernel_width;
        int32_t count = whole_rows ? w->kernel_width * in->channels : in->channels;
        for (int32_t j = 0; j < steps; j++, k += count) {
            for (int p = 0; p < MF_POSITIONS; p++) {
                int32_t y = at[p].top + i * w->dilation_height;
                int32_t x = at[p].left + j * w->dilation_width;
                int inside = y >= 0 && y < in->height && (whole_rows || (x >= 0 && x < in->width));
                from[p] = taps(layer, input, y, x, inside);
            }
            mf_append(columns, length, k, from, count, in_words);
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
