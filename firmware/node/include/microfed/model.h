/* What is compiled into a node for one base file: firmware/node.py writes it from the .tflite.
 *
 * A *body* holds the codes and scales of one version as the node reads them, from flash or from
 * its code: version, check, scales (float), biases (int32), weights (int8), each kind in the
 * order of the parameter vector of docs/protocol.md, section 6. */
#ifndef MICROFED_MODEL_H
#define MICROFED_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "microfed/train.h"

/* One tensor of parameters. */
typedef struct {
    int32_t count;              /* parameters */
    int32_t scale, scale_count; /* its first scale; how many: 1, or one for each channel */
    int32_t inner;              /* parameter i is of channel i / inner mod scale_count */
    float input_scale;          /* a bias' scale is its weight's times this; 0: weights */
    uint32_t codes;             /* bytes from the beginning of a body to its first code */
    const uint32_t *mask;       /* weights: as in mf_stored */
} mf_parameters;

typedef struct {
    uint8_t digest[32]; /* SHA-256 of the base file */
    const mf_parameters *tensors;
    const int32_t *bounds; /* where each tensor's unmasked values begin in an update; their end */
    int32_t tensor_count, scale_count;
    uint32_t body_size;
    const uint8_t *base; /* the body of version 0 */
    const mf_train_model *train;
} mf_node_model;

/* Where training keeps what each tensor has (mf_plan_places), and of which steps. */
typedef struct {
    const int32_t *at;
    const uint8_t *trains; /* the most that may train: as for mf_plan_stored */
    size_t floats;
} mf_node_places;
extern const mf_node_places node_places; /* made with the model */

/* Codes and scales that begin a body. */
#define MF_BODY_VERSION 0
#define MF_BODY_CHECK   4
#define MF_BODY_SCALES  8

/* Whether parameter i of a tensor is masked: its code is 0 and never travels. */
static inline bool mf_is_masked(const mf_parameters *t, int32_t i) {
    return t->mask != NULL && (t->mask[i / 32] >> i % 32 & 1u) == 0;
}

/* Unmasked parameters. */
static inline int32_t mf_unmasked(const mf_node_model *model) {
    return model->bounds[model->tensor_count];
}

#endif
