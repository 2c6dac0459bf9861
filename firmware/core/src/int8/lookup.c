#include "microfed/int8.h"

void mf_int8_lookup(const mf_int8_count *p, const int8_t *table, const int8_t *input,
                    int8_t *output) {
    for (int32_t i = 0; i < p->count; i++) {
        output[i] = table[input[i] + 128];
    }
}
