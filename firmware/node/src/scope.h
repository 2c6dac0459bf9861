/* What of the model trains: Recipe.trains of docs/protocol.md, a bit for each tensor. */
#ifndef MICROFED_NODE_SCOPE_H
#define MICROFED_NODE_SCOPE_H

#include <stdint.h>

#include "messages.h"
#include "microfed/model.h"

typedef struct {
    mf_blob bits;    /* empty: all */
    int32_t values;  /* of an update */
    int32_t runs;    /* tensors */
    int32_t *bounds; /* where the values of each begin; their end */
    uint8_t *trains; /* for each step of model->train */
} mf_scope;

/* How many values an update has where these bits train; 0: they are not bits of this model, or
 * nothing would train. */
int32_t mf_scope_values(const mf_node_model *model, const mf_blob *bits);

/* Work out the scope of bits that have values; bounds and trains are written. */
void mf_scope_begin(mf_scope *scope, const mf_node_model *model, const mf_blob *bits,
                    int32_t *bounds, uint8_t *trains);

#endif
