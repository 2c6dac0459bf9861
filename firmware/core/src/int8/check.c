#include "microfed/int8.h"
#include "x86.h"

/* Lengths and counts are at most this, so that the product of two fits int64_t. */
#define MOST INT32_MAX
/* Coordinates are at most this, so that the sum of two fits int32_t. */
#define FAR (INT32_MAX / 4)

typedef struct {
    int64_t input[2], output;                   /* bytes that the step touches */
    int64_t weights, bias, multipliers, shifts; /* likewise */
} extents;

static int within(int32_t x, int32_t least, int32_t most) {
    return least <= x && x <= most;
}

static int good_range(const mf_int8_range *r) {
    return within(r->zero_point, INT8_MIN, INT8_MAX) && within(r->least, INT8_MIN, INT8_MAX) &&
           within(r->most, r->least, INT8_MAX);
}

static int good_scale(const mf_int8_scale *s) {
    return s->multiplier >= 0 && within(s->shift, -31, 30);
}

/* The product of two non-negative numbers; −1 where one is negative or it exceeds MOST. */
static int64_t times(int64_t a, int64_t b) {
    if (a < 0 || b < 0 || a > MOST || b > MOST || a * b > MOST) {
        return -1;
    }
    return a * b;
}

static int64_t volume(int64_t a, int64_t b, int64_t c) {
    return a > 0 && b > 0 && c > 0 ? times(times(a, b), c) : -1;
}

/* Whether coordinates along one axis of a window stay far from overflow. */
static int good_axis(int32_t kernel, int32_t stride, int32_t dilation, int32_t pad,
                     int32_t outputs) {
    int64_t span = (int64_t)(outputs - 1) * stride + (int64_t)(kernel - 1) * dilation;
    return kernel > 0 && stride > 0 && dilation > 0 && within(pad, 0, FAR) && span <= FAR;
}

static int good_window(const mf_window *w, const mf_shape *output) {
    return good_axis(w->kernel_height, w->stride_height, w->dilation_height, w->pad_top,
                     output->height) &&
           good_axis(w->kernel_width, w->stride_width, w->dilation_width, w->pad_left,
                     output->width);
}

static int conv(const mf_int8_conv *p, int depthwise, extents *e) {
    e->input[0] = volume(p->input.height, p->input.width, p->input.channels);
    e->output = volume(p->output.height, p->output.width, p->output.channels);
    if (e->input[0] < 0 || e->output < 0 || p->depth <= 0 || !good_window(&p->window, &p->output)) {
        return 0;
    }
    int32_t channels = p->output.channels;
    int64_t taps = times(p->window.kernel_height, p->window.kernel_width);
    if (depthwise) {
        if (times(p->input.channels, p->depth) != channels) {
            return 0;
        }
        e->weights = times(taps, channels);
    } else {
        if (p->input.channels % p->depth || channels % (p->input.channels / p->depth)) {
            return 0;
        }
        e->weights = times(times(taps, p->depth), channels);
    }
    int64_t scales = p->per_channel ? channels : 1;
    e->bias = 4 * (int64_t)channels;
    e->multipliers = 4 * scales;
    e->shifts = scales;
    return good_range(&p->range) && within(p->input_zero, INT8_MIN, INT8_MAX);
}

static int dense(const mf_int8_dense *p, extents *e) {
    e->input[0] = volume(p->rows, p->inputs, 1);
    e->output = volume(p->rows, p->outputs, 1);
    e->weights = volume(p->inputs, p->outputs, 1);
    int64_t scales = p->per_channel ? p->outputs : 1;
    e->bias = 4 * (int64_t)p->outputs;
    e->multipliers = 4 * scales;
    e->shifts = scales;
    return good_range(&p->range) && within(p->input_zero, INT8_MIN, INT8_MAX);
}

/* Whether the first and the last window of one axis hold a tap, and so all between. */
static int taps_inside(int32_t input, int32_t kernel, int32_t stride, int32_t pad,
                       int32_t outputs) {
    return pad < kernel && (int64_t)(outputs - 1) * stride - pad < input;
}

static int pool(const mf_int8_pool *p, extents *e) {
    const mf_window *w = &p->window;
    e->input[0] = volume(p->input.height, p->input.width, p->input.channels);
    e->output = volume(p->output.height, p->output.width, p->output.channels);
    int64_t taps = times(w->kernel_height, w->kernel_width);
    return e->output > 0 && p->output.channels == p->input.channels && w->dilation_height == 1 &&
           w->dilation_width == 1 && good_window(w, &p->output) &&
           taps_inside(p->input.height, w->kernel_height, w->stride_height, w->pad_top,
                       p->output.height) &&
           taps_inside(p->input.width, w->kernel_width, w->stride_width, w->pad_left,
                       p->output.width) &&
           taps > 0 && taps < MOST / 256 && within(p->least, INT8_MIN, INT8_MAX) &&
           within(p->most, p->least, INT8_MAX);
}

