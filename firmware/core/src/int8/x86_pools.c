#include "fixed_point.h"
#include "window.h"
#include "x86.h"

#if defined(__x86_64__)

#include "x86_store.h"

#define TARGET __attribute__((target("avx2")))
#define CHUNK  16 /* channels at once */

static int32_t at_most(int32_t count) {
    return count < CHUNK ? count : CHUNK;
}

TARGET static __m128i largest(const mf_int8_pool *p, const mf_taps *t, const int8_t *input) {
    __m128i most = _mm_set1_epi8(-128);
    for (int32_t y = t->top; y < t->bottom; y++) {
        for (int32_t x = t->left; x < t->right; x++) {
            const int8_t *codes = input + (y * p->input.width + x) * p->input.channels;
            most = _mm_max_epi8(most, _mm_loadu_si128((const void *)codes));
        }
    }
    return most;
}

TARGET void mf_x86_max_pool(const mf_int8_pool *p, const int8_t *input, int8_t *output) {
    const int32_t channels = p->input.channels;
    const __m128i low = _mm_set1_epi8((char)p->least), high = _mm_set1_epi8((char)p->most);
    for (int32_t y = 0; y < p->output.height; y++) {
        for (int32_t x = 0; x < p->output.width; x++, output += channels) {
            mf_taps t = mf_taps_inside(p, y, x);
            for (int32_t c = 0; c < channels; c += CHUNK) {
                __m128i codes = _mm_max_epi8(largest(p, &t, input + c), low);
                mf_x86_store(output + c, _mm_min_epi8(codes, high), at_most(channels - c));
            }
        }
    }
}

/* Add CHUNK codes each from `count` places `step` bytes apart. */
TARGET static void add_up(const int8_t *codes, int32_t count, int32_t step, __m256i sums[2]) {
    for (int32_t i = 0; i < count; i++, codes += step) {
        __m128i chunk = _mm_loadu_si128((const void *)codes);
        sums[0] = _mm256_add_epi32(sums[0], _mm256_cvtepi8_epi32(chunk));
        sums[1] = _mm256_add_epi32(sums[1], _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(chunk, chunk)));
    }
}

TARGET void mf_x86_average_pool(const mf_int8_pool *p, const int8_t *input, int8_t *output) {
    const int32_t channels = p->input.channels;
    const mf_int8_range range = {.zero_point = 0, .least = p->least, .most = p->most};
    for (int32_t y = 0; y < p->output.height; y++) {
        for (int32_t x = 0; x < p->output.width; x++, output += channels) {
            mf_taps t = mf_taps_inside(p, y, x);
            int32_t columns = t.right - t.left, count = (t.bottom - t.top) * columns;
            for (int32_t c = 0; c < channels; c += CHUNK) {
                __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
                int32_t totals[CHUNK];
                for (int32_t i = t.top; i < t.bottom; i++) {
                    const int8_t *line = input + (i * p->input.width + t.left) * channels + c;
                    add_up(line, columns, channels, sums);
                }
                _mm256_storeu_si256((void *)totals, sums[0]);
                _mm256_storeu_si256((void *)(totals + 8), sums[1]);
                for (int32_t k = 0; k < at_most(channels - c); k++) {
                    output[c + k] = mf_to_code(mf_average(totals[k], count), &range);
                }
            }
        }
    }
}

TARGET void mf_x86_mean(const mf_int8_mean_axis *p, const int8_t *input, int8_t *output) {
    for (int32_t o = 0; o < p->outer; o++, input += p->count * p->inner, output += p->inner) {
        for (int32_t c = 0; c < p->inner; c += CHUNK) {
            __m256i sums[2];
            int32_t totals[CHUNK];
            sums[0] = sums[1] = _mm256_set1_epi32(-p->input_zero * p->count);
            add_up(input + c, p->count, p->inner, sums);
            _mm256_storeu_si256((void *)totals, sums[0]);
            _mm256_storeu_si256((void *)(totals + 8), sums[1]);
            for (int32_t k = 0; k < at_most(p->inner - c); k++) {
                int32_t sum = mf_rescale(totals[k], p->scale.multiplier, p->scale.shift);
                output[c + k] = mf_to_code(sum, &p->range);
            }
        }
    }
}

#endif
