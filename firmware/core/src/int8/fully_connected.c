#include "fixed_point.h"

void mf_int8_fully_connected(const mf_int8_dense *p, const mf_int8_filter *filter,
                             const int8_t *input, int8_t *output) {
    for (int32_t row = 0; row < p->rows; row++, input += p->inputs) {
        const int8_t *weights = filter->weights;
        for (int32_t c = 0; c < p->outputs; c++, weights += p->inputs) {
            int32_t sum = 0;
            for (int32_t i = 0; i < p->inputs; i++) {
                sum = mf_wrapping_add(sum, (input[i] - p->input_zero) * weights[i]);
            }
            *output++ = mf_channel_code(filter, c, p->per_channel, sum, &p->range);
        }
    }
}
