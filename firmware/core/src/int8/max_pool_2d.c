#include "microfed/layers.h"
#include "window.h"

/* largest(): the codes of all channels at one position, from the taps inside the input. */
#if MF_LAYERS_MVE
#include <arm_mve.h>

static inline void largest(const mf_int8_pool *p, const mf_taps *t, const int8_t *input,
                           int8_t *output) {
    const int32_t channels = p->input.channels;
    for (int32_t c = 0; c < channels; c += 16) {
        const mve_pred16_t some = vctp8q((uint32_t)(channels - c));
        int8x16_t most = vdupq_n_s8((int8_t)p->least);
        for (int32_t i = t->top; i < t->bottom; i++) {
            const int8_t *tap = input + (i * p->input.width + t->left) * channels + c;
            for (int32_t j = t->left; j < t->right; j++, tap += channels) {
                most = vmaxq_s8(most, vldrbq_z_s8(tap, some));
            }
        }
        most = vminq_s8(most, vdupq_n_s8((int8_t)p->most));
        vstrbq_p_s8(output + c, most, some);
    }
}
#else
static inline void largest(const mf_int8_pool *p, const mf_taps *t, const int8_t *input,
                           int8_t *output) {
    const int32_t channels = p->input.channels;
    for (int32_t c = 0; c < channels; c++) {
        int32_t most = p->least;
        for (int32_t i = t->top; i < t->bottom; i++) {
            const int8_t *tap = input + (i * p->input.width + t->left) * channels + c;
            for (int32_t j = t->left; j < t->right; j++, tap += channels) {
                most = *tap > most ? *tap : most;
            }
        }
        *output++ = (int8_t)(most > p->most ? p->most : most);
    }
}
#endif

void mf_int8_max_pool_2d(const mf_int8_pool *p, const int8_t *input, int8_t *output) {
    for (int32_t y = 0; y < p->output.height; y++) {
        for (int32_t x = 0; x < p->output.width; x++, output += p->output.channels) {
            const mf_taps taps = mf_taps_inside(p, y, x);
            largest(p, &taps, input, output);
        }
    }
}
