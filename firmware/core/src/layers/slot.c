#include "microfed/slot.h"

#include <stddef.h>

/* CRC-32 as in IEEE 802.3, four bits at a time: a table of 64 bytes. */
static uint32_t crc32(const uint8_t *bytes, uint32_t count) {
    static const uint32_t table[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    uint32_t crc = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

static int is_whole(const mf_slot *slot, uint32_t layout, uint32_t size) {
    const uint32_t covered = sizeof *slot - offsetof(mf_slot, layout) + size;
    return slot->magic == MF_SLOT_MAGIC && slot->layout == layout && slot->size == size &&
           crc32((const uint8_t *)&slot->layout, covered) == slot->crc;
}

const void *mf_slot_newest(const mf_slot *a, const mf_slot *b, uint32_t layout, uint32_t size) {
    const mf_slot *newer = a->version >= b->version ? a : b;
    const mf_slot *older = newer == a ? b : a;
    if (is_whole(newer, layout, size)) {
        return newer + 1;
    }
    return is_whole(older, layout, size) ? older + 1 : NULL;
}
