/* Random numbers of 32 bits, the same on every machine: PCG-XSH-RR 64/32 (O'Neill 2014,
 * HMC-CS-2014-0905).  device_sim/twin/random.py is the same in Python. */
#ifndef MICROFED_RANDOM_H
#define MICROFED_RANDOM_H

#include <stdint.h>

typedef struct {
    uint64_t state;
} mf_random;

mf_random mf_random_from(uint32_t seed);
uint32_t mf_random_next(mf_random *random);

/* Uniform in 0 … bound − 1, bound ≥ 1: Lemire 2019, arXiv:1805.10941. */
uint32_t mf_random_below(mf_random *random, uint32_t bound);

/* Fill `order` with 0 … count − 1 in a random order: Fisher and Yates, from the end. */
void mf_random_order(mf_random *random, uint32_t *order, int32_t count);

/* Turn the vectors (x, y, z) of one sample together, by up to about `degrees` around each
 * axis.  The rotation is Cayley's, R = I + 2 (U + U²) / (1 + u·u) with U v = u × v for a
 * uniform u: orthogonal for every u, and without a sine.  count: floats, a multiple of 3. */
void mf_rotate(mf_random *random, float degrees, const float *x, float *to, int32_t count);

#endif
