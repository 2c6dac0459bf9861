#include "axes.h"

void mf_int8_copy(const mf_int8_move *p, const int8_t *input, int8_t *output) {
    const int last = MF_INT8_RANK - 1;
    int32_t index[MF_INT8_RANK] = {0}, from = p->input_start, to = p->output_start;
    do {
        for (int32_t i = 0; i < p->length[last]; i++) {
            output[to + i * p->output_step[last]] = input[from + i * p->input_step[last]];
        }
    } while (mf_next_line(p->length, index, p->input_step, &from, p->output_step, &to));
}
