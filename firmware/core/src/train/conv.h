/* Convolutions, dense layers and average pools as products of affine loops.
 *
 * All over `samples` samples that lie one after another.  Reductions run in one order:
 * forward over (row, column, channel) of the window; the gradient by the input over (row,
 * column, output channel); the gradient by a weight over (sample, row, column) of the
 * output.  Which loops become rows, vectors or sums does not change it. */
#ifndef MICROFED_CONV_H
#define MICROFED_CONV_H

#include "train/plan.h"

/* Weights as a product reads them: the weight of tap k and output o lies at
 * w[k · tap + o · output]. */
typedef struct {
    const float *w;
    const float *bias; /* NULL: none */
    ptrdiff_t tap, output;
} mf_weights;

/* Neighbouring output channels: a step may go through them part by part.  Weights, their
 * gradients and biases then begin with those of the first. */
typedef struct {
    int32_t first, count;
} mf_part;

void mf_conv(const mf_kernels *kernels, const mf_geometry *g, mf_part part, int32_t samples,
             const float *x, const mf_weights *weights, const mf_hold *hold, float *y);

/* The gradient by the input: stored, or added to what is there. */
void mf_conv_by_input(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                      const float *by_y, const float *w, bool adds, float *by_x);

/* Add the gradient by the weights (out, taps, in).  padded: room for a padded copy of x
 * where mf_padded_size asks for it, else NULL.  room: that of product_of_few; not used by paths
 * whose vectors are one float. */
void mf_conv_by_weights(const mf_kernels *kernels, const mf_geometry *g, mf_part part,
                        int32_t samples, const float *x, const float *by_y, float *padded,
                        float *room, float *by_w);

/* Add the gradient by the bias: the sum over samples and positions. */
void mf_by_bias(const mf_kernels *kernels, const mf_geometry *g, int32_t samples, const float *by_y,
                float *by_bias);

void mf_depthwise(const mf_kernels *kernels, const mf_geometry *g, int32_t samples, const float *x,
                  const float *w, const float *bias, const mf_hold *hold, float *y);
void mf_depthwise_by_input(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                           const float *by_y, const float *w, bool adds, float *by_x);
void mf_depthwise_by_weights(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                             const float *x, const float *by_y, float *padded, float *by_w);

void mf_average(const mf_kernels *kernels, const mf_geometry *g, int32_t samples, const float *x,
                const mf_hold *hold, float *y);
/* Spends by_y. */
void mf_average_by_input(const mf_kernels *kernels, const mf_geometry *g, int32_t samples,
                         float *by_y, bool adds, float *by_x);

#endif
