/* Training a network on the device: float weights, the activations of an int8 file.
 *
 * A model is constant data: tensors, steps that compute one from others, and one flat
 * vector of float parameters that belongs to the caller.  A plan says where everything
 * lies in the caller's memory while one choice of parameters is trained.  Nothing here
 * allocates, and nothing is kept between calls: calls that share no output may run at once.
 *
 * The same arguments give the same bits on every machine: see docs/decisions on the
 * order of reductions. */
#ifndef MICROFED_TRAIN_H
#define MICROFED_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "microfed/export.h"
#include "microfed/shape.h"
#include "microfed/status.h"

/* One tensor.  Its values are held to [low, high] (infinite: not held); the clamp passes
 * no gradient to what was held.  step: distance of the values that its int8 codes can
 * represent, 0 where training never rounds to them.  Values lie within 2^22 steps: finite
 * bounds must, and a tensor without bounds must follow from others that have them. */
typedef struct {
    mf_shape shape;
    float low, high;
    float step;
} mf_train_tensor;

typedef enum {
    MF_CONV = 0,         /* weights (out, height, width, in), bias (out) */
    MF_DEPTHWISE = 1,    /* weights (height, width, out), out = k · in: channel c reads c / k */
    MF_DENSE = 2,        /* weights (out, in): rows of `in` values become rows of `out` */
    MF_AVERAGE_POOL = 3, /* the mean of what a window sees of the sample */
    MF_MAX_POOL = 4,     /* of equals, the first (row by row) gets the gradient */
    MF_ADD = 5,          /* inputs[0] + inputs[1], of one shape */
    MF_MUL = 6,          /* inputs[0] · inputs[1], of one shape */
    MF_PLACE = 7,        /* the input at (y, x, channel) `place` of the output; several steps
                            may fill one output (concatenation), the rest is 0 (padding) */
    MF_COPY = 8,         /* the same values, held to another range or in another shape */
} mf_train_kind;

/* One operator.  Fields that its kind does not name are ignored. */
typedef struct {
    int32_t kind;
    int32_t inputs[2]; /* tensors */
    int32_t output;    /* tensor */
    int32_t weight;    /* index of the first weight in the parameters */
    int32_t bias;      /* likewise; −1: none */
    mf_window window;  /* convolutions and pools; dilation is 1 */
    int32_t place[3];
} mf_train_step;

typedef enum {
    MF_CROSS_ENTROPY = 0, /* of the softmax of the output, a class for each value */
    MF_SQUARED_ERROR = 1, /* mean over the output, which is to equal the held input */
} mf_train_loss;

typedef struct {
    const mf_train_tensor *tensors;
    const mf_train_step *steps; /* each reads `input` or what steps before it wrote */
    int32_t tensor_count;
    int32_t step_count;
    int32_t parameter_count;
    int32_t input;  /* tensor */
    int32_t output; /* tensor: logits, or the reconstruction */
    int32_t loss;   /* mf_train_loss */
} mf_train_model;

/* How to train; wire/messages.py: Recipe. */
typedef struct {
    int32_t epochs; /* ≥ 1 */
    int32_t batch;  /* ≥ 1 */
    float learning_rate;
    float momentum;
    float weight_decay; /* of weights, not of biases */
    float proximal;     /* FedProx µ, arXiv:1812.06127 */
    float clip_norm;    /* of the whole gradient; 0: not clipped */
    float rotation;     /* degrees; 0: none */
    int32_t fake_quantize;
} mf_recipe;

/* `count` samples x of the input's shape one after another, and their classes y
 * (squared error: y is not read). */
typedef struct {
    const float *x;
    const int32_t *y;
    int32_t count;
} mf_samples;

/* What trains of a step: bits of `trains[step]`. */
#define MF_TRAINS_WEIGHT 1u
#define MF_TRAINS_BIAS   2u

/* The instruction sets that kernels are compiled for.  All give the same bits. */
typedef enum {
    MF_PORTABLE = 0,
    MF_AVX2 = 1,
    MF_AVX512 = 2,
    MF_NEON = 3,
} mf_path;

/* The fastest path of this machine. */
MF_EXPORT mf_path mf_best_path(void);

/* Whether this machine runs a path, and this library has it. */
MF_EXPORT int mf_has_path(int32_t path);

typedef struct mf_plan mf_plan;

/* Bytes that a plan of so many tensors and steps takes at most, for memory that is static. */
#define MF_PLAN_BYTES(tensors, steps) (sizeof(ptrdiff_t) * (40 + 12 * (tensors) + 34 * (steps)))

