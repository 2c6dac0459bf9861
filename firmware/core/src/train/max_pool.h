/* Max pools that remember which value of each window was the largest, so that nothing else of
 * their input need be kept for the way back.  For vectors of one float. */
#ifndef MICROFED_MAX_POOL_H
#define MICROFED_MAX_POOL_H

#include "kernels/kernels.h"

enum { MF_MOST_MARKED = 256 }; /* taps of a window */

/* y, and the tap that each value of it came from: of equals the first. */
void mf_max_pool(const mf_pool *pool, int32_t samples, const float *x, float *y, uint8_t *winners);

/* Add the gradient by x, where y lies between the bounds that x is held to. */
void mf_max_pool_back(const mf_pool *pool, int32_t samples, const mf_hold *hold, const float *y,
                      const uint8_t *winners, const float *by_y, float *by_x);

#endif
