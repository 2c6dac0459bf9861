#include "train/plan.h"

#include <string.h>

#include "train/lists.h"
#include "train/stored.h"

enum {
    LINE = MF_LINE,
    PART = 1024, /* floats: no more than one output's weights may be more */
};

/* Arrays of the plan begin at a multiple of what each of their members needs. */
static size_t aligned(size_t bytes) {
    const size_t unit = sizeof(int64_t);
    return (bytes + unit - 1) / unit * unit;
}

/* What MF_PLAN_BYTES counts with; a negative size does not compile. */
typedef char plans_fit[sizeof(mf_plan) + 5 * sizeof(int64_t) <= 40 * sizeof(ptrdiff_t) ? 1 : -1];
typedef char pieces_fit[3 * sizeof(mf_piece) <= 12 * sizeof(ptrdiff_t) ? 1 : -1];
typedef char
    steps_fit[sizeof(mf_step_plan) + 2 * sizeof(mf_slot) <= 34 * sizeof(ptrdiff_t) ? 1 : -1];

size_t mf_plan_bytes(const mf_train_model *model) {
    if (model->tensor_count < 1 || model->tensor_count > 1 << 12 || model->step_count < 1 ||
        model->step_count > 1 << 12) {
        return 0;
    }
    const size_t tensors = (size_t)model->tensor_count, steps = (size_t)model->step_count;
    return aligned(sizeof(mf_plan)) + aligned(steps * sizeof(mf_step_plan)) +
           3 * aligned(tensors * sizeof(mf_piece)) + aligned(2 * steps * sizeof(mf_slot));
}

/* Cut the plan's arrays from its memory. */
static mf_plan *carve(const mf_train_model *model, void *memory) {
    unsigned char *at = memory;
    const size_t tensors = (size_t)model->tensor_count, steps = (size_t)model->step_count;
    mf_plan *plan = memory;
    memset(plan, 0, mf_plan_bytes(model));
    at += aligned(sizeof(mf_plan));
    plan->steps = (mf_step_plan *)(void *)at;
    at += aligned(steps * sizeof(mf_step_plan));
    plan->values = (mf_piece *)(void *)at;
    at += aligned(tensors * sizeof(mf_piece));
    plan->gradients = (mf_piece *)(void *)at;
    at += aligned(tensors * sizeof(mf_piece));
    plan->winners = (mf_piece *)(void *)at;
    at += aligned(tensors * sizeof(mf_piece));
    plan->slots = (mf_slot *)(void *)at;
    plan->model = model;
    return plan;
}

size_t mf_plan_places(const mf_plan *plan, int32_t *places) {
    const mf_piece *const kinds[] = {plan->values, plan->gradients, plan->winners};
    for (int32_t t = 0; t < plan->model->tensor_count; t++) {
        for (int kind = 0; kind < 3; kind++) {
            *places++ = (int32_t)kinds[kind][t].at;
        }
    }
    return plan->workspace - (size_t)plan->pieces - LINE;
}

static mf_axis axis(int32_t in, int32_t out, int32_t taps, int32_t stride, int32_t pad) {
    return (mf_axis){.in = in, .out = out, .taps = taps, .stride = stride, .pad = pad};
}

mf_geometry mf_geometry_of(const mf_train_model *model, const mf_train_step *step) {
    const mf_shape in = model->tensors[step->inputs[0]].shape;
    const mf_shape out = model->tensors[step->output].shape;
    const mf_window *w = &step->window;
    mf_geometry g;
    if (mf_is(step->kind, MF_DENSE)) {
        const int32_t rows = out.height * out.width;
        g.rows = axis(1, 1, 1, 1, 0);
        g.columns = axis(rows, rows, 1, 1, 0);
        g.in_channels = mf_elements(in) / rows;
        g.out_channels = out.channels;
        return g;
    }
    g.rows = axis(in.height, out.height, w->kernel_height, w->stride_height, w->pad_top);
    g.columns = axis(in.width, out.width, w->kernel_width, w->stride_width, w->pad_left);
    g.in_channels = in.channels;
    g.out_channels = out.channels;
    if (in.width == 1 && out.width == 1 && w->kernel_width == 1 && w->pad_left == 0) {
        g.columns = g.rows;
        g.rows = axis(1, 1, 1, 1, 0);
    }
    return g;
}

