#include "x86.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "x86_store.h"

#define TARGET       __attribute__((target("avx2")))
#define INLINE       static inline __attribute__((always_inline))
#define UNROLL       _Pragma("GCC unroll 8")
#define V(operation) _mm256_##operation
#define LANES        8
#define GROUP        2
#define ELEMENT      2  /* bytes of a number of the image */
#define NUMBERS      16 /* in a vector */
#define ROWS         4  /* positions of a tile */

typedef __m256i vector;

TARGET static inline vector load(const void *from) {
    return _mm256_loadu_si256(from);
}

TARGET static inline void store(void *to, vector x) {
    _mm256_storeu_si256(to, x);
}

TARGET static inline vector every_64(int64_t x) {
    return _mm256_set1_epi64x(x);
}

/* y + z where x < 0, else y. */
TARGET static inline vector add_where_negative(vector x, vector y, vector z) {
    return _mm256_add_epi32(y, _mm256_and_si256(_mm256_srai_epi32(x, 31), z));
}

TARGET static inline vector padding_of(int32_t zero_point) {
    return _mm256_set1_epi16((int16_t)zero_point);
}

/* 16 codes as numbers of the image. */
TARGET static inline vector number_of(const int8_t *codes) {
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)codes));
}

/* 8 codes. */
TARGET static inline vector codes_of(const int8_t *codes) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)codes));
}

/* One word for all lanes. */
TARGET static inline vector repeat(const uint8_t *word) {
    int32_t value;
    memcpy(&value, word, sizeof value);
    return _mm256_set1_epi32(value);
}

/* Two words for all pairs of lanes. */
TARGET static inline vector repeat_pair(const uint8_t *words) {
    int64_t value;
    memcpy(&value, words, sizeof value);
    return _mm256_set1_epi64x(value);
}

/* The sums of neighbouring lanes of a, then those of b. */
TARGET static inline vector add_neighbours(vector a, vector b) {
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(a, b), 0xd8);
}

TARGET static inline vector dot(vector sums, vector numbers, vector weights) {
    return _mm256_add_epi32(sums, _mm256_madd_epi16(numbers, weights));
}

/* The low halves of `even`, the high halves of `odd`. */
TARGET static inline vector odd_lanes(vector even, vector odd) {
    return _mm256_blend_epi32(even, odd, 0xaa);
}

/* The codes of four rows, narrowed together, row after row. */
TARGET static inline vector in_rows(vector codes) {
    return _mm256_permutevar8x32_epi32(codes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* The first `rows` of four rows, of each the first `left` codes. */
TARGET static inline void store_rows(int8_t *to, size_t apart, vector codes, int32_t rows,
                                     int32_t left) {
    const int32_t kept = left < LANES ? left : LANES;
    __m128i pair = _mm256_castsi256_si128(codes);
    mf_x86_store(to, pair, kept);
    if (rows > 1) {
        mf_x86_store(to + apart, _mm_unpackhi_epi64(pair, pair), kept);
    }
    pair = _mm256_extracti128_si256(codes, 1);
    if (rows > 2) {
        mf_x86_store(to + 2 * apart, pair, kept);
    }
    if (rows > 3) {
        mf_x86_store(to + 3 * apart, _mm_unpackhi_epi64(pair, pair), kept);
    }
}

/* Two taps of 16 channels as two vectors of 8 channels with two taps each. */
TARGET static inline void interleave(const vector *taps, vector *channels) {
    channels[0] = _mm256_unpacklo_epi16(taps[0], taps[1]);
    channels[1] = _mm256_unpackhi_epi16(taps[0], taps[1]);
}

#include "x86_kernels.h"

/* The codes of up to 16 channels, back in order. */
TARGET static inline void store_interleaved(int8_t *to, const vector *sums, const limits *clamps,
                                            int32_t count) {
    vector a = narrow(sums[0], sums[1], clamps);
    vector codes = _mm256_permute4x64_epi64(clamp(a, a, clamps), 0xd8);
    mf_x86_store(to, _mm256_castsi256_si128(codes), count);
}

const mf_x86_kernels mf_x86_avx2 = {.conv = conv, .depthwise = depthwise, .add = add};

#endif
