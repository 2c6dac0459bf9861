#include <string.h>

#include "microfed/int8.h"
#include "x86.h"

/* The memory that a place is in, at the place; NULL for nowhere.  Steps write to the arena. */
static const void *at(const mf_int8_plan *plan, uint8_t *arena, mf_int8_place place) {
    switch (place.memory) {
    case MF_INT8_ARENA:
        return arena + place.offset;
    case MF_INT8_MODEL:
        return plan->model + place.offset;
    case MF_INT8_DERIVED:
        return plan->derived + place.offset;
    default:
        return NULL;
    }
}

static void run_step(const mf_int8_plan *plan, const mf_int8_step *s, uint8_t *arena) {
    const int8_t *input = at(plan, arena, s->input[0]);
    const int8_t *second = at(plan, arena, s->input[1]);
    int8_t *output = (void *)(arena + s->output.offset);
    const mf_int8_filter filter = {
        .weights = at(plan, arena, s->weights),
        .bias = at(plan, arena, s->bias),
        .multipliers = at(plan, arena, s->multipliers),
        .shifts = at(plan, arena, s->shifts),
    };
    switch (s->kind) {
    case MF_INT8_CONV_2D:
        mf_int8_conv_2d(&s->with.conv, &filter, input, output);
        break;
    case MF_INT8_DEPTHWISE_CONV_2D:
        mf_int8_depthwise_conv_2d(&s->with.conv, &filter, input, output);
        break;
    case MF_INT8_FULLY_CONNECTED:
        mf_int8_fully_connected(&s->with.dense, &filter, input, output);
        break;
    case MF_INT8_AVERAGE_POOL_2D:
        mf_int8_average_pool_2d(&s->with.pool, input, output);
        break;
    case MF_INT8_MAX_POOL_2D:
        mf_int8_max_pool_2d(&s->with.pool, input, output);
        break;
    case MF_INT8_MEAN:
        mf_int8_mean(&s->with.mean, input, output);
        break;
    case MF_INT8_ADD:
        mf_int8_add(&s->with.sum, input, second, output);
        break;
    case MF_INT8_MUL:
        mf_int8_mul(&s->with.product, input, second, output);
        break;
    case MF_INT8_COPY:
        mf_int8_copy(&s->with.move, input, output);
        break;
    case MF_INT8_FILL:
        mf_int8_fill(&s->with.filling, output);
        break;
    case MF_INT8_SOFTMAX:
        mf_int8_softmax(&s->with.softmax, input, output);
        break;
    case MF_INT8_LOOKUP:
        mf_int8_lookup(&s->with.lookup, second, input, output);
        break;
    case MF_INT8_REQUANTIZE:
        mf_int8_requantize(&s->with.rescale, input, output);
        break;
    case MF_INT8_QUANTIZE:
        mf_int8_quantize(&s->with.real, (const void *)input, output);
        break;
    default: /* MF_INT8_DEQUANTIZE */
        mf_int8_dequantize(&s->with.real, input, (void *)output);
    }
}

mf_status mf_int8_run(const mf_int8_plan *plan, const void *input, void *output, uint32_t count,
                      void *arena) {
    uint8_t *memory = arena;
    if ((uintptr_t)arena % MF_ALIGN != 0) {
        return MF_MISALIGNED;
    }
    for (uint32_t n = 0; n < count; n++) {
        const uint8_t *from = (const uint8_t *)input + (size_t)n * plan->input_size;
        uint8_t *to = (uint8_t *)output + (size_t)n * plan->output_size;
        memcpy(memory + plan->input, from, plan->input_size);
        for (uint32_t i = 0; i < plan->step_count; i++) {
            if (!mf_int8_run_packed(plan, i, memory)) {
                run_step(plan, &plan->steps[i], memory);
            }
        }
        memcpy(to, memory + plan->output, plan->output_size);
    }
    return MF_OK;
}
