/* Sums of products with the DSP extension: two 16-bit products and their sum in one instruction.
 *
 * Columns are the inputs of three neighbouring positions as 16-bit numbers, k and k + 1 of one
 * position in a word, the three positions side by side.  Where the channels are a multiple of
 * four, k runs 0, 2, 1, 3, 4, 6, … because that is how SXTB16 takes a word apart.
 *
 * A word of weights has channels c and c + 1 at k and k + 1: each half is
 * w[c] + 256·w[c + 1].  Its product with a column is sum[c] + 256·sum[c + 1], and that of its
 * low bytes, sign-extended, is sum[c]: two channels for one load and one unpacking. */
#ifndef MICROFED_LAYERS_PATH_DSP_H
#define MICROFED_LAYERS_PATH_DSP_H

#include <arm_acle.h>
#include <string.h>

#include "layers/scaling.h"

#define MF_POSITIONS 3

typedef int32_t mf_column; /* two inputs */

static inline int32_t mf_load_word(const void *from) {
    int32_t word;
    memcpy(&word, from, 4);
    return word;
}

/* Bytes 1 and 3, sign-extended. */
static inline int32_t mf_odd_bytes(int32_t word) {
#ifdef __arm__
    int32_t halves;
    __asm("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(word));
    return halves;
#else
    return __sxtb16((int32_t)((uint32_t)word >> 8 | (uint32_t)word << 24));
#endif
}

/* Put `count` inputs of each position behind the k that there are, of `length` in the end. */
static inline void mf_append(mf_column *columns, int32_t length, int32_t k,
                             const int8_t *const from[3], int32_t count, int in_words) {
    (void)length;
    const int8_t *a = from[0], *b = from[1], *c = from[2];
    if (in_words) {
        int32_t *to = columns + k / 2 * 3;
        for (const int8_t *end = a + count; a != end; a += 4, b += 4, c += 4, to += 6) {
            int32_t x = mf_load_word(a), y = mf_load_word(b), z = mf_load_word(c);
            to[0] = __sxtb16(x);
            to[1] = __sxtb16(y);
            to[2] = __sxtb16(z);
            to[3] = mf_odd_bytes(x);
            to[4] = mf_odd_bytes(y);
            to[5] = mf_odd_bytes(z);
        }
        return;
    }
    for (int32_t i = 0; i < count; i++, k++) {
        int16_t *to = (int16_t *)(void *)(columns + k / 2 * 3) + k % 2;
        to[0] = a[i];
        to[2] = b[i];
        to[4] = c[i];
    }
}

/* Fill up the last words, whose weights are 0. */
static inline void mf_finish(mf_column *columns, int32_t k) {
    static const int8_t nothing[3] = {0, 0, 0};
    const int8_t *const from[3] = {nothing, nothing, nothing};
    mf_append(columns, k, k, from, -k & 3, 0);
}

/* Sums of channel c, and of both channels as above, at three positions. */
typedef struct {
    int32_t both0, both1, both2, low0, low1, low2;
} mf_sums;

/* Σ over columns x … end, two words of weights at a time. */
static inline const int32_t *mf_sum(const int32_t *w, const mf_column *x, const mf_column *end,
                                    mf_sums *sums) {
    int32_t both0 = 0, both1 = 0, both2 = 0, low0 = 0, low1 = 0, low2 = 0;
#if defined(__arm__) && defined(__OPTIMIZE__)
    /* All fourteen registers, and LDM for the three positions: compilers do neither. */
    __asm volatile("1:\n\t"
                   "ldrd r3, r4, [%[w]], #8\n\t"
                   "ldm %[x]!, {r0, r1, r2}\n\t"
                   "smlad %[both0], r3, r0, %[both0]\n\t"
                   "smlad %[both1], r3, r1, %[both1]\n\t"
                   "smlad %[both2], r3, r2, %[both2]\n\t"
                   "sxtb16 r3, r3\n\t"
                   "smlad %[low0], r3, r0, %[low0]\n\t"
                   "smlad %[low1], r3, r1, %[low1]\n\t"
                   "smlad %[low2], r3, r2, %[low2]\n\t"
                   "ldm %[x]!, {r0, r1, r2}\n\t"
                   "smlad %[both0], r4, r0, %[both0]\n\t"
                   "smlad %[both1], r4, r1, %[both1]\n\t"
                   "smlad %[both2], r4, r2, %[both2]\n\t"
                   "sxtb16 r4, r4\n\t"
                   "smlad %[low0], r4, r0, %[low0]\n\t"
                   "smlad %[low1], r4, r1, %[low1]\n\t"
                   "smlad %[low2], r4, r2, %[low2]\n\t"
                   "cmp %[x], %[end]\n\t"
                   "bne 1b"
                   : [both0] "+r"(both0), [both1] "+r"(both1), [both2] "+r"(both2),
                     [low0] "+r"(low0), [low1] "+r"(low1), [low2] "+r"(low2), [w] "+r"(w),
                     [x] "+r"(x)
                   : [end] "r"(end)
                   : "r0", "r1", "r2", "r3", "r4", "cc", "memory");
#else
    for (; x != end; x += 3) {
        int32_t word = *w++, low = __sxtb16(word);
        both0 = __smlad(word, x[0], both0);
        both1 = __smlad(word, x[1], both1);
        both2 = __smlad(word, x[2], both2);
        low0 = __smlad(low, x[0], low0);
        low1 = __smlad(low, x[1], low1);
        low2 = __smlad(low, x[2], low2);
    }
#endif
    *sums = (mf_sums){both0, both1, both2, low0, low1, low2};
    return w;
}

/* Write channel c at `count` positions. */
static inline void mf_put(const mf_scaling *s, int narrow, int32_t channels, int32_t c,
                          uint32_t lifted0, uint32_t lifted1, uint32_t lifted2, int8_t *to,
                          int32_t count) {
    const mf_channel channel = mf_channel_of(s, c, MF_DROP);
    if (count == 3 && !narrow && channel.form == MF_STRAIGHT) {
        to[c] = mf_straight_code(&channel, lifted0, MF_DROP);
        to[c + channels] = mf_straight_code(&channel, lifted1, MF_DROP);
        to[c + 2 * channels] = mf_straight_code(&channel, lifted2, MF_DROP);
    } else if (count == 3 && !narrow && channel.form == MF_BENT) {
        to[c] = mf_bent_code(&channel, lifted0, MF_DROP);
        to[c + channels] = mf_bent_code(&channel, lifted1, MF_DROP);
        to[c + 2 * channels] = mf_bent_code(&channel, lifted2, MF_DROP);
    } else {
        const uint32_t lifted[3] = {lifted0, lifted1, lifted2};
        for (int32_t p = 0; p < count; p++) {
            to[c + p * channels] = mf_code(s, &channel, c, lifted[p], MF_LIFT, MF_DROP);
        }
    }
}

/* All output channels at `count` positions, from columns of k inputs. */
static inline void mf_multiply(const void *weights, const mf_scaling *s, int32_t channels,
                               const mf_column *columns, int32_t k, int8_t *output,
                               int32_t count) {
    const mf_column *end = columns + (k + 3) / 4 * 6;
    const int narrow = mf_is_narrow(s);
    const int32_t *w = weights;
    for (int32_t c = 0; c < channels; c += 2) {
        mf_sums sums;
        w = mf_sum(w, columns, end, &sums);
        mf_put(s, narrow, channels, c, (uint32_t)sums.low0 << MF_LIFT,
               (uint32_t)sums.low1 << MF_LIFT, (uint32_t)sums.low2 << MF_LIFT, output, count);
        if (c + 1 < channels) {
            mf_put(s, narrow, channels, c + 1,
                   ((uint32_t)sums.both0 - (uint32_t)sums.low0) << (MF_LIFT - 8),
                   ((uint32_t)sums.both1 - (uint32_t)sums.low1) << (MF_LIFT - 8),
                   ((uint32_t)sums.both2 - (uint32_t)sums.low2) << (MF_LIFT - 8), output, count);
        }
    }
}

#endif
