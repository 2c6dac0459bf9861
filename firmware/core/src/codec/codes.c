/* Differences of int8 codes: what a model version is told by. */
#include <stddef.h>

#include "codec/symbols.h"
#include "microfed/codec.h"

#define MOST (1 << 30)

static int32_t find(const void *of, int32_t from, int32_t to) {
    const int32_t *differences = of;
    while (from < to && differences[from] == 0) {
        from++;
    }
    return from;
}

static int32_t get(const void *of, int32_t at) {
    return ((const int32_t *)of)[at];
}

static int put(void *of, int32_t at, int32_t symbol) {
    int32_t *code = (int32_t *)of + at;
    if (symbol > 0 ? *code > INT32_MAX - symbol : *code < INT32_MIN - symbol) {
        return 0;
    }
    *code += symbol;
    return 1;
}

mf_status mf_encode_codes(const int32_t *differences, const int32_t *bounds, int32_t runs,
                          int32_t capacity, uint8_t *data, int32_t *size) {
    if (!mf_bounds_fit(bounds, runs) || capacity < 0) {
        return MF_BAD_ARGUMENT;
    }
    for (int32_t i = 0; i < bounds[runs]; i++) {
        if (differences[i] > MOST || differences[i] < -MOST) {
            return MF_BAD_ARGUMENT;
        }
    }
    const mf_symbols symbols = {find, get, put, (void *)(uintptr_t)differences, MOST};
    mf_coder coder;
    mf_begin_writing(&coder, data, capacity, 0);
    mf_code_symbols(&coder, &symbols, bounds, runs);
    mf_finish(&coder);
    *size = coder.at;
    return coder.bad ? MF_NO_MEMORY : MF_OK;
}

mf_status mf_decode_codes(const uint8_t *data, int32_t size, const int32_t *bounds, int32_t runs,
                          int32_t *codes) {
    if (!mf_bounds_fit(bounds, runs) || size < 0) {
        return MF_BAD_ARGUMENT;
    }
    const mf_symbols symbols = {find, get, put, codes, MOST};
    mf_coder coder;
    mf_begin_reading(&coder, data, size);
    mf_code_symbols(&coder, &symbols, bounds, runs);
    mf_finish(&coder);
    return coder.bad ? MF_BAD_DATA : MF_OK;
}