/* Whether vectors over the inputs of a whole row of taps waste much less than vectors over
 * the inputs of each tap. */
static bool joins_well(const mf_geometry *g, int32_t width) {
    const int32_t joined = g->columns.taps * g->in_channels;
    const int32_t each = (g->in_channels + width - 1) / width * g->columns.taps;
    return 10 * ((joined + width - 1) / width) < 9 * each;
}

size_t mf_padded_size(const mf_plan *plan, const mf_step_plan *step, int32_t kind) {
    const mf_geometry *g = &step->geometry;
    const int32_t width = mf_width(plan->kernels);
    if (step->weight_gradient == MF_ABSENT || width == 1 ||
        (mf_axis_is_whole(&g->rows) && mf_axis_is_whole(&g->columns)) ||
        (kind == MF_CONV && !joins_well(g, width))) {
        return 0;
    }
    const int32_t rows = g->rows.pad + g->rows.in + mf_axis_pad_behind(&g->rows);
    const int32_t columns = g->columns.pad + g->columns.in + mf_axis_pad_behind(&g->columns);
    return (size_t)rows * (size_t)columns * (size_t)g->in_channels;
}

bool mf_is_in_place(const mf_plan *plan, int32_t step) {
    return !mf_is_stored(plan) ||
           (plan->stored[step].mask == NULL && plan->steps[step].weight_gradient != MF_ABSENT);
}

int32_t mf_only_reader(const mf_train_model *model, int32_t tensor) {
    int32_t reader = -1;
    if (tensor == model->output || tensor == model->input) {
        return -1;
    }
    for (int32_t s = 0; s < model->step_count; s++) {
        for (int i = 0; i < mf_inputs_of(model->steps[s].kind); i++) {
            if (model->steps[s].inputs[i] == tensor) {
                if (reader >= 0) {
                    return -1;
                }
                reader = s;
            }
        }
    }
    return reader;
}

bool mf_is_gated(const mf_plan *plan, int32_t step) {
    const int32_t tensor = plan->model->steps[step].output;
    const int32_t reader = mf_only_reader(plan->model, tensor);
    return mf_is_held(&plan->model->tensors[tensor]) && !(reader >= 0 && plan->steps[reader].marks);
}

static bool overlap(int32_t a, int32_t a_size, int32_t b, int32_t b_size) {
    return a < b + b_size && b < a + a_size;
}

/* Whether a step before this one reads some of these parameters: on the way back it comes after
 * this one, and must find them as they were. */
static bool are_read_before(const mf_train_model *model, int32_t step, int32_t parameter,
                            int32_t size) {
    for (int32_t s = 0; s < step; s++) {
        const mf_train_step *other = &model->steps[s];
        const int32_t weights = mf_weights_of(model, other);
        if (weights > 0 && (overlap(parameter, size, other->weight, weights) ||
                            (other->bias >= 0 &&
                             overlap(parameter, size, other->bias, mf_outputs_of(model, other))))) {
            return true;
        }
    }
    return false;
}

/* The gradient of a trained tensor of `size` parameters: where another layer has the same one,
 * the same. */
static ptrdiff_t slot_for(mf_plan *plan, int32_t step, int32_t parameter, int32_t size,
                          bool decays) {
    if (!mf_is_stored(plan) && are_read_before(plan->model, step, parameter, size)) {
        plan->shared = true; /* mf_plan_stored refuses such a model */
    }
    for (int32_t i = 0; i < plan->slot_count; i++) {
        const mf_slot *other = &plan->slots[i];
        if (overlap(parameter, size, other->parameter, other->to)) {
            plan->shared = true;
        }
        if (other->parameter == parameter && other->to == size) {
            return other->gradient;
        }
    }
    const ptrdiff_t gradient = (ptrdiff_t)plan->trained; /* lay_out refuses what this cuts */
    const bool packed = mf_is_stored(plan) && decays;
    const int32_t count = packed ? mf_unpruned(&plan->stored[step], 0, size) : size;
    plan->slots[plan->slot_count++] = (mf_slot){.step = step,
                                                .to = size,
                                                .parameter = parameter,
                                                .count = count,
                                                .gradient = gradient,
                                                .decays = decays};
    plan->trained += count;
    return gradient;
}

