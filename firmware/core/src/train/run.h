/* One tile of samples through a planned network, forward and backward. */
#ifndef MICROFED_RUN_H
#define MICROFED_RUN_H

#include "train/plan.h"

/* A call's view of its memory. */
typedef struct {
    const mf_plan *plan;
    float *workspace;
    const float *weights; /* what steps read: the working copy, or the caller's */
    bool rounded;         /* activations are moved to the grid of their int8 codes */
} mf_run;

/* Pack the weights for vectors; to be called whenever they have changed. */
void mf_pack(const mf_run *run);

float *mf_value(const mf_run *run, int32_t tensor);
float *mf_gradient_of(const mf_run *run, int32_t tensor);

/* Hold `count` values from x to the range of the input, as sample number `sample`. */
void mf_feed(const mf_run *run, const float *x, int32_t sample);

/* From the input, which mf_feed has filled, to the output. */
void mf_forward(const mf_run *run, int32_t samples);

/* `loss` plus that of each sample.  Where something trains and `share` is not 0, the gradient
 * times `share` is left at the output. */
double mf_loss(const mf_run *run, const mf_labels *labels, int32_t samples, double loss,
               float share);

/* Add this tile's gradients of the parameters to the workspace's. */
void mf_backward(const mf_run *run, int32_t samples);

#endif
