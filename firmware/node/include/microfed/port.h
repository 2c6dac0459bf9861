/* What a firmware engineer must provide, beside a clock and the transport of transport.h: flash.
 *
 * A node writes records, two places for each kind, so that the older one is there until the
 * newer is whole: power may fail at any instant.  Writes are counted in rounds, not in
 * messages: a model version and two memories a round, a session for each connection. */
#ifndef MICROFED_PORT_H
#define MICROFED_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "microfed/transport.h"

/* Bytes: everything is written in pages of this size, and each once after it was erased. */
#define MF_FLASH_PAGE 64

/* Places for records.  They must be erased separately. */
typedef enum {
    MF_MODEL_A = 0, /* a page more than the model's body_size takes */
    MF_MODEL_B = 1,
    MF_MEMORY_A = 2, /* mf_memory_bytes: what updates left out, and those without a verdict */
    MF_MEMORY_B = 3,
    MF_SESSION_A = 4, /* two pages: how often the node has connected */
    MF_SESSION_B = 5,
    MF_AREAS = 6,
} mf_area;

typedef struct {
    void *context; /* the port's own: the first argument of both functions */

    /* Where the areas can be read, at multiples of 8: flash is read like any memory. */
    const uint8_t *at[MF_AREAS];
    uint32_t size[MF_AREAS];

    /* Make every byte of an area 0xFF.  False: it could not be done. */
    bool (*erase)(void *context, mf_area area);

    /* Write one page at `offset`, a multiple of its size.  False: it could not be done. */
    bool (*write)(void *context, mf_area area, uint32_t offset, const uint8_t page[MF_FLASH_PAGE]);
} mf_flash;

#endif
