/* Sums of products in plain C.
 * Weights are [channel][k] and columns [position][k], as they are in the model. */
#ifndef MICROFED_LAYERS_PATH_PLAIN_H
#define MICROFED_LAYERS_PATH_PLAIN_H

#include <string.h>

#include "layers/scaling.h"

#define MF_POSITIONS 2

typedef int8_t mf_column;

/* Word by word: the C libraries of microcontrollers often copy byte by byte. */
static inline void mf_copy(int8_t *to, const int8_t *from, int32_t count) {
    const int8_t *words = from + (count & ~3), *end = from + count;
    for (; from != words; from += 4, to += 4) {
        memcpy(to, from, 4);
    }
    while (from != end) {
        *to++ = *from++;
    }
}

/* Put `count` inputs of each position behind the k that there are, of `length` in the end. */
static inline void mf_append(mf_column *columns, int32_t length, int32_t k,
                             const int8_t *const from[2], int32_t count, int in_words) {
    (void)in_words;
    mf_copy(columns + k, from[0], count);
    mf_copy(columns + length + k, from[1], count);
}

static inline void mf_finish(mf_column *columns, int32_t k) {
    (void)columns, (void)k;
}

/* Write the code of channel c. */
static inline void mf_put(const mf_scaling *s, int narrow, int32_t c, int32_t sum, int8_t *to) {
    const mf_channel channel = mf_channel_of(s, c);
    if (!narrow && channel.form == MF_STRAIGHT) {
        *to = mf_straight_code(&channel, (uint32_t)sum << MF_LIFT);
    } else {
        *to = mf_code(s, &channel, c, (uint32_t)sum << MF_LIFT, MF_LIFT);
    }
}

/* All output channels at `count` positions, from columns of k inputs: two channels at two
 * positions, so that each load serves twice. */
static inline void mf_multiply(const void *weights, const mf_scaling *s, int32_t channels,
                               const mf_column *columns, int32_t k, int8_t *output, int32_t count) {
    const int8_t *a = weights;
    const int narrow = mf_is_narrow(s);
    for (int32_t c = 0; c < channels; c += 2) {
        const int pair = c + 1 < channels;
        const int8_t *b = pair ? a + k : a;
        const int8_t *x = columns, *y = columns + k, *end = x + k;
        int32_t ax = 0, ay = 0, bx = 0, by = 0;
#define MF_STEP(i)                                                                                 \
    do {                                                                                           \
        int32_t p = a[i], q = b[i], u = x[i], v = y[i];                                            \
        ax += p * u;                                                                               \
        ay += p * v;                                                                               \
        bx += q * u;                                                                               \
        by += q * v;                                                                               \
    } while (0)
        for (const int8_t *fours = x + (k & ~3); x != fours; a += 4, b += 4, x += 4, y += 4) {
            MF_STEP(0);
            MF_STEP(1);
            MF_STEP(2);
            MF_STEP(3);
        }
        for (; x != end; a++, b++, x++, y++) {
            MF_STEP(0);
        }
#undef MF_STEP
        a = b;
        int8_t *to = output + c;
        for (int32_t p = 0; p < count; p++, to += channels) {
            mf_put(s, narrow, c, p ? ay : ax, to);
            if (pair) {
                mf_put(s, narrow, c + 1, p ? by : bx, to + 1);
            }
        }
    }
}

#endif
