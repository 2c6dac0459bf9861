#include "flash.h"

#include <string.h>

#include "semihosting.h"

enum { EXISTING = 3, EMPTY = 7 };

typedef struct {
    uint8_t *memory;
    int32_t file;
} device;

static device chip;

static uint32_t offset_of(const mf_flash *flash, mf_area area) {
    return (uint32_t)(flash->at[area] - chip.memory);
}

static bool put(uint32_t offset, uint32_t size) {
    return semihosting_write(chip.file, offset, chip.memory + offset, size) == 0;
}

static bool erase(void *context, mf_area area) {
    const mf_flash *flash = context;
    const uint32_t offset = offset_of(flash, area);
    memset(chip.memory + offset, 0xFF, flash->size[area]);
    return put(offset, flash->size[area]);
}

static bool write_page(void *context, mf_area area, uint32_t offset,
                       const uint8_t page[MF_FLASH_PAGE]) {
    offset += offset_of(context, area);
    memcpy(chip.memory + offset, page, MF_FLASH_PAGE);
    return put(offset, MF_FLASH_PAGE);
}

bool qemu_flash_begin(mf_flash *flash, uint8_t *at, const uint32_t size[MF_AREAS]) {
    uint32_t whole = 0;
    for (int i = 0; i < MF_AREAS; i++) {
        flash->at[i] = at + whole;
        flash->size[i] = size[i];
        whole += size[i];
    }
    flash->context = flash;
    flash->erase = erase;
    flash->write = write_page;
    chip.memory = at;
    chip.file = semihosting_open("flash", EXISTING);
    if (chip.file >= 0 && semihosting_read(chip.file, 0, at, whole) == 0) {
        return true;
    }
    memset(at, 0xFF, whole);
    chip.file = semihosting_open("flash", EMPTY);
    return chip.file >= 0 && put(0, whole);
}
