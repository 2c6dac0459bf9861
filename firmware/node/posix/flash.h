/* The node's flash as a file: what a board has in its chip. */
#ifndef MICROFED_POSIX_FLASH_H
#define MICROFED_POSIX_FLASH_H

#include "microfed/port.h"

typedef struct {
    uint8_t *memory; /* the file, mapped: area behind area */
    mf_flash flash;
} mf_file_flash;

/* Open or make the file; size: bytes of each area, multiples of MF_FLASH_PAGE.  NULL, or why
 * it cannot be used. */
const char *mf_file_flash_begin(mf_file_flash *to, const char *path, const uint32_t size[MF_AREAS]);

#endif
