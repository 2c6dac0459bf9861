/* Geometry that training and int8 inference share.  Tensors are height × width × channels. */
#ifndef MICROFED_SHAPE_H
#define MICROFED_SHAPE_H

#include <stdint.h>

/* One sample of a tensor, channels last.  A vector is 1 × 1 × channels. */
typedef struct {
    int32_t height, width, channels;
} mf_shape;

/* How a convolution or a pool slides over its input.
 *
 * Output (y, x) reads input rows y·stride_height − pad_top + i·dilation_height for
 * i in 0 … kernel_height − 1, and columns likewise; taps outside contribute nothing. */
typedef struct {
    int32_t kernel_height, kernel_width;
    int32_t stride_height, stride_width;
    int32_t dilation_height, dilation_width;
    int32_t pad_top, pad_left;
} mf_window;

#endif
