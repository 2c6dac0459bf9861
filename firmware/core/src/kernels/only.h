/* What a program for one model may say of it when it is compiled, so that it has no code for the
 * rest (firmware/nodes.py: only):
 *
 *   -DMF_ONLY_KINDS=…  bit k: some step is of kind k; bit 16 + k: the loss is number k
 *   -DMF_ONLY_STORED   every plan is one of mf_plan_stored
 *   -DMF_ONLY_MARKED   every max pool marks its winners */
#ifndef MICROFED_ONLY_H
#define MICROFED_ONLY_H

#include <stdbool.h>
#include <stdint.h>

/* -Os: 3 KB less code, and no loop twice to be faster in some case. */
#if defined(__OPTIMIZE_SIZE__)
#define MF_SMALL 1
#else
#define MF_SMALL 0
#endif

#if !defined(MF_ONLY_KINDS)
#define MF_ONLY_KINDS 0xFFFFFFFFu
#endif

#if defined(MF_ONLY_STORED)
#define MF_STORED_ONLY 1
#else
#define MF_STORED_ONLY 0
#endif

#if defined(MF_ONLY_MARKED)
#define MF_MARKED_ONLY 1
#else
#define MF_MARKED_ONLY 0
#endif

/* Whether there can be such steps, or (16 + mf_train_loss) such a loss: a constant. */
#define MF_HAS(kind) ((MF_ONLY_KINDS >> (kind) & 1u) != 0)

static inline bool mf_is(int32_t kind, int32_t wanted) {
    return MF_HAS(wanted) && kind == wanted;
}

#endif
