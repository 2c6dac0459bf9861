/* The numbers of a base file: weights, of which many are 0, and wider ones. */
#include "codec/symbols.h"
#include "microfed/codec.h"

enum { ABOVE = 127 }; /* the largest magnitude − 1; most have as many bits */

static int32_t code_weight(mf_coder *coder, int32_t weight) {
    if (weight < INT8_MIN || weight > INT8_MAX) {
        coder->bad = 1;
        return weight;
    }
    if (mf_code_number(coder, MF_COUNTS, weight != 0, 1, 1) == 0) {
        return 0;
    }
    const uint32_t negative = mf_code_plain(coder, weight < 0, 1);
    const uint32_t magnitude = (uint32_t)(weight < 0 ? -weight : weight);
    const uint32_t above = magnitude == 0 ? 0 : magnitude - 1; /* 0: it is being read */
    const int32_t found = (int32_t)mf_code_number(coder, MF_LEVELS, above, ABOVE, ABOVE) + 1;
    if (!negative && found > INT8_MAX) {
        coder->bad = 1;
    }
    return negative ? -found : found;
}

/* `last` is the number before it as it was written, sign and all. */
static int32_t code_wide(mf_coder *coder, int32_t number, uint32_t *last) {
    const uint32_t sign = number < 0 ? UINT32_MAX : 0;
    *last = mf_code_number(coder, MF_GAPS, (uint32_t)number << 1 ^ sign, UINT32_MAX, *last);
    return (int32_t)(*last >> 1 ^ (0u - (*last & 1)));
}

/* Write the numbers, or read over them. */
static void code(mf_coder *coder, const int32_t *bounds, const uint8_t *wide, int32_t runs,
                 int32_t *numbers) {
    for (int32_t t = 0; t < runs; t++) {
        uint32_t last = 0;
        for (int32_t i = bounds[t]; i < bounds[t + 1] && !coder->bad; i++) {
            const int32_t known = coder->direction == MF_READING ? 0 : numbers[i];
            numbers[i] = wide[t] ? code_wide(coder, known, &last) : code_weight(coder, known);
        }
    }
    mf_finish(coder);
}

mf_status mf_encode_numbers(int32_t *numbers, const int32_t *bounds, const uint8_t *wide,
                            int32_t runs, int32_t capacity, uint8_t *data, int32_t *size) {
    if (!mf_bounds_fit(bounds, runs) || capacity < 0) {
        return MF_BAD_ARGUMENT;
    }
    mf_coder coder;
    mf_begin_writing(&coder, data, capacity, 0);
    code(&coder, bounds, wide, runs, numbers);
    *size = coder.at;
    return coder.bad ? MF_NO_MEMORY : MF_OK;
}

mf_status mf_decode_numbers(const uint8_t *data, int32_t size, const int32_t *bounds,
                            const uint8_t *wide, int32_t runs, int32_t *numbers) {
    if (!mf_bounds_fit(bounds, runs) || size < 0) {
        return MF_BAD_ARGUMENT;
    }
    mf_coder coder;
    mf_begin_reading(&coder, data, size);
    code(&coder, bounds, wide, runs, numbers);
    return coder.bad ? MF_BAD_DATA : MF_OK;
}
