/* Depthwise convolutions with Helium, four channels at a time: their planes are copied to
 * scratch, with padding, and the outputs go where they came from. */
#include "layers/path.h"

#if MF_LAYERS_MVE

#include <string.h>

#define LANES 4

/* Scratch: the weights of four channels tap by tap, then rows of positions of four codes. */
typedef struct {
    int8_t *weights, *at;
    int32_t columns, rows;
} planes;

static void clear(const planes *p, int32_t value) {
    int32_t size = p->rows * p->columns * LANES;
    for (int32_t i = 0; i < size; i += 16) {
        mve_pred16_t some = vctp8q((uint32_t)(size - i));
        vstrbq_p_s8(p->at + i, vdupq_n_s8((int8_t)value), some);
    }
}

/* Copy `count` channels into the planes; the lanes past them are not looked at. */
static void extract(const mf_depthwise_layer *layer, const int8_t *from, int32_t count,
                    const planes *p) {
    const mf_shape *in = &layer->input;
    const mf_window *w = &layer->window;
    const mve_pred16_t some = vctp32q((uint32_t)count);
    int32_t rows = p->rows - w->pad_top, columns = p->columns - w->pad_left;
    rows = rows < in->height ? rows : in->height;
    columns = columns < in->width ? columns : in->width;
    for (int32_t y = 0; y < rows; y++) {
        const int8_t *at = from + y * in->width * in->channels;
        int8_t *to = p->at + ((y + w->pad_top) * p->columns + w->pad_left) * LANES;
        for (int32_t x = columns; x > 0; x--, at += in->channels, to += LANES) {
            vstrbq_s32(to, vldrbq_z_s32(at, some));
        }
    }
}

static void transpose(const int8_t *weights, int32_t taps, int32_t count, int8_t *to) {
    for (int32_t i = 0; i < taps; i++) {
        for (int32_t lane = 0; lane < LANES; lane++) {
            *to++ = lane < count ? weights[lane * taps + i] : 0;
        }
    }
}

/* The outputs of four channels from c on. */
static void convolve(const mf_depthwise_layer *layer, const planes *p, int32_t c, int32_t count,
                     int8_t *output) {
    const mf_window *w = &layer->window;
    const int32_t channels = layer->output.channels, step = w->stride_width * LANES;
    for (int32_t y = 0; y < layer->output.height; y++) {
        const int8_t *row = p->at + y * w->stride_height * p->columns * LANES;
        for (int32_t x = layer->output.width; x > 0; x--, row += step, output += channels) {
            int32x4_t sum = vdupq_n_s32(0);
            const int8_t *weights = p->weights, *taps = row;
            for (int32_t i = 0; i < w->kernel_height; i++, taps += p->columns * LANES) {
                for (int32_t j = 0; j < w->kernel_width; j++, weights += LANES) {
                    int32x4_t product =
                        vmulq_s32(vldrbq_s32(taps + j * LANES), vldrbq_s32(weights));
                    sum = vaddq_s32(sum, product);
                }
            }
            mf_put_any(&layer->scaling, c, count, sum, MF_DEPTHWISE_LIFT, output);
        }
    }
}

/* Σ over three rows of three positions.  Assembly, because compilers do not give these loads
 * their offsets and run out of registers for pointers. */
#define TAP(row, at, weight)                                                                       \
    "vldrb.s32 q0, [%[" row "], #" at "]\n\t"                                                      \
    "vldrb.s32 q1, [%[k], #" weight "]\n\t"                                                        \
    "vmul.i32 q0, q0, q1\n\t"                                                                      \
    "vadd.i32 %q0, %q0, q0\n\t"

static inline int32x4_t sum_3x3(const int8_t *a, const int8_t *b, const int8_t *c,
                                const int8_t *k) {
    int32x4_t sum = vdupq_n_s32(0);
    __asm(TAP("a", "0", "0") TAP("a", "4", "4") TAP("a", "8", "8") TAP("b", "0", "12")
              TAP("b", "4", "16") TAP("b", "8", "20") TAP("c", "0", "24") TAP("c", "4", "28")
                  TAP("c", "8", "32")
          : [sum] "+w"(sum)
          : [a] "l"(a), [b] "l"(b), [c] "l"(c), [k] "l"(k)
          : "q0", "q1", "memory");
    return sum;
}

/* The same for a kernel of 3 × 3; `straight` if the scaling is and there are four channels. */
static inline void convolve_3x3(const mf_depthwise_layer *layer, const planes *p, int32_t c,
                                int32_t count, int straight, int8_t *output) {
    mf_four four = {vdupq_n_s32(0), vdupq_n_s32(0)};
    if (straight) {
        four = mf_four_of(&layer->scaling, c);
    }
    const mf_window *w = &layer->window;
    const int32_t channels = layer->output.channels, step = w->stride_width * LANES;
    const int32_t below = p->columns * LANES;
    const int8_t *k = p->weights;
    for (int32_t y = 0; y < layer->output.height; y++) {
        const int8_t *a = p->at + y * w->stride_height * below;
        for (int32_t x = layer->output.width; x > 0; x--, a += step, output += channels) {
            const int8_t *b = a + below, *d = b + below;
            int32x4_t sum = sum_3x3(a, b, d, k);
            if (straight) {
                mf_put_four(&four, sum, MF_DEPTHWISE_LIFT, output);
            } else {
                mf_put_any(&layer->scaling, c, count, sum, MF_DEPTHWISE_LIFT, output);
            }
        }
    }
}

void mf_layer_depthwise(const mf_depthwise_layer *layer, const int8_t *input, int8_t *output,
                        void *scratch) {
    const mf_window *w = &layer->window;
    const int32_t taps = w->kernel_height * w->kernel_width, channels = layer->input.channels;
    const planes p = {
        .weights = scratch,
        .at = (int8_t *)scratch + taps * LANES,
        .columns = (layer->output.width - 1) * w->stride_width + w->kernel_width,
        .rows = (layer->output.height - 1) * w->stride_height + w->kernel_height,
    };
    const int straight = mf_is_straight(&layer->scaling);
    const int8_t *weights = layer->weights;
    clear(&p, layer->input_zero);
    for (int32_t c = 0; c < channels; c += LANES, weights += LANES * taps) {
        const int32_t count = channels - c < LANES ? channels - c : LANES;
        extract(layer, input + c, count, &p);
        transpose(weights, taps, count, p.weights);
        if (w->kernel_height == 3 && w->kernel_width == 3 && count == LANES && straight) {
            convolve_3x3(layer, &p, c, count, 1, output + c);
        } else if (w->kernel_height == 3 && w->kernel_width == 3) {
            convolve_3x3(layer, &p, c, count, 0, output + c);
        } else {
            convolve(layer, &p, c, count, output + c);
        }
    }
}

#else
typedef int mf_no_helium; /* ISO C wants a declaration */
#endif
