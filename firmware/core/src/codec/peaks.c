/* The peaks of a randomly rotated update; wire/codecs/peaks.py says why. */
#include <stddef.h>
#include <string.h>

#include "codec/steps.h"
#include "microfed/codec.h"

enum { HEAD = 2 };                   /* bytes: the seed of the signs, the code of the scale */
#define MOST      64.0               /* above the last step, and a float */
#define HALF_STEP 1.0442737824274138 /* 2^(1/16): scales are rounded to the nearest code */

/* `count` cells of 2^place rotated values each, from the first value on. */
typedef struct {
    int32_t count;
    int32_t place;
} cells;

/* The largest k with 2^k ≤ n; of 0 it is 0. */
static int32_t log2_of(int32_t n) {
    int32_t k = 0;
    while (n >> k > 1) {
        k++;
    }
    return k;
}

/* Bytes with a bit for each value. */
static int32_t longest(int32_t n) {
    return HEAD + (n > 8 ? n / 8 + (n % 8 != 0) : 1);
}

/* As large cells as possible: they tell most a bit. */
static cells cells_of(int32_t n, int32_t size) {
    const int32_t bits = 8 * (size - HEAD);
    for (int32_t place = log2_of(n); place > 0; place--) {
        const int32_t count = bits / (place + 1);
        if (count >= 1 && count <= n >> place) {
            return (cells){count, place};
        }
    }
    return (cells){bits < n ? bits : n, 0};
}

/* 2^(−k / 2), rounded to a float. */
static float unit_of(int32_t k) {
    return mf_float_of((uint32_t)(127 - (k + 1) / 2) << 23 | (k % 2 != 0 ? 0x3504F3u : 0u));
}

/* The orthonormal Walsh-Hadamard transform of 2^k values, which is its own inverse: two stages
 * at a time, and one if one is left. */
static void transform(float *x, int32_t k) {
    const int32_t size = 1 << k;
    int32_t run = 1;
    for (; run <= size / 4; run *= 4) {
        for (float *at = x; at < x + size; at += 4 * run) {
            for (int32_t i = 0; i < run; i++) {
                float *const to[] = {at + i, at + run + i, at + 2 * run + i, at + 3 * run + i};
                const float a = *to[0] + *to[1], b = *to[0] - *to[1];
                const float c = *to[2] + *to[3], d = *to[2] - *to[3];
                *to[0] = a + c;
                *to[1] = b + d;
                *to[2] = a - c;
                *to[3] = b - d;
            }
        }
    }
    for (int32_t i = 0; run < size && i < run; i++) {
        const float a = x[i], b = x[run + i];
        x[i] = a + b;
        x[run + i] = a - b;
    }
    const float unit = unit_of(k);
    for (int32_t i = 0; i < size; i++) {
        x[i] *= unit;
    }
}

/* The signs of 32 values: the finaliser of MurmurHash3 (Appleby 2011). */
static uint32_t hashed(uint32_t word) {
    word += 0x9E3779B9u;
    word = (word ^ word >> 16) * 0x85EBCA6Bu;
    word = (word ^ word >> 13) * 0xC2B2AE35u;
    return word ^ word >> 16;
}

static void flip(float *x, int32_t n, uint32_t seed, int32_t pass) {
    for (int32_t at = 0; at < n; at += 32) {
        uint32_t word = hashed((uint32_t)at / 32 * 1024 + 256 * (uint32_t)pass + seed);
        for (int32_t i = at; i < n && i < at + 32; i++, word >>= 1) {
            x[i] = mf_float_of(mf_bits_of(x[i]) ^ word << 31);
        }
    }
}

/* Sums and differences of the two halves; the one in the middle of an odd number stays. */
static void mix_halves(float *x, int32_t n) {
    const float unit = unit_of(1);
    float *last = x + (n - n / 2);
    for (int32_t i = 0; i < n / 2; i++) {
        const float a = x[i], b = last[i];
        x[i] = (a + b) * unit;
        last[i] = (a - b) * unit;
    }
}

