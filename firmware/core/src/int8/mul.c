#include "axes.h"
#include "fixed_point.h"

void mf_int8_mul(const mf_int8_product *p, const int8_t *a, const int8_t *b, int8_t *output) {
    const mf_int8_pair *axes = &p->axes;
    const int last = MF_INT8_RANK - 1;
    int32_t index[MF_INT8_RANK] = {0}, at_a = 0, at_b = 0;
    do {
        for (int32_t i = 0; i < axes->length[last]; i++) {
            int32_t product = (a[at_a + i * axes->step[0][last]] - p->zero[0]) *
                              (b[at_b + i * axes->step[1][last]] - p->zero[1]);
            product = mf_rescale(product, p->scale.multiplier, p->scale.shift);
            *output++ = mf_to_code(product, &p->range);
        }
    } while (mf_next_line(axes->length, index, axes->step[0], &at_a, axes->step[1], &at_b));
}
