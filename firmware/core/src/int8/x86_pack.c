#include <stdlib.h>
#include <string.h>

#include "x86.h"

#if defined(__x86_64__)

/* Sizes are of 32 bits, and a file of a kilobyte can ask for an image of gigabytes: layers and
 * plans beyond these run on the portable kernels, which need no memory. */
#define MOST_NUMBERS (1 << 24) /* of a layer's image, and of its weights */
#define MOST_BYTES   (UINT64_C(1) << 30)

/* A filter as so many lines, each of `length` numbers that are neighbours in the image, in so
 * many words. */
typedef struct {
    int32_t lines, length, words;
} filter_lines;

mf_int8_conv mf_x86_conv_of(const mf_int8_step *step) {
    if (step->kind != MF_INT8_FULLY_CONNECTED) {
        return step->with.conv;
    }
    const mf_int8_dense *d = &step->with.dense;
    return (mf_int8_conv){
        .input = {1, d->rows, d->inputs},
        .output = {1, d->rows, d->outputs},
        .window = {1, 1, 1, 1, 1, 1, 0, 0},
        .depth = d->inputs,
        .input_zero = d->input_zero,
        .per_channel = d->per_channel,
        .range = d->range,
    };
}

static mf_x86_shape shape_of(int32_t path) {
    return path == MF_INT8_VNNI
               ? (mf_x86_shape){.lanes = 16, .group = 4, .element = 1, .offset = 128}
               : (mf_x86_shape){.lanes = 8, .group = 2, .element = 2, .offset = 0};
}

static mf_int8_filter filter_of(const mf_int8_plan *plan, const mf_int8_step *s) {
    return (mf_int8_filter){
        .weights = (const void *)(plan->model + s->weights.offset),
        .bias = s->bias.memory ? (const void *)(plan->model + s->bias.offset) : NULL,
        .multipliers = (const void *)(plan->derived + s->multipliers.offset),
        .shifts = (const void *)(plan->derived + s->shifts.offset),
    };
}

/* Whether output channel c, whose `taps` weights lie `apart` from each other, needs no shift to
 * the left and overflows nowhere: what `scaling` in x86_kernels.h relies on. */
static int bounded(const mf_int8_conv *p, const mf_int8_filter *filter, int32_t c,
                   const int8_t *weights, int32_t taps, int32_t apart) {
    const int32_t scale = p->per_channel ? c : 0, right = -filter->shifts[scale];
    int64_t most = filter->bias ? llabs((long long)filter->bias[c]) : 0;
    for (int32_t i = 0; i < taps; i++) {
        most += 255 * abs(weights[i * apart]);
    }
    if (most > INT32_MAX || right < 0) {
        return 0;
    }
    const int64_t half = right > 0 ? INT64_C(1) << (right - 1) : 0;
    return (most * filter->multipliers[scale] >> 31) + 1 + half <= INT32_MAX;
}

/* Length of the image along one axis: the input and all that windows reach. */
static int64_t reach(int32_t input, int32_t pad, int32_t outputs, int32_t stride, int32_t kernel,
                     int32_t dilation) {
    const int64_t padded = (int64_t)pad + input;
    const int64_t windows = (int64_t)(outputs - 1) * stride + (int64_t)(kernel - 1) * dilation + 1;
    return padded > windows ? padded : windows;
}

static int64_t image_height(const mf_int8_conv *p) {
    const mf_window *w = &p->window;
    return reach(p->input.height, w->pad_top, p->output.height, w->stride_height, w->kernel_height,
                 w->dilation_height);
}

static int64_t image_width(const mf_int8_conv *p) {
    const mf_window *w = &p->window;
    return reach(p->input.width, w->pad_left, p->output.width, w->stride_width, w->kernel_width,
                 w->dilation_width);
}

