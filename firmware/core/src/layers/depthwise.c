/* Depthwise convolutions, one channel after the other: its plane is copied to scratch, with
 * padding, as 16-bit numbers, and the output goes where the plane came from. */
#include <string.h>

#include "layers/scaling.h"

#if MF_LAYERS_DSP
#include <arm_acle.h>
#endif

/* Scratch: input_height + padding rows of `pitch` numbers; see firmware/compiler/scratch.py. */
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

static inline int8_t code_of(const mf_scaling *s, const mf_channel *channel, int32_t c, int narrow,
                             int32_t sum) {
    uint32_t lifted = (uint32_t)sum << MF_DEPTHWISE_LIFT;
    if (!narrow && channel->form == MF_STRAIGHT) {
        return mf_straight_code(channel, lifted, MF_DEPTHWISE_DROP);
    }
    return mf_code(s, channel, c, lifted, MF_DEPTHWISE_LIFT, MF_DEPTHWISE_DROP);
}

/* Any kernel: `weights` are the channel's, row after row. */
static void convolve(const mf_depthwise_layer *layer, const plane *p, int32_t c,
                     const int8_t *weights, int8_t *output) {
    const mf_window *w = &layer->window;
    const mf_scaling *s = &layer->scaling;
    const mf_channel channel = mf_channel_of(s, c, MF_DEPTHWISE_DROP);
    const int narrow = mf_is_narrow(s);
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
            *output = code_of(s, &channel, c, narrow, sum);
            output += layer->output.channels;
        }
    }
}

#if MF_LAYERS_DSP

typedef int32_t two; /* neighbours in a row; may lie at an odd index where strides are odd */

static inline two load_two(const int16_t *from) {
    two pair;
    memcpy(&pair, from, 4);
    return pair;
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
static void convolve_3x3(const mf_depthwise_layer *layer, const plane *p, int32_t c,
                         const int8_t *weights, int8_t *output) {
    const mf_scaling *s = &layer->scaling;
    const mf_channel channel = mf_channel_of(s, c, MF_DEPTHWISE_DROP);
    const int narrow = mf_is_narrow(s);
    const weights_3x3 w = unpack(weights);
    const int32_t channels = layer->output.channels;
    for (int32_t y = 0; y < layer->output.height; y++) {
        const int16_t *row = p->at + y * layer->window.stride_height * p->pitch;
        for (int32_t x = layer->output.width; x > 0; x -= 2, row += 2) {
            int32_t first = 0, second = 0;
            const int16_t *taps = row;
            for (int i = 0; i < 3; i++, taps += p->pitch) {
                two a = load_two(taps), b = load_two(taps + 2);
                first = __smlabt(b, w.right[i], __smlad(a, w.left[i], first));
                second = __smlad(b, w.right[i], __smlatb(a, w.left[i], second));
            }
            *output = code_of(s, &channel, c, narrow, first);
            output += channels;
            if (x > 1) {
                *output = code_of(s, &channel, c, narrow, second);
                output += channels;
            }
        }
    }
}

/* 3 × 3 with a horizontal stride of 2. */
static void convolve_3x3_stride_2(const mf_depthwise_layer *layer, const plane *p, int32_t c,
                                  const int8_t *weights, int8_t *output) {
    const mf_scaling *s = &layer->scaling;
    const mf_channel channel = mf_channel_of(s, c, MF_DEPTHWISE_DROP);
    const int narrow = mf_is_narrow(s);
    const weights_3x3 w = unpack(weights);
    for (int32_t y = 0; y < layer->output.height; y++) {
        const int16_t *row = p->at + y * layer->window.stride_height * p->pitch;
        for (int32_t x = 0; x < layer->output.width; x++, row += 2) {
            int32_t sum = 0;
            const int16_t *taps = row;
            for (int i = 0; i < 3; i++, taps += p->pitch) {
                sum = __smlad(load_two(taps), w.left[i], sum);
                sum = __smlabt(load_two(taps + 2), w.right[i], sum);
            }
            *output = code_of(s, &channel, c, narrow, sum);
            output += layer->output.channels;
        }
    }
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
        extract(layer, input + c, &p);
#if MF_LAYERS_DSP
        if (w->kernel_height == 3 && w->kernel_width == 3 && w->stride_width == 1) {
            convolve_3x3(layer, &p, c, weights, output + c);
            continue;
        }
        if (w->kernel_height == 3 && w->kernel_width == 3 && w->stride_width == 2) {
            convolve_3x3_stride_2(layer, &p, c, weights, output + c);
            continue;
        }
#endif
        convolve(layer, &p, c, weights, output + c);
    }
}
