/* Counting through several axes, the last one fastest. */
#ifndef MICROFED_INT8_AXES_H
#define MICROFED_INT8_AXES_H

#include "microfed/int8.h"

/* Move `index` to the next line along the last axis; 0 once there is none.
 * `first` and `second` move with it, each by its own steps. */
static inline int mf_next_line(const int32_t *length, int32_t *index, const int32_t *first_step,
                               int32_t *first, const int32_t *second_step, int32_t *second) {
    for (int axis = MF_INT8_RANK - 2; axis >= 0; axis--) {
        *first += first_step[axis];
        *second += second_step[axis];
        if (++index[axis] < length[axis]) {
            return 1;
        }
        *first -= length[axis] * first_step[axis];
        *second -= length[axis] * second_step[axis];
        index[axis] = 0;
    }
    return 0;
}

#endif
