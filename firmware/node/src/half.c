#include "half.h"

#include <string.h>

enum { MOST = 0x7BFF, BIAS = 127 - 15 };

uint16_t mf_half(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) {
        return (uint16_t)(sign | 0x7C00u);
    }
    if (magnitude >= 0x477FE000u) { /* 65504 */
        return (uint16_t)(sign | MOST);
    }
    const int32_t exponent = (int32_t)(magnitude >> 23) - BIAS;
    uint32_t mantissa = (magnitude & 0x7FFFFFu) | 0x800000u;
    int32_t drop = 13;
    if (exponent <= 0) {
        drop += 1 - exponent; /* subnormal: the leading one becomes visible */
        if (drop > 24) {
            return sign;
        }
    }
    const uint32_t lost = mantissa & ((UINT32_C(1) << drop) - 1), tie = UINT32_C(1) << (drop - 1);
    mantissa >>= drop;
    mantissa += lost > tie || (lost == tie && (mantissa & 1u)) ? 1u : 0u;
    /* a normal number's leading one adds 1 to the exponent, and so does a carry */
    const uint32_t base = exponent > 0 ? (uint32_t)(exponent - 1) << 10 : 0;
    const uint32_t half = base + mantissa;
    return (uint16_t)(sign | (half > MOST ? MOST : half));
}

float mf_from_half(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t magnitude = half & 0x7FFFu;
    uint32_t bits;
    if (magnitude >= 0x7C00u) {
        bits = sign | 0x7F800000u | (magnitude & 0x3FFu) << 13;
    } else if (magnitude >= 0x400u) {
        bits = sign | ((magnitude << 13) + ((uint32_t)BIAS << 23));
    } else {
        /* 2^-24 times a small integer: exact */
        const float small = (float)magnitude * 5.9604644775390625e-8f;
        memcpy(&bits, &small, sizeof bits);
        bits |= sign;
    }
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
