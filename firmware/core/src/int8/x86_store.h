/* Storing fewer codes than a vector has. */
#ifndef MICROFED_INT8_X86_STORE_H
#define MICROFED_INT8_X86_STORE_H

#include <immintrin.h>
#include <stdint.h>

/* The first `count` of 16 codes, 1 … 16. */
__attribute__((target("avx2"))) static inline void mf_x86_store(int8_t *to, __m128i codes,
                                                                int32_t count) {
    if (count >= 16) {
        _mm_storeu_si128((void *)to, codes);
        return;
    }
    if (count & 8) {
        _mm_storel_epi64((void *)to, codes);
        codes = _mm_srli_si128(codes, 8);
        to += 8;
    }
    int64_t rest = _mm_cvtsi128_si64(codes);
    for (int32_t i = 0; i < (count & 7); i++, rest >>= 8) {
        to[i] = (int8_t)rest;
    }
}

#endif
