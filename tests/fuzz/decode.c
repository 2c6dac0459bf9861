/* Any bytes at all into the decoders: a status, never a fault.
 *
 * The first three bytes choose the model (runs and their sizes), the rest is the message. What
 * decodes is encoded and decoded again, which must give the same. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "microfed/codec.h"
#include "moves.h"

enum { RUNS = 4, MOST = 4 * 1024 };

static void updates(const uint8_t *data, int32_t size, const int32_t *bounds) {
    const size_t bytes = (size_t)bounds[RUNS] * sizeof(float);
    float *values = calloc(bytes + 1, 1);
    if (mf_decode_update(data, size, bounds, RUNS, 1.0f, values) == MF_OK) {
        uint8_t again[64];
        int32_t written = 0;
        if (mf_encode_update(values, bounds, RUNS, (int32_t)sizeof again, again, &written) ==
            MF_OK) {
            assert(written > 0 && written <= (int32_t)sizeof again);
            assert(mf_decode_update(again, written, bounds, RUNS, -1.0f, values) == MF_OK);
        }
    }
    free(values);
}

static void peaks(const uint8_t *data, int32_t size, int32_t n) {
    float *values = calloc((size_t)n * sizeof(float) + 1, 1);
    if (mf_decode_peaks(data, size, n, values) == MF_OK) {
        uint8_t again[64];
        int32_t written = 0;
        assert(mf_encode_peaks(values, n, data[0], (int32_t)sizeof again, again, &written) ==
               MF_OK);
        assert(written > 0 && written <= (int32_t)sizeof again);
        assert(mf_decode_peaks(again, written, n, values) == MF_OK);
    }
    free(values);
}

static void codes(const uint8_t *data, int32_t size, const int32_t *bounds) {
    const size_t bytes = (size_t)bounds[RUNS] * sizeof(int32_t);
    int32_t *found = calloc(bytes + 1, 1), *back = calloc(bytes + 1, 1);
    if (mf_decode_codes(data, size, bounds, RUNS, found) == MF_OK) {
        const int32_t capacity = 16 + 9 * bounds[RUNS];
        uint8_t *again = malloc((size_t)capacity);
        int32_t written = 0;
        assert(mf_encode_codes(found, bounds, RUNS, capacity, again, &written) == MF_OK);
        assert(mf_decode_codes(again, written, bounds, RUNS, back) == MF_OK);
        assert(memcmp(found, back, bytes) == 0);
        free(again);
    }
    free(found);
    free(back);
}

static void numbers(const uint8_t *data, int32_t size, const int32_t *bounds) {
    static const uint8_t wide[RUNS] = {0, 1, 0, 1};
    const size_t bytes = (size_t)bounds[RUNS] * sizeof(int32_t);
    int32_t *found = calloc(bytes + 1, 1), *back = calloc(bytes + 1, 1);
    if (mf_decode_numbers(data, size, bounds, wide, RUNS, found) == MF_OK) {
        const int32_t capacity = 16 + 10 * bounds[RUNS];
        uint8_t *again = malloc((size_t)capacity);
        int32_t written = 0;
        assert(mf_encode_numbers(found, bounds, wide, RUNS, capacity, again, &written) == MF_OK);
        assert(mf_decode_numbers(again, written, bounds, wide, RUNS, back) == MF_OK);
        assert(memcmp(found, back, bytes) == 0);
        free(again);
    }
    free(found);
    free(back);
}

/* What moves codes from zeros to others takes zeros there again, in bytes of its own. */
static void moves(const uint8_t *data, int32_t size, int32_t n, uint8_t every) {
    int32_t *found = calloc((size_t)n * sizeof(int32_t) + 1, 1);
    int32_t *back = calloc((size_t)n * sizeof(int32_t) + 1, 1);
    uint8_t *mask = malloc((size_t)n + 1);
    for (int32_t i = 0; i < n; i++) {
        mask[i] = i % (every + 1) == 0;
    }
    if (mf_read_moves(data, (size_t)size, mask, n, found) == MF_OK) {
        int64_t *values = malloc((size_t)n * sizeof(int64_t) + 1);
        uint8_t *again = malloc((size_t)n * MF_MOVE_BYTES + 1);
        double often[MF_RARE + 1];
        mf_moves all;
        assert(mf_find_moves(back, found, mask, n, values, often, &all) == MF_OK);
        const size_t written = mf_write_moves(values, all.count, again);
        assert(written <= (size_t)size); /* who wrote `data` may have taken more than it needs */
        assert(mf_read_moves(again, written, mask, n, back) == MF_OK);
        assert(memcmp(found, back, (size_t)n * sizeof(int32_t)) == 0);
        free(again);
        free(values);
    }
    free(mask);
    free(back);
    free(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) {
        return 0;
    }
    const int32_t n = (data[0] | data[1] << 8) % MOST;
    const int32_t bounds[RUNS + 1] = {0, n * (data[2] & 15) / 32, n / 2, n / 2, n};
    uint8_t *message = malloc(size - 2); /* of its own size: reading behind it is a fault */
    memcpy(message, data + 3, size - 3);
    updates(message, (int32_t)size - 3, bounds);
    codes(message, (int32_t)size - 3, bounds);
    numbers(message, (int32_t)size - 3, bounds);
    peaks(message, (int32_t)size - 3, n);
    moves(message, (int32_t)size - 3, n % 64, data[2] >> 4);
    free(message);
    return 0;
}
