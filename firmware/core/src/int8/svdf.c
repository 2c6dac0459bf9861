#include <string.h>

#include "fixed_point.h"

/* Move the rows of the state on by one code, and put the sums of the input at their ends. */
static void remember(const mf_int8_svdf_layer *p, const int8_t *weights, const int8_t *input,
                     int16_t *state) {
    for (int32_t row = 0; row < p->units * p->rank; row++, state += p->memory) {
        int32_t sum = 0;
        for (int32_t i = 0; i < p->inputs; i++) {
            sum = mf_wrapping_add(sum, (input[i] - p->input_zero) * *weights++);
        }
        sum = mf_rescale(sum, p->feature_scale.multiplier, p->feature_scale.shift);
        sum = sum < INT16_MIN ? INT16_MIN : sum;
        sum = sum > INT16_MAX ? INT16_MAX : sum;
        memmove(state, state + 1, sizeof *state * (size_t)(p->memory - 1));
        state[p->memory - 1] = (int16_t)sum;
    }
}

void mf_int8_svdf(const mf_int8_svdf_layer *p, const mf_int8_svdf_filter *filter,
                  const int8_t *input, int16_t *state, int8_t *output) {
    const int16_t *weights = filter->time_weights;
    remember(p, filter->weights, input, state);
    for (int32_t unit = 0; unit < p->units; unit++) {
        int32_t sum = filter->bias[unit];
        for (int32_t i = 0; i < p->rank * p->memory; i++) {
            sum = mf_wrapping_add(sum, *weights++ * *state++);
        }
        sum = mf_rescale(sum, p->scale.multiplier, p->scale.shift);
        *output++ = mf_to_code(sum, &p->range);
    }
}
