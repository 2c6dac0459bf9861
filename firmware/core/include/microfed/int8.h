/* int8 inference, byte for byte what TensorFlow Lite Micro's reference kernels compute.
 *
 * A kernel is a function of const parameters, constants and caller-owned memory; it cannot
 * fail.  Generated code calls kernels one by one.  An interpreter calls mf_int8_run with a
 * plan, an array of steps that mf_int8_check has accepted.
 *
 * real = scale · (code − zero point).  A change of scale is a multiplication by
 * multiplier · 2^(shift − 31), rounded twice as gemmlowp does: see fixed_point.h.
 * Ranges: multiplier 0 … 2^31 − 1, shift −31 … 30, zero points −128 … 127.
 * Convolution weights are [out][height][width][in], depthwise ones [height][width][out],
 * fully connected ones [out][in]; their zero point is 0. */
#ifndef MICROFED_INT8_H
#define MICROFED_INT8_H

#include <stdint.h>

#include "microfed/export.h"
#include "microfed/shape.h"
#include "microfed/status.h"

/* A change of scale. */
typedef struct {
    int32_t multiplier, shift;
} mf_int8_scale;

/* What an int8 output is made of: least ≤ code + zero_point ≤ most. */
typedef struct {
    int32_t zero_point, least, most;
} mf_int8_range;

/* The constants of a convolution or of a fully connected layer. */
typedef struct {
    const int8_t *weights;
    const int32_t *bias; /* one for each output channel, or NULL */
    const int32_t *multipliers;
    const int8_t *shifts;
} mf_int8_filter;

/* CONV_2D and DEPTHWISE_CONV_2D. */
typedef struct {
    mf_shape input, output;
    mf_window window;
    int32_t depth;       /* CONV_2D: input channels of a filter, input.channels / groups;
                            DEPTHWISE_CONV_2D: output channels for each input channel */
    int32_t input_zero;  /* the input's zero point, which is also what padding holds */
    int32_t per_channel; /* 1: a multiplier and a shift for each output channel; 0: one for all */
    mf_int8_range range;
} mf_int8_conv;

void mf_int8_conv_2d(const mf_int8_conv *p, const mf_int8_filter *filter, const int8_t *input,
                     int8_t *output);
void mf_int8_depthwise_conv_2d(const mf_int8_conv *p, const mf_int8_filter *filter,
                               const int8_t *input, int8_t *output);

/* FULLY_CONNECTED: `rows` vectors of `inputs` codes become vectors of `outputs` codes. */
typedef struct {
    int32_t rows, inputs, outputs;
    int32_t input_zero, per_channel;
    mf_int8_range range;
} mf_int8_dense;

void mf_int8_fully_connected(const mf_int8_dense *p, const mf_int8_filter *filter,
                             const int8_t *input, int8_t *output);

/* FULLY_CONNECTED as LiteRT's reference kernel computes it: the product of a sum and a scale,
 * one for each output, is rounded once, half away from zero. */
typedef struct {
    const int8_t *weights;
    const int32_t *bias;
    const double *scales;
} mf_int8_once_filter;

void mf_int8_fully_connected_once(const mf_int8_dense *p, const mf_int8_once_filter *filter,
                                  const int8_t *input, int8_t *output);

/* AVERAGE_POOL_2D and MAX_POOL_2D: every window holds at least one tap inside the input. */
typedef struct {
    mf_shape input, output;
    mf_window window; /* dilation 1 */
    int32_t least, most;
} mf_int8_pool;

void mf_int8_average_pool_2d(const mf_int8_pool *p, const int8_t *input, int8_t *output);
void mf_int8_max_pool_2d(const mf_int8_pool *p, const int8_t *input, int8_t *output);

/* MEAN over the middle axis of outer × count × inner; the scale divides by count. */
typedef struct {
    int32_t outer, count, inner;
    int32_t input_zero;
    mf_int8_scale scale;
    mf_int8_range range;
} mf_int8_mean_axis;

void mf_int8_mean(const mf_int8_mean_axis *p, const int8_t *input, int8_t *output);

/* Axes of an operator with two inputs.  A step of 0 repeats an input along that axis. */
#define MF_INT8_RANK 6
typedef struct {
    int32_t length[MF_INT8_RANK]; /* of the output, outermost first, unused ones 1 */
    int32_t step[2][MF_INT8_RANK];
} mf_int8_pair;

