/* A model is data from elsewhere: nothing is computed before all of it was checked. */
#include <math.h>

#include "train/plan.h"

enum {
    MOST_COUNT = 1 << 12,    /* tensors and steps */
    MOST_LENGTH = 1 << 24,   /* along an axis */
    MOST_ELEMENTS = 1 << 27, /* of a tensor, padded or not, or of the parameters */
};

static bool within(int32_t value, int32_t low, int32_t high) {
    return low <= value && value <= high;
}

/* The product of numbers in 1 … MOST_ELEMENTS, or MOST_ELEMENTS + 1 if it is more than that. */
static int32_t product_of(int32_t a, int32_t b) {
    if (MF_STORED_ONLY) {
        return a * b; /* of a model whose tables were checked where they were made */
    }
    const int64_t c = (int64_t)a * b;
    return c > MOST_ELEMENTS ? MOST_ELEMENTS + 1 : (int32_t)c;
}

int32_t mf_elements(mf_shape shape) {
    return product_of(product_of(shape.height, shape.width), shape.channels);
}

bool mf_is_held(const mf_train_tensor *tensor) {
    return tensor->low > -INFINITY || tensor->high < INFINITY;
}

static bool good_tensor(const mf_train_tensor *t) {
    const mf_shape s = t->shape;
    if (!within(s.height, 1, MOST_LENGTH) || !within(s.width, 1, MOST_LENGTH) ||
        !within(s.channels, 1, MOST_LENGTH) || mf_elements(s) > MOST_ELEMENTS) {
        return false;
    }
    if (!(t->low <= t->high) || !(t->step >= 0.0f) || !(t->step < INFINITY)) {
        return false;
    }
    if (t->step == 0.0f) {
        return true;
    }
    const float limit = 4194304.0f * t->step; /* rounding adds 1.5 · 2^23 to whole steps */
    return t->step >= 1e-30f && (t->low == -INFINITY || -t->low < limit) &&
           (t->high == INFINITY || t->high < limit);
}

static bool same_shape(mf_shape a, mf_shape b) {
    return a.height == b.height && a.width == b.width && a.channels == b.channels;
}

static bool good_axis(int32_t in, int32_t out, int32_t taps, int32_t stride, int32_t pad,
                      bool pool) {
    if (!within(taps, 1, 1 << 16) || !within(stride, 1, 1 << 16) || !within(pad, 0, 1 << 16)) {
        return false;
    }
    const int64_t last = (int64_t)(out - 1) * stride - pad; /* where the last window begins */
    if (last > MOST_LENGTH) {
        return false;
    }
    return !pool || (pad < taps && last < in); /* a pool's window must see something */
}

/* Length of an axis with the padding before and behind. */
static int64_t padded(int32_t in, int32_t out, int32_t taps, int32_t stride, int32_t pad) {
    const int64_t seen = (int64_t)(out - 1) * stride + taps, whole = (int64_t)pad + in;
    return seen > whole ? seen : whole;
}

static mf_status check_window(const mf_train_step *step, mf_shape in, mf_shape out) {
    const mf_window w = step->window;
    const bool pool = step->kind == MF_AVERAGE_POOL || step->kind == MF_MAX_POOL;
    if (!good_axis(in.height, out.height, w.kernel_height, w.stride_height, w.pad_top, pool) ||
        !good_axis(in.width, out.width, w.kernel_width, w.stride_width, w.pad_left, pool)) {
        return MF_BAD_MODEL;
    }
    const int64_t rows = padded(in.height, out.height, w.kernel_height, w.stride_height, w.pad_top);
    const int64_t columns = padded(in.width, out.width, w.kernel_width, w.stride_width, w.pad_left);
    if (!pool && rows * columns > MOST_ELEMENTS / in.channels) {
        return MF_BAD_MODEL; /* the gradient by the weights pads a copy of the input */
    }
    return w.dilation_height == 1 && w.dilation_width == 1 ? MF_OK : MF_UNSUPPORTED;
}

int32_t mf_outputs_of(const mf_train_model *model, const mf_train_step *step) {
    return model->tensors[step->output].shape.channels;
}

int32_t mf_weights_of(const mf_train_model *model, const mf_train_step *step) {
    const mf_shape in = model->tensors[step->inputs[0]].shape;
    const int32_t out = model->tensors[step->output].shape.channels;
    const int32_t taps = product_of(step->window.kernel_height, step->window.kernel_width);
    switch (step->kind) {
    case MF_CONV:
        return product_of(product_of(taps, in.channels), out);
    case MF_DEPTHWISE:
        return product_of(taps, out);
    case MF_DENSE: {
        const mf_shape shape = model->tensors[step->output].shape;
        return product_of(mf_elements(in) / (shape.height * shape.width), out);
    }
    default:
        return 0;
    }
}

static bool good_parameters(const mf_train_model *model, const mf_train_step *step) {
    const int32_t weights = mf_weights_of(model, step);
    const int32_t outputs = mf_outputs_of(model, step);
    const int32_t size = model->parameter_count;
    if (weights > size || !within(step->weight, 0, size - weights)) {
        return false;
    }
    return step->bias == -1 || (outputs <= size && within(step->bias, 0, size - outputs));
}

static bool good_place(const mf_train_step *step, mf_shape in, mf_shape out) {
    return within(step->place[0], 0, out.height - in.height) &&
           within(step->place[1], 0, out.width - in.width) &&
           within(step->place[2], 0, out.channels - in.channels);
}

