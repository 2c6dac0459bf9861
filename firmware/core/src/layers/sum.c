#include "layers/path.h"

#if MF_LAYERS_MVE

void mf_layer_sum(const mf_sum_layer *layer, const int8_t *a, const int8_t *b, int8_t *output) {
    const int32x4_t least = vdupq_n_s32(layer->least), most = vdupq_n_s32(layer->most);
    for (int32_t count = layer->count; count > 0; count -= 4, a += 4, b += 4, output += 4) {
        mve_pred16_t some = vctp32q((uint32_t)count);
        int32x4_t x = vmulq_n_s32(vldrbq_z_s32(a, some), layer->multiplier[0]);
        x = vaddq_s32(x, vmulq_n_s32(vldrbq_z_s32(b, some), layer->multiplier[1]));
        x = vshrq_n_s32(vaddq_n_s32(x, layer->bias), MF_SUM_DROP);
        vstrbq_p_s32(output, vminq_s32(vmaxq_s32(x, least), most), some);
    }
}

#else

void mf_layer_sum(const mf_sum_layer *layer, const int8_t *a, const int8_t *b, int8_t *output) {
    const int32_t scale_a = layer->multiplier[0], scale_b = layer->multiplier[1];
    const int32_t bias = layer->bias, least = layer->least, most = layer->most;
    const int8_t *end = output + layer->count;
    if (least == INT8_MIN && most == INT8_MAX) {
        while (output != end) {
            *output++ = mf_cut(*a++ * scale_a + *b++ * scale_b + bias, MF_SUM_DROP);
        }
        return;
    }
    while (output != end) {
        int32_t code = (*a++ * scale_a + *b++ * scale_b + bias) >> MF_SUM_DROP;
        code = code < least ? least : code;
        *output++ = (int8_t)(code > most ? most : code);
    }
}

#endif