/* ADD (sign 1) and SUB (sign −1): both inputs are brought to a common, finer scale first.
 * The output may be one of the inputs if that one is not repeated. */
typedef struct {
    mf_int8_pair axes;
    int32_t sign;
    int32_t zero[2];
    mf_int8_scale input_scale[2], scale;
    mf_int8_range range;
} mf_int8_sum;

void mf_int8_add(const mf_int8_sum *p, const int8_t *a, const int8_t *b, int8_t *output);

/* MUL; the output may be one of the inputs if that one is not repeated. */
typedef struct {
    mf_int8_pair axes;
    int32_t zero[2];
    mf_int8_scale scale;
    mf_int8_range range;
} mf_int8_product;

void mf_int8_mul(const mf_int8_product *p, const int8_t *a, const int8_t *b, int8_t *output);

/* CONCATENATION, PAD, STRIDED_SLICE and TRANSPOSE move codes: element i reads input
 * [input_start + Σ i·input_step] and writes output [output_start + Σ i·output_step]. */
typedef struct {
    int32_t length[MF_INT8_RANK]; /* outermost first, unused ones 1 */
    int32_t input_start, output_start;
    int32_t input_step[MF_INT8_RANK], output_step[MF_INT8_RANK];
} mf_int8_move;

void mf_int8_copy(const mf_int8_move *p, const int8_t *input, int8_t *output);

/* The border of PAD: `count` codes of one value. */
typedef struct {
    int32_t count, value;
} mf_int8_filling;

void mf_int8_fill(const mf_int8_filling *p, int8_t *output);

/* SOFTMAX of each row, to a scale of 1/256 and a zero point of −128. */
typedef struct {
    int32_t rows, columns;
    mf_int8_scale scale; /* of a difference of codes to 5 integer and 26 fractional bits */
    int32_t least;       /* a code further than this below the row's largest counts nothing */
} mf_int8_softmax_rows;

void mf_int8_softmax(const mf_int8_softmax_rows *p, const int8_t *input, int8_t *output);

/* SVDF of one vector.  A state of units · rank rows of `memory` codes, zero at first, lasts from
 * one input to the next: each row forgets its first code and gains a sum of the input at its
 * end.  An output is the sum of `rank` rows, each multiplied by its weights over time. */
typedef struct {
    int32_t inputs, units, rank, memory;
    int32_t input_zero;
    mf_int8_scale feature_scale; /* of a sum of the input to a code of the state */
    mf_int8_scale scale;
    mf_int8_range range;
} mf_int8_svdf_layer;

typedef struct {
    const int8_t *weights;       /* [units · rank][inputs] */
    const int16_t *time_weights; /* [units · rank][memory] */
    const int32_t *bias;         /* one for each unit */
} mf_int8_svdf_filter;

void mf_int8_svdf(const mf_int8_svdf_layer *p, const mf_int8_svdf_filter *filter,
                  const int8_t *input, int16_t *state, int8_t *output);

/* LOGISTIC and TANH: table[code + 128].  The output may be the input. */
typedef struct {
    int32_t count;
} mf_int8_count;

void mf_int8_lookup(const mf_int8_count *p, const int8_t *table, const int8_t *input,
                    int8_t *output);

/* QUANTIZE from int8 to int8, RELU and RELU6.  The output may be the input. */
typedef struct {
    int32_t count, input_zero;
    mf_int8_scale scale;
    mf_int8_range range;
} mf_int8_rescale;

void mf_int8_requantize(const mf_int8_rescale *p, const int8_t *input, int8_t *output);

/* QUANTIZE from float, half away from zero, and DEQUANTIZE.  A NaN becomes the zero point. */
typedef struct {
    int32_t count, zero_point;
    float scale;
} mf_int8_real;

void mf_int8_quantize(const mf_int8_real *p, const float *input, int8_t *output);
void mf_int8_dequantize(const mf_int8_real *p, const int8_t *input, float *output);

