/* a · b + c, rounded once, on every machine. */
#ifndef MICROFED_FMA_H
#define MICROFED_FMA_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* The same without the instruction.  The product of two floats is exact in double.  Its sum
 * with c is rounded to odd: where it is not exact, the last bit of the result is set, so
 * that it cannot look like a tie, or like no tie, when it is rounded again to float
 * (Boldo and Melquiond 2008, doi:10.1109/TC.2007.70819). */
static inline float mf_exact_fma(float a, float b, float c) {
    const double product = (double)a * (double)b;
    const double addend = (double)c;
    double sum = product + addend;
    const double kept = sum - product;
    const double lost = (product - (sum - kept)) + (addend - kept);
    uint64_t bits;
    memcpy(&bits, &sum, sizeof bits);
    if (lost != 0.0 && (bits & 1u) == 0 && sum - sum == 0.0) {
        /* Away from zero where the error has the sum's sign, else towards zero. */
        bits += (lost > 0.0) == (sum > 0.0) ? (uint64_t)1 : (uint64_t)-1;
        memcpy(&sum, &bits, sizeof sum);
    }
    return (float)sum;
}

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
static inline float mf_fma(float a, float b, float c) {
    return fmaf(a, b, c);
}
#else
static inline float mf_fma(float a, float b, float c) {
    return mf_exact_fma(a, b, c);
}
#endif

#endif
