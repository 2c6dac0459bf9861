/* Steps whose weights are not floats in memory: they are made part by part of the outputs. */
#ifndef MICROFED_PARTS_H
#define MICROFED_PARTS_H

#include "train/run.h"

/* A step's weights where they lie as floats, all of them; NULL: nowhere. */
const float *mf_weights_in_place(const mf_run *run, int32_t step);

/* The biases; NULL: the step has none.  They may be those of this step until the next call. */
const float *mf_bias_of(const mf_run *run, int32_t step);

/* All weights of a depthwise convolution. */
const float *mf_depthwise_weights(const mf_run *run, int32_t step);

/* mf_conv and mf_conv_by_input of conv.h. */
void mf_conv_in_parts(const mf_run *run, int32_t step, int32_t samples, const float *x,
                      const mf_hold *hold, float *y);
void mf_conv_by_input_in_parts(const mf_run *run, int32_t step, int32_t samples, const float *by_y,
                               bool adds, float *by_x);

/* Add the gradients by a step's weights and biases to the run's, or update both at once. */
void mf_by_parameters(const mf_run *run, int32_t step, int32_t samples, const float *by_y);

#endif
