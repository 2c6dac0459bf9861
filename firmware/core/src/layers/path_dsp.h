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

/* Put `count` inputs of each position behind the k that there are. */
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

/* Σ over columns x … end, of which there are some, and the weights behind.
 *
 * In assembly, because compilers neither use all fourteen registers nor LDM: 19 instructions
 * for 24 products. */
#if defined(__arm__) && defined(__OPTIMIZE__)
__attribute__((noinline)) static const int32_t *mf_sum(const int32_t *weights, const mf_column *x,
                                                       const mf_column *end, mf_sums *sums) {
    register const int32_t *r0 __asm("r0") = weights;
    register const mf_column *r1 __asm("r1") = x;
    register const mf_column *r2 __asm("r2") = end;
    register mf_sums *r3 __asm("r3") = sums;
    __asm volatile("push {r3}\n\t"
                   "movs r3, #0\n\t"
                   "movs r4, #0\n\t"
                   "movs r5, #0\n\t"
                   "movs r6, #0\n\t"
                   "movs r7, #0\n\t"
                   "mov r8, #0\n"
                   "1:\n\t"
                   "ldrd r12, lr, [r0], #8\n\t"
                   "ldm r1!, {r9, r10, r11}\n\t"
                   "smlad r3, r12, r9, r3\n\t"
                   "smlad r4, r12, r10, r4\n\t"
                   "smlad r5, r12, r11, r5\n\t"
                   "sxtb16 r12, r12\n\t"
                   "smlad r6, r12, r9, r6\n\t"
                   "smlad r7, r12, r10, r7\n\t"
                   "smlad r8, r12, r11, r8\n\t"
                   "ldm r1!, {r9, r10, r11}\n\t"
                   "cmp r1, r2\n\t"
                   "smlad r3, lr, r9, r3\n\t"
                   "smlad r4, lr, r10, r4\n\t"
                   "smlad r5, lr, r11, r5\n\t"
                   "sxtb16 lr, lr\n\t"
                   "smlad r6, lr, r9, r6\n\t"
                   "smlad r7, lr, r10, r7\n\t"
                   "smlad r8, lr, r11, r8\n\t"
                   "bne 1b\n\t"
                   "pop {r9}\n\t"
                   "stm r9, {r3, r4, r5, r6, r7, r8}"
                   : "+r"(r0), "+r"(r1), "+r"(r3)
                   : "r"(r2)
                   : "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr", "cc", "memory");
    return r0;
}
#else
static inline const int32_t *mf_sum(const int32_t *weights, const mf_column *x,
                                    const mf_column *end, mf_sums *sums) {
    mf_sums of = {0, 0, 0, 0, 0, 0};
    for (; x != end; x += 3) {
        int32_t word = *weights++, low = __sxtb16(word);
        of.both0 = __smlad(word, x[0], of.both0);
        of.both1 = __smlad(word, x[1], of.both1);
        of.both2 = __smlad(word, x[2], of.both2);
        of.low0 = __smlad(low, x[0], of.low0);
        of.low1 = __smlad(low, x[1], of.low1);
        of.low2 = __smlad(low, x[2], of.low2);
    }
    *sums = of;
    return weights;
}
#endif

/* The sums of the second channel, shifted left by MF_LIFT. */
static inline uint32_t mf_second(int32_t both, int32_t low) {
    return ((uint32_t)both - (uint32_t)low) << (MF_LIFT - 8);
}

/* Write one channel at three positions. */
static inline void mf_put(const mf_channel *channel, int bent, uint32_t lifted0, uint32_t lifted1,
                          uint32_t lifted2, int8_t *to, int32_t channels) {
    if (bent) {
        to[0] = mf_bent_code(channel, lifted0);
        to[channels] = mf_bent_code(channel, lifted1);
        to[channels * 2] = mf_bent_code(channel, lifted2);
    } else {
        to[0] = mf_straight_code(channel, lifted0);
        to[channels] = mf_straight_code(channel, lifted1);
        to[channels * 2] = mf_straight_code(channel, lifted2);
    }
}

/* Write channel c at `count` positions, of any scaling. */
static void mf_put_any(const mf_scaling *s, int32_t channels, int32_t c, uint32_t lifted0,
                       uint32_t lifted1, uint32_t lifted2, int8_t *to, int32_t count) {
    const mf_channel channel = mf_channel_of(s, c);
    const uint32_t lifted[3] = {lifted0, lifted1, lifted2};
    for (int32_t p = 0; p < count; p++, to += channels) {
        *to = mf_code(s, &channel, c, lifted[p], MF_LIFT);
    }
}

/* Pairs of channels at three positions, cut at the ends of int8; how many channels. */
static inline int32_t mf_multiply_pairs(const int32_t **weights, const mf_scaling *s, int bent,
                                        int32_t channels, const mf_column *columns,
                                        const mf_column *end, int8_t *output) {
    const int32_t *w = *weights, *bias = s->bias, *multiplier = s->multiplier, *kink = s->kink;
    const int32_t offset = (s->zero_point * 2 + 1) * (1 << MF_DROP >> 1);
    const int8_t *stop = output + channels - 1;
    for (; output < stop; output += 2, bias += 2, multiplier += 2) {
        mf_sums sums;
        w = mf_sum(w, columns, end, &sums);
        mf_channel c = {(uint32_t)bias[0], multiplier[0], bent ? kink[0] : 0, offset, MF_BENT};
        mf_put(&c, bent, (uint32_t)sums.low0 << MF_LIFT, (uint32_t)sums.low1 << MF_LIFT,
               (uint32_t)sums.low2 << MF_LIFT, output, channels);
        c = (mf_channel){(uint32_t)bias[1], multiplier[1], bent ? kink[1] : 0, offset, MF_BENT};
        mf_put(&c, bent, mf_second(sums.both0, sums.low0), mf_second(sums.both1, sums.low1),
               mf_second(sums.both2, sums.low2), output + 1, channels);
        kink += bent ? 2 : 0;
    }
    *weights = w;
    return channels & ~1;
}

/* All output channels at `count` positions, from columns of k inputs. */
static inline void mf_multiply(const void *weights, const mf_scaling *s, int32_t channels,
                               const mf_column *columns, int32_t k, int8_t *output, int32_t count) {
    const mf_column *end = columns + (k + 3) / 4 * 6;
    const int32_t *w = weights;
    int32_t c = 0;
    if (count == 3 && !mf_is_narrow(s) && !s->shift) {
        c = s->kink ? mf_multiply_pairs(&w, s, 1, channels, columns, end, output)
                    : mf_multiply_pairs(&w, s, 0, channels, columns, end, output);
    }
    for (; c < channels; c += 2) {
        mf_sums sums;
        w = mf_sum(w, columns, end, &sums);
        mf_put_any(s, channels, c, (uint32_t)sums.low0 << MF_LIFT, (uint32_t)sums.low1 << MF_LIFT,
                   (uint32_t)sums.low2 << MF_LIFT, output + c, count);
        if (c + 1 < channels) {
            mf_put_any(s, channels, c + 1, mf_second(sums.both0, sums.low0),
                       mf_second(sums.both1, sums.low1), mf_second(sums.both2, sums.low2),
                       output + c + 1, count);
        }
    }
}

#endif