/* Which gradients there are, step by step: `learns` by tensor stands in values[].begin. */
static void plan_way_back(mf_plan *plan, const uint8_t *trains) {
    const mf_train_model *model = plan->model;
    mf_piece *learns = plan->values, *wanted = plan->gradients;
    for (int32_t s = 0; s < model->step_count; s++) {
        const mf_train_step *step = &model->steps[s];
        mf_step_plan *planned = &plan->steps[s];
        planned->weights = mf_weights_of(model, step);
        planned->weight_gradient = planned->bias_gradient = planned->packed = MF_ABSENT;
        if (planned->weights > 0 && (trains[s] & MF_TRAINS_WEIGHT)) {
            planned->weight_gradient = slot_for(plan, s, step->weight, planned->weights, true);
        }
        if (planned->weights > 0 && step->bias >= 0 && (trains[s] & MF_TRAINS_BIAS)) {
            planned->bias_gradient =
                slot_for(plan, s, step->bias, mf_outputs_of(model, step), false);
        }
        bool depends = planned->weight_gradient != MF_ABSENT || planned->bias_gradient != MF_ABSENT;
        for (int i = 0; i < mf_inputs_of(step->kind); i++) {
            planned->passes[i] = learns[step->inputs[i]].begin != 0;
            depends = depends || planned->passes[i];
        }
        if (depends) {
            learns[step->output].begin = 1;
        }
        planned->reached = depends;
    }
    wanted[model->output].begin = 1;
    for (int32_t s = model->step_count - 1; s >= 0; s--) {
        const mf_train_step *step = &model->steps[s];
        mf_step_plan *planned = &plan->steps[s];
        planned->reached = planned->reached && wanted[step->output].begin != 0;
        for (int i = 0; i < mf_inputs_of(step->kind); i++) {
            planned->passes[i] = planned->passes[i] && planned->reached;
            if (!planned->passes[i]) {
                continue;
            }
            planned->adds[i] = wanted[step->inputs[i]].begin != 0;
            wanted[step->inputs[i]].begin = 1;
        }
    }
}

/* Outputs of a step that make a part: as many as a block of kernels/product.h has rows, if
 * their weights are not too many. */
static int32_t part_of(const mf_train_step *step, int32_t taps, int32_t outputs) {
    const int32_t fitting = PART / taps < 4 ? PART / taps : 4;
    const int32_t most = mf_is(step->kind, MF_DEPTHWISE) ? outputs : fitting > 1 ? fitting : 1;
    return most < outputs ? most : outputs;
}

static mf_total largest(mf_total a, mf_total b) {
    return a > b ? a : b;
}

/* Room for parts of steps from `at` on; where it ends. */
static mf_total lay_out_parts(mf_plan *plan, mf_total at) {
    mf_total outputs = 0, room = 0;
    for (int32_t s = 0; s < plan->model->step_count; s++) {
        mf_step_plan *planned = &plan->steps[s];
        if (planned->weights == 0) {
            continue;
        }
        const int32_t channels = planned->geometry.out_channels;
        const int32_t taps = planned->weights / channels;
        planned->part = part_of(&plan->model->steps[s], taps, channels);
        const mf_total part = (mf_total)planned->part * (mf_total)taps;
        if (planned->weight_gradient != MF_ABSENT) {
            plan->largest_part = (size_t)largest(plan->largest_part, part);
        }
        plan->largest_part = (size_t)largest(plan->largest_part, (mf_total)channels);
        if (mf_is_stored(plan)) {
            outputs = largest(outputs, (mf_total)channels);
            room = mf_is_in_place(plan, s) ? room : largest(room, part);
        }
#if MF_WIDE
        const int32_t width = mf_width(plan->kernels);
        if (width > 1 && planned->weight_gradient != MF_ABSENT) {
            room = (mf_total)(MF_FEW_ROWS * plan->kernels->most_kept * width);
        }
#endif
    }
    plan->biases = (ptrdiff_t)at;
    plan->places = plan->biases + (ptrdiff_t)outputs;
    plan->room = plan->places + (ptrdiff_t)outputs;
    return at + mf_whole_lines(2 * outputs + room);
}

