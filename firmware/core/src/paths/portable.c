/* The path of every machine: vectors of one float. */
#include "kernels/fma.h"

typedef float mf_vector;

#define MF_WIDTH   1
#define MF_ROWS    4
#define MF_VECTORS 4
/* 16 sums, 4 factors and 4 inputs: the registers of a Cortex-M4F. */
#define MF_BLOCKS(BLOCK) BLOCK(1, 4) BLOCK(4, 4) BLOCK(1, 1) BLOCK(4, 1)

static inline mf_vector mf_load(const float *from) {
    return *from;
}
static inline void mf_store(float *to, mf_vector v) {
    *to = v;
}
static inline void mf_store_part(float *to, mf_vector v, int n) {
    if (n > 0) {
        *to = v;
    }
}
static inline mf_vector mf_spread(float x) {
    return x;
}
static inline mf_vector mf_multiply_add(mf_vector a, mf_vector b, mf_vector c) {
    return mf_fma(a, b, c);
}
static inline mf_vector mf_multiply(mf_vector a, mf_vector b) {
    return a * b;
}
static inline mf_vector mf_add(mf_vector a, mf_vector b) {
    return a + b;
}
static inline mf_vector mf_subtract(mf_vector a, mf_vector b) {
    return a - b;
}
static inline mf_vector mf_at_least(mf_vector v, mf_vector low) {
    return low > v ? low : v;
}
static inline mf_vector mf_at_most(mf_vector v, mf_vector high) {
    return high < v ? high : v;
}
static inline mf_vector mf_where_equal(mf_vector a, mf_vector b, mf_vector v) {
    return a == b ? v : 0.0f;
}

#include "kernels/path.h"

const mf_kernels mf_kernels_portable = MF_KERNELS;