static int packable(const mf_int8_plan *plan, const mf_int8_step *s) {
    const int depthwise = s->kind == MF_INT8_DEPTHWISE_CONV_2D;
    if (!depthwise && s->kind != MF_INT8_CONV_2D && s->kind != MF_INT8_FULLY_CONNECTED) {
        return 0;
    }
    const mf_int8_conv p = mf_x86_conv_of(s);
    const mf_int8_filter filter = filter_of(plan, s);
    if (p.depth != (depthwise ? 1 : p.input.channels)) {
        return 0; /* groups, or several outputs of a channel */
    }
    if (s->weights.memory != MF_INT8_MODEL ||
        (s->bias.memory != MF_INT8_NOWHERE && s->bias.memory != MF_INT8_MODEL)) {
        return 0; /* what a step computes cannot be reordered before */
    }
    int32_t taps = p.window.kernel_height * p.window.kernel_width * p.depth;
    if (image_height(&p) * image_width(&p) > MOST_NUMBERS / p.input.channels ||
        taps > MOST_NUMBERS / p.output.channels) {
        return 0;
    }
    int32_t from = depthwise ? 1 : taps, apart = depthwise ? p.output.channels : 1;
    for (int32_t c = 0; c < p.output.channels; c++) {
        if (!bounded(&p, &filter, c, filter.weights + c * from, taps, apart)) {
            return 0;
        }
    }
    return 1;
}

/* The longest lines that a CONV_2D filter falls into. */
static filter_lines lines_of(const mf_int8_conv *p, const mf_x86_layer *layer, int32_t group) {
    const mf_window *w = &p->window;
    filter_lines f = {w->kernel_height * w->kernel_width, p->input.channels, 0};
    if (w->dilation_width == 1) {
        f.lines = w->kernel_height;
        f.length *= w->kernel_width;
        if (w->dilation_height == 1 && (uint32_t)w->kernel_width == layer->image_width) {
            f.length *= w->kernel_height;
            f.lines = 1;
        }
    }
    f.words = (f.length + group - 1) / group;
    return f;
}

/* Where line i of a filter begins in the image, in numbers. */
static int32_t line_start(const mf_int8_conv *p, const mf_x86_layer *layer, const filter_lines *f,
                          int32_t i) {
    const mf_window *w = &p->window;
    int32_t columns = f->lines == w->kernel_height * w->kernel_width ? w->kernel_width : 1;
    int32_t y = i / columns * w->dilation_height, x = i % columns * w->dilation_width;
    return (y * (int32_t)layer->image_width + x) * p->input.channels;
}

/* The layer without its arrays' contents. */
static mf_x86_layer lay_out(const mf_int8_step *s, const mf_int8_conv *p, mf_x86_shape shape) {
    const mf_window *w = &p->window;
    mf_x86_layer layer = {0};
    layer.image_height = (uint32_t)image_height(p);
    layer.image_width = (uint32_t)image_width(p);
    int32_t channels = p->output.channels, block = shape.lanes;
    if (s->kind == MF_INT8_DEPTHWISE_CONV_2D) {
        int32_t taps = w->kernel_height * w->kernel_width;
        block *= shape.group;
        layer.words = (uint32_t)((taps + shape.group - 1) / shape.group);
        layer.wide = w->stride_width == 1 && channels < block && block % channels == 0;
    } else {
        filter_lines f = lines_of(p, &layer, shape.group);
        layer.words = (uint32_t)(f.lines * f.words);
        layer.pairs = f.words % 2 == 0 && (channels + block - 1) / block % 2 == 1 &&
                      p->output.height * p->output.width > 1;
    }
    layer.blocks = (uint32_t)((channels + block - 1) / block);
    uint32_t vectors = layer.blocks * (uint32_t)block / (uint32_t)shape.lanes;
    uint32_t constants = vectors * (uint32_t)shape.lanes * 4;
    uint32_t taps = s->kind == MF_INT8_DEPTHWISE_CONV_2D ? (uint32_t)shape.group : 1;
    layer.offsets = MF_ALIGN;
    layer.bias = layer.offsets + (layer.words * taps * 4 + MF_ALIGN - 1) / MF_ALIGN * MF_ALIGN;
    layer.multipliers = layer.bias + constants;
    layer.rights = layer.multipliers + constants;
    layer.less = layer.rights + constants;
    layer.halves = layer.less + constants;
    layer.weights = layer.halves + 2 * constants;
    layer.bytes = layer.weights + vectors * layer.words * (uint32_t)shape.lanes * 4;
    layer.bytes = (layer.bytes + MF_ALIGN - 1) / MF_ALIGN * MF_ALIGN;
    return layer;
}

