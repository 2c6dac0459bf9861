#include "difference.h"

#include <string.h>

#include "microfed/codec.h"

enum { STORED = 0, DEFLATED = 1, CODED = 2, CARRIED = 3, WHOLE = 4, LONGEST = 5 };

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

/* The nearest integer, halves to even; 0 for one that no difference begins at. */
static int32_t nearest(float value) {
    const float magnitude = value < 0.0f ? -value : value;
    if (!(magnitude < 1073741824.0f)) { /* 2^30, or not a number */
        return 0;
    }
    const float unit = value < 0.0f ? -8388608.0f : 8388608.0f; /* 2^23: its ulp is 1 */
    return (int32_t)(magnitude < 8388608.0f ? value + unit - unit : value);
}

/* Give the codes of one scale those of another that are nearest to the same values. */
static void carry_over(const mf_node_model *model, int32_t scale, float ratio, int32_t *codes) {
    for (int32_t k = 0; k < model->tensor_count; k++) {
        const mf_parameters *t = &model->tensors[k];
        const int32_t channel = scale - t->scale;
        if (channel < 0 || channel >= t->scale_count) {
            codes += model->bounds[k + 1] - model->bounds[k];
            continue;
        }
        for (int32_t i = 0; i < t->count; i++) {
            if (mf_is_masked(t, i)) {
                continue;
            }
            if (i / t->inner % t->scale_count == channel) {
                *codes = nearest((float)*codes * ratio);
            }
            codes++;
        }
    }
}

/* Read the scales that change; `codes` are carried over to them, NULL: not. */
static bool read_scales(source *s, const mf_node_model *model, float *scales, int32_t *codes) {
    int64_t changed = number(s), index = -1;
    if (changed < 0 || changed > model->scale_count) {
        return false;
    }
    for (; changed > 0; changed--) {
        const int64_t gap = number(s);
        float scale;
        index += gap + 1;
        if (gap < 0 || index >= model->scale_count || !read_scale(s, &scale)) {
            return false;
        }
        if (codes != NULL && scale != scales[index]) {
            carry_over(model, (int32_t)index, scales[index] / scale, codes);
        }
        scales[index] = scale;
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
    if (size == 0 || data[0] > WHOLE) {
        return MF_BAD_DATA;
    }
    source s = {data + 1, data + size, NULL};
    if (data[0] == DEFLATED) {
        mf_inflate_begin(stream, s.at, size - 1);
        s.stream = stream;
    }
    if (data[0] == WHOLE) {
        memset(codes, 0, (size_t)count * sizeof *codes);
    }
    if (!read_scales(&s, model, scales, data[0] == CARRIED ? codes : NULL)) {
        return MF_BAD_DATA;
    }
    if (data[0] >= CODED) {
        const int32_t bounds[2] = {0, count};
        return mf_decode_codes(s.at, (int32_t)(s.end - s.at), bounds, 1, codes);
    }
    return read_codes(&s, codes, count) ? MF_OK : MF_BAD_DATA;
}
