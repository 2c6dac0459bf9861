/* Depthwise convolutions, one channel after the other: its plane is copied to scratch, with
 * padding, as 16-bit numbers, and the output goes where the plane came from. */
#include "layers/scaling.h"

#if !MF_LAYERS_MVE /* which has depthwise_mve.c */

#include <string.h>

#if MF_LAYERS_DSP
#include <arm_acle.h>
#endif

/* Scratch: input_height + padding rows of `pitch` numbers; see firmware/compiler/prepare.py. */
typedef struct {
    int32_t pitch; /* numbers from one row to the next, even */
    int32_t rows;
    int16_t *at;
} plane;

static plane plane_of(const mf_depthwise_layer *layer, void *scratch) {
    const mf_window *w = &layer->window;
    int32_t columns = (layer->output.width - 1) * w->stride_width + w->kernel_width;
    int32_t rows = (layer->output.height - 1) * w->stride_height + w->kernel_height;
    return (plane){(columns + 2) & ~1, rows, scratch};
}

/* Fill the plane with padding; channels write the same numbers inside of it. */
static void clear(const plane *p, int16_t value) {
    for (int32_t i = 0; i < p->rows * p->pitch; i++) {
        p->at[i] = value;
    }
}

/* Copy one channel into the plane. */
static void extract(const mf_depthwise_layer *layer, const int8_t *from, const plane *p) {
    const mf_shape *in = &layer->input;
    const mf_window *w = &layer->window;
    int32_t rows = p->rows - w->pad_top, columns = p->pitch - w->pad_left;
    rows = rows < in->height ? rows : in->height;
    columns = columns < in->width ? columns : in->width;
    for (int32_t y = 0; y < rows; y++) {
        const int8_t *at = from + y * in->width * in->channels;
        int16_t *to = p->at + (y + w->pad_top) * p->pitch + w->pad_left;
        for (int32_t x = 0; x < columns; x++, at += in->channels) {
            to[x] = *at;
        }
    }
}

/* One channel: how its sums become codes, and where they go. */
typedef struct {
    const mf_scaling *scaling;
    mf_channel channel;
    int32_t c;
} target;

static int8_t any_code(const target *t, int32_t sum) {
    return mf_code(t->scaling, &t->channel, t->c, (uint32_t)sum << MF_DEPTHWISE_LIFT,
                   MF_DEPTHWISE_LIFT);
}

/* `straight`: on a straight line, cut at the ends of int8. */
static inline int8_t code_of(const target *t, int straight, int32_t sum) {
    if (straight) {
        return mf_straight_code(&t->channel, (uint32_t)sum << MF_DEPTHWISE_LIFT);
    }
    return any_code(t, sum);
}

/* Any kernel: `weights` are the channel's, row after row. */
static void convolve(const mf_depthwise_layer *layer, const plane *p, const target *t,
                     const int8_t *weights, int8_t *output) {
    const mf_window *w = &layer->window;
    for (int32_t y = 0; y < layer->output.height; y++) {
        const int16_t *row = p->at + y * w->stride_height * p->pitch;
        for (int32_t x = 0; x < layer->output.width; x++, row += w->stride_width) {
            int32_t sum = 0;
            const int16_t *taps = row;
            const int8_t *weight = weights;
            for (int32_t i = 0; i < w->kernel_height; i++, taps += p->pitch) {
                for (int32_t j = 0; j < w->kernel_width; j++) {
                    sum += taps[j] * *weight++;
                }
            }
            *output = any_code(t, sum);
            output += layer->output.channels;
        }
    }
}

#if MF_LAYERS_DSP

typedef int32_t two; /* neighbours in a row */

/* Four neighbours, of which the first has an even index. */
typedef struct {
    two left, right;
} four;

static inline four load_four(const int16_t *from) {
    four numbers;
    memcpy(&numbers, __builtin_assume_aligned(from, 4), sizeof numbers);
    return numbers;
}

/* The weights of a 3 × 3 kernel: columns 0 and 1, and columns 1 and 2, of each row. */
typedef struct {
    two left[3], right[3];
} weights_3x3;

static inline weights_3x3 unpack(const int8_t *w) {
    weights_3x3 made;
    for (int i = 0; i < 3; i++, w += 3) {
        made.left[i] = (two)((uint32_t)(uint16_t)w[0] | (uint32_t)(uint16_t)w[1] << 16);
        made.right[i] = (two)((uint32_t)(uint16_t)w[1] | (uint32_t)(uint16_t)w[2] << 16);
    }
    return made;
}

