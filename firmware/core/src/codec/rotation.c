/* The rotation of peaks.  Every sum has one place in one order: what follows only chooses which
 * are computed together, and the bits are those of wire/codecs/peaks.py. */
#include "codec/rotation.h"

#include <string.h>

#include "codec/steps.h"
#include "kernels/widest.h"

enum {
    FIRST = 6, /* stages of a transform that are done block by block */
    BLOCK = 1 << FIRST,
    LANES = 16 /* floats in the widest vector */
};

int32_t mf_log2(int32_t n) {
    int32_t k = 0;
    while (n >> k > 1) {
        k++;
    }
    return k;
}

/* 2^(−k / 2), rounded to a float. */
static float unit_of(int32_t k) {
    return mf_float_of((uint32_t)(127 - (k + 1) / 2) << 23 | (k % 2 != 0 ? 0x3504F3u : 0u));
}

/* The sums of neighbours, then their differences. */
MF_LOOPS part(const float *restrict from, float *restrict to, int32_t half) {
    for (int32_t i = 0; i < half; i++) {
        to[i] = from[2 * i] + from[2 * i + 1];
        to[half + i] = from[2 * i] - from[2 * i + 1];
    }
}

/* All k ≤ FIRST stages of 2^k values.  Parting pairs of neighbours is a stage of which the result
 * lies in another order, and after k stages in that which it should; vectors meet no pair that
 * lies within one of them (Pease 1968). */
MF_LOOPS block(float *x, int32_t k) {
    float other[BLOCK];
    const int32_t half = 1 << k >> 1;
    for (int32_t stage = 0; stage < k / 2; stage++) {
        part(x, other, half);
        part(other, x, half);
    }
    if (k % 2 != 0) {
        part(x, other, half);
        memcpy(x, other, 2 * (size_t)half * sizeof *x);
    }
}

/* Compiled once: so few values are not worth more code. */
static void small(float *x, int32_t k) {
    block(x, k);
}

/* Two stages of four times LANES values. */
MF_LOOPS four(float *restrict first, float *restrict second, float *restrict third,
              float *restrict fourth) {
    for (int32_t i = 0; i < LANES; i++) {
        const float a = first[i] + second[i], b = first[i] - second[i];
        const float c = third[i] + fourth[i], d = third[i] - fourth[i];
        first[i] = a + c;
        second[i] = b + d;
        third[i] = a - c;
        fourth[i] = b - d;
    }
}

/* One stage of twice `run` values. */
MF_LOOPS two(float *restrict first, float *restrict second, int32_t run) {
    for (int32_t i = 0; i < run; i++) {
        const float a = first[i], b = second[i];
        first[i] = a + b;
        second[i] = a - b;
    }
}

/* The orthonormal Walsh-Hadamard transform of 2^k values, which is its own inverse. */
MF_LOOPS transform(float *x, int32_t k) {
    const int32_t size = 1 << k;
    int32_t run = BLOCK;
    if (k < FIRST) {
        small(x, k);
    } else {
        for (float *at = x; at < x + size; at += BLOCK) {
            block(at, FIRST);
        }
    }
    for (; run <= size / 4; run *= 4) {
        for (float *at = x; at < x + size; at += 4 * run) {
            for (float *to = at; to < at + run; to += LANES) {
                four(to, to + run, to + 2 * run, to + 3 * run);
            }
        }
    }
    if (run < size) {
        two(x, x + run, run);
    }
    const float unit = unit_of(k);
    for (int32_t i = 0; i < size; i++) {
        x[i] *= unit;
    }
}

/* The signs of 32 values: the finaliser of MurmurHash3 (Appleby 2011). */
static inline uint32_t hashed(uint32_t word) {
    word += 0x9E3779B9u;
    word = (word ^ word >> 16) * 0x85EBCA6Bu;
    word = (word ^ word >> 13) * 0xC2B2AE35u;
    return word ^ word >> 16;
}

/* Where `word` has a bit, the value changes its sign.  From a table, for SSE2 cannot shift each
 * number of a vector by its own place. */
MF_LOOPS flip_some(float *x, int32_t n, uint32_t word) {
#define EIGHT(at)                                                                                  \
    1u << (at), 2u << (at), 4u << (at), 8u << (at), 16u << (at), 32u << (at), 64u << (at),         \
        128u << (at)
    static const uint32_t BITS[32] = {EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24)};
#undef EIGHT
    for (int32_t i = 0; i < n; i++) {
        x[i] = mf_float_of(mf_bits_of(x[i]) ^ ((word & BITS[i]) != 0 ? 0x80000000u : 0u));
    }
}

MF_LOOPS flip(float *x, int32_t n, uint32_t seed, int32_t pass) {
    uint32_t word = 256 * (uint32_t)pass + seed;
    for (; n >= 32; n -= 32, x += 32, word += 1024) {
        flip_some(x, 32, hashed(word));
    }
    flip_some(x, n, hashed(word));
}

/* Sums and differences of the two halves; the one in the middle of an odd number stays. */
MF_LOOPS mix(float *restrict first, float *restrict last, int32_t half) {
    const float unit = unit_of(1);
    for (int32_t i = 0; i < half; i++) {
        const float a = first[i], b = last[i];
        first[i] = (a + b) * unit;
        last[i] = (a - b) * unit;
    }
}

/* Without padding: the first 2^k, the last 2^k, the halves. */
MF_LOOPS turn_loops(float *x, int32_t n, uint32_t seed) {
    const int32_t k = mf_log2(n);
    for (int32_t pass = 0; pass < 2; pass++) {
        flip(x, n, seed, pass);
        transform(pass == 0 ? x : x + (n - (1 << k)), k);
    }
    mix(x, x + (n - n / 2), n / 2);
}

/* Each step of `turn` is its own inverse. */
MF_LOOPS turn_back_loops(float *x, int32_t n, uint32_t seed) {
    const int32_t k = mf_log2(n);
    mix(x, x + (n - n / 2), n / 2);
    for (int32_t pass = 1; pass >= 0; pass--) {
        transform(pass == 0 ? x : x + (n - (1 << k)), k);
        flip(x, n, seed, pass);
    }
}

MF_WIDEST(turn, (float *x, int32_t n, uint32_t seed), (x, n, seed))
MF_WIDEST(turn_back, (float *x, int32_t n, uint32_t seed), (x, n, seed))

void mf_turn(float *x, int32_t n, uint32_t seed) {
    turn(x, n, seed);
}

void mf_turn_back(float *x, int32_t n, uint32_t seed) {
    turn_back(x, n, seed);
}
