/* Fixed-point arithmetic as gemmlowp defines it and TensorFlow Lite Micro uses it.
 *
 * Nothing here overflows or shifts a negative number to the left: where the original would,
 * the result is what two's complement gives.  C99 leaves two things to the compiler, and gcc,
 * clang and armclang do both alike: a conversion to int32_t keeps the low 32 bits, and a right
 * shift of a negative number copies its sign. */
#ifndef MICROFED_INT8_FIXED_POINT_H
#define MICROFED_INT8_FIXED_POINT_H

#include <stdint.h>

#include "microfed/int8.h"

/* x · 2^bits modulo 2^32. */
static inline int32_t mf_shift_left(int32_t x, int32_t bits) {
    return (int32_t)((uint32_t)x << bits);
}

/* a + b modulo 2^32: what an accumulator does. */
static inline int32_t mf_wrapping_add(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* a·b / 2^31, half up; saturates where both are −2^31. */
static inline int32_t mf_high_product(int32_t a, int32_t b) {
    if (a == INT32_MIN && b == INT32_MIN) {
        return INT32_MAX;
    }
    int64_t rounded = (int64_t)a * b + (INT64_C(1) << 30);
    return (int32_t)(rounded >> 31);
}

/* x / 2^bits, half away from zero; bits 0 … 31. */
static inline int32_t mf_divide_by_power(int32_t x, int32_t bits) {
    int32_t mask = (int32_t)((UINT32_C(1) << bits) - 1);
    int32_t threshold = (mask >> 1) + (x < 0);
    return (x >> bits) + ((x & mask) > threshold);
}

/* x · multiplier · 2^(shift − 31), rounded after the product and again after the shift. */
static inline int32_t mf_rescale(int32_t x, int32_t multiplier, int32_t shift) {
    int32_t left = shift > 0 ? shift : 0;
    int32_t right = shift > 0 ? 0 : -shift;
    return mf_divide_by_power(mf_high_product(mf_shift_left(x, left), multiplier), right);
}

/* x as an int8 code of `range`. */
static inline int8_t mf_to_code(int32_t x, const mf_int8_range *range) {
    x = mf_wrapping_add(x, range->zero_point);
    x = x < range->least ? range->least : x;
    x = x > range->most ? range->most : x;
    return (int8_t)x;
}

/* The code of output channel c, whose taps sum up to `sum`. */
static inline int8_t mf_channel_code(const mf_int8_filter *filter, int32_t c, int32_t per_channel,
                                     int32_t sum, const mf_int8_range *range) {
    int32_t scale = per_channel ? c : 0;
    if (filter->bias) {
        sum = mf_wrapping_add(sum, filter->bias[c]);
    }
    return mf_to_code(mf_rescale(sum, filter->multipliers[scale], filter->shifts[scale]), range);
}

/* sum / count, half away from zero; count > 0. */
static inline int32_t mf_average(int32_t sum, int32_t count) {
    return (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
}

#endif
