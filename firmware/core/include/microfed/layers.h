/* int8 layers whose constants the compiler prepared.
 *
 * They compute, byte for byte, what the kernels of int8.h compute, faster: zero points are
 * folded into the biases, two roundings into one multiplication, and weights lie as the
 * instructions want them.  `microfed compile` writes calls of these functions; the
 * layouts are described in firmware/compiler/pack.py.
 *
 * Which instructions they use is decided by the compiler's macros: those of the DSP extension
 * (__ARM_FEATURE_DSP: Cortex-M4, M7, M33), of Helium (__ARM_FEATURE_MVE: M55), or plain C99. */
#ifndef MICROFED_LAYERS_H
#define MICROFED_LAYERS_H

#include <stdint.h>

#include "microfed/shape.h"

/* Which layout of weights this build's layers read. */
#if defined(__ARM_FEATURE_MVE) && __ARM_FEATURE_MVE & 1
#define MF_LAYERS_MVE 1
#define MF_LAYERS_DSP 0
#elif defined(__ARM_FEATURE_DSP) && __ARM_FEATURE_DSP
#define MF_LAYERS_MVE 0
#define MF_LAYERS_DSP 1
#else
#define MF_LAYERS_MVE 0
#define MF_LAYERS_DSP 0
#endif

/* How the sum of output channel c becomes a code, cut to least … most:
 *
 *     ((sum << lift) + bias[c]) · multiplier[c] >> 32 + drop
 *
 * Where kink is not NULL: with x = (sum << lift) + bias[c], less kink[c] if that is negative,
 *
 *     zero_point + ((x · multiplier[c] >> 32) + 2^(drop − 1) >> drop)
 *
 * Where shift is not NULL the sum is rounded twice instead, as in int8.h:
 * zero_point + mf_rescale(sum + bias[c], multiplier[c], shift[c]). */
typedef struct {
    const int32_t *bias, *multiplier;
    const int32_t *kink; /* NULL: nothing is below the zero point */
    const int8_t *shift;
    int32_t zero_point, least, most;
} mf_scaling;

#define MF_DROP           12
#define MF_LIFT           9  /* of convolutions and fully connected layers: |sum| < 2^22 */
#define MF_DEPTHWISE_LIFT 12 /* |sum| < 2^19 */

/* A convolution with one group, dilation 1.  Outputs are written in their order, and each only
 * after all that it and those before it read has been read: the output may overlap the input
 * as far as that allows. */
typedef struct {
    mf_shape input, output;
    mf_window window;
    const int8_t *padding; /* kernel_width · input channels codes of the input's zero point;
                              NULL where no tap lies outside */
    const void *weights;
    mf_scaling scaling;
} mf_conv_layer;

/* `scratch` has MF_CONV_SCRATCH bytes, at a multiple of 4. */
#define MF_CONV_SCRATCH(kernel_height, kernel_width, channels)                                     \
    (6 * (((kernel_height) * (kernel_width) * (channels) + 3) / 4 * 4))
void mf_layer_conv(const mf_conv_layer *layer, const int8_t *input, int8_t *output, void *scratch);

/* A depthwise convolution with one output channel for each input channel, dilation 1.
 * The output may begin where the input begins. */
typedef struct {
    mf_shape input, output;
    mf_window window;
    int32_t input_zero;
    const void *weights;
    mf_scaling scaling;
} mf_depthwise_layer;

/* `scratch` has the bytes that firmware/compiler/prepare.py says, at a multiple of 4. */
void mf_layer_depthwise(const mf_depthwise_layer *layer, const int8_t *input, int8_t *output,
                        void *scratch);

/* A fully connected layer for one vector; no overlap. */
typedef struct {
    int32_t inputs, outputs;
    const void *weights;
    mf_scaling scaling;
} mf_dense_layer;

void mf_layer_dense(const mf_dense_layer *layer, const int8_t *input, int8_t *output);

/* The same two with weights of which only those that are not zero are stored, see
 * firmware/core/src/layers/sparse.c.  `scratch` has 16 bytes for each input of a filter. */
void mf_layer_sparse_conv(const mf_conv_layer *layer, const int8_t *input, int8_t *output,
                          void *scratch);
void mf_layer_sparse_dense(const mf_dense_layer *layer, const int8_t *input, int8_t *output);

/* The sum or difference of two tensors of one shape:
 *
 *     a · multiplier[0] + b · multiplier[1] + bias >> MF_SUM_DROP, cut to least … most.
 *
 * The output may be one of the inputs. */
typedef struct {
    int32_t count;
    int32_t multiplier[2], bias;
    int32_t least, most;
} mf_sum_layer;

#define MF_SUM_DROP 21

void mf_layer_sum(const mf_sum_layer *layer, const int8_t *a, const int8_t *b, int8_t *output);

#endif
