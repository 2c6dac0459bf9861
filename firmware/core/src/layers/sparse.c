/* Layers most of whose weights are zero: only the others are stored, and only they cost time.
 *
 * The weights of an output channel are 16-bit words: how many there are, then for each how
 * many k to go on from the one before (the low byte) and the code there (the high byte).  A
 * convolution goes through them once for eight positions, whose inputs lie side by side. */
#include <string.h>

#include "layers/scaling.h"

#if MF_LAYERS_DSP
#include <arm_acle.h>
#endif

#define POSITIONS 8

/* Put the inputs that the window at (top, left) sees into column p. */
static void gather(const mf_conv_layer *layer, const int8_t *input, int32_t top, int32_t left,
                   int16_t *column) {
    const mf_shape *in = &layer->input;
    const mf_window *w = &layer->window;
    for (int32_t i = 0; i < w->kernel_height; i++) {
        for (int32_t j = 0; j < w->kernel_width; j++) {
            const int32_t y = top + i, x = left + j;
            const int inside = y >= 0 && y < in->height && x >= 0 && x < in->width;
            const int8_t *from =
                inside ? input + (y * in->width + x) * in->channels : layer->padding;
            const int8_t *end = from + in->channels;
            do {
                *column = *from++;
                column += POSITIONS;
            } while (from != end);
        }
    }
}

/* Σ of one channel at eight positions; the weights of the next one. */
static inline const int16_t *sum_eight(const int16_t *weights, const int16_t *columns,
                                       int32_t sums[POSITIONS]) {
    int32_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
    const int16_t *x = columns;
    const int32_t count = *weights++;
    for (const int16_t *end = weights + count; weights != end;) {
        const int32_t pair = *weights++, weight = pair >> 8;
        x += POSITIONS * (uint8_t)pair;
#if MF_LAYERS_DSP
        int32_t pairs[4];
        memcpy(pairs, __builtin_assume_aligned(x, 4), sizeof pairs);
        a = __smlabb(pairs[0], weight, a);
        b = __smlatb(pairs[0], weight, b);
        c = __smlabb(pairs[1], weight, c);
        d = __smlatb(pairs[1], weight, d);
        e = __smlabb(pairs[2], weight, e);
        f = __smlatb(pairs[2], weight, f);
        g = __smlabb(pairs[3], weight, g);
        h = __smlatb(pairs[3], weight, h);
#else
        a += x[0] * weight;
        b += x[1] * weight;
        c += x[2] * weight;
        d += x[3] * weight;
        e += x[4] * weight;
        f += x[5] * weight;
        g += x[6] * weight;
        h += x[7] * weight;
#endif
    }
    sums[0] = a, sums[1] = b, sums[2] = c, sums[3] = d;
    sums[4] = e, sums[5] = f, sums[6] = g, sums[7] = h;
    return weights;
}

/* Write channel c at `count` positions. */
static void put(const mf_scaling *s, int32_t c, const int32_t *sums, int32_t count,
                int32_t channels, int8_t *to) {
    const mf_channel channel = mf_channel_of(s, c);
    const int32_t *end = sums + count;
    if (channel.form == MF_STRAIGHT && !mf_is_narrow(s)) {
        for (; sums != end; to += channels) {
            *to = mf_straight_code(&channel, (uint32_t)*sums++ << MF_LIFT);
        }
        return;
    }
    for (; sums != end; to += channels) {
        *to = mf_code(s, &channel, c, (uint32_t)*sums++ << MF_LIFT, MF_LIFT);
    }
}

