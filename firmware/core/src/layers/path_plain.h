/* Sums of products in plain C: two channels at two positions, so that each load serves twice.
 * Weights are [channel][k] and columns [position][k], as they are in the model. */
#ifndef MICROFED_LAYERS_PATH_PLAIN_H
#define MICROFED_LAYERS_PATH_PLAIN_H

#include "layers/scaling.h"

/* Σ of two channels (rows) at two positions (columns). */
typedef struct {
    uint32_t of[2][2];
} mf_sums;

static inline void mf_sum(const int8_t *a, const int8_t *b, const int8_t *x, const int8_t *y,
                          int32_t k, mf_sums *sums) {
    int32_t ax = 0, ay = 0, bx = 0, by = 0;
#define STEP(i)                                      \
    do {                                             \
        int32_t p = a[i], q = b[i], u = x[i], v = y[i]; \
        ax += p * u;                                 \
        ay += p * v;                                 \
        bx += q * u;                                 \
        by += q * v;                                 \
    } while (0)
    const int8_t *end = a + k;
    for (const int8_t *fours = a + (k & ~3); a != fours; a += 4, b += 4, x += 4, y += 4) {
        STEP(0);
        STEP(1);
        STEP(2);
        STEP(3);
    }
    for (; a != end; a++, b++, x++, y++) {
        STEP(0);
    }
#undef STEP
    *sums = (mf_sums){{{(uint32_t)ax, (uint32_t)ay}, {(uint32_t)bx, (uint32_t)by}}};
}

/* Σ of four channels at one position. */
static inline void mf_sum_rows(const int8_t *const row[4], const int8_t *x, int32_t k,
                               uint32_t *sums) {
    const int8_t *a = row[0], *b = row[1], *c = row[2], *d = row[3];
    int32_t ax = 0, bx = 0, cx = 0, dx = 0;
    for (const int8_t *end = x + k; x != end;) {
        int32_t u = *x++;
        ax += *a++ * u;
        bx += *b++ * u;
        cx += *c++ * u;
        dx += *d++ * u;
    }
    sums[0] = (uint32_t)ax;
    sums[1] = (uint32_t)bx;
    sums[2] = (uint32_t)cx;
    sums[3] = (uint32_t)dx;
}

#include "layers/path_rows.h"

#endif
