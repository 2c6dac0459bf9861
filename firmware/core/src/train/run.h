/* One tile of samples through a planned network, forward and backward. */
#ifndef MICROFED_RUN_H
#define MICROFED_RUN_H

#include "train/descent.h"
#include "train/plan.h"

/* A call's view of its memory. */
typedef struct {
    const mf_plan *plan;
    float *workspace;
    const float *weights; /* what steps read: the working copy, or the caller's */
    float *gradient;      /* by the parameters that train; where they are updated at once, room
                             for part of it */
    /* Not NULL: the tile is a whole batch, so that each part of the weights is updated as soon
     * as its gradient is there. */
    const mf_descent *at_once;
    bool rounded; /* activations are moved to the grid of their int8 codes */
} mf_run;

/* Pack the weights for vectors before `samples` go through the network in tiles; to be called
 * whenever they have changed. */
#if MF_WIDE
void mf_pack(const mf_run *run, int32_t samples);
#else
static inline void mf_pack(const mf_run *run, int32_t samples) {
    (void)run;
    (void)samples;
}
#endif

float *mf_value(const mf_run *run, int32_t tensor);
float *mf_gradient_of(const mf_run *run, int32_t tensor);

/* Where sample number `sample` of the input belongs. */
float *mf_input(const mf_run *run, int32_t sample);

/* Hold the values of x, which may lie there already, to the range of the input and put them
 * there. */
void mf_feed(const mf_run *run, const float *x, int32_t sample);

/* From the input, which mf_feed has filled, to the output. */
void mf_forward(const mf_run *run, int32_t samples);

/* Add each sample's loss to `loss`.  Where something trains and `share` is not 0, the gradient
 * times `share` is left at the output. */
void mf_loss(const mf_run *run, const mf_labels *labels, int32_t samples, mf_sum *loss,
             float share);

/* Add this tile's gradients of the parameters to the run's, or update the parameters. */
void mf_backward(const mf_run *run, int32_t samples);

#endif