static int mean(const mf_int8_mean_axis *p, extents *e) {
    e->input[0] = volume(p->outer, p->count, p->inner);
    e->output = volume(p->outer, p->inner, 1);
    return (int64_t)p->count * 256 < MOST && good_scale(&p->scale) && good_range(&p->range) &&
           within(p->input_zero, INT8_MIN, INT8_MAX);
}

/* One more than the last index that axes reach from `start` on; −1 if one is negative. */
static int64_t reach(const int32_t *length, const int32_t *step, int32_t start) {
    int64_t least = start, most = start;
    for (int i = 0; i < MF_INT8_RANK; i++) {
        int64_t far = ((int64_t)length[i] - 1) * step[i];
        *(far < 0 ? &least : &most) += far;
        if (length[i] <= 0 || !within(step[i], -FAR, FAR) || far > FAR || far < -FAR) {
            return -1;
        }
    }
    return least < 0 || most > FAR ? -1 : most + 1;
}

static int pair(const mf_int8_pair *p, const int32_t *zero, extents *e) {
    e->output = 1;
    for (int i = 0; i < MF_INT8_RANK; i++) {
        e->output = volume(e->output, p->length[i], 1);
    }
    e->input[0] = reach(p->length, p->step[0], 0);
    e->input[1] = reach(p->length, p->step[1], 0);
    return within(zero[0], INT8_MIN, INT8_MAX) && within(zero[1], INT8_MIN, INT8_MAX);
}

static int softmax(const mf_int8_softmax_rows *p, extents *e) {
    e->input[0] = e->output = volume(p->rows, p->columns, 1);
    /* a sum of exponentials takes 12 integer bits */
    return p->columns <= 4096 && p->least <= 0 && p->scale.multiplier >= 0 &&
           within(p->scale.shift, 0, 30);
}

static int move(const mf_int8_move *p, extents *e) {
    e->input[0] = reach(p->length, p->input_step, p->input_start);
    e->output = reach(p->length, p->output_step, p->output_start);
    return 1;
}

static int rescale(const mf_int8_rescale *p, extents *e) {
    e->input[0] = e->output = volume(p->count, 1, 1);
    return good_scale(&p->scale) && good_range(&p->range) &&
           within(p->input_zero, INT8_MIN, INT8_MAX);
}

static int real(const mf_int8_real *p, int64_t input_bytes, int64_t output_bytes, extents *e) {
    e->input[0] = times(volume(p->count, 1, 1), input_bytes);
    e->output = times(volume(p->count, 1, 1), output_bytes);
    return within(p->zero_point, INT8_MIN, INT8_MAX) && p->scale > 0.0f;
}

/* Whether the step's parameters are sound, and if so what it touches. */
static int measure(const mf_int8_step *s, extents *e) {
    switch (s->kind) {
    case MF_INT8_CONV_2D:
    case MF_INT8_DEPTHWISE_CONV_2D:
        return conv(&s->with.conv, s->kind == MF_INT8_DEPTHWISE_CONV_2D, e);
    case MF_INT8_FULLY_CONNECTED:
        return dense(&s->with.dense, e);
    case MF_INT8_AVERAGE_POOL_2D:
    case MF_INT8_MAX_POOL_2D:
        return pool(&s->with.pool, e);
    case MF_INT8_MEAN:
        return mean(&s->with.mean, e);
    case MF_INT8_ADD: {
        const mf_int8_sum *p = &s->with.sum;
        return pair(&p->axes, p->zero, e) && (p->sign == 1 || p->sign == -1) &&
               good_scale(&p->input_scale[0]) && p->input_scale[0].shift <= 0 &&
               good_scale(&p->input_scale[1]) && p->input_scale[1].shift <= 0 &&
               good_scale(&p->scale) && good_range(&p->range);
    }
    case MF_INT8_MUL: {
        const mf_int8_product *p = &s->with.product;
        return pair(&p->axes, p->zero, e) && good_scale(&p->scale) && good_range(&p->range);
    }
    case MF_INT8_COPY:
        return move(&s->with.move, e);
    case MF_INT8_FILL:
        e->output = volume(s->with.filling.count, 1, 1);
        return within(s->with.filling.value, INT8_MIN, INT8_MAX);
    case MF_INT8_SOFTMAX:
        return softmax(&s->with.softmax, e);
    case MF_INT8_LOOKUP:
        e->input[0] = e->output = volume(s->with.lookup.count, 1, 1);
        e->input[1] = 256;
        return 1;
    case MF_INT8_REQUANTIZE:
        return rescale(&s->with.rescale, e);
    case MF_INT8_QUANTIZE:
        return real(&s->with.real, sizeof(float), 1, e);
    default: /* MF_INT8_DEQUANTIZE */
        return real(&s->with.real, 1, sizeof(float), e);
    }
}