/* Where everything lies in the workspace; false if that is more than can be addressed.
 *
 * A hostile model's sizes can wrap 32 bits, so they are summed in 64, which 2^13 tensors of
 * less than 2^31 floats cannot fill. */
static bool lay_out(mf_plan *plan) {
    const mf_train_model *model = plan->model;
    const int32_t width = mf_width(plan->kernels);
    mf_total at = 0, padded = 0;
    plan->weights = MF_ABSENT;
    for (int32_t s = 0; s < model->step_count; s++) {
        plan->steps[s].geometry = mf_geometry_of(model, &model->steps[s]);
    }
    at = mf_lay_out_lists(plan, at);
    if (width > 1) {
        plan->weights = (ptrdiff_t)at;
        at += mf_whole_lines((mf_total)model->parameter_count + LINE);
    }
    for (int32_t s = 0; s < model->step_count; s++) {
        const mf_train_step *step = &model->steps[s];
        mf_step_plan *planned = &plan->steps[s];
        if (planned->weights == 0) {
            continue;
        }
        padded = largest(padded, mf_padded_size(plan, planned, step->kind) * (mf_total)plan->tile);
        padded = largest(padded, mf_turned_size(plan, planned));
        if (width == 1 || mf_is(step->kind, MF_DEPTHWISE)) {
            continue;
        }
        const int32_t outputs = planned->geometry.out_channels;
        planned->packed = (ptrdiff_t)at;
        planned->packed_row = (outputs + width - 1) / width * width;
        at += mf_whole_lines((mf_total)(planned->weights / outputs + 1) *
                             (mf_total)planned->packed_row);
    }
    at = lay_out_parts(plan, at);
    plan->padded = (ptrdiff_t)at;
    at += mf_whole_lines(padded);
    plan->pieces = (ptrdiff_t)at;
    const size_t room = mf_place_pieces(plan, at + (mf_total)plan->trained + LINE);
    plan->workspace = (size_t)at + room + LINE; /* vectors are read beyond the end */
    return room != SIZE_MAX;
}

static mf_status check_memory(const mf_train_model *model, const void *memory, size_t bytes) {
    if (bytes < mf_plan_bytes(model)) {
        return MF_NO_MEMORY;
    }
    return (uintptr_t)memory % MF_ALIGN == 0 ? MF_OK : MF_MISALIGNED;
}

static mf_status plan_with(const mf_train_model *model, const uint8_t *trains,
                           const mf_stored *stored, int32_t tile, const mf_kernels *kernels,
                           void *memory) {
    mf_plan *plan = carve(model, memory);
    plan->kernels = kernels;
    plan->stored = stored;
    plan->tile = tile;
    plan_way_back(plan, trains);
    return lay_out(plan) ? MF_OK : MF_NO_MEMORY;
}

mf_status mf_plan_training(const mf_train_model *model, const uint8_t *trains, int32_t tile,
                           int32_t path, void *memory, size_t bytes) {
    mf_status status = mf_check_model(model, tile, false);
    if (status == MF_OK) {
        status = check_memory(model, memory, bytes);
    }
    if (status != MF_OK) {
        return status;
    }
    const mf_kernels *kernels = mf_kernels_of(path);
    return kernels == NULL ? MF_UNSUPPORTED : plan_with(model, trains, NULL, tile, kernels, memory);
}

mf_status mf_plan_stored(const mf_train_model *model, const uint8_t *trains,
                         const mf_stored *stored, int32_t tile, void *memory, size_t bytes) {
    mf_status status = mf_check_model(model, tile, true);
    if (status == MF_OK) {
        status = check_memory(model, memory, bytes);
    }
    return status == MF_OK
               ? plan_with(model, trains, stored, tile, mf_kernels_of(MF_PORTABLE), memory)
               : status;
}
