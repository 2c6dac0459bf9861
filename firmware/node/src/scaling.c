#include "microfed/scaling.h"

#include <string.h>

#include "microfed/model.h"

enum { FLOAT_BITS = 24, DOUBLE_BITS = 53, DROPPED = 22, LEAST_SHIFT = -31, MOST_SHIFT = 30 };

/* A positive normal float as a whole number of 24 bits · 2^exponent. */
static uint32_t whole_of(float real, int32_t *exponent) {
    uint32_t bits;
    memcpy(&bits, &real, sizeof bits);
    *exponent = (int32_t)(bits >> (FLOAT_BITS - 1)) - 150;
    return (bits & 0x7FFFFFu) | 0x800000u;
}

/* a · b / c as multiplier · 2^(shift − 31), rounded to the nearest: the bits that doubles give,
 * whose product of two floats is exact and whose quotient is rounded to 53 bits before it is to
 * 31.  The library's doubles would be 2 KB of a device's code. */
static bool split(float a, float b, float c, int32_t *multiplier, int8_t *shift) {
    int32_t of_a, of_b, of_c;
    uint64_t product = (uint64_t)whole_of(a, &of_a) * whole_of(b, &of_b) << (64 - 2 * FLOAT_BITS);
    const uint32_t divisor = whole_of(c, &of_c);
    uint64_t quotient = 0;
    uint32_t rest = 0;
    int32_t bit = 2 * FLOAT_BITS; /* the quotient is in units of 2^bit */
    while (quotient >> DOUBLE_BITS == 0) {
        bit--;
        rest = rest << 1 | (uint32_t)(product >> 63);
        product <<= 1;
        quotient <<= 1;
        if (rest >= divisor) {
            rest -= divisor;
            quotient |= 1u;
        }
    }
    /* 54 bits: the last is half a unit of those that a double keeps */
    const bool up = (quotient & 1u) != 0 && (rest != 0 || (quotient & 2u) != 0);
    const uint64_t mantissa = (quotient >> 1) + up;
    int32_t exponent = of_a + of_b - of_c + bit + 1 + DOUBLE_BITS;
    uint32_t rounded = (uint32_t)((mantissa + (1u << (DROPPED - 1))) >> DROPPED);
    if (rounded == UINT32_C(1) << 31) {
        rounded >>= 1;
        exponent++;
    }
    if (exponent < LEAST_SHIFT) { /* too small to move any code */
        rounded = 0;
        exponent = 0;
    }
    *multiplier = (int32_t)rounded;
    *shift = (int8_t)exponent;
    return exponent <= MOST_SHIFT;
}

bool mf_scale_layers(const mf_scaled_layer *layers, int32_t count, const uint8_t *body,
                     int32_t *multipliers, int8_t *shifts) {
    const float *scales = (const float *)(const void *)(body + MF_BODY_SCALES);
    bool fits = true;
    for (int32_t k = 0; k < count; k++) {
        const mf_scaled_layer *layer = &layers[k];
        for (int32_t i = 0; i < layer->count; i++) {
            fits = split(layer->input, scales[layer->scale + i], layer->output, multipliers++,
                         shifts++) &&
                   fits;
        }
    }
    return fits;
}
