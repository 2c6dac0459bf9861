/* An object being received: its bytes so far, and a bit for each block that they came in. */
#ifndef MICROFED_NODE_ASSEMBLY_H
#define MICROFED_NODE_ASSEMBLY_H

#include <stdbool.h>
#include <stdint.h>

#include "messages.h"

#define MF_NEED_BYTES 64 /* of the longest bitmap */

typedef struct {
    mf_manifest manifest;
    uint32_t block, total; /* bytes of a block; blocks */
    uint32_t left;         /* blocks that are missing */
    uint8_t *data, *have;
} mf_assembly;

/* Bytes of memory that an object takes. */
uint32_t mf_assembly_bytes(uint32_t size, uint32_t block);

/* Begin an object in memory of that size. */
void mf_assembly_begin(mf_assembly *assembly, const mf_manifest *manifest, uint32_t block,
                       uint8_t *memory);

typedef enum { MF_BLOCK_NEW, MF_BLOCK_REPEATED, MF_BLOCK_DAMAGED } mf_block_is;

/* Take in a block of this object. */
mf_block_is mf_assembly_add(mf_assembly *assembly, const mf_block *block);

/* Ask for the first `window` blocks that are missing: how many those are, 0 when none is.
 * bitmap: MF_NEED_BYTES that need->bitmap will point to. */
uint32_t mf_assembly_missing(const mf_assembly *assembly, uint32_t window, mf_need *need,
                             uint8_t *bitmap);

/* Whether a complete object hashes to its digest; if not, everything is missing again. */
bool mf_assembly_is_right(mf_assembly *assembly);

#endif