/* Whether `bytes` bytes at a place lie in its memory, at a multiple of `align`. */
static mf_status locate(const mf_int8_plan *plan, const mf_int8_place *place, int64_t bytes,
                        uint32_t align) {
    uint32_t size = 0;
    if (bytes == 0) {
        return MF_OK; /* the step does not look there */
    }
    switch (place->memory) {
    case MF_INT8_ARENA:
        size = plan->arena_size;
        break;
    case MF_INT8_MODEL:
        size = plan->model_size;
        break;
    case MF_INT8_DERIVED:
        size = plan->derived_size;
        break;
    default:
        return MF_BAD_MODEL;
    }
    if (bytes < 0 || place->offset > size || bytes > size - place->offset) {
        return MF_BAD_MODEL;
    }
    return place->offset % align != 0 ? MF_MISALIGNED : MF_OK;
}

/* Whether the shifts, and multipliers, of a filter are in range. */
static int good_filter(const mf_int8_plan *plan, const mf_int8_step *s, int64_t channels) {
    if (s->multipliers.memory != MF_INT8_DERIVED || s->shifts.memory != MF_INT8_DERIVED) {
        return 0;
    }
    const int32_t *multipliers = (const void *)(plan->derived + s->multipliers.offset);
    const int8_t *shifts = (const void *)(plan->derived + s->shifts.offset);
    for (int64_t c = 0; c < channels; c++) {
        mf_int8_scale scale = {.multiplier = multipliers[c], .shift = shifts[c]};
        if (!good_scale(&scale)) {
            return 0;
        }
    }
    return 1;
}

static mf_status check_step(const mf_int8_plan *plan, const mf_int8_step *s) {
    extents e = {{0, 0}, 0, 0, 0, 0, 0};
    if (s->kind < MF_INT8_CONV_2D || s->kind > MF_INT8_DEQUANTIZE) {
        return MF_UNSUPPORTED;
    }
    if (!measure(s, &e) || s->output.memory != MF_INT8_ARENA) {
        return MF_BAD_MODEL;
    }
    if (s->bias.memory == MF_INT8_NOWHERE) {
        e.bias = 0;
    }
    const struct {
        const mf_int8_place *place;
        int64_t bytes;
        uint32_t align;
    } operands[] = {
        {&s->input[0], e.input[0], s->kind == MF_INT8_QUANTIZE ? sizeof(float) : 1},
        {&s->input[1], e.input[1], 1},
        {&s->output, e.output, s->kind == MF_INT8_DEQUANTIZE ? sizeof(float) : 1},
        {&s->weights, e.weights, 1},
        {&s->bias, e.bias, sizeof(int32_t)},
        {&s->multipliers, e.multipliers, sizeof(int32_t)},
        {&s->shifts, e.shifts, 1},
    };
    for (unsigned i = 0; i < sizeof operands / sizeof *operands; i++) {
        mf_status status = locate(plan, operands[i].place, operands[i].bytes, operands[i].align);
        if (status != MF_OK) {
            return status;
        }
    }
    return e.shifts == 0 || good_filter(plan, s, e.shifts) ? MF_OK : MF_BAD_MODEL;
}

static int misaligned(const void *memory) {
    return (uintptr_t)memory % MF_ALIGN != 0;
}

mf_status mf_int8_check(const mf_int8_plan *plan) {
    const mf_int8_place input = {MF_INT8_ARENA, plan->input};
    const mf_int8_place output = {MF_INT8_ARENA, plan->output};
    if (misaligned(plan->model) || misaligned(plan->derived)) {
        return MF_MISALIGNED;
    }
    if (!mf_int8_has_path(plan->path)) {
        return MF_UNSUPPORTED;
    }
    mf_status status = locate(plan, &input, plan->input_size, 1);
    for (uint32_t i = 0; status == MF_OK && i < plan->step_count; i++) {
        status = check_step(plan, &plan->steps[i]);
    }
    return status == MF_OK ? locate(plan, &output, plan->output_size, 1) : status;
}

void mf_int8_sizes(uint64_t sizes[2]) {
    sizes[0] = sizeof(mf_int8_step);
    sizes[1] = sizeof(mf_int8_plan);
}
