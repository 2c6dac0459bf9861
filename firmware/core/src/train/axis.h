/* Along one axis of an image: which taps of a window see it from where. */
#ifndef MICROFED_AXIS_H
#define MICROFED_AXIS_H

#include <stdbool.h>
#include <stdint.h>

/* Output o reads the inputs o · stride − pad + tap for tap in 0 … taps − 1. */
typedef struct {
    int32_t in, out, taps, stride, pad;
} mf_axis;

/* Neighbouring positions that see the same taps, so that one loop does for all.
 *
 * There are `count` of them: first, first + step, ….  The first of its `taps` taps is `tap`,
 * each next one tap_step further; through it position `first` sees `source` on the other
 * side, and each next position sees source_step further. */
typedef struct {
    int32_t first, step, count;
    int32_t tap, tap_step, taps;
    int32_t source, source_step;
} mf_span;

/* Whether every output sees all of its taps. */
bool mf_axis_is_whole(const mf_axis *axis);

/* Inputs behind the last that some tap needs: the padding at the end. */
int32_t mf_axis_pad_behind(const mf_axis *axis);

/* Step through the spans of the outputs, from a span of zeros; false after the last. */
bool mf_next_outputs(const mf_axis *axis, mf_span *span);

/* The same for the inputs, which the outputs see from: tap by tap the source goes back by
 * one.  An input that nobody sees has no taps. */
bool mf_next_inputs(const mf_axis *axis, mf_span *span);

/* The outputs [*first, *last) whose tap `tap` lies on the sample. */
void mf_outputs_of_tap(const mf_axis *axis, int32_t tap, int32_t *first, int32_t *last);

#endif
