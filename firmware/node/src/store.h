/* Records in pairs of flash areas: a record is whole and of this layout, or it is not there.
 * One that was torn by a loss of power leaves the one before it. */
#ifndef MICROFED_NODE_STORE_H
#define MICROFED_NODE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "microfed/port.h"

/* The bytes of the newest whole record of the pair that begins at `pair`, at a multiple of 8;
 * NULL: there is none.  layout: says for whom it was written. */
const uint8_t *mf_store_newest(const mf_flash *flash, mf_area pair, uint32_t layout);

/* A record being written. */
typedef struct {
    const mf_flash *flash;
    mf_area area;
    uint32_t layout, sequence, size, crc;
    bool failed;
    uint8_t page[MF_FLASH_PAGE];
} mf_store;

/* Begin a record in the place of the pair that does not hold the newest one. */
void mf_store_begin(mf_store *store, const mf_flash *flash, mf_area pair, uint32_t layout);

void mf_store_put(mf_store *store, const void *data, uint32_t size);

/* Make the record the newest one, and read it back: its bytes, or NULL if it is not whole. */
const uint8_t *mf_store_end(mf_store *store);

#endif
