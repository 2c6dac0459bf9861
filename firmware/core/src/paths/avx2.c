/* x86 with AVX2 and FMA3: vectors of 8. */
#include "kernels/kernels.h"

#if defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>

typedef __m256 mf_vector;

#define MF_WIDTH   8
#define MF_ROWS    8
#define MF_VECTORS 3
#define MF_KEPT    12 /* of the registers; a multiply-add needs two more */
/* 12 sums: enough to hide the latency of a multiply-add, and 4 registers are left. */
#define MF_BLOCKS(BLOCK)                                                                           \
    BLOCK(1, 3) BLOCK(4, 3) BLOCK(1, 2) BLOCK(6, 2) BLOCK(1, 1) BLOCK(4, 1) BLOCK(8, 1)

static inline mf_vector mf_load(const float *from) {
    return _mm256_loadu_ps(from);
}
static inline void mf_store(float *to, mf_vector v) {
    _mm256_storeu_ps(to, v);
}
static inline void mf_store_part(float *to, mf_vector v, int n) {
    float lanes[MF_WIDTH]; /* a masked store is microcoded on some of these processors */
    _mm256_storeu_ps(lanes, v);
    for (int i = 0; i < n; i++) {
        to[i] = lanes[i];
    }
}
static inline mf_vector mf_spread(float x) {
    return _mm256_set1_ps(x);
}
static inline mf_vector mf_multiply_add(mf_vector a, mf_vector b, mf_vector c) {
    return _mm256_fmadd_ps(a, b, c);
}
static inline mf_vector mf_multiply(mf_vector a, mf_vector b) {
    return _mm256_mul_ps(a, b);
}
static inline mf_vector mf_add(mf_vector a, mf_vector b) {
    return _mm256_add_ps(a, b);
}
static inline mf_vector mf_subtract(mf_vector a, mf_vector b) {
    return _mm256_sub_ps(a, b);
}
/* Of a number and a NaN, these instructions give their second operand: v, as in C. */
static inline mf_vector mf_at_least(mf_vector v, mf_vector low) {
    return _mm256_max_ps(low, v);
}
static inline mf_vector mf_at_most(mf_vector v, mf_vector high) {
    return _mm256_min_ps(high, v);
}
static inline mf_vector mf_where_equal(mf_vector a, mf_vector b, mf_vector v) {
    return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ), v);
}
/* Bit i: lane i is not 0. */
static inline uint32_t mf_nonzero(mf_vector v) {
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_NEQ_UQ));
}
/* Row i becomes column i: first in blocks of 4 × 4, then the blocks. */
static inline void mf_transpose(mf_vector v[MF_WIDTH]) {
    for (int i = 0; i < 8; i += 4) {
        const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(v[i], v[i + 1]));
        const __m256d b = _mm256_castps_pd(_mm256_unpackhi_ps(v[i], v[i + 1]));
        const __m256d c = _mm256_castps_pd(_mm256_unpacklo_ps(v[i + 2], v[i + 3]));
        const __m256d d = _mm256_castps_pd(_mm256_unpackhi_ps(v[i + 2], v[i + 3]));
        v[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, c));
        v[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, c));
        v[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(b, d));
        v[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(b, d));
    }
    for (int i = 0; i < 4; i++) {
        const mf_vector above = v[i], below = v[i + 4];
        v[i] = _mm256_permute2f128_ps(above, below, 0x20);
        v[i + 4] = _mm256_permute2f128_ps(above, below, 0x31);
    }
}

#include "kernels/path.h"

const mf_kernels mf_kernels_avx2 = MF_KERNELS;

#endif

/* Without the instructions this file is empty, which C99 does not allow. */
typedef int mf_avx2_is_not_empty;
