/* Constants of a model that can be replaced: two slots of flash, of which one is in use while
 * the other is written.  An update that was torn has a wrong CRC and is not seen. */
#ifndef MICROFED_SLOT_H
#define MICROFED_SLOT_H

#include <stdint.h>

#define MF_SLOT_MAGIC UINT32_C(0x5346464D) /* "MFFS" */

/* What a slot begins with; the constants lie behind it.  All numbers are little-endian. */
typedef struct {
    uint32_t magic;
    uint32_t crc;     /* CRC-32 of all that follows: three numbers and the constants */
    uint32_t layout;  /* says for which compiled model the constants are */
    uint32_t version; /* the larger one is used */
    uint32_t size;    /* of the constants, bytes */
} mf_slot;

/* The constants of the newer slot that is whole and for `layout`; NULL if neither is. */
const void *mf_slot_newest(const mf_slot *a, const mf_slot *b, uint32_t layout, uint32_t size);

#endif