/* One weight into its place: of vector v, word w, lane l, tap t. */
static void put_weight(uint8_t *memory, const mf_x86_layer *layer, mf_x86_shape shape, uint32_t v,
                       uint32_t w, int32_t l, int32_t t, int8_t weight) {
    if (layer->pairs && v == layer->blocks - 1) { /* lane l of word w, in a pair of vectors */
        const int32_t place = l % (shape.lanes / 2) * 2 + (int32_t)(w % 2);
        w = w / 2 * 2 + (l >= shape.lanes / 2);
        l = place;
    }
    size_t at =
        ((size_t)(v * layer->words + w) * (size_t)shape.lanes + (size_t)l) * (size_t)shape.group +
        (size_t)t;
    if (shape.element == 1) {
        ((int8_t *)(void *)(memory + layer->weights))[at] = weight;
    } else {
        ((int16_t *)(void *)(memory + layer->weights))[at] = weight;
    }
}

/* Bias and scale of output channel c, whose weights sum up to `sum`, into lane l of vector v. */
static void put_constants(uint8_t *memory, const mf_x86_layer *layer, const mf_int8_conv *p,
                          const mf_int8_filter *filter, mf_x86_shape shape, int32_t c, int32_t sum,
                          uint32_t v, int32_t l) {
    const size_t lanes = (size_t)shape.lanes, lane = (size_t)l, i = v * lanes + lane;
    const int32_t scale = p->per_channel ? c : 0, right = -filter->shifts[scale];
    uint32_t bias = filter->bias ? (uint32_t)filter->bias[c] : 0;
    bias -= (uint32_t)(p->input_zero + shape.offset) * (uint32_t)sum;
    ((uint32_t *)(void *)(memory + layer->bias))[i] = bias;
    ((int32_t *)(void *)(memory + layer->multipliers))[i] = filter->multipliers[scale];
    ((int32_t *)(void *)(memory + layer->rights))[i] = right;
    ((int32_t *)(void *)(memory + layer->less))[i] = right > 0 ? -1 : 0;
    /* of 64 bits: the even lanes of a vector, then its odd lanes */
    int64_t *halves = (void *)(memory + layer->halves);
    halves[v * lanes + lane % 2 * (lanes / 2) + lane / 2] =
        (INT64_C(1) << 30) + (right > 0 ? INT64_C(1) << (30 + right) : 0);
}

static void pack_conv(uint8_t *memory, const mf_x86_layer *layer, const mf_int8_conv *p,
                      const mf_int8_filter *filter, mf_x86_shape shape) {
    filter_lines f = lines_of(p, layer, shape.group);
    int32_t *offsets = (void *)(memory + layer->offsets);
    for (int32_t i = 0; i < f.lines * f.words; i++) {
        int32_t start = line_start(p, layer, &f, i / f.words) + i % f.words * shape.group;
        offsets[i] = start * shape.element;
    }
    const int8_t *weights = filter->weights;
    for (int32_t c = 0; c < p->output.channels; c++) {
        int32_t sum = 0;
        for (int32_t i = 0; i < f.lines * f.length; i++, sum += *weights++) {
            int32_t in_line = i % f.length;
            put_weight(memory, layer, shape, (uint32_t)(c / shape.lanes),
                       (uint32_t)(i / f.length * f.words + in_line / shape.group), c % shape.lanes,
                       in_line % shape.group, *weights);
        }
        put_constants(memory, layer, p, filter, shape, c, sum, (uint32_t)(c / shape.lanes),
                      c % shape.lanes);
    }
}

