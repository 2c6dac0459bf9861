/* Sums of products with Helium: sixteen products and their sum in one instruction.
 * Weights are [channel][k] and a column is k inputs of one position, as they are in the model. */
#ifndef MICROFED_LAYERS_PATH_MVE_H
#define MICROFED_LAYERS_PATH_MVE_H

#include <arm_mve.h>

#include "layers/scaling.h"

/* Σ of four channels at one position. */
static inline void mf_sum_rows(const int8_t *const row[4], const int8_t *x, int32_t k,
                               uint32_t *sums) {
    const int8_t *a = row[0], *b = row[1], *c = row[2], *d = row[3];
    int32_t ax = 0, bx = 0, cx = 0, dx = 0;
    for (; k >= 16; k -= 16, x += 16, a += 16, b += 16, c += 16, d += 16) {
        int8x16_t u = vldrbq_s8(x);
        ax = vmladavaq_s8(ax, vldrbq_s8(a), u);
        bx = vmladavaq_s8(bx, vldrbq_s8(b), u);
        cx = vmladavaq_s8(cx, vldrbq_s8(c), u);
        dx = vmladavaq_s8(dx, vldrbq_s8(d), u);
    }
    if (k > 0) {
        mve_pred16_t some = vctp8q((uint32_t)k);
        int8x16_t u = vldrbq_z_s8(x, some);
        ax = vmladavaq_s8(ax, vldrbq_z_s8(a, some), u);
        bx = vmladavaq_s8(bx, vldrbq_z_s8(b, some), u);
        cx = vmladavaq_s8(cx, vldrbq_z_s8(c, some), u);
        dx = vmladavaq_s8(dx, vldrbq_z_s8(d, some), u);
    }
    sums[0] = (uint32_t)ax;
    sums[1] = (uint32_t)bx;
    sums[2] = (uint32_t)cx;
    sums[3] = (uint32_t)dx;
}

/* Write the codes of up to four channels from c on, from their sums. */
static inline void mf_put_vector(const mf_scaling *s, int32_t c, int32_t count, int32x4_t sums,
                                 int lift, int8_t *to) {
    if (s->shift) {
        int32_t lane[4];
        vstrwq_s32(lane, sums);
        for (int32_t i = 0; i < count; i++) {
            const mf_channel channel = mf_channel_of(s, c + i);
            to[i] = mf_code(s, &channel, c + i, (uint32_t)lane[i] << lift, lift);
        }
        return;
    }
    const mve_pred16_t some = vctp32q((uint32_t)count);
    int32x4_t x = vshlq_r_s32(sums, lift);
    x = vaddq_s32(x, vldrwq_z_s32(s->bias + c, some));
    if (s->kink) {
        mve_pred16_t negative = vcmpltq_n_s32(x, 0);
        x = vsubq_m_s32(x, x, vldrwq_z_s32(s->kink + c, some), negative);
    }
    x = vmulhq_s32(x, vldrwq_z_s32(s->multiplier + c, some));
    if (s->kink) {
        x = vaddq_n_s32(x, (s->zero_point * 2 + 1) * (1 << MF_DROP >> 1));
    }
    x = vshrq_n_s32(x, MF_DROP);
    x = vmaxq_s32(x, vdupq_n_s32(s->least));
    x = vminq_s32(x, vdupq_n_s32(s->most));
    vstrbq_p_s32(to, x, some);
}

/* Codes of four channels at one position. */
static inline void mf_put_rows(const mf_scaling *s, int32_t c, int32_t count, const uint32_t *sums,
                               int8_t *to) {
    mf_put_vector(s, c, count, vreinterpretq_s32_u32(vldrwq_u32(sums)), MF_LIFT, to);
}

static inline void mf_copy(int8_t *to, const int8_t *from, int32_t count) {
    for (; count > 0; count -= 16, to += 16, from += 16) {
        mve_pred16_t some = vctp8q((uint32_t)count);
        vstrbq_p_s8(to, vldrbq_z_s8(from, some), some);
    }
}

#define MF_POSITIONS 1

typedef int8_t mf_column;

/* Put `count` inputs of the position behind the k that there are. */
static inline void mf_append(mf_column *columns, int32_t length, int32_t k,
                             const int8_t *const from[1],
                             int32_t count, int in_words) {
    (void)length;
    (void)in_words;
    mf_copy(columns + k, from[0], count);
}

static inline void mf_finish(mf_column *columns, int32_t k) {
    (void)columns, (void)k;
}

/* All output channels at one position, from a column of k inputs, four at a time. */
static inline void mf_multiply(const void *weights, const mf_scaling *s, int32_t channels,
                               const mf_column *column, int32_t k, int8_t *output, int32_t count) {
    const int8_t *w = weights;
    (void)count;
    for (int32_t c = 0; c < channels; c += 4, w += 4 * k) {
        const int32_t rows = channels - c < 4 ? channels - c : 4;
        const int8_t *row[4];
        for (int32_t i = 0; i < 4; i++) {
            row[i] = w + (i < rows ? i : 0) * k; /* rows past the end repeat one */
        }
        uint32_t sums[4];
        mf_sum_rows(row, column, k, sums);
        mf_put_rows(s, c, rows, sums, output + c);
    }
}

#endif
