#include "x86.h"

int mf_int8_has_path(int32_t path) {
    return path == MF_INT8_PORTABLE;
}

int32_t mf_int8_best_path(void) {
    return MF_INT8_PORTABLE;
}

int mf_int8_run_packed(const mf_int8_plan *plan, uint32_t i, uint8_t *arena) {
    (void)plan, (void)i, (void)arena;
    return 0;
}

uint64_t mf_int8_packed_size(const mf_int8_plan *plan) {
    (void)plan;
    return 0;
}

mf_status mf_int8_pack(mf_int8_plan *plan, void *memory) {
    (void)plan, (void)memory;
    return MF_OK;
}
