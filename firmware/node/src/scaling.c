#include "microfed/scaling.h"

#include <string.h>

#include "microfed/model.h"

enum { MANTISSA = 52, DROPPED = 22, LEAST_SHIFT = -31, MOST_SHIFT = 30 };

/* A positive normal double as multiplier · 2^(shift − 31), rounded to the nearest. */
static bool split(double real, int32_t *multiplier, int8_t *shift) {
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    int32_t exponent = (int32_t)(bits >> MANTISSA) - 1022;
    const uint64_t mantissa = (bits & ((UINT64_C(1) << MANTISSA) - 1)) | UINT64_C(1) << MANTISSA;
    uint32_t rounded = (uint32_t)((mantissa + (1u << (DROPPED - 1))) >> DROPPED);
    if (rounded == UINT32_C(1) << 31) {
        rounded >>= 1;
        exponent++;
    }
    if (exponent < LEAST_SHIFT) { /* too small to move any code */
        rounded = 0;
        exponent = 0;
    }
    *multiplier = (int32_t)rounded;
    *shift = (int8_t)exponent;
    return exponent <= MOST_SHIFT;
}

bool mf_scale_layers(const mf_scaled_layer *layers, int32_t count, const uint8_t *body,
                     int32_t *multipliers, int8_t *shifts) {
    const float *scales = (const float *)(const void *)(body + MF_BODY_SCALES);
    bool fits = true;
    for (int32_t k = 0; k < count; k++) {
        const mf_scaled_layer *layer = &layers[k];
        for (int32_t i = 0; i < layer->count; i++) {
            const double scale = (double)scales[layer->scale + i];
            const double real = (double)layer->input * scale / (double)layer->output;
            fits = split(real, multipliers++, shifts++) && fits;
        }
    }
    return fits;
}
