#include "train/stored.h"

#include <string.h>

#include "kernels/fma.h"

enum { WORD = 32 }; /* bits of a word of the mask */

static int32_t least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* The number of the lowest bit of a word that is not 0. */
static int32_t lowest(uint32_t word) {
#if defined(__GNUC__)
    return __builtin_ctz(word);
#else
    int32_t bit = 0;
    for (; (word & 1u) == 0; word >>= 1) {
        bit++;
    }
    return bit;
#endif
}

/* The end of the word of the mask that bit `at` lies in, or `to` if that comes first. */
static int32_t word_end(int32_t at, int32_t to) {
    return least((at / WORD + 1) * WORD, to);
}

/* The bits [at, end) of one word, the first of them lowest. */
static uint32_t bits_from(const uint32_t *mask, int32_t at, int32_t end) {
    const uint32_t bits = mask[at / WORD] >> (at % WORD);
    return end - at < WORD ? bits & ((UINT32_C(1) << (end - at)) - 1u) : bits;
}

int32_t mf_unpruned(const mf_stored *stored, int32_t from, int32_t to) {
    if (stored->mask == NULL) {
        return to - from;
    }
    int32_t count = 0;
    for (int32_t at = from, end; at < to; at = end) {
        end = word_end(at, to);
        for (uint32_t bits = bits_from(stored->mask, at, end); bits != 0; bits &= bits - 1u) {
            count++;
        }
    }
    return count;
}

int32_t mf_expand(const mf_stored *stored, const float *unpruned, int32_t from, int32_t to,
                  float *weights) {
    const float *next = unpruned;
    if (stored->mask == NULL) {
        memcpy(weights, unpruned, (size_t)(to - from) * sizeof(float));
        return to - from;
    }
    memset(weights, 0, (size_t)(to - from) * sizeof(float));
    for (int32_t at = from, end; at < to; at = end) {
        end = word_end(at, to);
        float *word = weights + (at - from);
        for (uint32_t bits = bits_from(stored->mask, at, end); bits != 0; bits &= bits - 1u) {
            word[lowest(bits)] = *next++;
        }
    }
    return (int32_t)(next - unpruned);
}

int32_t mf_compress(const mf_stored *stored, const float *weights, int32_t from, int32_t to,
                    float *unpruned) {
    float *next = unpruned;
    if (stored->mask == NULL) {
        memcpy(unpruned, weights, (size_t)(to - from) * sizeof(float));
        return to - from;
    }
    for (int32_t at = from, end; at < to; at = end) {
        end = word_end(at, to);
        const float *word = weights + (at - from);
        for (uint32_t bits = bits_from(stored->mask, at, end); bits != 0; bits &= bits - 1u) {
            *next++ = word[lowest(bits)];
        }
    }
    return (int32_t)(next - unpruned);
}

/* Which of the scales is that of weight number i: outputs come first in the order of weights,
 * but last in that of a depthwise convolution. */
static int32_t channel_of(const mf_plan *plan, int32_t step, int32_t i) {
    if (plan->stored[step].scale_count == 1) {
        return 0;
    }
    const int32_t outputs = plan->steps[step].geometry.out_channels;
    return mf_is(plan->model->steps[step].kind, MF_DEPTHWISE)
               ? i % outputs
               : i / (plan->steps[step].weights / outputs);
}

static float stored_weight(const mf_plan *plan, int32_t step, int32_t i) {
    const mf_stored *stored = &plan->stored[step];
    return (float)stored->weights[i] * stored->scales[channel_of(plan, step, i)];
}

static float stored_bias(const mf_plan *plan, int32_t step, int32_t i) {
    const mf_stored *stored = &plan->stored[step];
    const float scale = stored->scales[stored->scale_count == 1 ? 0 : i] * stored->input_scale;
    return (float)stored->bias[i] * scale;
}

void mf_decode(const mf_plan *plan, int32_t step, int32_t from, int32_t to, float *weights) {
    const mf_stored *stored = &plan->stored[step];
    if (MF_SMALL || mf_is(plan->model->steps[step].kind, MF_DEPTHWISE)) {
        for (int32_t i = from; i < to; i++) {
            *weights++ = stored_weight(plan, step, i);
        }
        return;
    }
    const int32_t row = plan->steps[step].weights / plan->steps[step].geometry.out_channels;
    for (int32_t i = from; i < to;) {
        const float scale = stored->scales[channel_of(plan, step, i)];
        for (const int32_t end = least((i / row + 1) * row, to); i < end; i++) {
            *weights++ = (float)stored->weights[i] * scale;
        }
    }
}

void mf_decode_bias(const mf_plan *plan, int32_t step, float *bias) {
    for (int32_t i = 0; i < plan->steps[step].geometry.out_channels; i++) {
        bias[i] = stored_bias(plan, step, i);
    }
}

static bool is_unpruned(const mf_stored *stored, int32_t i) {
    return stored->mask == NULL || (stored->mask[i / WORD] >> (i % WORD) & 1u) != 0;
}

int32_t mf_stored_values(const mf_plan *plan, const mf_slot *slot, int32_t at, float *values) {
    const int32_t end = least(at + MF_STORED_AT_ONCE, slot->to);
    if (!MF_SMALL && slot->decays && plan->stored[slot->step].mask == NULL) {
        mf_decode(plan, slot->step, at, end, values);
        return end - at;
    }
    int32_t count = 0;
    for (int32_t i = at; i < end; i++) {
        if (!slot->decays) {
            values[count++] = stored_bias(plan, slot->step, i);
        } else if (is_unpruned(&plan->stored[slot->step], i)) {
            values[count++] = stored_weight(plan, slot->step, i);
        }
    }
    return count;
}

void mf_stored_squares(const mf_plan *plan, const mf_slot *slot, const float *g, float lanes[16]) {
    for (int32_t i = slot->from; i < slot->to; i++) {
        if (!slot->decays || is_unpruned(&plan->stored[slot->step], i)) {
            lanes[i % 16] = mf_fma(*g, *g, lanes[i % 16]);
            g++;
        }
    }
}
