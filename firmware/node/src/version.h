/* Versions of the model: their codes, their real values, and the newest one in flash. */
#ifndef MICROFED_NODE_VERSION_H
#define MICROFED_NODE_VERSION_H

#include <stdbool.h>
#include <stdint.h>

#include "microfed/model.h"
#include "microfed/port.h"

/* Which version a body holds. */
uint32_t mf_body_version(const uint8_t *body);
uint32_t mf_body_check(const uint8_t *body);

/* Copy the codes (mf_unmasked) and the scales of a body. */
void mf_body_codes(const mf_node_model *model, const uint8_t *body, int32_t *codes);
void mf_body_scales(const mf_node_model *model, const uint8_t *body, float *scales);

/* The tensor whose first parameter is `start`; −1: there is none. */
int32_t mf_tensor_at(const mf_node_model *model, int32_t start);

/* The parameters of each step of model->train, as they lie in a body. */
void mf_body_stored(const mf_node_model *model, const uint8_t *body, mf_stored *stored);

/* The newest version in flash that is whole and of this base file; else that file's. */
const uint8_t *mf_version_newest(const mf_node_model *model, const mf_flash *flash);

/* What tells a version from another of its number: CRC-32 of all codes and scales. */
uint32_t mf_version_check(const mf_node_model *model, const int32_t *codes, const float *scales);

/* Write a version to flash, of its unmasked codes and its scales: its body, or NULL if a
 * weight's code is not an int8 or flash could not be written.  The one before stays whole. */
const uint8_t *mf_version_write(const mf_node_model *model, const mf_flash *flash, uint32_t version,
                                const int32_t *codes, const float *scales);

/* Go back to the base file, also after a loss of power. */
const uint8_t *mf_version_forget(const mf_node_model *model, const mf_flash *flash);

/* Says for which base file a record is. */
uint32_t mf_model_layout(const mf_node_model *model);

#endif
