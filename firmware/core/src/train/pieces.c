/* When each value and gradient is needed, and where it then lies: pieces whose times do not
 * overlap share memory. */
#include "train/max_pool.h"
#include "train/plan.h"

/* Moments: 0 the input is there; 1 … steps forward; then the loss; then backward. */
static int32_t forward_at(int32_t step) {
    return step + 1;
}
static int32_t loss_at(const mf_plan *plan) {
    return plan->model->step_count + 1;
}
static int32_t backward_at(const mf_plan *plan, int32_t step) {
    return 2 * plan->model->step_count + 1 - step;
}

/* Whether a max pool can do without its input on the way back: nobody else needs it, and the
 * output has the very value of the winner. */
static bool can_mark(const mf_plan *plan, int32_t index) {
    const mf_train_step *step = &plan->model->steps[index];
    const mf_train_tensor *out = &plan->model->tensors[step->output];
    return mf_is(step->kind, MF_MAX_POOL) && mf_width(plan->kernels) == 1 &&
           plan->steps[index].passes[0] &&
           step->window.kernel_height * step->window.kernel_width <= MF_MOST_MARKED &&
           !mf_is_held(out) && out->step == 0.0f &&
           mf_only_reader(plan->model, step->inputs[0]) == index;
}

static void needed(mf_piece *piece, int32_t moment) {
    if (piece->end < piece->begin) {
        piece->begin = piece->end = moment;
    }
    if (moment < piece->begin) {
        piece->begin = moment;
    }
    if (moment > piece->end) {
        piece->end = moment;
    }
}

/* What the way back through a step reads of the way forward. */
static void needed_behind(mf_plan *plan, int32_t index) {
    const mf_train_step *step = &plan->model->steps[index];
    const mf_step_plan *planned = &plan->steps[index];
    const int32_t moment = backward_at(plan, index);
    if (mf_is_gated(plan, index) || mf_is(step->kind, MF_MAX_POOL)) {
        needed(&plan->values[step->output], moment);
    }
    if (planned->marks) {
        needed(&plan->winners[step->output], forward_at(index));
        needed(&plan->winners[step->output], moment);
    } else if (planned->weight_gradient != MF_ABSENT || mf_is(step->kind, MF_MAX_POOL)) {
        needed(&plan->values[step->inputs[0]], moment);
    }
    if (mf_is(step->kind, MF_MUL)) {
        if (planned->passes[0]) {
            needed(&plan->values[step->inputs[1]], moment);
        }
        if (planned->passes[1]) {
            needed(&plan->values[step->inputs[0]], moment);
        }
    }
    needed(&plan->gradients[step->output], moment);
    for (int i = 0; i < mf_inputs_of(step->kind); i++) {
        if (planned->passes[i]) {
            needed(&plan->gradients[step->inputs[i]], moment);
        }
    }
}

static void find_lifetimes(mf_plan *plan) {
    const mf_train_model *model = plan->model;
    for (int32_t t = 0; t < model->tensor_count; t++) {
        plan->values[t].begin = plan->gradients[t].begin = plan->winners[t].begin = 0;
        plan->values[t].end = plan->gradients[t].end = plan->winners[t].end = -1;
    }
    for (int32_t s = 0; s < model->step_count; s++) {
        plan->steps[s].marks = can_mark(plan, s);
    }
    needed(&plan->values[model->input], 0);
    needed(&plan->values[model->output], loss_at(plan));
    if (model->loss == MF_SQUARED_ERROR) {
        needed(&plan->values[model->input], loss_at(plan));
    }
    if (plan->trained > 0) {
        needed(&plan->gradients[model->output], loss_at(plan));
    }
    for (int32_t s = 0; s < model->step_count; s++) {
        const mf_train_step *step = &model->steps[s];
        needed(&plan->values[step->output], forward_at(s));
        for (int i = 0; i < mf_inputs_of(step->kind); i++) {
            needed(&plan->values[step->inputs[i]], forward_at(s));
        }
        if (plan->steps[s].reached) {
            needed_behind(plan, s);
        }
    }
}

static bool is_needed(const mf_piece *piece) {
    return piece->end >= piece->begin;
}

/* Piece number i: values of all tensors, their gradients, their winners. */
static mf_piece *piece_of(const mf_plan *plan, int32_t i) {
    mf_piece *const kinds[] = {plan->values, plan->gradients, plan->winners};
    const int32_t tensors = plan->model->tensor_count;
    return &kinds[i / tensors][i % tensors];
}

/* The lowest place at which a piece overlaps none that is placed and needed when it is. */
static ptrdiff_t lowest_place(const mf_plan *plan, const mf_piece *piece) {
    ptrdiff_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int32_t i = 0; i < 3 * plan->model->tensor_count; i++) {
            const mf_piece *other = piece_of(plan, i);
            if (other->at == MF_ABSENT || other->begin > piece->end || piece->begin > other->end) {
                continue;
            }
            const ptrdiff_t end = other->at + (ptrdiff_t)other->size;
            if (at < end && other->at < at + (ptrdiff_t)piece->size) {
                at = end;
                moved = true;
            }
        }
    }
    return at;
}

/* Room for each for a whole tile; false if it is more than can be addressed.  2^13 tensors of
 * less than 2^31 floats cannot fill 64 bits. */
static bool measure(mf_plan *plan, mf_total others) {
    for (int32_t t = 0; t < plan->model->tensor_count; t++) {
        const mf_total size = mf_whole_lines((mf_total)mf_elements(plan->model->tensors[t].shape) *
                                             (mf_total)plan->tile);
        plan->values[t].size = plan->gradients[t].size = (size_t)size;
        plan->winners[t].size = (size_t)mf_whole_lines((size + 3) / 4); /* bytes */
        others += 3 * size;
    }
    return others <= PTRDIFF_MAX / sizeof(float);
}

/* The largest first, each as low as it fits (Pisarchyk and Lee 2020, arXiv:2001.03288). */
size_t mf_place_pieces(mf_plan *plan, mf_total others) {
    const int32_t count = 3 * plan->model->tensor_count;
    ptrdiff_t end = 0;
    if (!measure(plan, others)) {
        return SIZE_MAX;
    }
    find_lifetimes(plan);
    for (int32_t i = 0; i < count; i++) {
        piece_of(plan, i)->at = MF_ABSENT;
    }
    for (;;) {
        mf_piece *largest = NULL;
        for (int32_t i = 0; i < count; i++) {
            mf_piece *piece = piece_of(plan, i);
            if (piece->at == MF_ABSENT && is_needed(piece) &&
                (largest == NULL || piece->size > largest->size)) {
                largest = piece;
            }
        }
        if (largest == NULL) {
            return (size_t)end;
        }
        largest->at = lowest_place(plan, largest);
        const ptrdiff_t top = largest->at + (ptrdiff_t)largest->size;
        end = top > end ? top : end;
    }
}
