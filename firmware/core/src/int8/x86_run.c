#include <stddef.h>

#include "x86.h"

#if defined(__x86_64__)

int mf_int8_has_path(int32_t path) {
    switch (path) {
    case MF_INT8_PORTABLE:
        return 1;
    case MF_INT8_AVX2:
        return __builtin_cpu_supports("avx2") != 0;
    case MF_INT8_VNNI:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
    default:
        return 0;
    }
}

int32_t mf_int8_best_path(void) {
    int32_t path = MF_INT8_VNNI;
    while (!mf_int8_has_path(path)) {
        path--;
    }
    return path;
}

int mf_int8_run_packed(const mf_int8_plan *plan, uint32_t i, uint8_t *arena) {
    if (plan->packed == NULL) {
        return 0;
    }
    const mf_x86_kernels *kernels = plan->path == MF_INT8_VNNI ? &mf_x86_vnni : &mf_x86_avx2;
    const mf_int8_step *s = &plan->steps[i];
    const int8_t *input = (const void *)(arena + s->input[0].offset);
    int8_t *output = (void *)(arena + s->output.offset);
    uint8_t *scratch = arena + (plan->arena_size + MF_ALIGN - 1) / MF_ALIGN * MF_ALIGN;
    uint32_t packed = ((const uint32_t *)(const void *)plan->packed)[i];
    if (s->input[0].memory != MF_INT8_ARENA) {
        return 0; /* what lies behind a constant is not ours to read */
    }
    if (packed) {
        const mf_x86_layer *layer = (const void *)(plan->packed + packed);
        mf_int8_conv p = mf_x86_conv_of(s);
        (s->kind == MF_INT8_DEPTHWISE_CONV_2D ? kernels->depthwise
                                              : kernels->conv)(&p, layer, input, output, scratch);
        return 1;
    }
    switch (s->kind) {
    case MF_INT8_MAX_POOL_2D:
        mf_x86_max_pool(&s->with.pool, input, output);
        return 1;
    case MF_INT8_AVERAGE_POOL_2D:
        mf_x86_average_pool(&s->with.pool, input, output);
        return 1;
    case MF_INT8_MEAN:
        mf_x86_mean(&s->with.mean, input, output);
        return 1;
    case MF_INT8_ADD: {
        const int last = MF_INT8_RANK - 1;
        const mf_int8_pair *axes = &s->with.sum.axes;
        if (s->input[1].memory != MF_INT8_ARENA || axes->length[last - 1] != 1 ||
            axes->step[0][last] != 1 || axes->step[1][last] != 1 || s->with.sum.scale.shift > 0) {
            return 0; /* repeated inputs; a scale that `scaling` cannot hold */
        }
        kernels->add(&s->with.sum, input, (const void *)(arena + s->input[1].offset), output);
        return 1;
    }
    default:
        return 0;
    }
}

#else

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
    (void)memory;
    plan->packed = NULL;
    plan->scratch_size = 0;
    return MF_OK;
}

#endif
