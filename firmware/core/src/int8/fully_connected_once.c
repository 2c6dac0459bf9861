#include "fixed_point.h"

/* Beyond this the code is clamped whatever the zero point. */
#define FAR 1024.0

static int32_t rounded(double x) {
    x = x < -FAR ? -FAR : x;
    x = x > FAR ? FAR : x;
    int32_t whole = (int32_t)x;
    double rest = x - whole; /* exact */
    return whole + (rest >= 0.5) - (rest <= -0.5);
}

void mf_int8_fully_connected_once(const mf_int8_dense *p, const mf_int8_once_filter *filter,
                                  const int8_t *input, int8_t *output) {
    for (int32_t row = 0; row < p->rows; row++, input += p->inputs) {
        const int8_t *weights = filter->weights;
        for (int32_t c = 0; c < p->outputs; c++, weights += p->inputs) {
            int32_t sum = filter->bias[c];
            for (int32_t i = 0; i < p->inputs; i++) {
                sum = mf_wrapping_add(sum, (input[i] - p->input_zero) * weights[i]);
            }
            *output++ = mf_to_code(rounded(sum * filter->scales[c]), &p->range);
        }
    }
}