/* Bytes that a plan of the model takes; 0 for a model whose counts are out of range. */
MF_EXPORT size_t mf_plan_bytes(const mf_train_model *model);

/* Check the model and lay out its training in `memory`.
 *
 * trains: a byte for each step.  What is not trained costs neither time nor memory.
 * tile: samples that go through the network together; 1 needs the least memory, more is
 * faster, and the results are the same.
 * The plan begins at `memory`, and is const from then on: threads may share it.  It
 * refers to `model`, which must outlive it. */
MF_EXPORT mf_status mf_plan_training(const mf_train_model *model, const uint8_t *trains,
                                     int32_t tile, int32_t path, void *memory, size_t bytes);

/* Bytes of memory that mf_train or mf_train_stored needs for so many samples.  Beside them a
 * device needs the plan, the weights and 1.6 KB of stack.
 *
 * With `batch` ≤ tile, no momentum and no clipping, each layer is updated as soon as its
 * gradient is there, and no gradient is kept (on the portable path); else one float for each
 * parameter that trains is, with clipping two. */
MF_EXPORT size_t mf_train_bytes(const mf_plan *plan, const mf_recipe *recipe, int32_t samples);

/* Train from `received` on the samples; the order of batches and the rotations follow
 * from the seed.
 *
 * mask: a byte for each parameter, 0 where it is pruned: it is 0 in `weights`.
 * weights: the result, whole; may be `received` if the recipe has no proximal term.
 * losses: mean over the samples, of the weights as received and as trained. */
MF_EXPORT mf_status mf_train(const mf_plan *plan, const mf_recipe *recipe,
                             const mf_samples *samples, uint32_t seed, const float *received,
                             const uint8_t *mask, float *weights, float losses[2], void *memory,
                             size_t bytes);

/* A step's parameters as an int8 file has them: weights are code · scale, biases code · (scale ·
 * input_scale), in float32. */
typedef struct {
    const int8_t *weights;
    const int32_t *bias;  /* NULL: none */
    const float *scales;  /* one for each output, or one for all */
    const uint32_t *mask; /* bit i % 32 of word i / 32 is 0 where weight i is pruned, whose code
                             is 0; NULL: none is */
    int32_t scale_count;
    float input_scale;
} mf_stored;

/* For devices of little memory: mf_plan_training on the portable path, but only the unpruned
 * parameters that train are floats in memory.  All others are read from `stored`, an element
 * for each step, which may lie in flash and must outlive the plan.  Parameters are those of
 * one step only.  mf_gradient and mf_predict refuse such a plan. */
MF_EXPORT mf_status mf_plan_stored(const mf_train_model *model, const uint8_t *trains,
                                   const mf_stored *stored, int32_t tile, void *memory,
                                   size_t bytes);

/* Where a plan puts what each tensor has: three places, in floats, of its values, its gradient
 * and its winners (of a max pool's output), −1 where it has none; the floats that all take. */
MF_EXPORT size_t mf_plan_places(const mf_plan *plan, int32_t *places);

/* How many parameters train under a plan of mf_plan_stored, pruned ones not among them. */
MF_EXPORT size_t mf_stored_count(const mf_plan *plan);

/* mf_train from the stored parameters, to the bits that mf_train gives.
 *
 * weights: the result, mf_stored_count(plan) floats, step after step, the weights of each
 * before its biases. */
MF_EXPORT mf_status mf_train_stored(const mf_plan *plan, const mf_recipe *recipe,
                                    const mf_samples *samples, uint32_t seed, float *weights,
                                    float losses[2], void *memory, size_t bytes);

/* Make trained weights the update that is sent: less the stored ones. */
MF_EXPORT void mf_stored_update(const mf_plan *plan, float *weights);

/* Bytes of memory that mf_gradient needs; mf_predict needs no more. */
MF_EXPORT size_t mf_gradient_bytes(const mf_plan *plan);

/* The mean loss over the samples, and its gradient by all parameters (0 for those that
 * are not trained). */
MF_EXPORT mf_status mf_gradient(const mf_plan *plan, const mf_samples *samples,
                                int32_t fake_quantize, const float *weights, float *gradient,
                                float *loss, void *memory, size_t bytes);

/* The output for `count` samples: `outputs` holds count times the output's size. */
MF_EXPORT mf_status mf_predict(const mf_plan *plan, const float *x, int32_t count,
                               const float *weights, float *outputs, void *memory, size_t bytes);

/* sizeof mf_train_tensor, mf_train_step, mf_train_model, mf_recipe, mf_samples, mf_stored:
 * whoever builds them in another language checks that both mean the same. */
MF_EXPORT extern const uint32_t mf_train_sizes[6];

#endif
