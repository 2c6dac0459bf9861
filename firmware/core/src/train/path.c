/* Which instruction sets there are, here and in this library. */
#include "kernels/kernels.h"
#include "microfed/train.h"

#if defined(__x86_64__) && defined(__GNUC__) && defined(MF_WITH_X86_PATHS)
const mf_kernels *mf_kernels_of(int32_t path) {
    if (path == MF_PORTABLE) {
        return &mf_kernels_portable;
    }
    if (path == MF_AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return &mf_kernels_avx2;
    }
    if (path == MF_AVX512 && __builtin_cpu_supports("avx512f")) {
        return &mf_kernels_avx512;
    }
    return NULL;
}
#elif defined(__aarch64__)
const mf_kernels *mf_kernels_of(int32_t path) {
    if (path == MF_PORTABLE) {
        return &mf_kernels_portable;
    }
    return path == MF_NEON ? &mf_kernels_neon : NULL;
}
#else
const mf_kernels *mf_kernels_of(int32_t path) {
    return path == MF_PORTABLE ? &mf_kernels_portable : NULL;
}
#endif

int mf_has_path(int32_t path) {
    return mf_kernels_of(path) != NULL;
}

mf_path mf_best_path(void) {
    const mf_path by_speed[] = {MF_AVX512, MF_AVX2, MF_NEON};
    for (size_t i = 0; i < sizeof by_speed / sizeof by_speed[0]; i++) {
        if (mf_has_path((int32_t)by_speed[i])) {
            return by_speed[i];
        }
    }
    return MF_PORTABLE;
}
