#include "layers/scaling.h"

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
