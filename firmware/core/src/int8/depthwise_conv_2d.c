#include "fixed_point.h"

/* Σ input · weights of one output channel at one position, over the taps inside the input. */
static int32_t dot(const mf_int8_conv *p, const int8_t *weights, const int8_t *input, int32_t top,
                   int32_t left) {
    const mf_window *w = &p->window;
    int32_t sum = 0;
    for (int32_t i = 0; i < w->kernel_height; i++) {
        int32_t y = top + i * w->dilation_height;
        for (int32_t j = 0; j < w->kernel_width; j++, weights += p->output.channels) {
            int32_t x = left + j * w->dilation_width;
            if (y < 0 || y >= p->input.height || x < 0 || x >= p->input.width) {
                continue;
            }
            int32_t code = input[(y * p->input.width + x) * p->input.channels];
            sum = mf_wrapping_add(sum, (code - p->input_zero) * *weights);
        }
    }
    return sum;
}

void mf_int8_depthwise_conv_2d(const mf_int8_conv *p, const mf_int8_filter *filter,
                               const int8_t *input, int8_t *output) {
    for (int32_t y = 0; y < p->output.height; y++) {
        int32_t top = y * p->window.stride_height - p->window.pad_top;
        for (int32_t x = 0; x < p->output.width; x++) {
            int32_t left = x * p->window.stride_width - p->window.pad_left;
            for (int32_t c = 0; c < p->output.channels; c++) {
                int32_t sum = dot(p, filter->weights + c, input + c / p->depth, top, left);
                *output++ = mf_channel_code(filter, c, p->per_channel, sum, &p->range);
            }
        }
    }
}
