/* Which taps of a pool's window lie inside its input. */
#ifndef MICROFED_INT8_WINDOW_H
#define MICROFED_INT8_WINDOW_H

#include "microfed/int8.h"

/* Rows top … bottom − 1 and columns left … right − 1. */
typedef struct {
    int32_t top, bottom, left, right;
} mf_taps;

static inline mf_taps mf_taps_inside(const mf_int8_pool *p, int32_t y, int32_t x) {
    const mf_window *w = &p->window;
    mf_taps t = {.top = y * w->stride_height - w->pad_top,
                 .left = x * w->stride_width - w->pad_left};
    t.bottom = t.top + w->kernel_height;
    t.right = t.left + w->kernel_width;
    t.top = t.top < 0 ? 0 : t.top;
    t.left = t.left < 0 ? 0 : t.left;
    t.bottom = t.bottom > p->input.height ? p->input.height : t.bottom;
    t.right = t.right > p->input.width ? p->input.width : t.right;
    return t;
}

#endif
