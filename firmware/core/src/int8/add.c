#include "axes.h"
#include "fixed_point.h"

/* Both inputs gain this many fractional bits before they are scaled and added. */
#define FRACTION 20

static int32_t scaled(const mf_int8_sum *p, int which, int8_t code) {
    int32_t fine = mf_shift_left(code - p->zero[which], FRACTION);
    return mf_rescale(fine, p->input_scale[which].multiplier, p->input_scale[which].shift);
}

void mf_int8_add(const mf_int8_sum *p, const int8_t *a, const int8_t *b, int8_t *output) {
    const mf_int8_pair *axes = &p->axes;
    const int last = MF_INT8_RANK - 1;
    int32_t index[MF_INT8_RANK] = {0}, at_a = 0, at_b = 0;
    do {
        for (int32_t i = 0; i < axes->length[last]; i++) {
            int32_t sum = scaled(p, 0, a[at_a + i * axes->step[0][last]]) +
                          p->sign * scaled(p, 1, b[at_b + i * axes->step[1][last]]);
            sum = mf_rescale(sum, p->scale.multiplier, p->scale.shift);
            *output++ = mf_to_code(sum, &p->range);
        }
    } while (mf_next_line(axes->length, index, axes->step[0], &at_a, axes->step[1], &at_b));
}
