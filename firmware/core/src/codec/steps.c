#include "codec/steps.h"

#include "kernels/widest.h"

enum { LEAST_EXPONENT = 127 - 26 }; /* of step code 0, biased */

uint32_t mf_step_bits(uint32_t code) {
    static const uint32_t MANTISSAS[8] = {0,        0x0B95C2, 0x1837F0, 0x25FED7,
                                          0x3504F3, 0x45672A, 0x5744FD, 0x6AC0C7};
    return (LEAST_EXPONENT + code / 8) << 23 | MANTISSAS[code % 8];
}

uint32_t mf_step_for(uint32_t least) {
    uint32_t code = 0;
    for (uint32_t bit = 1u << (MF_STEP_BITS - 1); bit > 0; bit >>= 1) {
        if (mf_step_bits(code | bit) <= least) {
            code |= bit;
        }
    }
    return code;
}

MF_LOOPS largest_loops(const float *values, int32_t n, uint32_t *largest) {
    int32_t top = 0; /* signed, as SSE2 compares */
    for (int32_t i = 0; i < n; i++) {
        const int32_t size = (int32_t)mf_size_of(values[i]);
        top = size > top ? size : top;
    }
    *largest = (uint32_t)top;
}

MF_WIDEST(largest, (const float *values, int32_t n, uint32_t *top), (values, n, top))

uint32_t mf_largest(const float *values, int32_t n) {
    uint32_t top;
    largest(values, n, &top);
    return top;
}
