#include "x86.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define TARGET       __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL       _Pragma("GCC unroll 8")
#define V(operation) _mm512_##operation
#define set1_epi64x  set1_epi64
#define LANES        16
#define GROUP        4
#define ELEMENT      1  /* bytes of a number of the image */
#define NUMBERS      64 /* in a vector */
#define ROWS         8  /* positions of a tile */

typedef __m512i vector;

TARGET static inline vector load(const void *from) {
    return _mm512_loadu_si512(from);
}

TARGET static inline void store(void *to, vector x) {
    _mm512_storeu_si512(to, x);
}

TARGET static inline vector every_64(int64_t x) {
    return _mm512_set1_epi64(x);
}

/* y + z where x < 0, else y. */
TARGET static inline vector add_where_negative(vector x, vector y, vector z) {
    return _mm512_mask_add_epi32(y, _mm512_cmplt_epi32_mask(x, _mm512_setzero_si512()), y, z);
}

TARGET static inline vector padding_of(int32_t zero_point) {
    return _mm512_set1_epi8((char)(zero_point ^ -128));
}

/* 64 codes as numbers of the image. */
TARGET static inline vector number_of(const int8_t *codes) {
    return _mm512_xor_si512(_mm512_loadu_si512(codes), _mm512_set1_epi8(-128));
}

/* 16 codes. */
TARGET static inline vector codes_of(const int8_t *codes) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)codes));
}

/* One word for all lanes. */
TARGET static inline vector repeat(const uint8_t *word) {
    int32_t value;
    memcpy(&value, word, sizeof value);
    return _mm512_set1_epi32(value);
}

/* Two words for all pairs of lanes. */
TARGET static inline vector repeat_pair(const uint8_t *words) {
    int64_t value;
    memcpy(&value, words, sizeof value);
    return _mm512_set1_epi64(value);
}

/* The sums of neighbouring lanes of a, then those of b. */
TARGET static inline vector add_neighbours(vector a, vector b) {
    const vector even =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const vector odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    return _mm512_add_epi32(_mm512_permutex2var_epi32(a, even, b),
                            _mm512_permutex2var_epi32(a, odd, b));
}

TARGET static inline vector dot(vector sums, vector numbers, vector weights) {
    /* of the intrinsic gcc makes a copy of every sum for every word */
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(numbers), "v"(weights));
    return sums;
}

/* The low halves of `even`, the high halves of `odd`. */
TARGET static inline vector odd_lanes(vector even, vector odd) {
    return _mm512_mask_blend_epi32(0xaaaa, even, odd);
}

/* The codes of four rows, narrowed together, row after row. */
TARGET static inline vector in_rows(vector codes) {
    const vector order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, codes);
}

/* The first `rows` of four rows, of each the first `left` codes. */
TARGET static inline void store_rows(int8_t *to, size_t apart, vector codes, int32_t rows,
                                     int32_t left) {
    const int whole = rows >= 4 && left >= LANES;
    if (whole && apart == LANES) {
        store(to, codes);
        return;
    }
    const __m128i all[4] = {_mm512_castsi512_si128(codes), _mm512_extracti32x4_epi32(codes, 1),
                            _mm512_extracti32x4_epi32(codes, 2),
                            _mm512_extracti32x4_epi32(codes, 3)};
    if (whole) { /* without masks, which are slow to store with */
        UNROLL for (int r = 0; r < 4; r++, to += apart) {
            _mm_storeu_si128((void *)to, all[r]);
        }
        return;
    }
    const __mmask16 kept = (__mmask16)(left < LANES ? (1u << left) - 1 : 0xffff);
    for (int r = 0; r < 4 && r < rows; r++, to += apart) {
        _mm_mask_storeu_epi8(to, kept, all[r]);
    }
}

/* Four taps of 64 channels as four vectors of 16 channels with four taps each. */
TARGET static inline void interleave(const vector *taps, vector *channels) {
    vector ab = _mm512_unpacklo_epi8(taps[0], taps[1]);
    vector AB = _mm512_unpackhi_epi8(taps[0], taps[1]);
    vector cd = _mm512_unpacklo_epi8(taps[2], taps[3]);
    vector CD = _mm512_unpackhi_epi8(taps[2], taps[3]);
    channels[0] = _mm512_unpacklo_epi16(ab, cd);
    channels[1] = _mm512_unpackhi_epi16(ab, cd);
    channels[2] = _mm512_unpacklo_epi16(AB, CD);
    channels[3] = _mm512_unpackhi_epi16(AB, CD);
}

#include "x86_kernels.h"

/* The codes of up to 64 channels, back in order. */
TARGET static inline void store_interleaved(int8_t *to, const vector *sums, const limits *clamps,
                                            int32_t count) {
    vector a = narrow(sums[0], sums[1], clamps), b = narrow(sums[2], sums[3], clamps);
    _mm512_mask_storeu_epi8(to, ~UINT64_C(0) >> (64 - count), clamp(a, b, clamps));
}

const mf_x86_kernels mf_x86_vnni = {.conv = conv, .depthwise = depthwise, .add = add};

#endif
