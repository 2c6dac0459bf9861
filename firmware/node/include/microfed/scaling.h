/* The multipliers of int8 inference, from the scales of a version: those that TensorFlow Lite
 * Micro derives when it starts (core/int8_numbers.py: multiplier_of). */
#ifndef MICROFED_SCALING_H
#define MICROFED_SCALING_H

#include <stdbool.h>
#include <stdint.h>

/* One layer: its weights' scales in a body, and those of what it reads and writes. */
typedef struct {
    int32_t scale, count;
    float input, output;
} mf_scaled_layer;

/* Write multiplier and shift of each scale of each layer, layer after layer.  False: a scale is
 * too large for any shift. */
bool mf_scale_layers(const mf_scaled_layer *layers, int32_t count, const uint8_t *body,
                     int32_t *multipliers, int8_t *shifts);

#endif
