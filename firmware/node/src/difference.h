/* From one version to a later one: docs/protocol.md, section 6, DIFFERENCE. */
#ifndef MICROFED_NODE_DIFFERENCE_H
#define MICROFED_NODE_DIFFERENCE_H

#include <stdint.h>

#include "inflate.h"
#include "microfed/model.h"

/* Apply an object's bytes to a version, in place: its unmasked codes and its scales.
 *
 * stream: room for an object that is deflated.
 * MF_BAD_DATA: no difference for this model; codes and scales are then of no use. */
mf_status mf_difference_apply(const mf_node_model *model, const uint8_t *data, uint32_t size,
                              int32_t *codes, float *scales, mf_inflate *stream);

#endif
