#include "codec/steps.h"

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

uint32_t mf_largest(const float *values, int32_t n) {
    uint32_t top = 0;
    for (int32_t i = 0; i < n; i++) {
        if (mf_size_of(values[i]) > top) {
            top = mf_size_of(values[i]);
        }
    }
    return top;
}
