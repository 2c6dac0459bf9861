/* What firmware/node.py writes for one model: its tables, and memory of the right size. */
#ifndef MICROFED_MADE_H
#define MICROFED_MADE_H

#include "microfed/node.h"

/* The model. */
extern const mf_node_model model;

/* Model, buffers and work memory are there; the rest is for the program to fill in. */
extern mf_node_settings node_settings;

/* Bytes of each area of flash. */
extern const uint32_t node_areas[MF_AREAS];

/* int8 inference with the version that a body (mf_node_body) holds: node_inputs codes become
 * node_outputs.  False: its scales are beyond what the kernels can do. */
bool node_infer(const uint8_t *body, const int8_t *input, int8_t *output);

extern const int32_t node_inputs, node_outputs;

/* Room for both, where the program has none. */
extern int8_t node_input[], node_output[];

/* A sample's values as the input's codes. */
void node_quantize(const float *values, int8_t *codes);

#endif
