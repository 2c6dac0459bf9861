/* What the paths have in common whose weights and columns are rows of k codes; mf_sum and
 * mf_sums come from the path. */
#ifndef MICROFED_LAYERS_PATH_ROWS_H
#define MICROFED_LAYERS_PATH_ROWS_H

#include <string.h>

#define MF_POSITIONS 2

typedef int8_t mf_column;

/* Put `count` inputs of each position behind the k that there are, of `length` in the end. */
static inline void mf_append(mf_column *columns, int32_t length, int32_t k,
                             const int8_t *const from[2], int32_t count, int in_words) {
    (void)in_words;
    memcpy(columns + k, from[0], (size_t)count);
    memcpy(columns + length + k, from[1], (size_t)count);
}

static inline void mf_finish(mf_column *columns, int32_t k) {
    (void)columns, (void)k;
}

/* Write channel c at `count` positions. */
static inline void mf_put(const mf_scaling *s, int32_t channels, int32_t c, const uint32_t *sums,
                          int8_t *to, int32_t count) {
    const mf_channel channel = mf_channel_of(s, c);
    if (count == 2 && channel.form == MF_STRAIGHT && !mf_is_narrow(s)) {
        to[c] = mf_straight_code(&channel, sums[0] << MF_LIFT);
        to[c + channels] = mf_straight_code(&channel, sums[1] << MF_LIFT);
        return;
    }
    for (int32_t p = 0; p < count; p++) {
        to[c + p * channels] = mf_code(s, &channel, c, sums[p] << MF_LIFT, MF_LIFT);
    }
}

/* All output channels at `count` positions, from columns of k inputs. */
static inline void mf_multiply(const void *weights, const mf_scaling *s, int32_t channels,
                               const mf_column *columns, int32_t k, int8_t *output,
                               int32_t count) {
    const int8_t *w = weights;
    for (int32_t c = 0; c < channels; c += 2) {
        mf_sums sums;
        int pair = c + 1 < channels;
        mf_sum(w, w + (pair ? k : 0), columns, columns + k, k, &sums);
        mf_put(s, channels, c, sums.of[0], output, count);
        if (pair) {
            mf_put(s, channels, c + 1, sums.of[1], output, count);
        }
        w += 2 * k;
    }
}

#endif