void mf_layer_sparse_conv(const mf_conv_layer *layer, const int8_t *input, int8_t *output,
                          void *scratch) {
    const mf_window *w = &layer->window;
    const int32_t channels = layer->output.channels, width = layer->output.width;
    const int32_t positions = layer->output.height * width;
    int16_t *columns = scratch;
    int32_t y = 0, x = 0;
    for (int32_t n = 0; n < positions; n += POSITIONS, output += POSITIONS * channels) {
        const int32_t count = positions - n < POSITIONS ? positions - n : POSITIONS;
        for (int32_t p = 0; p < POSITIONS; p++) {
            gather(layer, input, y * w->stride_height - w->pad_top,
                   x * w->stride_width - w->pad_left, columns + p);
            if (n + p + 1 < positions && ++x == width) {
                x = 0;
                y++;
            }
        }
        const int16_t *weights = layer->weights;
        for (int32_t c = 0; c < channels; c++) {
            int32_t sums[POSITIONS];
            weights = sum_eight(weights, columns, sums);
            put(&layer->scaling, c, sums, count, channels, output + c);
        }
    }
}

#if MF_LAYERS_DSP && defined(__arm__)

/* Two weights in a word: compilers do not find UXTAB and the rotations. */
#define TWO(pair)                                                                                  \
    "uxtab %[k], %[k], " pair "\n\t"                                                               \
    "sxtb %[weight], " pair ", ror #8\n\t"                                                         \
    "ldrsb %[code], [%[input], %[k]]\n\t"                                                          \
    "uxtab %[k], %[k], " pair ", ror #16\n\t"                                                      \
    "mla %[total], %[code], %[weight], %[total]\n\t"                                               \
    "ldrsb %[code], [%[input], %[k]]\n\t"                                                          \
    "asr %[weight], " pair ", #24\n\t"                                                             \
    "mla %[total], %[code], %[weight], %[total]\n\t"

/* Σ over `fours` times four weights, at least one; moves k on. */
static inline int32_t sum_fours(const int16_t *weights, int32_t fours, const int8_t *input,
                                uint32_t *k) {
    const int16_t *end = weights + 4 * fours;
    int32_t total = 0, first, second, code, weight;
    uint32_t at = *k;
    __asm volatile("1:\n\t"
                   "ldr %[first], [%[w]], #4\n\t"
                   "ldr %[second], [%[w]], #4\n\t" TWO("%[first]")
                       TWO("%[second]") "cmp %[w], %[end]\n\t"
                                        "bne 1b"
                   : [w] "+r"(weights), [k] "+r"(at), [total] "+r"(total), [code] "=&r"(code),
                     [weight] "=&r"(weight), [first] "=&r"(first), [second] "=&r"(second)
                   : [input] "r"(input), [end] "r"(end)
                   : "cc", "memory");
    *k = at;
    return total;
}

#else

static inline int32_t sum_fours(const int16_t *weights, int32_t fours, const int8_t *input,
                                uint32_t *k) {
    int32_t total = 0;
    for (const int16_t *end = weights + 4 * fours; weights != end; weights++) {
        const int32_t pair = *weights;
        *k += (uint8_t)pair;
        total += input[*k] * (pair >> 8);
    }
    return total;
}

#endif

/* Σ of one channel of one vector; the weights of the next one. */
static inline const int16_t *sum_one(const int16_t *weights, const int8_t *input, int32_t *sum) {
    int32_t total = 0, count = *weights++;
    uint32_t k = 0;
    if (count >= 4) {
        total = sum_fours(weights, count / 4, input, &k);
        weights += count & ~3;
    }
    for (const int16_t *end = weights + (count & 3); weights != end;) {
        const int32_t pair = *weights++;
        k += (uint8_t)pair;
        total += input[k] * (pair >> 8);
    }
    *sum = total;
    return weights;
}

void mf_layer_sparse_dense(const mf_dense_layer *layer, const int8_t *input, int8_t *output) {
    const int16_t *weights = layer->weights;
    for (int32_t c = 0; c < layer->outputs; c++) {
        int32_t sum;
        weights = sum_one(weights, input, &sum);
        const mf_channel channel = mf_channel_of(&layer->scaling, c);
        output[c] = mf_code(&layer->scaling, &channel, c, (uint32_t)sum << MF_LIFT, MF_LIFT);
    }
}