/* Which kernel a step calls. */
typedef enum {
    MF_INT8_CONV_2D = 0,
    MF_INT8_DEPTHWISE_CONV_2D = 1,
    MF_INT8_FULLY_CONNECTED = 2,
    MF_INT8_AVERAGE_POOL_2D = 3,
    MF_INT8_MAX_POOL_2D = 4,
    MF_INT8_MEAN = 5,
    MF_INT8_ADD = 6,
    MF_INT8_MUL = 7,
    MF_INT8_COPY = 8,
    MF_INT8_FILL = 9,
    MF_INT8_SOFTMAX = 10,
    MF_INT8_LOOKUP = 11,
    MF_INT8_REQUANTIZE = 12,
    MF_INT8_QUANTIZE = 13,
    MF_INT8_DEQUANTIZE = 14,
} mf_int8_kind;

/* Where an operand begins: `offset` bytes into one of the plan's memories. */
typedef enum {
    MF_INT8_NOWHERE = 0, /* the operand is absent */
    MF_INT8_ARENA = 1,
    MF_INT8_MODEL = 2,
    MF_INT8_DERIVED = 3,
} mf_int8_memory;

typedef struct {
    int32_t memory;
    uint32_t offset;
} mf_int8_place;

/* One call of a kernel. */
typedef struct {
    int32_t kind;
    mf_int8_place input[2], output; /* input[1]: of ADD and MUL, and the table of LOOKUP */
    mf_int8_place weights, bias, multipliers, shifts;
    union {
        mf_int8_conv conv;
        mf_int8_dense dense;
        mf_int8_pool pool;
        mf_int8_mean_axis mean;
        mf_int8_sum sum;
        mf_int8_product product;
        mf_int8_move move;
        mf_int8_filling filling;
        mf_int8_softmax_rows softmax;
        mf_int8_count lookup;
        mf_int8_rescale rescale;
        mf_int8_real real;
    } with;
} mf_int8_step;

/* Which instructions the kernels of a plan use.  All give the same bytes. */
typedef enum {
    MF_INT8_PORTABLE = 0,
    MF_INT8_AVX2 = 1,
    MF_INT8_VNNI = 2, /* AVX-512 with F, BW, VL and VNNI */
} mf_int8_path;

/* A model ready to run.  Several threads may share one, each with an arena of its own.
 * Memories begin at multiples of MF_ALIGN. */
typedef struct {
    const mf_int8_step *steps;
    const uint8_t *model;   /* the .tflite file, for its weights */
    const uint8_t *derived; /* multipliers, shifts and tables */
    const uint8_t *packed;  /* made by mf_int8_pack; NULL of the portable path */
    uint32_t step_count, model_size, derived_size, arena_size;
    uint32_t input, input_size, output, output_size; /* of one sample, in the arena */
    int32_t path;
    uint32_t scratch_size; /* bytes that the path's kernels need beside the arena */
} mf_int8_plan;

/* Whether every step of `plan` stays inside its memories and every parameter in its range.
 * Ends with MF_OK, MF_BAD_MODEL, MF_MISALIGNED, or MF_UNSUPPORTED for a kind or a path that
 * this build or this machine does not have.  mf_int8_run and mf_int8_pack trust the plan. */
MF_EXPORT mf_status mf_int8_check(const mf_int8_plan *plan);

/* `count` samples, one after the other: input_size bytes each become output_size bytes each.
 * `arena` has arena_size + scratch_size bytes.  Ends with MF_OK or MF_MISALIGNED. */
MF_EXPORT mf_status mf_int8_run(const mf_int8_plan *plan, const void *input, void *output,
                                uint32_t count, void *arena);

/* The fastest path of this machine. */
MF_EXPORT int32_t mf_int8_best_path(void);

/* Bytes that mf_int8_pack needs for plan->path; 0: nothing to pack. */
MF_EXPORT uint64_t mf_int8_packed_size(const mf_int8_plan *plan);

/* Reorder the weights for plan->path into `memory` (mf_int8_packed_size bytes, aligned to
 * MF_ALIGN), which the plan then refers to; sets plan->scratch_size. */
MF_EXPORT mf_status mf_int8_pack(mf_int8_plan *plan, void *memory);

/* sizeof mf_int8_step and mf_int8_plan: whoever builds them in another language checks that
 * both mean the same. */
MF_EXPORT void mf_int8_sizes(uint64_t sizes[2]);

#endif
