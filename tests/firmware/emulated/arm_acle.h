/* The intrinsics of the DSP extension in plain C, so that its path runs, and is checked by
 * sanitizers, on the host.  Written from the descriptions in Arm's ACLE. */
#ifndef EMULATED_ARM_ACLE_H
#define EMULATED_ARM_ACLE_H

#include <stdint.h>

static inline int32_t emulated_half(int32_t x, int top) {
    return (int16_t)(uint16_t)((uint32_t)x >> (top ? 16 : 0));
}

static inline int32_t emulated_wrap(int64_t x) {
    return (int32_t)(uint32_t)(uint64_t)x;
}

static inline int32_t __sxtb16(int32_t x) {
    uint32_t low = (uint32_t)x & 0xFF, high = (uint32_t)x >> 16 & 0xFF;
    low = ((low ^ 0x80) - 0x80) & 0xFFFF;
    high = ((high ^ 0x80) - 0x80) & 0xFFFF;
    return (int32_t)(low | high << 16);
}

static inline int32_t __smuad(int32_t a, int32_t b) {
    return emulated_wrap((int64_t)emulated_half(a, 0) * emulated_half(b, 0) +
                         (int64_t)emulated_half(a, 1) * emulated_half(b, 1));
}

static inline int32_t __smlad(int32_t a, int32_t b, int32_t sum) {
    return emulated_wrap((int64_t)sum + (int64_t)emulated_half(a, 0) * emulated_half(b, 0) +
                         (int64_t)emulated_half(a, 1) * emulated_half(b, 1));
}

static inline int32_t __smlabb(int32_t a, int32_t b, int32_t sum) {
    return emulated_wrap((int64_t)sum + (int64_t)emulated_half(a, 0) * emulated_half(b, 0));
}

static inline int32_t __smlabt(int32_t a, int32_t b, int32_t sum) {
    return emulated_wrap((int64_t)sum + (int64_t)emulated_half(a, 0) * emulated_half(b, 1));
}

static inline int32_t __smlatb(int32_t a, int32_t b, int32_t sum) {
    return emulated_wrap((int64_t)sum + (int64_t)emulated_half(a, 1) * emulated_half(b, 0));
}

#endif
