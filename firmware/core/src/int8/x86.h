/* The paths for x86: weights reordered once by mf_int8_pack, vectors of 32-bit accumulators.
 *
 * A layer first makes an image: its input with the padding around it, as numbers that one
 * instruction multiplies in groups.  A filter is a list of words, one group of taps each, at
 * fixed distances in the image; taps that only fill up a group have weight 0.
 *
 * path  image                 group   multiply and add
 * AVX2  int16 code            2 taps  VPMADDWD and VPADDD
 * VNNI  uint8 code + 128      4 taps  VPDPBUSD
 *
 * Everything is integer, modulo 2^32, so the order of additions does not matter. */
#ifndef MICROFED_INT8_X86_H
#define MICROFED_INT8_X86_H

#include "microfed/int8.h"

/* Whether this build has a path and this machine can run it. */
int mf_int8_has_path(int32_t path);

/* Run step i of the plan if its path has a kernel for it; 0 if not. */
int mf_int8_run_packed(const mf_int8_plan *plan, uint32_t i, uint8_t *arena);

/* Bytes that kernels may read beyond the last that they need. */
#define MF_X86_SLACK 128

/* What mf_int8_pack knows about a path. */
typedef struct {
    int32_t lanes;   /* accumulators in a vector */
    int32_t group;   /* taps in a word of 32 bits */
    int32_t element; /* bytes of a number of the image */
    int32_t offset;  /* of the image: number − code */
} mf_x86_shape;

/* A packed layer.  Arrays begin at so many bytes from here; `lanes` values of a block, for so
 * many output channels, lie side by side.  A depthwise block is one vector of the image, and
 * has lanes · group channels in the order in which interleaving the taps leaves them. */
typedef struct {
    uint32_t bytes; /* with the arrays */
    uint32_t words;
    uint32_t blocks;
    uint32_t image_height, image_width;
    uint32_t wide;  /* depthwise: a row's positions are one vector after another */
    uint32_t pairs; /* the last block's words lie two by two: see tile_of_pairs */
    uint32_t offsets;
    uint32_t weights;
    uint32_t bias, multipliers, rights, less, halves; /* see x86_kernels.h: scaling */
} mf_x86_layer;

/* The convolution that a step is; a fully connected layer is one of 1×1 over its rows. */
mf_int8_conv mf_x86_conv_of(const mf_int8_step *step);

/* A path's kernels. */
typedef struct {
    void (*conv)(const mf_int8_conv *p, const mf_x86_layer *layer, const int8_t *input,
                 int8_t *output, uint8_t *scratch);
    void (*depthwise)(const mf_int8_conv *p, const mf_x86_layer *layer, const int8_t *input,
                      int8_t *output, uint8_t *scratch);
    void (*add)(const mf_int8_sum *p, const int8_t *a, const int8_t *b, int8_t *output);
} mf_x86_kernels;

extern const mf_x86_kernels mf_x86_avx2, mf_x86_vnni;

/* For both paths. */
void mf_x86_max_pool(const mf_int8_pool *p, const int8_t *input, int8_t *output);
void mf_x86_average_pool(const mf_int8_pool *p, const int8_t *input, int8_t *output);
void mf_x86_mean(const mf_int8_mean_axis *p, const int8_t *input, int8_t *output);

#endif
