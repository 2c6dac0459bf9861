/* aarch64: vectors of 4. */
#include "kernels/kernels.h"

#if defined(__aarch64__)

#include <arm_neon.h>

typedef float32x4_t mf_vector;

#define MF_WIDTH   4
#define MF_ROWS    8
#define MF_VECTORS 3
#define MF_KEPT    16 /* of the registers; a multiply-add needs two more */
/* 24 sums of 32 registers. */
#define MF_BLOCKS(BLOCK)                                                                           \
    BLOCK(1, 3)                                                                                    \
    BLOCK(4, 3) BLOCK(8, 3) BLOCK(1, 2) BLOCK(4, 2) BLOCK(8, 2) BLOCK(1, 1) BLOCK(4, 1) BLOCK(8, 1)

static inline mf_vector mf_load(const float *from) {
    return vld1q_f32(from);
}
static inline void mf_store(float *to, mf_vector v) {
    vst1q_f32(to, v);
}
static inline void mf_store_part(float *to, mf_vector v, int n) {
    float lanes[MF_WIDTH];
    vst1q_f32(lanes, v);
    for (int i = 0; i < n; i++) {
        to[i] = lanes[i];
    }
}
static inline mf_vector mf_spread(float x) {
    return vdupq_n_f32(x);
}
static inline mf_vector mf_multiply_add(mf_vector a, mf_vector b, mf_vector c) {
    return vfmaq_f32(c, a, b);
}
static inline mf_vector mf_multiply(mf_vector a, mf_vector b) {
    return vmulq_f32(a, b);
}
static inline mf_vector mf_add(mf_vector a, mf_vector b) {
    return vaddq_f32(a, b);
}
static inline mf_vector mf_subtract(mf_vector a, mf_vector b) {
    return vsubq_f32(a, b);
}
static inline mf_vector mf_at_least(mf_vector v, mf_vector low) {
    return vbslq_f32(vcgtq_f32(low, v), low, v);
}
static inline mf_vector mf_at_most(mf_vector v, mf_vector high) {
    return vbslq_f32(vcltq_f32(high, v), high, v);
}
static inline mf_vector mf_where_equal(mf_vector a, mf_vector b, mf_vector v) {
    return vbslq_f32(vceqq_f32(a, b), v, vdupq_n_f32(0.0f));
}
/* Bit i: lane i is not 0. */
static inline uint32_t mf_nonzero(mf_vector v) {
    static const uint32_t bits[MF_WIDTH] = {1, 2, 4, 8};
    return vaddvq_u32(vbicq_u32(vld1q_u32(bits), vceqzq_f32(v)));
}
/* Row i becomes column i. */
static inline void mf_transpose(mf_vector v[MF_WIDTH]) {
    const float32x4x2_t above = vzipq_f32(v[0], v[2]), below = vzipq_f32(v[1], v[3]);
    const float32x4x2_t left = vzipq_f32(above.val[0], below.val[0]);
    const float32x4x2_t right = vzipq_f32(above.val[1], below.val[1]);
    v[0] = left.val[0];
    v[1] = left.val[1];
    v[2] = right.val[0];
    v[3] = right.val[1];
}

#include "kernels/path.h"

const mf_kernels mf_kernels_neon = MF_KERNELS;

#endif

/* Elsewhere this file is empty, which C99 does not allow. */
typedef int mf_neon_is_not_empty;
