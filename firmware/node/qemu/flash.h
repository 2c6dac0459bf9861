/* The node's flash: memory beside the chip, of which a file keeps what power takes away. */
#ifndef MICROFED_QEMU_FLASH_H
#define MICROFED_QEMU_FLASH_H

#include "microfed/port.h"

/* Fill the memory at `at` from the file "flash", or make both empty.  False: no such file can
 * be made. */
bool qemu_flash_begin(mf_flash *flash, uint8_t *at, const uint32_t size[MF_AREAS]);

#endif
