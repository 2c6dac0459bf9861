/* A random rotation of any number of values: signs and Walsh-Hadamard transforms. */
#ifndef MICROFED_ROTATION_H
#define MICROFED_ROTATION_H

#include <stdint.h>

/* The largest k with 2^k ≤ n; of 0 it is 0. */
int32_t mf_log2(int32_t n);

/* Rotate n ≥ 1 values in place, in the way that one of 256 seeds says. */
void mf_turn(float *x, int32_t n, uint32_t seed);

/* Undo it, up to rounding. */
void mf_turn_back(float *x, int32_t n, uint32_t seed);

#endif
