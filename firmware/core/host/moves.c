#include "moves.h"

#include <string.h>

mf_status mf_find_moves(const int32_t *from, const int32_t *to, const uint8_t *mask, int32_t n,
                        int64_t *moves, double *often, mf_moves *found) {
    int32_t counts[MF_RARE + 1], count = 0, kinds = 0;
    int64_t largest = 0, strayed = 0;
    memset(counts, 0, sizeof counts);
    for (int32_t i = 0; i < n; i++) { /* no branch: a mask is as irregular as weights are */
        const int64_t move = (int64_t)to[i] - (from == NULL ? 0 : from[i]);
        const int kept = mask[i] != 0;
        moves[count] = move;
        count += kept;
        strayed |= kept ? 0 : move;
        const int64_t magnitude = kept ? (move < 0 ? -move : move) : 0;
        largest = magnitude > largest ? magnitude : largest;
        counts[magnitude < MF_RARE ? magnitude : MF_RARE]++;
    }
    if (from != NULL && strayed != 0) {
        return MF_BAD_ARGUMENT;
    }
    counts[0] -= n - count;
    *found = (mf_moves){largest, count, count - counts[0], 0};
    for (int32_t i = 0; i <= MF_RARE && i <= largest; i++) {
        often[kinds] = counts[i];
        kinds += counts[i] != 0;
    }
    found->kinds = kinds;
    return MF_OK;
}

size_t mf_write_moves(const int64_t *moves, int32_t count, uint8_t *data) {
    uint8_t *at = data;
    for (int32_t i = 0; i < count; i++) {
        uint64_t zigzag = (uint64_t)moves[i] << 1 ^ (moves[i] < 0 ? UINT64_MAX : 0);
        for (int bytes = 1; zigzag > 127 && bytes < MF_MOVE_BYTES; bytes++) {
            *at++ = (uint8_t)(zigzag | 128);
            zigzag >>= 7;
        }
        *at++ = (uint8_t)zigzag;
    }
    return (size_t)(at - data);
}

/* The byte behind the move that begins at `at`; NULL where `end` comes first or it is too long. */
static const uint8_t *read(const uint8_t *at, const uint8_t *end, int64_t *move) {
    uint64_t zigzag = 0;
    for (int shift = 0; shift < 7 * MF_MOVE_BYTES && at < end; shift += 7) {
        const uint8_t byte = *at++;
        zigzag |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *move = (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1);
            return at;
        }
    }
    return NULL;
}

/* Whether the code can move so far; it does then. */
static int add(int32_t *code, int64_t move) {
    const int64_t moved = *code + move;
    if (moved < INT32_MIN || moved > INT32_MAX) {
        return 0;
    }
    *code = (int32_t)moved;
    return 1;
}

mf_status mf_read_moves(const uint8_t *data, size_t size, const uint8_t *mask, int32_t n,
                        int32_t *codes) {
    const uint8_t *at = data, *end = data + size;
    for (int32_t i = 0; i < n; i++) {
        int64_t move;
        if (mask[i] == 0) {
            continue;
        }
        at = read(at, end, &move);
        if (at == NULL || !add(&codes[i], move)) {
            return MF_BAD_DATA;
        }
    }
    return at == end ? MF_OK : MF_BAD_DATA;
}

mf_status mf_add_moves(const int32_t *moves, int32_t count, const uint8_t *mask, int32_t n,
                       int32_t *codes) {
    int32_t at = 0;
    for (int32_t i = 0; i < n; i++) {
        if (mask[i] == 0) {
            continue;
        }
        if (at == count) {
            return MF_BAD_ARGUMENT;
        }
        if (!add(&codes[i], moves[at++])) {
            return MF_BAD_DATA;
        }
    }
    return at == count ? MF_OK : MF_BAD_ARGUMENT;
}

/* The nearest integer, halves to even; 0 for one that no difference begins at. */
static int32_t nearest(float value) {
    const float magnitude = value < 0.0f ? -value : value;
    if (!(magnitude < 1073741824.0f)) { /* 2^30, or not a number */
        return 0;
    }
    const float unit = value < 0.0f ? -8388608.0f : 8388608.0f; /* 2^23: its ulp is 1 */
    return (int32_t)(magnitude < 8388608.0f ? value + unit - unit : value);
}

mf_status mf_carry_codes(const uint8_t *changed, const float *ratios, int32_t scales,
                         const int32_t *channels, const uint8_t *mask, int32_t n, int32_t *codes,
                         int32_t *carried) {
    *carried = 0;
    for (int32_t i = 0; i < n; i++) {
        const int32_t channel = channels[i];
        if (channel < 0 || channel >= scales) {
            return MF_BAD_ARGUMENT;
        }
        if (mask[i] != 0 && changed[channel] != 0) {
            codes[i] = nearest((float)codes[i] * ratios[channel]);
            ++*carried;
        }
    }
    return MF_OK;
}
