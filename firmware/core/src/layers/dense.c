/* Fully connected layers: one vector, so every weight is used once and unpacking it counts. */
#include "layers/path.h"

#if MF_LAYERS_DSP

/* Six channels at a time: three words, laid side by side, have them at k and k + 1 as
 * path_dsp.h describes.  k runs 0, 2, 1, 3, … */
#define PAIRS 3

/* Σ of six channels over the words of x … end. */
typedef struct {
    int32_t both[PAIRS], low[PAIRS];
} sums;

/* Add the products of the words of x … end, of which there are some; the weights behind. */
#if defined(__arm__) && defined(__OPTIMIZE__)
__attribute__((noinline)) static const int32_t *sum_words(const int32_t *weights, const int8_t *x,
                                                          const int8_t *end, sums *of) {
    register const int32_t *r0 __asm("r0") = weights;
    register const int8_t *r1 __asm("r1") = x;
    register const int8_t *r2 __asm("r2") = end;
    register sums *r3 __asm("r3") = of;
    __asm volatile("push {r3}\n\t"
                   "ldm r3, {r3, r4, r5, r6, r7, r8}\n"
                   "1:\n\t"
                   "ldr lr, [r1], #4\n\t"
                   "ldm r0!, {r9, r10, r11}\n\t"
                   "sxtb16 r12, lr\n\t"
                   "smlad r3, r9, r12, r3\n\t"
                   "smlad r4, r10, r12, r4\n\t"
                   "smlad r5, r11, r12, r5\n\t"
                   "sxtb16 r9, r9\n\t"
                   "sxtb16 r10, r10\n\t"
                   "sxtb16 r11, r11\n\t"
                   "smlad r6, r9, r12, r6\n\t"
                   "smlad r7, r10, r12, r7\n\t"
                   "smlad r8, r11, r12, r8\n\t"
                   "ldm r0!, {r9, r10, r11}\n\t"
                   "sxtb16 r12, lr, ror #8\n\t"
                   "cmp r1, r2\n\t"
                   "smlad r3, r9, r12, r3\n\t"
                   "smlad r4, r10, r12, r4\n\t"
                   "smlad r5, r11, r12, r5\n\t"
                   "sxtb16 r9, r9\n\t"
                   "sxtb16 r10, r10\n\t"
                   "sxtb16 r11, r11\n\t"
                   "smlad r6, r9, r12, r6\n\t"
                   "smlad r7, r10, r12, r7\n\t"
                   "smlad r8, r11, r12, r8\n\t"
                   "bne 1b\n\t"
                   "pop {r9}\n\t"
                   "stm r9, {r3, r4, r5, r6, r7, r8}"
                   : "+r"(r0), "+r"(r1), "+r"(r3)
                   : "r"(r2)
                   : "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
    return r0;
}
#else
static inline const int32_t *sum_words(const int32_t *weights, const int8_t *x, const int8_t *end,
                                       sums *of) {
    for (; x != end; x += 4, weights += 2 * PAIRS) {
        int32_t word = mf_load_word(x), even = __sxtb16(word), odd = mf_odd_bytes(word);
        for (int p = 0; p < PAIRS; p++) {
            int32_t first = weights[p], second = weights[PAIRS + p];
            of->both[p] = __smlad(second, odd, __smlad(first, even, of->both[p]));
            of->low[p] = __smlad(__sxtb16(second), odd, __smlad(__sxtb16(first), even, of->low[p]));
        }
    }
    return weights;
}
#endif

void mf_layer_dense(const mf_dense_layer *layer, const int8_t *input, int8_t *output) {
    const mf_scaling *s = &layer->scaling;
    const int32_t *w = layer->weights;
    const int32_t rest = layer->inputs & 3;
    const int8_t *end = input + layer->inputs - rest;
    int8_t last[4] = {0};
    memcpy(last, end, (size_t)rest);
    for (int32_t c = 0; c < layer->outputs; c += 2 * PAIRS) {
        sums of = {{0}, {0}};
        if (end != input) {
            w = sum_words(w, input, end, &of);
        }
        if (rest) {
            w = sum_words(w, last, last + 4, &of);
        }
        for (int32_t i = 0; i < 2 * PAIRS && c + i < layer->outputs; i++) {
            uint32_t low = (uint32_t)of.low[i / 2], both = (uint32_t)of.both[i / 2];
            uint32_t lifted = i % 2 ? (both - low) << (MF_LIFT - 8) : low << MF_LIFT;
            const mf_channel channel = mf_channel_of(s, c + i);
            output[c + i] = mf_code(s, &channel, c + i, lifted, MF_LIFT);
        }
    }
}

#elif MF_LAYERS_MVE

void mf_layer_dense(const mf_dense_layer *layer, const int8_t *input, int8_t *output) {
    mf_multiply(layer->weights, &layer->scaling, layer->outputs, input, layer->inputs, output, 1);
}

#else

/* Four channels at a time; past the last one they repeat it. */
void mf_layer_dense(const mf_dense_layer *layer, const int8_t *input, int8_t *output) {
    const int8_t *w = layer->weights;
    const int32_t k = layer->inputs, outputs = layer->outputs;
    const int narrow = mf_is_narrow(&layer->scaling);
    for (int32_t i = 0; i < outputs; i += 4, w += 4 * k) {
        const int32_t last = outputs - 1 - i;
        const int8_t *a = w, *b = w + (last < 1 ? last : 1) * k;
        const int8_t *c = w + (last < 2 ? last : 2) * k, *d = w + (last < 3 ? last : 3) * k;
        int32_t ax = 0, bx = 0, cx = 0, dx = 0;
        for (const int8_t *x = input, *end = input + k; x != end;) {
            int32_t u = *x++;
            ax += *a++ * u;
            bx += *b++ * u;
            cx += *c++ * u;
            dx += *d++ * u;
        }
        const int32_t sums[4] = {ax, bx, cx, dx};
        for (int32_t j = 0; j < 4 && j <= last; j++) {
            mf_put(&layer->scaling, narrow, i + j, sums[j], output + i + j);
        }
    }
}

#endif
