/* The kernels of one path.  A file of src/paths/ defines its vectors and its blocks, then
 * includes this once, then names the table. */

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "kernels/float_math.h"
#include "kernels/fma.h"
#include "kernels/kernels.h"
#include "microfed/train.h"

#if defined(__GNUC__)
#define MF_INLINE static inline __attribute__((always_inline))
#define MF_RARE   static __attribute__((noinline, cold))
#else
#define MF_INLINE static inline
#define MF_RARE   static
#endif

/* A loop in several versions, each without the branches of the others. */
#if MF_SMALL
#define MF_VERSIONS static
#else
#define MF_VERSIONS MF_INLINE
#endif

/* Constant bounds: the loop becomes straight code, and its sums stay in registers. */
#if defined(__clang__)
#define MF_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define MF_UNROLL _Pragma("GCC unroll 16")
#else
#define MF_UNROLL
#endif

#include "kernels/simple.h"

#include "kernels/lanes.h"

#if MF_SMALL
#include "kernels/small.h"
#else
#include "kernels/product.h"

#include "kernels/channel.h"
#endif

/* What only paths of wide vectors have; behind it a comma follows. */
#if MF_WIDTH > 1
#include "kernels/listed.h"

#include "kernels/few.h"
#define MF_WIDE_KERNELS                                                                            \
    , .turn = turn, .turn_back = turn_back, .listed = listed, .most_kept = MF_KEPT, .kept = kept,  \
        .product_of_few = product_of_few
#else
#define MF_WIDE_KERNELS
#endif

#include "kernels/loss.h"
#include "kernels/pool.h"
#include "kernels/update.h"

#define MF_KERNELS                                                                                 \
    {                                                                                              \
        .width = MF_WIDTH,                                                                         \
        .product = product,                                                                        \
        .by_channel = by_channel,                                                                  \
        .hold = hold,                                                                              \
        .gate = gate,                                                                              \
        .add = add,                                                                                \
        .multiply = MF_HAS(MF_MUL) ? multiply : NULL,                                              \
        .scale = MF_HAS(MF_AVERAGE_POOL) ? scale : NULL,                                           \
        .max_pool = MF_HAS(MF_MAX_POOL) && !MF_MARKED_ONLY ? max_pool : NULL,                      \
        .max_pool_back = MF_HAS(MF_MAX_POOL) && !MF_MARKED_ONLY ? max_pool_back : NULL,            \
        .cross_entropy = MF_HAS(16 + MF_CROSS_ENTROPY) ? cross_entropy : NULL,                     \
        .squared_error = MF_HAS(16 + MF_SQUARED_ERROR) ? squared_error : NULL,                     \
        .squares = MF_STORED_ONLY ? NULL : squares,                                                \
        .folded = folded,                                                                          \
        .begin = begin,                                                                            \
        .join = join,                                                                              \
        .finish = finish MF_WIDE_KERNELS,                                                          \
    }
