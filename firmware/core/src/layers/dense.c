/* Fully connected layers: one vector, so every weight is used once and unpacking it counts. */
#include "layers/path.h"

#if MF_LAYERS_DSP

/* Six channels at a time: three words, laid side by side, have them at k and k + 1 as
 * path_dsp.h describes.  k runs 0, 2, 1, 3, … */
#define PAIRS 3

void mf_layer_dense(const mf_dense_layer *layer, const int8_t *input, int8_t *output) {
    const mf_scaling *s = &layer->scaling;
    const int32_t *w = layer->weights;
    for (int32_t c = 0; c < layer->outputs; c += 2 * PAIRS) {
        int32_t both[PAIRS] = {0}, low[PAIRS] = {0};
        const int8_t *x = input;
        for (const int8_t *end = input + (layer->inputs & ~3); x != end; x += 4, w += 2 * PAIRS) {
            int32_t word = mf_load_word(x), even = __sxtb16(word), odd = mf_odd_bytes(word);
            for (int p = 0; p < PAIRS; p++) {
                both[p] = __smlad(w[p], even, both[p]);
                low[p] = __smlad(__sxtb16(w[p]), even, low[p]);
            }
            for (int p = 0; p < PAIRS; p++) {
                both[p] = __smlad(w[PAIRS + p], odd, both[p]);
                low[p] = __smlad(__sxtb16(w[PAIRS + p]), odd, low[p]);
            }
        }
        if (layer->inputs & 3) {
            int8_t rest[4] = {0};
            memcpy(rest, x, (size_t)(layer->inputs & 3));
            int32_t word = mf_load_word(rest), even = __sxtb16(word), odd = mf_odd_bytes(word);
            for (int p = 0; p < PAIRS; p++) {
                both[p] = __smlad(w[PAIRS + p], odd, __smlad(w[p], even, both[p]));
                low[p] = __smlad(__sxtb16(w[p]), even, low[p]);
                low[p] = __smlad(__sxtb16(w[PAIRS + p]), odd, low[p]);
            }
            w += 2 * PAIRS;
        }
        for (int32_t i = 0; i < 2 * PAIRS && c + i < layer->outputs; i++) {
            uint32_t sum = (uint32_t)low[i / 2] << MF_LIFT;
            if (i % 2) {
                sum = ((uint32_t)both[i / 2] - (uint32_t)low[i / 2]) << (MF_LIFT - 8);
            }
            const mf_channel channel = mf_channel_of(s, c + i, MF_DROP);
            output[c + i] = mf_code(s, &channel, c + i, sum, MF_LIFT, MF_DROP);
        }
    }
}

#else

void mf_layer_dense(const mf_dense_layer *layer, const int8_t *input, int8_t *output) {
    const int8_t *w = layer->weights;
    const int32_t k = layer->inputs;
    for (int32_t c = 0; c < layer->outputs; c += 4, w += 4 * k) {
        /* channels past the end repeat the last one */
        const int8_t *row[4];
        for (int32_t i = 0; i < 4; i++) {
            row[i] = w + (c + i < layer->outputs ? i : layer->outputs - 1 - c) * k;
        }
        uint32_t sum[4];
        mf_sum_rows(row, input, k, sum);
        for (int32_t i = 0; i < 4 && c + i < layer->outputs; i++) {
            const mf_channel channel = mf_channel_of(&layer->scaling, c + i, MF_DROP);
            output[c + i] = mf_code(&layer->scaling, &channel, c + i, sum[i] << MF_LIFT, MF_LIFT,
                                    MF_DROP);
        }
    }
}

#endif
