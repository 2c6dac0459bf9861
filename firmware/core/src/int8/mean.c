#include "fixed_point.h"

void mf_int8_mean(const mf_int8_mean_axis *p, const int8_t *input, int8_t *output) {
    for (int32_t o = 0; o < p->outer; o++, input += p->count * p->inner) {
        for (int32_t c = 0; c < p->inner; c++) {
            int32_t sum = -p->input_zero * p->count;
            for (int32_t i = 0; i < p->count; i++) {
                sum += input[i * p->inner + c];
            }
            sum = mf_rescale(sum, p->scale.multiplier, p->scale.shift);
            *output++ = mf_to_code(sum, &p->range);
        }
    }
}