/* What a kind asks of its shapes, once tensors are known to be good. */
static mf_status check_shapes(const mf_train_model *model, const mf_train_step *step) {
    const mf_shape in = model->tensors[step->inputs[0]].shape;
    const mf_shape out = model->tensors[step->output].shape;
    mf_status status = MF_OK;
    bool good = true;
    switch (step->kind) {
    case MF_CONV:
        status = check_window(step, in, out);
        good = status != MF_BAD_MODEL && good_parameters(model, step);
        break;
    case MF_DEPTHWISE:
        status = check_window(step, in, out);
        good = status != MF_BAD_MODEL && out.channels % in.channels == 0 &&
               good_parameters(model, step);
        break;
    case MF_DENSE:
        good = mf_elements(in) % (out.height * out.width) == 0 && good_parameters(model, step);
        break;
    case MF_AVERAGE_POOL:
    case MF_MAX_POOL:
        status = check_window(step, in, out);
        good = in.channels == out.channels;
        break;
    case MF_ADD:
    case MF_MUL:
        good = same_shape(in, out) && same_shape(model->tensors[step->inputs[1]].shape, out);
        break;
    case MF_PLACE:
        good = good_place(step, in, out);
        break;
    case MF_COPY:
        good = mf_elements(in) == mf_elements(out);
        break;
    default:
        return MF_UNSUPPORTED;
    }
    return good ? status : MF_BAD_MODEL;
}

/* Whether a step before `end` writes the tensor, or it is the input. */
static bool written_before(const mf_train_model *model, int32_t tensor, int32_t end) {
    if (tensor == model->input) {
        return true;
    }
    for (int32_t s = 0; s < end; s++) {
        if (model->steps[s].output == tensor) {
            return true;
        }
    }
    return false;
}

/* Only MF_PLACE may write what others of its kind have written; nobody may have read it. */
static bool may_write(const mf_train_model *model, int32_t index) {
    const mf_train_step *step = &model->steps[index];
    if (step->output == model->input) {
        return false;
    }
    for (int32_t s = 0; s < index; s++) {
        const mf_train_step *other = &model->steps[s];
        if (other->output == step->output && (other->kind != MF_PLACE || step->kind != MF_PLACE)) {
            return false;
        }
        for (int i = 0; i < mf_inputs_of(other->kind); i++) {
            if (other->inputs[i] == step->output) {
                return false;
            }
        }
    }
    return true;
}

static mf_status check_step(const mf_train_model *model, int32_t index) {
    const mf_train_step *step = &model->steps[index];
    const int32_t last = model->tensor_count - 1;
    if (!within(step->output, 0, last)) {
        return MF_BAD_MODEL;
    }
    for (int i = 0; i < mf_inputs_of(step->kind); i++) {
        if (!within(step->inputs[i], 0, last) || step->inputs[i] == step->output ||
            !written_before(model, step->inputs[i], index)) {
            return MF_BAD_MODEL;
        }
    }
    return may_write(model, index) ? check_shapes(model, step) : MF_BAD_MODEL;
}

static mf_status check_graph(const mf_train_model *model) {
    if (!within(model->tensor_count, 1, MOST_COUNT) || !within(model->step_count, 1, MOST_COUNT) ||
        !within(model->parameter_count, 1, MOST_ELEMENTS) ||
        !within(model->input, 0, model->tensor_count - 1) ||
        !within(model->output, 0, model->tensor_count - 1)) {
        return MF_BAD_MODEL;
    }
    for (int32_t t = 0; t < model->tensor_count; t++) {
        if (!good_tensor(&model->tensors[t])) {
            return MF_BAD_MODEL;
        }
    }
    for (int32_t s = 0; s < model->step_count; s++) {
        const mf_status status = check_step(model, s);
        if (status != MF_OK) {
            return status;
        }
    }
    if (!written_before(model, model->output, model->step_count)) {
        return MF_BAD_MODEL;
    }
    const int32_t in = mf_elements(model->tensors[model->input].shape);
    const int32_t out = mf_elements(model->tensors[model->output].shape);
    switch (model->loss) {
    case MF_CROSS_ENTROPY:
        return MF_OK;
    case MF_SQUARED_ERROR:
        return in == out ? MF_OK : MF_BAD_MODEL;
    default:
        return MF_UNSUPPORTED;
    }
}

/* Whether some parameters are those of two steps, of which one could train and one be stored. */
static bool shares_parameters(const mf_train_model *model) {
    for (int32_t s = 0; s < model->step_count; s++) {
        for (int32_t before = 0; before < s; before++) {
            const mf_train_step *a = &model->steps[before], *b = &model->steps[s];
            if (mf_weights_of(model, a) > 0 && mf_weights_of(model, b) > 0 &&
                (a->weight == b->weight || (a->bias >= 0 && a->bias == b->bias))) {
                return true;
            }
        }
    }
    return false;
}

mf_status mf_check_model(const mf_train_model *model, int32_t tile, bool stored) {
    const mf_status status = check_graph(model);
    if (status != MF_OK) {
        return status;
    }
    if (tile < 1 || tile > 1 << 16) {
        return MF_BAD_ARGUMENT;
    }
    for (int32_t t = 0; t < model->tensor_count; t++) {
        if ((int64_t)mf_elements(model->tensors[t].shape) * tile > 1 << 30) {
            return MF_BAD_ARGUMENT;
        }
    }
    return stored && shares_parameters(model) ? MF_UNSUPPORTED : MF_OK;
}