/* 3 × 3 with a horizontal stride of 1: two outputs from two words of each row. */
static inline void convolve_3x3(const mf_depthwise_layer *layer, const plane *p, const target *t,
                                const weights_3x3 *w, int straight, int8_t *output) {
    const int32_t channels = layer->output.channels, width = layer->output.width;
    const int32_t pitch = p->pitch;
    const int32_t step = layer->window.stride_height * pitch;
    const int16_t *row = p->at;
    for (int32_t y = layer->output.height; y > 0; y--, row += step) {
        const int16_t *taps = row;
        for (int32_t x = width; x > 0; x -= 2, taps += 2) {
            const int16_t *below = taps + pitch, *last = below + pitch;
            four x0 = load_four(taps);
            int32_t first = __smlabt(x0.right, w->right[0], __smuad(x0.left, w->left[0]));
            int32_t second = __smlatb(x0.left, w->left[0], __smuad(x0.right, w->right[0]));
            four x1 = load_four(below);
            first = __smlabt(x1.right, w->right[1], __smlad(x1.left, w->left[1], first));
            second = __smlatb(x1.left, w->left[1], __smlad(x1.right, w->right[1], second));
            four x2 = load_four(last);
            first = __smlabt(x2.right, w->right[2], __smlad(x2.left, w->left[2], first));
            second = __smlatb(x2.left, w->left[2], __smlad(x2.right, w->right[2], second));
            *output = code_of(t, straight, first);
            output += channels;
            if (x > 1) {
                *output = code_of(t, straight, second);
                output += channels;
            }
        }
    }
}

/* 3 × 3 with a horizontal stride of 2. */
static inline void convolve_3x3_stride_2(const mf_depthwise_layer *layer, const plane *p,
                                         const target *t, const weights_3x3 *w, int straight,
                                         int8_t *output) {
    const int32_t channels = layer->output.channels, width = layer->output.width;
    const int32_t pitch = p->pitch;
    const int32_t step = layer->window.stride_height * pitch;
    const int16_t *row = p->at;
    for (int32_t y = layer->output.height; y > 0; y--, row += step) {
        const int16_t *taps = row;
        for (int32_t x = width; x > 0; x--, taps += 2, output += channels) {
            const int16_t *below = taps + pitch, *last = below + pitch;
            four x0 = load_four(taps), x1 = load_four(below), x2 = load_four(last);
            int32_t sum = __smlabt(x0.right, w->right[0], __smuad(x0.left, w->left[0]));
            sum = __smlabt(x1.right, w->right[1], __smlad(x1.left, w->left[1], sum));
            sum = __smlabt(x2.right, w->right[2], __smlad(x2.left, w->left[2], sum));
            *output = code_of(t, straight, sum);
        }
    }
}

/* Whether the kernel is one of those above, and if so the channel's outputs. */
static int convolve_fast(const mf_depthwise_layer *layer, const plane *p, const target *t,
                         const int8_t *weights, int8_t *output) {
    const mf_window *w = &layer->window;
    if (w->kernel_height != 3 || w->kernel_width != 3 || w->stride_width > 2) {
        return 0;
    }
    const weights_3x3 unpacked = unpack(weights);
    const int straight = !mf_is_narrow(t->scaling) && t->channel.form == MF_STRAIGHT;
    if (w->stride_width == 2) {
        if (straight) {
            convolve_3x3_stride_2(layer, p, t, &unpacked, 1, output);
        } else {
            convolve_3x3_stride_2(layer, p, t, &unpacked, 0, output);
        }
    } else if (straight) {
        convolve_3x3(layer, p, t, &unpacked, 1, output);
    } else {
        convolve_3x3(layer, p, t, &unpacked, 0, output);
    }
    return 1;
}

#else

/* 3 × 3 on a straight line, cut at the ends of int8; whether the layer is that. */
static int convolve_fast(const mf_depthwise_layer *layer, const plane *p, const target *t,
                         const int8_t *weights, int8_t *output) {
    const mf_window *w = &layer->window;
    if (w->kernel_height != 3 || w->kernel_width != 3 || t->channel.form != MF_STRAIGHT ||
        mf_is_narrow(t->scaling)) {
        return 0;
    }
    int32_t k[9];
    for (int i = 0; i < 9; i++) {
        k[i] = weights[i];
    }
    for (int32_t y = 0; y < layer->output.height; y++) {
        const int16_t *a = p->at + y * w->stride_height * p->pitch;
        const int16_t *b = a + p->pitch, *c = b + p->pitch;
        for (int32_t x = layer->output.width; x > 0; x--) {
            int32_t sum = a[0] * k[0] + a[1] * k[1] + a[2] * k[2] + b[0] * k[3] + b[1] * k[4] +
                          b[2] * k[5] + c[0] * k[6] + c[1] * k[7] + c[2] * k[8];
            *output = code_of(t, 1, sum);
            output += layer->output.channels;
            a += w->stride_width;
            b += w->stride_width;
            c += w->stride_width;
        }
    }
    return 1;
}

#endif

void mf_layer_depthwise(const mf_depthwise_layer *layer, const int8_t *input, int8_t *output,
                        void *scratch) {
    const mf_window *w = &layer->window;
    const int32_t taps = w->kernel_height * w->kernel_width;
    const plane p = plane_of(layer, scratch);
    const int8_t *weights = layer->weights;
    clear(&p, (int16_t)layer->input_zero);
    for (int32_t c = 0; c < layer->input.channels; c++, weights += taps) {
        const target t = {&layer->scaling, mf_channel_of(&layer->scaling, c), c};
        extract(layer, input + c, &p);
        if (!convolve_fast(layer, &p, &t, weights, output + c)) {
            convolve(layer, &p, &t, weights, output + c);
        }
    }
}

#else
typedef int mf_helium; /* ISO C wants a declaration */
#endif