/* Rotate any number of values without padding: the first 2^k, the last 2^k, the halves. */
static void turn(float *x, int32_t n, uint32_t seed) {
    const int32_t k = log2_of(n);
    flip(x, n, seed, 0);
    transform(x, k);
    flip(x, n, seed, 1);
    transform(x + (n - (1 << k)), k);
    mix_halves(x, n);
}

/* Each step of `turn` is its own inverse. */
static void turn_back(float *x, int32_t n, uint32_t seed) {
    const int32_t k = log2_of(n);
    mix_halves(x, n);
    transform(x + (n - (1 << k)), k);
    flip(x, n, seed, 1);
    transform(x, k);
    flip(x, n, seed, 0);
}

static void put_bits(uint8_t *data, int32_t at, uint32_t word, int32_t bits) {
    for (int32_t i = bits; i-- > 0; at++) {
        data[at / 8] |= (uint8_t)((word >> i & 1) << (7 - at % 8));
    }
}

static uint32_t get_bits(const uint8_t *data, int32_t at, int32_t bits) {
    uint32_t word = 0;
    for (; bits > 0; bits--, at++) {
        word = word << 1 | ((uint32_t)data[at / 8] >> (7 - at % 8) & 1u);
    }
    return word;
}

/* Where the largest magnitude of a cell is, the first of equals. */
static int32_t peak_of(const float *cell, int32_t size) {
    const uint32_t largest = mf_largest(cell, size);
    int32_t peak = 0;
    while (mf_size_of(cell[peak]) != largest) {
        peak++;
    }
    return peak;
}

mf_status mf_encode_peaks(float *delta, int32_t n, uint32_t seed, int32_t budget, uint8_t *data,
                          int32_t *size) {
    if (n < 0 || seed > 255 || budget < MF_LEAST_PEAKS || mf_largest(delta, n) >= MF_LARGEST) {
        return MF_BAD_ARGUMENT;
    }
    double energy = 0.0, mass = 0.0;
    for (int32_t i = 0; i < n; i++) {
        energy += (double)delta[i] * (double)delta[i];
    }
    if (n > 0) {
        turn(delta, n, seed);
    }
    *size = budget < longest(n) ? budget : longest(n);
    memset(data, 0, (size_t)*size);
    const cells c = cells_of(n, *size);
    for (int32_t i = 0; i < c.count; i++) {
        const float *cell = delta + ((ptrdiff_t)i << c.place);
        const int32_t peak = peak_of(cell, 1 << c.place);
        mass += (double)mf_float_of(mf_size_of(cell[peak]));
        put_bits(data + HEAD, i * (c.place + 1), (uint32_t)peak << 1 | (cell[peak] < 0.0f),
                 c.place + 1);
    }
    data[0] = (uint8_t)seed;
    /* unbiased: the scale of DRIVE (arXiv:2105.08339) */
    if (mass > 0.0) {
        const double scale = energy / mass * HALF_STEP;
        data[1] = (uint8_t)mf_step_for(mf_bits_of((float)(scale < MOST ? scale : MOST)));
    }
    return MF_OK;
}

mf_status mf_decode_peaks(const uint8_t *data, int32_t size, int32_t n, float *values) {
    if (n < 0) {
        return MF_BAD_ARGUMENT;
    }
    if (size < MF_LEAST_PEAKS || size > longest(n)) {
        return MF_BAD_DATA;
    }
    memset(values, 0, (size_t)n * sizeof *values);
    const uint32_t seed = data[0], scale = data[1];
    if (scale == 0 || n == 0) {
        return MF_OK;
    }
    const cells c = cells_of(n, size);
    const float magnitude = mf_float_of(mf_step_bits(scale));
    for (int32_t i = 0; i < c.count; i++) {
        const uint32_t word = get_bits(data + HEAD, i * (c.place + 1), c.place + 1);
        values[(i << c.place) + (int32_t)(word >> 1)] = word & 1 ? -magnitude : magnitude;
    }
    turn_back(values, n, seed);
    return MF_OK;
}
