#define _POSIX_C_SOURCE 200809L

#include "flash.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t *at(const mf_file_flash *f, mf_area area) {
    return f->memory + (f->flash.at[area] - f->memory);
}

static bool erase(void *context, mf_area area) {
    mf_file_flash *f = context;
    memset(at(f, area), 0xFF, f->flash.size[area]);
    return true;
}

static bool write_page(void *context, mf_area area, uint32_t offset,
                       const uint8_t page[MF_FLASH_PAGE]) {
    memcpy(at(context, area) + offset, page, MF_FLASH_PAGE);
    return true;
}

static const char *map(mf_file_flash *to, int fd, size_t size) {
    struct stat found;
    if (fstat(fd, &found) < 0) {
        return strerror(errno);
    }
    const bool fresh = found.st_size == 0;
    if (!fresh && (size_t)found.st_size != size) {
        return "the file is of another node";
    }
    if (ftruncate(fd, (off_t)size) < 0) {
        return strerror(errno);
    }
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
        return strerror(errno);
    }
    to->memory = memory;
    if (fresh) {
        memset(memory, 0xFF, size);
    }
    return NULL;
}

const char *mf_file_flash_begin(mf_file_flash *to, const char *path,
                                const uint32_t size[MF_AREAS]) {
    size_t whole = 0;
    for (int i = 0; i < MF_AREAS; i++) {
        whole += size[i];
    }
    const int fd = open(path, O_RDWR | O_CREAT, 0600);
    if (fd < 0) {
        return strerror(errno);
    }
    const char *error = map(to, fd, whole);
    close(fd); /* the mapping stays */
    if (error != NULL) {
        return error;
    }
    const uint8_t *next = to->memory;
    for (int i = 0; i < MF_AREAS; i++) {
        to->flash.at[i] = next;
        to->flash.size[i] = size[i];
        next += size[i];
    }
    to->flash.context = to;
    to->flash.erase = erase;
    to->flash.write = write_page;
    return NULL;
}
