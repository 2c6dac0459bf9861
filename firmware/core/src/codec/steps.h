/* Steps: the magnitudes that have a code, eight to the octave. */
#ifndef MICROFED_STEPS_H
#define MICROFED_STEPS_H

#include <stdint.h>
#include <string.h>

enum { MF_STEP_BITS = 8 };
#define MF_LARGEST 0x49800000u /* the bits of 2^20: training that gives more has gone astray */

static inline uint32_t mf_bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float mf_float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* |value| as bits, which are ordered as the magnitudes are. */
static inline uint32_t mf_size_of(float value) {
    return mf_bits_of(value) & 0x7FFFFFFFu;
}

/* The bits of 2^(code / 8 − 26), the eighths of an octave rounded to a float. */
uint32_t mf_step_bits(uint32_t code);

/* The code of the largest step whose bits are at most `least`, or 0. */
uint32_t mf_step_for(uint32_t least);

/* The bits of the largest magnitude of n values, infinity and NaN being larger than numbers. */
uint32_t mf_largest(const float *values, int32_t n);

#endif