static void pack_depthwise(uint8_t *memory, const mf_x86_layer *layer, const mf_int8_conv *p,
                           const mf_int8_filter *filter, mf_x86_shape shape) {
    const mf_window *w = &p->window;
    int32_t channels = p->output.channels, taps = w->kernel_height * w->kernel_width;
    int32_t block = shape.lanes * shape.group;
    int32_t *offsets = (void *)(memory + layer->offsets);
    for (int32_t i = 0; i < taps; i++) {
        int32_t y = i / w->kernel_width * w->dilation_height;
        int32_t x = i % w->kernel_width * w->dilation_width;
        offsets[i] = (y * (int32_t)layer->image_width + x) * channels * shape.element;
    }
    for (int32_t e = 0; e < (int32_t)layer->blocks * block; e++) {
        int32_t c = layer->wide ? e % channels : e;
        if (c >= channels) {
            break;
        }
        /* interleaving works within 16 bytes: of each, vector v gets four channels */
        int32_t in_block = e % block, span = 16 / shape.element;
        int32_t v = e / block * shape.group + in_block % span / 4;
        int32_t l = in_block / span * 4 + in_block % 4, sum = 0;
        for (int32_t i = 0; i < taps; i++) {
            int8_t weight = filter->weights[i * channels + c];
            put_weight(memory, layer, shape, (uint32_t)v, (uint32_t)(i / shape.group), l,
                       i % shape.group, weight);
            sum += weight;
        }
        put_constants(memory, layer, p, filter, shape, c, sum, (uint32_t)v, l);
    }
}

/* Packed layers begin after one entry for each step: where, or 0. */
static uint64_t table_bytes(const mf_int8_plan *plan) {
    return ((uint64_t)plan->step_count * 4 + MF_ALIGN - 1) / MF_ALIGN * MF_ALIGN;
}

uint64_t mf_int8_packed_size(const mf_int8_plan *plan) {
    uint64_t bytes = table_bytes(plan);
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const mf_int8_step *s = &plan->steps[i];
        if (packable(plan, s)) {
            mf_int8_conv p = mf_x86_conv_of(s);
            bytes += lay_out(s, &p, shape_of(plan->path)).bytes;
        }
    }
    return plan->path == MF_INT8_PORTABLE || bytes > MOST_BYTES ? 0 : bytes;
}

mf_status mf_int8_pack(mf_int8_plan *plan, void *memory) {
    mf_x86_shape shape = shape_of(plan->path);
    uint64_t size = mf_int8_packed_size(plan), at = table_bytes(plan), image = 0;
    if ((uintptr_t)memory % MF_ALIGN) {
        return MF_MISALIGNED;
    }
    memset(memory, 0, size);
    for (uint32_t i = 0; i < plan->step_count && size; i++) {
        const mf_int8_step *s = &plan->steps[i];
        if (!packable(plan, s)) {
            continue;
        }
        mf_int8_conv p = mf_x86_conv_of(s);
        mf_x86_layer layer = lay_out(s, &p, shape);
        uint8_t *target = (uint8_t *)memory + at;
        const mf_int8_filter filter = filter_of(plan, s);
        memcpy(target, &layer, sizeof layer);
        (s->kind == MF_INT8_DEPTHWISE_CONV_2D ? pack_depthwise : pack_conv)(target, &layer, &p,
                                                                            &filter, shape);
        ((uint32_t *)memory)[i] = (uint32_t)at;
        at += layer.bytes;
        uint64_t numbers = (uint64_t)layer.image_height * layer.image_width;
        numbers *= (uint64_t)p.input.channels * (uint64_t)shape.element;
        image = numbers > image ? numbers : image;
    }
    plan->packed = size ? memory : NULL;
    plan->scratch_size = size ? (uint32_t)(MF_ALIGN + image + MF_X86_SLACK) : 0;
    return MF_OK;
}

#endif
