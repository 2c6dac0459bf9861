/* The peaks of a randomly rotated update; wire/codecs/peaks.py says why. */
#include <stddef.h>
#include <string.h>

#include "codec/rotation.h"
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

/* Bytes with a bit for each value. */
static int32_t longest(int32_t n) {
    return HEAD + (n > 8 ? n / 8 + (n % 8 != 0) : 1);
}

/* As large cells as possible: they tell most a bit. */
static cells cells_of(int32_t n, int32_t size) {
    const int32_t bits = 8 * (size - HEAD);
    for (int32_t place = mf_log2(n); place > 0; place--) {
        const int32_t count = bits / (place + 1);
        if (count >= 1 && count <= n >> place) {
            return (cells){count, place};
        }
    }
    return (cells){bits < n ? bits : n, 0};
}

/* A row of words of up to 31 bits each, the highest bit first. */
typedef struct {
    uint64_t held; /* whose lowest `bits` were not read, or not written, yet */
    uint32_t bits;
    int32_t at; /* bytes that were read, or written */
} row;

static void write_bits(row *to, uint8_t *data, uint32_t word, uint32_t bits) {
    to->held = to->held << bits | word;
    to->bits += bits;
    while (to->bits >= 8) {
        to->bits -= 8;
        data[to->at++] = (uint8_t)(to->held >> to->bits);
    }
}

static uint32_t read_bits(row *from, const uint8_t *data, uint32_t bits) {
    while (from->bits < bits) {
        from->held = from->held << 8 | data[from->at++];
        from->bits += 8;
    }
    from->bits -= bits;
    return (uint32_t)(from->held >> from->bits) & ((1u << bits) - 1u);
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
        mf_turn(delta, n, seed);
    }
    *size = budget < longest(n) ? budget : longest(n);
    memset(data, 0, (size_t)*size);
    const cells c = cells_of(n, *size);
    const uint32_t length = (uint32_t)c.place + 1;
    row words = {0, 0, HEAD};
    for (int32_t i = 0; i < c.count; i++) {
        const float *cell = delta + ((ptrdiff_t)i << c.place);
        const int32_t peak = peak_of(cell, 1 << c.place);
        mass += (double)mf_float_of(mf_size_of(cell[peak]));
        write_bits(&words, data, (uint32_t)peak << 1 | (cell[peak] < 0.0f), length);
    }
    write_bits(&words, data, 0, -words.bits & 7); /* fill up the last byte */
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
    const uint32_t seed = data[0], scale = data[1], magnitude = mf_step_bits(scale);
    if (scale == 0 || n == 0) {
        return MF_OK;
    }
    const cells c = cells_of(n, size);
    const uint32_t length = (uint32_t)c.place + 1;
    row words = {0, 0, HEAD};
    for (int32_t i = 0; i < c.count; i++) {
        const uint32_t word = read_bits(&words, data, length);
        values[(i << c.place) + (int32_t)(word >> 1)] = mf_float_of(magnitude | word << 31);
    }
    mf_turn_back(values, n, seed);
    return MF_OK;
}
