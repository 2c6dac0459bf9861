/* CRC-32 as in IEEE 802.3: of "123456789" it is cbf43926. */
#ifndef MICROFED_NODE_CRC32_H
#define MICROFED_NODE_CRC32_H

#include <stdint.h>

/* The CRC of what came before, `crc` (at first 0), and `size` bytes more. */
uint32_t mf_crc32(uint32_t crc, const void *data, uint32_t size);

#endif
