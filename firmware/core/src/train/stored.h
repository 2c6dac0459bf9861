/* Parameters as an int8 file has them, of which only the unpruned ones that train are floats in
 * memory, one after another (train.h: mf_stored). */
#ifndef MICROFED_STORED_H
#define MICROFED_STORED_H

#include "train/plan.h"

enum { MF_STORED_AT_ONCE = 32 };

/* How many of the weights [from, to) of a step are not pruned. */
int32_t mf_unpruned(const mf_stored *stored, int32_t from, int32_t to);

/* The weights [from, to) from the unpruned ones among them, the pruned ones 0; how many those
 * were. */
int32_t mf_expand(const mf_stored *stored, const float *unpruned, int32_t from, int32_t to,
                  float *weights);

/* The inverse: keep the unpruned ones. */
int32_t mf_compress(const mf_stored *stored, const float *weights, int32_t from, int32_t to,
                    float *unpruned);

/* The weights [from, to) of a step that does not train, or all of its biases. */
void mf_decode(const mf_plan *plan, int32_t step, int32_t from, int32_t to, float *weights);
void mf_decode_bias(const mf_plan *plan, int32_t step, float *bias);

/* The unpruned values as received among MF_STORED_AT_ONCE parameters of a slot from number `at`
 * on; how many they are. */
int32_t mf_stored_values(const mf_plan *plan, const mf_slot *slot, int32_t at, float *values);

/* Add the squares of a slot's gradient to 16 sums, interleaved as if none were pruned. */
void mf_stored_squares(const mf_plan *plan, const mf_slot *slot, const float *g, float lanes[16]);

#endif
