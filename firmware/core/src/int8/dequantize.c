#include "microfed/int8.h"

void mf_int8_dequantize(const mf_int8_real *p, const int8_t *input, float *output) {
    for (int32_t i = 0; i < p->count; i++) {
        output[i] = p->scale * (float)(input[i] - p->zero_point);
    }
}
