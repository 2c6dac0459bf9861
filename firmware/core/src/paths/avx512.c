/* x86 with AVX-512F: vectors of 16. */
#include "kernels/kernels.h"

#if defined(__AVX512F__)

#include <immintrin.h>

typedef __m512 mf_vector;

#define MF_WIDTH   16
#define MF_ROWS    8
#define MF_VECTORS 3
#define MF_KEPT    16 /* of the registers; a multiply-add needs two more */
/* 24 sums of 32 registers, and 8 pointers of 15. */
#define MF_BLOCKS(BLOCK)                                                                           \
    BLOCK(1, 3)                                                                                    \
    BLOCK(4, 3) BLOCK(8, 3) BLOCK(1, 2) BLOCK(4, 2) BLOCK(8, 2) BLOCK(1, 1) BLOCK(4, 1) BLOCK(8, 1)

static inline mf_vector mf_load(const float *from) {
    return _mm512_loadu_ps(from);
}
static inline void mf_store(float *to, mf_vector v) {
    _mm512_storeu_ps(to, v);
}
static inline void mf_store_part(float *to, mf_vector v, int n) {
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << n) - 1u), v);
}
static inline mf_vector mf_spread(float x) {
    return _mm512_set1_ps(x);
}
static inline mf_vector mf_multiply_add(mf_vector a, mf_vector b, mf_vector c) {
    return _mm512_fmadd_ps(a, b, c);
}
static inline mf_vector mf_multiply(mf_vector a, mf_vector b) {
    return _mm512_mul_ps(a, b);
}
static inline mf_vector mf_add(mf_vector a, mf_vector b) {
    return _mm512_add_ps(a, b);
}
static inline mf_vector mf_subtract(mf_vector a, mf_vector b) {
    return _mm512_sub_ps(a, b);
}
/* Of a number and a NaN, these instructions give their second operand: v, as in C. */
static inline mf_vector mf_at_least(mf_vector v, mf_vector low) {
    return _mm512_max_ps(low, v);
}
static inline mf_vector mf_at_most(mf_vector v, mf_vector high) {
    return _mm512_min_ps(high, v);
}
static inline mf_vector mf_where_equal(mf_vector a, mf_vector b, mf_vector v) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ), v);
}
/* Bit i: lane i is not 0. */
static inline uint32_t mf_nonzero(mf_vector v) {
    return _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_NEQ_UQ);
}
/* Row i becomes column i: first in blocks of 4 × 4, then the blocks. */
static inline void mf_transpose(mf_vector v[MF_WIDTH]) {
    for (int i = 0; i < 16; i += 4) {
        const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(v[i], v[i + 1]));
        const __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(v[i], v[i + 1]));
        const __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(v[i + 2], v[i + 3]));
        const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(v[i + 2], v[i + 3]));
        v[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        v[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        v[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        v[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    for (int i = 0; i < 4; i++) {
        const mf_vector even_above = _mm512_shuffle_f32x4(v[i], v[i + 4], 0x88);
        const mf_vector odd_above = _mm512_shuffle_f32x4(v[i], v[i + 4], 0xDD);
        const mf_vector even_below = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0x88);
        const mf_vector odd_below = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0xDD);
        v[i] = _mm512_shuffle_f32x4(even_above, even_below, 0x88);
        v[i + 4] = _mm512_shuffle_f32x4(odd_above, odd_below, 0x88);
        v[i + 8] = _mm512_shuffle_f32x4(even_above, even_below, 0xDD);
        v[i + 12] = _mm512_shuffle_f32x4(odd_above, odd_below, 0xDD);
    }
}

#include "kernels/path.h"

const mf_kernels mf_kernels_avx512 = MF_KERNELS;

#endif

/* Without the instructions this file is empty, which C99 does not allow. */
typedef int mf_avx512_is_not_empty;
