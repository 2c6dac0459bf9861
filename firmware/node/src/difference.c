#include "difference.h"

#include <string.h>

#include "microfed/codec.h"

enum { STORED = 0, DEFLATED = 1, CODED = 2, LONGEST = 5 };

/* Where bytes come from: as they lie, or out of a stream. */
typedef struct {
    const uint8_t *at, *end;
    mf_inflate *stream; /* NULL: as they lie */
} source;

/* The next byte, or a negative number. */
static int32_t next(source *s) {
    if (s->stream != NULL) {
        return mf_inflate_next(s->stream);
    }
    return s->at < s->end ? *s->at++ : -1;
}

static bool is_at_end(source *s) {
    return s->stream != NULL ? mf_inflate_next(s->stream) == MF_INFLATE_END : s->at == s->end;
}

/* An unsigned number in LEB128, of at most five bytes; −1: there is none. */
static int64_t number(source *s) {
    int64_t value = 0;
    for (int i = 0; i < LONGEST; i++) {
        const int32_t byte = next(s);
        if (byte < 0) {
            return -1;
        }
        value |= (int64_t)(byte & 127) << 7 * i;
        if (byte < 128) {
            return value;
        }
    }
    return -1;
}

/* Read one float, positive and finite. */
static bool read_scale(source *s, float *scale) {
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++) {
        const int32_t byte = next(s);
        if (byte < 0) {
            return false;
        }
        bits |= (uint32_t)byte << 8 * i;
    }
    memcpy(scale, &bits, sizeof *scale);
    return bits != 0 && bits < 0x7F800000u;
}

static bool read_scales(source *s, float *scales, int32_t count) {
    int64_t changed = number(s), index = -1;
    if (changed < 0 || changed > count) {
        return false;
    }
    for (; changed > 0; changed--) {
        const int64_t gap = number(s);
        index += gap + 1;
        if (gap < 0 || index >= count || !read_scale(s, &scales[index])) {
            return false;
        }
    }
    return true;
}

static bool read_codes(source *s, int32_t *codes, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        const int64_t zigzag = number(s);
        const int64_t code = codes[i] + ((zigzag >> 1) ^ -(zigzag & 1));
        if (zigzag < 0 || code < INT32_MIN || code > INT32_MAX) {
            return false;
        }
        codes[i] = (int32_t)code;
    }
    return is_at_end(s);
}

mf_status mf_difference_apply(const mf_node_model *model, const uint8_t *data, uint32_t size,
                              int32_t *codes, float *scales, mf_inflate *stream) {
    const int32_t count = mf_unmasked(model);
    if (size == 0 || data[0] > CODED) {
        return MF_BAD_DATA;
    }
    source s = {data + 1, data + size, NULL};
    if (data[0] == DEFLATED) {
        mf_inflate_begin(stream, s.at, size - 1);
        s.stream = stream;
    }
    if (!read_scales(&s, scales, model->scale_count)) {
        return MF_BAD_DATA;
    }
    if (data[0] == CODED) {
        const int32_t bounds[2] = {0, count};
        return mf_decode_codes(s.at, (int32_t)(s.end - s.at), bounds, 1, codes);
    }
    return read_codes(&s, codes, count) ? MF_OK : MF_BAD_DATA;
}
