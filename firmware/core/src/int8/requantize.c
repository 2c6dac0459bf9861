#include "fixed_point.h"

void mf_int8_requantize(const mf_int8_rescale *p, const int8_t *input, int8_t *output) {
    for (int32_t i = 0; i < p->count; i++) {
        int32_t code = mf_rescale(input[i] - p->input_zero, p->scale.multiplier, p->scale.shift);
        output[i] = mf_to_code(code, &p->range);
    }
}
