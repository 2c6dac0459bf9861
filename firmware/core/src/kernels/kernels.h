/* What is compiled once for each instruction set: the loops in which the time goes.
 *
 * Every path gives the same bits.  A reduction is one chain of fused multiply-adds in the
 * order that its loops say; vectors lie across outputs or samples, never along a reduction; and
 * every stored sum gets + 0.0f, so that the sign of a zero cannot tell whether taps that contribute
 * nothing (padding, pruned weights) were skipped or multiplied. */
#ifndef MICROFED_KERNELS_H
#define MICROFED_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/only.h"

/* Whether there are paths whose vectors are wider than one float: a microcontroller has no code
 * for them. */
#if defined(MF_WITH_X86_PATHS) || defined(__aarch64__)
#define MF_WIDE 1
#else
#define MF_WIDE 0
#endif

/* Three nested loops over memory, the last innermost: how many, and how far apart. */
typedef struct {
    int32_t count[3];
    ptrdiff_t first[3];  /* step in the first array, in floats */
    ptrdiff_t second[3]; /* step in the second */
} mf_loops;

/* Values are moved to [low, high], then to the nearest multiple of grid (half to even);
 * inverse is 1 / grid, or 0 for no grid. */
typedef struct {
    float low, high;
    float grid, inverse;
} mf_hold;

/* C[row, column] = hold(start + Σ A[row, k] · B[k, column]): every convolution and dense
 * layer, forward and backward.
 *
 * start is `start[column · start_step]`, or 0 where that is NULL, or with `adds` what C
 * holds.  Columns that lie side by side are read in whole vectors: up to width − 1 floats
 * behind the last one must be readable, in A, B and, for `product`, start. */
typedef struct {
    const float *a, *b;
    float *c;
    const float *start;
    ptrdiff_t start_step; /* product: 1 */
    mf_loops rows;        /* over a and c */
    mf_loops depth;       /* over a and b: the order of the sum */
    int32_t columns;
    ptrdiff_t a_column; /* by_channel: A[row, k] has a value for each column; product: 0 */
    ptrdiff_t b_column; /* product: 1 unless width is 1; by_channel: 0 is allowed too */
    ptrdiff_t c_column; /* product: 1 if width is 1 */
    bool adds;
    mf_hold hold;
} mf_product;

/* Y[position, o] = hold(start + Σ value · X[position, place]) over the list of each output o.
 * X and Y are turned: each number is a vector of as many samples as a vector has floats.
 *
 * Lists lie one after another, four entries at a time; start is that of mf_product. */
typedef struct {
    const float *x;         /* what the first position sees, at a line of cache */
    ptrdiff_t x_position;   /* floats from position to position */
    const uint64_t *places; /* four to a word, the first in the lowest bits: vectors from x on;
                               the word behind the last list is read too */
    const float *values;
    const int32_t *ends; /* by output: entries up to the end of its list */
    const float *start;
    float *y; /* positions × outputs */
    int32_t positions, outputs;
    bool adds;
    mf_hold hold;
} mf_listed;

/* Rows that product_of_few goes through together: their sums are to stay in the nearest cache. */
#define MF_FEW_ROWS 40

/* A pool's window over one tensor; padding contributes nothing. */
typedef struct {
    int32_t in_height, in_width, out_height, out_width, channels;
    int32_t kernel_height, kernel_width, stride_height, stride_width, pad_top, pad_left;
} mf_pool;

/* The class of sample s is y[order[s]], or y[s] where order is NULL. */
typedef struct {
    const int32_t *y;
    const uint32_t *order;
} mf_labels;

/* A sum of many floats, and what rounding lost of it: a double costs a device that has none in
 * hardware 3 KB of code. */
typedef struct {
    float rounded, lost;
} mf_sum;

/* Knuth's two-sum: what it loses is exact. */
static inline void mf_add_to(mf_sum *sum, float x) {
    const float next = sum->rounded + x;
    const float added = next - sum->rounded;
    sum->lost += (sum->rounded - (next - added)) + (x - added);
    sum->rounded = next;
}

/* What one batch's update of a range of parameters adds to its gradient. */
typedef struct {
    float momentum, weight_decay, proximal;
} mf_update;

typedef struct {
    int32_t width; /* floats in a vector */
    void (*product)(const mf_product *p);
    void (*by_channel)(const mf_product *p); /* A[row, k] · B[k] for each column by itself */
    void (*hold)(const mf_hold *hold, const float *from, float *to, size_t n);
    void (*gate)(const mf_hold *hold, const float *values, float *gradient, size_t n);
    void (*add)(const float *a, const float *b, float *to, size_t n);
    void (*multiply)(const float *a, const float *b, float *to, size_t n, bool adds);
    void (*scale)(float factor, float *values, size_t n);
    void (*max_pool)(const mf_pool *pool, int32_t samples, const float *x, float *y);
    /* by_x: stored, or added to what is there. */
    void (*max_pool_back)(const mf_pool *pool, int32_t samples, const float *x, const float *y,
                          const float *by_y, bool adds, float *by_x);
    void (*cross_entropy)(const mf_labels *labels, const float *logits, int32_t classes,
                          int32_t samples, mf_sum *loss, float share, float *gradient);
    void (*squared_error)(const float *y, const float *target, int32_t size, int32_t samples,
                          mf_sum *loss, float share, float *gradient);
    float (*folded)(float lanes[16]);
    void (*squares)(const float *g, const uint8_t *mask, size_t n, float lanes[16]);
    /* g ← momentum · g + decay · w + proximal · (w − received): what the chain of a batch's
     * gradients starts from.  Without momentum, what g holds is not read. */
    void (*begin)(const mf_update *update, const float *w, const float *received, float *g,
                  size_t n);
    void (*join)(float factor, const float *from, float *g, size_t n); /* g ← g + factor · from */
    /* w ← w − learning_rate · g; of pruned parameters g ← 0 first.  mask NULL: none is pruned. */
    void (*finish)(float learning_rate, const uint8_t *mask, float *g, float *w, size_t n);
#if MF_WIDE
    /* Of vectors of more than one float.  turn: numbers 0 … n − 1 of each of up to `width`
     * samples, `step` floats apart, become n vectors, 0 for samples that there are not; and
     * turn_back.  Both may read up to width − 1 numbers, or vectors, beyond the last. */
    void (*turn)(const float *from, ptrdiff_t step, int32_t samples, float *to, size_t n);
    void (*turn_back)(const float *from, float *to, ptrdiff_t step, int32_t samples, size_t n);
    void (*listed)(const mf_listed *p);
    int32_t most_kept; /* vectors that stay in registers: positions that mf_listed may have */
    /* How many of n values are not 0; up to width − 1 behind them are read. */
    int64_t (*kept)(const float *values, size_t n);
    /* `product` where that is few of A: it adds, A's rows lie side by side (rows.first[2] is 1,
     * and there are no outer loops), and so do the columns of C.  room: MF_FEW_ROWS · most_kept
     * vectors. */
    void (*product_of_few)(const mf_product *p, float *room);
#endif
} mf_kernels;

/* The kernels of a path (mf_path), or NULL where there are none. */
const mf_kernels *mf_kernels_of(int32_t path);

/* The width; a constant where there is only the portable path, so that a microcontroller has no
 * code for wider vectors. */
static inline int32_t mf_width(const mf_kernels *kernels) {
#if MF_WIDE
    return kernels->width;
#else
    (void)kernels;
    return 1;
#endif
}

extern const mf_kernels mf_kernels_portable, mf_kernels_avx2, mf_kernels_avx512, mf_kernels_neon;

#endif
