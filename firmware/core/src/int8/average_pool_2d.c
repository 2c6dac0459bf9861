#include "fixed_point.h"
#include "window.h"

void mf_int8_average_pool_2d(const mf_int8_pool *p, const int8_t *input, int8_t *output) {
    int32_t channels = p->input.channels;
    mf_int8_range range = {.zero_point = 0, .least = p->least, .most = p->most};
    for (int32_t y = 0; y < p->output.height; y++) {
        for (int32_t x = 0; x < p->output.width; x++) {
            mf_taps t = mf_taps_inside(p, y, x);
            int32_t count = (t.bottom - t.top) * (t.right - t.left);
            for (int32_t c = 0; c < channels; c++) {
                int32_t sum = 0;
                for (int32_t i = t.top; i < t.bottom; i++) {
                    for (int32_t j = t.left; j < t.right; j++) {
                        sum += input[(i * p->input.width + j) * channels + c];
                    }
                }
                *output++ = mf_to_code(mf_average(sum, count), &range);
            }
        }
    }
}
