/* Convolutions that skip pruned weights, on paths of wide vectors: where half of the weights are
 * zero, half of the multiply-adds are.  Vectors lie over the samples (kernels/listed.h), so each
 * output can have a list of weights of its own.
 *
 * What is pruned stays so during a call, so lists are made once; their values are read again for
 * each batch. */
#ifndef MICROFED_LISTS_H
#define MICROFED_LISTS_H

#include "train/run.h"

/* The sums of a convolution that can be lists: those of its outputs, and the gradient by its
 * input, which is a convolution of the gradient by the outputs. */
typedef enum { MF_FORTH = 0, MF_BACK = 1 } mf_way;

#if MF_WIDE

/* Room for the lists of all steps from `at` on, as if nothing was pruned; where it ends. */
mf_total mf_lay_out_lists(mf_plan *plan, mf_total at);

/* Floats of scratch that mf_conv_by_lists needs for a step. */
mf_total mf_turned_size(const mf_plan *plan, const mf_step_plan *planned);

/* Make the lists for a call with so many samples: of the weights whose mask is not 0, or, where
 * there is no mask, that are not 0. */
void mf_make_lists(const mf_run *run, const uint8_t *mask, int32_t samples);

/* Read a step's values again, before `samples` go through in tiles.  Whether none of the tiles
 * needs the packed weights. */
bool mf_fill_lists(const mf_run *run, int32_t step, int32_t samples);

/* mf_conv or mf_conv_by_input of conv.h, to the bit; false, and nothing done, where products of
 * all weights are quicker. */
bool mf_conv_by_lists(const mf_run *run, int32_t step, mf_way way, int32_t samples, const float *x,
                      const mf_hold *hold, float *y);

#else

static inline mf_total mf_lay_out_lists(mf_plan *plan, mf_total at) {
    (void)plan;
    return at;
}
static inline mf_total mf_turned_size(const mf_plan *plan, const mf_step_plan *planned) {
    (void)plan, (void)planned;
    return 0;
}
static inline void mf_make_lists(const mf_run *run, const uint8_t *mask, int32_t samples) {
    (void)run, (void)mask, (void)samples;
}
static inline bool mf_conv_by_lists(const mf_run *run, int32_t step, mf_way way, int32_t samples,
                                    const float *x, const mf_hold *hold, float *y) {
    (void)run, (void)step, (void)way, (void)samples, (void)x, (void)hold, (void)y;
    return false;
}

#endif
#endif
