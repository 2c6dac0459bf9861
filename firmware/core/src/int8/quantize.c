#include "microfed/int8.h"

/* Beyond this the code is clamped whatever the zero point. */
#define FAR 1024.0f

void mf_int8_quantize(const mf_int8_real *p, const float *input, int8_t *output) {
    for (int32_t i = 0; i < p->count; i++) {
        float x = input[i] / p->scale;
        x = x < -FAR ? -FAR : x;
        x = x > FAR ? FAR : x;
        int32_t code = 0;
        if (x == x) { /* not a NaN */
            code = (int32_t)x;
            float rest = x - (float)code; /* exact */
            code += (rest >= 0.5f) - (rest <= -0.5f);
        }
        code += p->zero_point;
        code = code < INT8_MIN ? INT8_MIN : code;
        output[i] = (int8_t)(code > INT8_MAX ? INT8_MAX : code);
    }
}
