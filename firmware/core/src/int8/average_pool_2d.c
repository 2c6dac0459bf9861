#include "fixed_point.h"
#include "microfed/layers.h"
#include "window.h"

/* average(): the codes of all channels at one position, from the taps inside the input. */
#if MF_LAYERS_MVE
#include <arm_mve.h>

static inline void average(const mf_int8_pool *p, const mf_taps *t, const int8_t *input,
                           int8_t *output) {
    const int32_t channels = p->input.channels;
    const int32_t taps = (t->bottom - t->top) * (t->right - t->left);
    const mf_int8_range range = {.zero_point = 0, .least = p->least, .most = p->most};
    for (int32_t c = 0; c < channels; c += 4) {
        const int32_t count = channels - c < 4 ? channels - c : 4;
        const mve_pred16_t some = vctp32q((uint32_t)count);
        int32x4_t sum = vdupq_n_s32(0);
        for (int32_t i = t->top; i < t->bottom; i++) {
            const int8_t *tap = input + (i * p->input.width + t->left) * channels + c;
            for (int32_t j = t->left; j < t->right; j++, tap += channels) {
                sum = vaddq_s32(sum, vldrbq_z_s32(tap, some));
            }
        }
        int32_t sums[4];
        vstrwq_s32(sums, sum);
        for (int32_t k = 0; k < count; k++) {
            *output++ = mf_to_code(mf_average(sums[k], taps), &range);
        }
    }
}
#else
static inline void average(const mf_int8_pool *p, const mf_taps *t, const int8_t *input,
                           int8_t *output) {
    const int32_t channels = p->input.channels;
    const int32_t taps = (t->bottom - t->top) * (t->right - t->left);
    const mf_int8_range range = {.zero_point = 0, .least = p->least, .most = p->most};
    for (int32_t c = 0; c < channels; c++) {
        int32_t sum = 0;
        for (int32_t i = t->top; i < t->bottom; i++) {
            const int8_t *tap = input + (i * p->input.width + t->left) * channels + c;
            for (int32_t j = t->left; j < t->right; j++, tap += channels) {
                sum += *tap;
            }
        }
        *output++ = mf_to_code(mf_average(sum, taps), &range);
    }
}
#endif

void mf_int8_average_pool_2d(const mf_int8_pool *p, const int8_t *input, int8_t *output) {
    for (int32_t y = 0; y < p->output.height; y++) {
        for (int32_t x = 0; x < p->output.width; x++, output += p->output.channels) {
            const mf_taps taps = mf_taps_inside(p, y, x);
            average(p, &taps, input, output);
        }
    }
}
