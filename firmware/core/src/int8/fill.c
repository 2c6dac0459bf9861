#include "microfed/int8.h"

void mf_int8_fill(const mf_int8_filling *p, int8_t *output) {
    for (int32_t i = 0; i < p->count; i++) {
        output[i] = (int8_t)p->value;
    }
}
