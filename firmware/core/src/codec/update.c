/* Updates: which values are sent, and how exactly. */
#include <stddef.h>

#include "codec/steps.h"
#include "codec/symbols.h"
#include "microfed/codec.h"

enum {
    MOST_LEVEL = 65535,
    OFFSET_BITS = 3,
};

/* An update as symbols: values of at least the magnitude `least` as levels of one step. */
typedef struct {
    const float *delta;
    float *values;
    float factor;
    uint32_t least; /* the bits of a float, which are ordered as the floats are */
    uint32_t offset;
    float step;
} update;

/* Eighths of a step in a value's magnitude, rounded down. */
static uint32_t eighths(const update *u, float value) {
    return (uint32_t)(mf_float_of(mf_size_of(value)) / u->step * 8.0f);
}

static int32_t find(const void *of, int32_t from, int32_t to) {
    const update *u = of;
    while (from < to && mf_size_of(u->delta[from]) < u->least) {
        from++;
    }
    return from;
}

static int32_t get(const void *of, int32_t at) {
    const update *u = of;
    const int32_t level = (int32_t)(eighths(u, u->delta[at]) >> 3);
    return u->delta[at] < 0.0f ? -level : level;
}

static int put(void *of, int32_t at, int32_t symbol) {
    update *u = of;
    const uint32_t level = (uint32_t)(symbol < 0 ? -symbol : symbol);
    const float value = (float)(16u * level + 2u * u->offset + 1u) * (u->step * 0.0625f);
    u->values[at] += u->factor * (symbol < 0 ? -value : value);
    return 1;
}

static void code(mf_coder *coder, update *u, uint32_t step, const int32_t *bounds, int32_t runs) {
    const mf_symbols symbols = {find, get, put, u, MOST_LEVEL};
    step = mf_code_plain(coder, step, MF_STEP_BITS);
    u->step = mf_float_of(mf_step_bits(step));
    u->offset = mf_code_plain(coder, u->offset, OFFSET_BITS);
    mf_code_symbols(coder, &symbols, bounds, runs);
    mf_finish(coder);
}

/* Where in a step the sent values lie on average, in eighths, rounded down. */
static uint32_t mean_offset(const update *u, int32_t n) {
    uint64_t sum = 0;
    uint32_t count = 0, mean = 0;
    for (int32_t i = find(u, 0, n); i < n; i = find(u, i + 1, n)) {
        sum += eighths(u, u->delta[i]) & 7u;
        count++;
    }
    while (count > 0 && (uint64_t)(mean + 1) * count <= sum) { /* 7 at most: not worth dividing */
        mean++;
    }
    return mean;
}

/* Write the update without the values below `least`, or count its bytes; whether it fits. */
static int write(const float *delta, const int32_t *bounds, int32_t runs, uint32_t least,
                 uint8_t *data, int32_t *size) {
    const uint32_t step = mf_step_for(least);
    update u = {delta, NULL, 0.0f, least, 0, mf_float_of(mf_step_bits(step))};
    u.offset = mean_offset(&u, bounds[runs]);
    mf_coder coder;
    mf_begin_writing(&coder, data, *size, data == NULL);
    code(&coder, &u, step, bounds, runs);
    if (data != NULL) {
        *size = coder.at;
    }
    return !coder.bad;
}

mf_status mf_encode_update(const float *delta, const int32_t *bounds, int32_t runs, int32_t budget,
                           uint8_t *data, int32_t *size) {
    if (!mf_bounds_fit(bounds, runs) || budget < MF_LEAST_BUDGET) {
        return MF_BAD_ARGUMENT;
    }
    const uint32_t top = mf_largest(delta, bounds[runs]);
    if (top >= MF_LARGEST) {
        return MF_BAD_ARGUMENT;
    }
    /* no level may be above MOST_LEVEL, and no step below the smallest */
    const int32_t half = MOST_LEVEL / 2;
    uint32_t low = mf_bits_of(mf_float_of(top) / (float)half), high = MF_LARGEST;
    if (low < mf_step_bits(0)) {
        low = mf_step_bits(0);
    }
    if (write(delta, bounds, runs, low, NULL, &budget)) {
        high = low;
    }
    while (high - low > 1 && high > low) {
        const uint32_t middle = low + (high - low) / 2;
        if (write(delta, bounds, runs, middle, NULL, &budget)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    *size = budget;
    write(delta, bounds, runs, high, data, size);
    return MF_OK;
}

mf_status mf_decode_update(const uint8_t *data, int32_t size, const int32_t *bounds, int32_t runs,
                           float factor, float *values) {
    if (!mf_bounds_fit(bounds, runs) || size < 0) {
        return MF_BAD_ARGUMENT;
    }
    update u = {NULL, values, factor, 0, 0, 0.0f};
    mf_coder coder;
    mf_begin_reading(&coder, data, size);
    code(&coder, &u, 0, bounds, runs);
    return coder.bad ? MF_BAD_DATA : MF_OK;
}
