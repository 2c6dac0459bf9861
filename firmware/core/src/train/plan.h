/* What a plan holds: everything about one model and one choice of what trains that does not
 * change from batch to batch. */
#ifndef MICROFED_PLAN_H
#define MICROFED_PLAN_H

#include <stdbool.h>

#include "kernels/kernels.h"
#include "microfed/train.h"
#include "train/axis.h"

#define MF_ABSENT ((ptrdiff_t)-1)

enum { MF_LINE = MF_ALIGN / sizeof(float) }; /* floats of a line of cache */

/* Sizes of a hostile model can wrap 32 bits; those of a model that a program was compiled with
 * fit its memory. */
#if defined(MF_ONLY_STORED)
typedef size_t mf_total;
#else
typedef uint64_t mf_total;
#endif

static inline mf_total mf_whole_lines(mf_total floats) {
    return (floats + MF_LINE - 1) / MF_LINE * MF_LINE;
}

/* A convolution, dense layer or pool as two axes.  A dense layer is a convolution of width
 * 1 over a row; an image of width 1 lies on its side, so that its long axis is innermost. */
typedef struct {
    mf_axis rows, columns;
    int32_t in_channels, out_channels;
} mf_geometry;

typedef struct {
    mf_geometry geometry;
    int32_t weights;           /* how many; 0: a step without parameters */
    int32_t part;              /* outputs whose weights are made, or updated, at a time */
    ptrdiff_t packed;          /* of its weights, tap by tap, in the workspace; or MF_ABSENT */
    int32_t packed_row;        /* floats from tap to tap there */
    ptrdiff_t weight_gradient; /* in the gradient; MF_ABSENT: not trained */
    ptrdiff_t bias_gradient;
#if MF_WIDE
    ptrdiff_t lists[2]; /* of its weights that are not pruned, by mf_way (lists.h), in the
                           workspace; or MF_ABSENT */
#endif
    bool reached;   /* a gradient arrives at its output */
    bool passes[2]; /* it goes on to this input, */
    bool adds[2];   /* where another step has left one already */
    bool marks;     /* a max pool that remembers the winners instead of its input */
} mf_step_plan;

/* A tensor's values, or the loss's gradient by them, for one tile. */
typedef struct {
    ptrdiff_t at;       /* in the workspace, in floats; MF_ABSENT: not kept */
    size_t size;        /* floats for the whole tile, a whole number of lines of cache */
    int32_t begin, end; /* first and last moment that it is needed; end < begin: never */
} mf_piece;

/* A trained range of the parameters: numbers [from, to) of a step's weights, or biases. */
typedef struct {
    int32_t step, from, to;
    int32_t parameter;  /* where it begins among all parameters */
    int32_t count;      /* of those that have a gradient: pruned ones have none where the plan
                           has stored parameters */
    ptrdiff_t gradient; /* in the gradient, and among the parameters that train */
    bool decays;        /* weights */
} mf_slot;

struct mf_plan {
    const mf_train_model *model;
    const mf_kernels *kernels;
    const mf_stored *stored; /* by step; NULL: all parameters are floats in memory */
    mf_step_plan *steps;
    mf_piece *values;    /* by tensor */
    mf_piece *gradients; /* by tensor */
    mf_piece *winners;   /* by tensor: bytes, of the outputs of max pools that mark them */
    mf_slot *slots;
    int32_t slot_count;
    bool shared; /* some parameter is that of several steps */
    int32_t tile;
    int64_t trained; /* parameters: length of the gradient; more than there are if some overlap */
    /* The workspace, in floats from its start.  Weights: the working copy, where vectors may
     * be read beyond the end; with vectors of one float training works on the result.  Padded:
     * scratch of one step. */
    ptrdiff_t weights, padded, pieces;
    ptrdiff_t biases, places, room; /* for parts of steps (parts.c); room: of product_of_few */
    size_t workspace;
    size_t largest_part; /* floats of the gradient that are updated at once */
};

/* MF_OK, or what is wrong with a model, or with its training in tiles, or from stored parameters.
 */
mf_status mf_check_model(const mf_train_model *model, int32_t tile, bool stored);

/* Elements of a sample of a tensor; of the weights of a step (0: it has none). */
int32_t mf_elements(mf_shape shape);
int32_t mf_weights_of(const mf_train_model *model, const mf_train_step *step);
int32_t mf_outputs_of(const mf_train_model *model, const mf_train_step *step);

/* How many inputs a kind of step reads. */
static inline int mf_inputs_of(int32_t kind) {
    return mf_is(kind, MF_ADD) || mf_is(kind, MF_MUL) ? 2 : 1;
}

/* Whether the plan is one of mf_plan_stored. */
static inline bool mf_is_stored(const mf_plan *plan) {
    return MF_STORED_ONLY || plan->stored != NULL;
}

mf_geometry mf_geometry_of(const mf_train_model *model, const mf_train_step *step);

/* Whether all weights of a step are floats in memory. */
bool mf_is_in_place(const mf_plan *plan, int32_t step);

/* Whether values of the tensor are held to a range. */
bool mf_is_held(const mf_train_tensor *tensor);

/* Floats that padded copies of a step's input take for each sample; 0 where none is made. */
size_t mf_padded_size(const mf_plan *plan, const mf_step_plan *step, int32_t kind);

/* The only step that reads a tensor; −1: there are more, or none, or the loss reads it too. */
int32_t mf_only_reader(const mf_train_model *model, int32_t tensor);

/* Whether the way back through a step compares its output with the bounds that it is held to; a
 * max pool behind it that marks its winners has done so. */
bool mf_is_gated(const mf_plan *plan, int32_t step);

/* Begin and end of every value and gradient, then a place for each (pieces.c); the floats that
 * they take, or SIZE_MAX where they and `others` are more than can be addressed.  A program for one
 * model links another function of this name, which knows the places (firmware/node/src/trusted.c).
 */
size_t mf_place_pieces(mf_plan *plan, mf_total others);

#endif
