#include "fixed_point.h"

/* Σ input · weights of one filter at one position, over the taps inside the input. */
static int32_t dot(const mf_int8_conv *p, const int8_t *weights, const int8_t *input, int32_t top,
                   int32_t left) {
    const mf_window *w = &p->window;
    int32_t sum = 0;
    for (int32_t i = 0; i < w->kernel_height; i++) {
        int32_t y = top + i * w->dilation_height;
        for (int32_t j = 0; j < w->kernel_width; j++, weights += p->depth) {
            int32_t x = left + j * w->dilation_width;
            if (y < 0 || y >= p->input.height || x < 0 || x >= p->input.width) {
                continue;
            }
            const int8_t *tap = input + (y * p->input.width + x) * p->input.channels;
            for (int32_t c = 0; c < p->depth; c++) {
                sum = mf_wrapping_add(sum, (tap[c] - p->input_zero) * weights[c]);
            }
        }
    }
    return sum;
}

void mf_int8_conv_2d(const mf_int8_conv *p, const mf_int8_filter *filter, const int8_t *input,
                     int8_t *output) {
    int32_t filter_size = p->window.kernel_height * p->window.kernel_width * p->depth;
    int32_t group_outputs = p->output.channels / (p->input.channels / p->depth);
    for (int32_t y = 0; y < p->output.height; y++) {
        int32_t top = y * p->window.stride_height - p->window.pad_top;
        for (int32_t x = 0; x < p->output.width; x++) {
            int32_t left = x * p->window.stride_width - p->window.pad_left;
            for (int32_t c = 0; c < p->output.channels; c++) {
                const int8_t *group = input + c / group_outputs * p->depth;
                int32_t sum = dot(p, filter->weights + c * filter_size, group, top, left);
                *output++ = mf_channel_code(filter, c, p->per_channel, sum, &p->range);
            }
        }
    }
}
