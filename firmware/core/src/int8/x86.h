/* The paths for x86: weights reordered by mf_int8_pack, vectors of 8 or 16 accumulators. */
#ifndef MICROFED_INT8_X86_H
#define MICROFED_INT8_X86_H

#include "microfed/int8.h"

/* Whether this build has a path and this machine can run it. */
int mf_int8_has_path(int32_t path);

/* Run step i of the plan if its path has a kernel for it; 0 if not. */
int mf_int8_run_packed(const mf_int8_plan *plan, uint32_t i, uint8_t *arena);

#endif
