/* What an aggregator computes of every update, for the library that Python loads: one pass each. */
#ifndef MICROFED_SUMS_H
#define MICROFED_SUMS_H

#include <stdint.h>

#include "microfed/export.h"

/* Whether each of n values is finite and at most `limit` in size, which is no less than 0. */
MF_EXPORT int mf_within(const float *values, int32_t n, float limit);

/* total[i] += factor · values[i], the product rounded to the nearest integer, half to even.
 *
 * The product is that of doubles: exact where the factor has at most 29 significant bits,
 * as the 24 of a value leave of 53, else rounded twice.  No product and no total may reach
 * 2^63 in size. */
MF_EXPORT void mf_add_rounded(const float *values, double factor, int64_t *total, int32_t n);

#endif
