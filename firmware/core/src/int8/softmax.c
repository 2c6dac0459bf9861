#include "fixed_point.h"

/* Numbers are written as in gemmlowp: Qm has m integer bits, 31 − m fractional bits, a sign. */
#define ONE_Q0   INT32_MAX /* as near to 1 as it gets */
#define SUM_BITS 12        /* integer bits of the sum of a row's exponentials */

/* x · 2^bits, bits 1 … 30, saturating. */
static int32_t grow(int32_t x, int32_t bits) {
    int32_t most = INT32_MAX >> bits;
    if (x > most) {
        return INT32_MAX;
    }
    return x < -most - 1 ? INT32_MIN : mf_shift_left(x, bits);
}

/* e^x in Q0 for −1/4 ≤ x < 0 in Q0: the Taylor series around −1/8, up to the fourth power. */
static int32_t exp_near_zero(int32_t x) {
    const int32_t exp_minus_eighth = 1895147668, third = 715827883;
    x += INT32_C(1) << 28;
    int32_t x2 = mf_high_product(x, x);
    int32_t x3 = mf_high_product(x2, x);
    int32_t x4 = mf_high_product(x2, x2);
    int32_t tail = mf_high_product(mf_divide_by_power(x4, 2) + x3, third) + x2;
    return exp_minus_eighth + mf_high_product(exp_minus_eighth, x + mf_divide_by_power(tail, 1));
}

/* e^x in Q0 for x ≤ 0 in Q5: one factor e^(−2^k) for each bit of −x above the last quarter. */
static int32_t exp_of_negative(int32_t x) {
    static const int32_t factors[] = {
        1672461947, /* e^(−1/4) */
        1302514674, /* e^(−1/2) */
        790015084,  /* e^(−1) */
        290630308,  /* e^(−2) */
        39332535,   /* e^(−4) */
        720401,     /* e^(−8) */
        242,        /* e^(−16) */
    };
    const int32_t quarter = INT32_C(1) << 24;
    if (x == 0) {
        return ONE_Q0;
    }
    int32_t last = (x & (quarter - 1)) - quarter;
    int32_t result = exp_near_zero(mf_shift_left(last, 5));
    int32_t rest = last - x;
    for (int32_t k = 0; k < 7; k++) {
        if (rest & (quarter << k)) {
            result = mf_high_product(result, factors[k]);
        }
    }
    return result;
}

/* 1 / (1 + x) in Q0 for 0 ≤ x < 1 in Q0: Newton's steps from 48/17 − 32/17 · (1 + x) / 2. */
static int32_t reciprocal_of_one_plus(int32_t x) {
    const int32_t start = 1515870810, slope = -1010580540, one_q2 = INT32_C(1) << 29;
    int32_t half = (int32_t)(((int64_t)x + ONE_Q0 + 1) / 2); /* (1 + x) / 2 */
    int32_t result = start + mf_high_product(half, slope);   /* Q2 */
    for (int step = 0; step < 3; step++) {
        int32_t error = one_q2 - mf_high_product(half, result);
        result += grow(mf_high_product(result, error), 2);
    }
    return grow(result, 1); /* half of it, in Q0 */
}

static int32_t leading_zeros(uint32_t x) {
    int32_t zeros = 0;
    for (; x < UINT32_C(1) << 31; x <<= 1) {
        zeros++;
    }
    return zeros;
}

/* x / 2^bits for x ≥ 0, half up; gemmlowp's division knows at most 31 bits, and with 32 or more,
 * as of a row with the weight of 512 equal codes, less than a half is left. */
static int32_t divide_by_any_power(int32_t x, int32_t bits) {
    return bits > 31 ? 0 : mf_divide_by_power(x, bits);
}

/* e^(−(most − code)·scale) in Q0. */
static int32_t exponential(const mf_int8_softmax_rows *p, int32_t difference) {
    int32_t x = mf_shift_left(difference, p->scale.shift);
    return exp_of_negative(mf_high_product(x, p->scale.multiplier));
}

void mf_int8_softmax(const mf_int8_softmax_rows *p, const int8_t *input, int8_t *output) {
    for (int32_t row = 0; row < p->rows; row++, input += p->columns, output += p->columns) {
        int32_t most = INT8_MIN;
        for (int32_t c = 0; c < p->columns; c++) {
            most = input[c] > most ? input[c] : most;
        }
        uint32_t sum = 0;
        for (int32_t c = 0; c < p->columns; c++) {
            if (input[c] - most >= p->least) {
                int32_t e = exponential(p, input[c] - most);
                sum += (uint32_t)mf_divide_by_power(e, SUM_BITS);
            }
        }
        /* sum = (1 + rest) · 2^integer_bits in Q12 */
        int32_t zeros = leading_zeros(sum);
        int32_t integer_bits = SUM_BITS - zeros;
        int32_t rest = (int32_t)((sum << zeros) - (UINT32_C(1) << 31));
        int32_t reciprocal = reciprocal_of_one_plus(rest);
        for (int32_t c = 0; c < p->columns; c++) {
            output[c] = INT8_MIN;
            if (input[c] - most >= p->least) {
                int32_t share = mf_high_product(reciprocal, exponential(p, input[c] - most));
                share = divide_by_any_power(share, integer_bits + 31 - 8) + INT8_MIN;
                output[c] = (int8_t)(share > INT8_MAX ? INT8_MAX : share);
            }
        }
    }
}
