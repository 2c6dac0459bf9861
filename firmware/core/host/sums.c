#include "sums.h"

#include <string.h>

#include "codec/steps.h"
#include "kernels/widest.h"

#define ROUNDING 0x1.8p52 /* of a double of this size the last bit is worth 1 */
#define HIGH     0x1p32

static inline uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* SSE2 and AVX2 cannot make an int64 of a double.  What is added to ROUNDING is rounded to an
 * integer and lies in the last bits, up to 2^51: so the product is taken in two, multiples of
 * 2^32 and what they leave, which is exact.  The multiples are even, so that a half is rounded
 * in the rest as it would be in the whole. */
MF_LOOPS add_loops(const float *restrict values, double factor, int64_t *restrict total,
                   int32_t n) {
    const uint64_t zero = (bits_of(ROUNDING) << 32) + bits_of(ROUNDING);
    for (int32_t i = 0; i < n; i++) {
        const double product = (double)values[i] * factor;
        const double high = product / HIGH + ROUNDING;
        const double low = product - (high - ROUNDING) * HIGH + ROUNDING;
        total[i] = (int64_t)((uint64_t)total[i] + (bits_of(high) << 32) + bits_of(low) - zero);
    }
}

MF_WIDEST(add, (const float *values, double factor, int64_t *total, int32_t n),
          (values, factor, total, n))

int mf_within(const float *values, int32_t n, float limit) {
    return mf_largest(values, n) <= mf_size_of(limit);
}

void mf_add_rounded(const float *values, double factor, int64_t *total, int32_t n) {
    add(values, factor, total, n);
}
