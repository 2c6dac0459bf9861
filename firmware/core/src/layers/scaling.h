/* From sums to codes. */
#ifndef MICROFED_LAYERS_SCALING_H
#define MICROFED_LAYERS_SCALING_H

#include <stddef.h>

#include "int8/fixed_point.h"
#include "microfed/layers.h"

/* x without its last `drop` bits, a constant, cut to int8. */
#if MF_LAYERS_DSP && defined(__arm__) && defined(__OPTIMIZE__)
__attribute__((always_inline)) static inline int8_t mf_cut(int32_t x, const int drop) {
    int32_t code; /* one instruction, which compilers do not find */
    __asm("ssat %0, #8, %1, asr %2" : "=r"(code) : "r"(x), "i"(drop));
    return (int8_t)code;
}
#else
static inline int8_t mf_cut(int32_t x, const int drop) {
    x >>= drop;
    x = x < INT8_MIN ? INT8_MIN : x;
    return (int8_t)(x > INT8_MAX ? INT8_MAX : x);
}
#endif

/* The high word of a·b. */
static inline int32_t mf_high(int32_t a, int32_t b) {
    return (int32_t)((int64_t)a * b >> 32);
}

/* The constants of one channel, and how its codes are computed. */
typedef struct {
    uint32_t bias;
    int32_t multiplier, kink, offset;
    enum { MF_STRAIGHT, MF_BENT, MF_TWICE } form;
} mf_channel;

static inline mf_channel mf_channel_of(const mf_scaling *s, int32_t c) {
    mf_channel channel = {(uint32_t)s->bias[c], s->multiplier[c], 0, 0, MF_STRAIGHT};
    if (s->kink) {
        channel.form = MF_BENT;
        channel.kink = s->kink[c];
        channel.offset = (s->zero_point * 2 + 1) * (1 << MF_DROP >> 1);
    } else if (s->shift) {
        channel.form = MF_TWICE;
    }
    return channel;
}

static inline int8_t mf_straight_code(const mf_channel *channel, uint32_t lifted) {
    return mf_cut(mf_high((int32_t)(lifted + channel->bias), channel->multiplier), MF_DROP);
}

static inline int8_t mf_bent_code(const mf_channel *channel, uint32_t lifted) {
    int32_t x = (int32_t)(lifted + channel->bias);
    x -= (x >> 31) & channel->kink;
    return mf_cut(mf_high(x, channel->multiplier) + channel->offset, MF_DROP);
}

/* The code of a sum, shifted left by `lift`; `narrow` if codes are cut further than int8. */
static inline int8_t mf_code(const mf_scaling *s, const mf_channel *channel, int32_t c,
                             uint32_t lifted, int lift) {
    int32_t code;
    if (channel->form == MF_TWICE) {
        int32_t sum = mf_wrapping_add((int32_t)lifted >> lift, s->bias[c]);
        sum = mf_rescale(sum, s->multiplier[c], s->shift[c]);
        code = mf_wrapping_add(sum, s->zero_point);
    } else if (channel->form == MF_BENT) {
        code = mf_bent_code(channel, lifted);
    } else {
        code = mf_straight_code(channel, lifted);
    }
    code = code < s->least ? s->least : code;
    return (int8_t)(code > s->most ? s->most : code);
}

static inline int mf_is_narrow(const mf_scaling *s) {
    return s->least > INT8_MIN || s->most < INT8_MAX;
}

#endif
