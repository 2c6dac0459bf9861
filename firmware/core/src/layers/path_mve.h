/* Sums of products with Helium: sixteen products and their sum in one instruction.
 * Weights are [channel][k] and a column is k inputs of one position, as they are in the model. */
#ifndef MICROFED_LAYERS_PATH_MVE_H
#define MICROFED_LAYERS_PATH_MVE_H

#include <arm_mve.h>

#include "layers/scaling.h"

/* Σ of four channels at one position, k > 0.  Assembly, for loads that move their pointers and
 * a loop that ends with the last lanes masked; compilers make sixteen instructions of ten. */
static inline int32x4_t mf_sum_rows(const int8_t *a, const int8_t *b, const int8_t *c,
                                    const int8_t *d, const int8_t *x, int32_t k) {
    int32_t ax = 0, bx = 0, cx = 0, dx = 0;
    __asm volatile("dlstp.8 lr, %[k]\n"
                   "1:\n\t"
                   "vldrb.8 q0, [%[x]], #16\n\t"
                   "vldrb.8 q1, [%[a]], #16\n\t"
                   "vmladava.s8 %[ax], q0, q1\n\t"
                   "vldrb.8 q2, [%[b]], #16\n\t"
                   "vmladava.s8 %[bx], q0, q2\n\t"
                   "vldrb.8 q3, [%[c]], #16\n\t"
                   "vmladava.s8 %[cx], q0, q3\n\t"
                   "vldrb.8 q1, [%[d]], #16\n\t"
                   "vmladava.s8 %[dx], q0, q1\n\t"
                   "letp lr, 1b"
                   : [x] "+r"(x), [a] "+r"(a), [b] "+r"(b), [c] "+r"(c), [d] "+r"(d),
                     [ax] "+Te"(ax), [bx] "+Te"(bx), [cx] "+Te"(cx), [dx] "+Te"(dx)
                   : [k] "r"(k)
                   : "q0", "q1", "q2", "q3", "lr", "memory");
    int32x4_t sums = vdupq_n_s32(ax);
    sums = vsetq_lane_s32(bx, sums, 1);
    sums = vsetq_lane_s32(cx, sums, 2);
    return vsetq_lane_s32(dx, sums, 3);
}

/* As mf_put_any, for sums that are rounded twice. */
__attribute__((noinline)) static void mf_put_twice(const mf_scaling *s, int32_t c, int32_t count,
                                                   int32x4_t sums, int lift, int8_t *to) {
    int32_t lane[4];
    vstrwq_s32(lane, sums);
    for (int32_t i = 0; i < count; i++) {
        const mf_channel channel = mf_channel_of(s, c + i);
        to[i] = mf_code(s, &channel, c + i, (uint32_t)lane[i] << lift, lift);
    }
}

/* The constants of four channels on a straight line, cut at the ends of int8. */
typedef struct {
    int32x4_t bias, multiplier;
} mf_four;

static inline int mf_is_straight(const mf_scaling *s) {
    return !s->shift && !s->kink && !mf_is_narrow(s);
}

static inline mf_four mf_four_of(const mf_scaling *s, int32_t c) {
    return (mf_four){vldrwq_s32(s->bias + c), vldrwq_s32(s->multiplier + c)};
}

/* Write the codes of four such channels. */
static inline void mf_put_four(const mf_four *four, int32x4_t sums, int lift, int8_t *to) {
    int32x4_t x = vaddq_s32(vshlq_r_s32(sums, lift), four->bias);
    x = vshrq_n_s32(vmulhq_s32(x, four->multiplier), MF_DROP);
    /* cut to int8 in the lower parts of the lanes, which are all that is stored */
    int16x8_t halves = vqmovnbq_s32(vreinterpretq_s16_s32(x), x);
    int8x16_t codes = vqmovnbq_s16(vreinterpretq_s8_s16(halves), halves);
    vstrbq_s32(to, vreinterpretq_s32_s8(codes));
}

/* The same on a bent line. */
static inline void mf_put_bent(const mf_four *four, int32x4_t kink, int32_t offset, int32x4_t sums,
                               int lift, int8_t *to) {
    int32x4_t x = vaddq_s32(vshlq_r_s32(sums, lift), four->bias);
    x = vsubq_m_s32(x, x, kink, vcmpltq_n_s32(x, 0));
    x = vshrq_n_s32(vaddq_n_s32(vmulhq_s32(x, four->multiplier), offset), MF_DROP);
    int16x8_t halves = vqmovnbq_s32(vreinterpretq_s16_s32(x), x);
    int8x16_t codes = vqmovnbq_s16(vreinterpretq_s8_s16(halves), halves);
    vstrbq_s32(to, vreinterpretq_s32_s8(codes));
}

/* Write the codes of up to four channels from c on, of any scaling. */
static inline void mf_put_any(const mf_scaling *s, int32_t c, int32_t count, int32x4_t sums,
                              int lift, int8_t *to) {
    if (s->shift) {
        mf_put_twice(s, c, count, sums, lift, to);
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
                             const int8_t *const from[1], int32_t count, int in_words) {
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
    const int straight = mf_is_straight(s), bent = s->kink && !mf_is_narrow(s);
    const int32_t offset = (s->zero_point * 2 + 1) * (1 << MF_DROP >> 1);
    int32_t c = 0;
    (void)count;
    for (; c + 4 <= channels; c += 4, w += 4 * k) {
        int32x4_t sums = mf_sum_rows(w, w + k, w + 2 * k, w + 3 * k, column, k);
        if (straight) {
            const mf_four four = mf_four_of(s, c);
            mf_put_four(&four, sums, MF_LIFT, output + c);
        } else if (bent) {
            const mf_four four = mf_four_of(s, c);
            mf_put_bent(&four, vldrwq_s32(s->kink + c), offset, sums, MF_LIFT, output + c);
        } else {
            mf_put_any(s, c, 4, sums, MF_LIFT, output + c);
        }
    }
    const int32_t rest = channels - c;
    if (rest > 0) { /* rows past the end repeat the first */
        int32x4_t sums =
            mf_sum_rows(w, w + (rest > 1 ? k : 0), w + (rest > 2 ? 2 * k : 0), w, column, k);
        mf_put_any(s, c, rest, sums, MF_LIFT, output + c);
    }
}

#endif
