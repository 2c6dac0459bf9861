#include "semihosting.h"

#include <string.h>

enum { OPEN = 0x01, WRITE = 0x05, READ = 0x06, SEEK = 0x0A };

static int32_t call(uint32_t operation, const uint32_t *block) {
    register uint32_t number __asm("r0") = operation;
    register const uint32_t *arguments __asm("r1") = block;
    __asm volatile("bkpt 0xAB" : "+r"(number) : "r"(arguments) : "memory");
    return (int32_t)number;
}

int32_t semihosting_open(const char *name, uint32_t mode) {
    const uint32_t block[3] = {(uint32_t)(uintptr_t)name, mode, (uint32_t)strlen(name)};
    return call(OPEN, block);
}

static uint32_t move(uint32_t operation, int32_t handle, uint32_t at, uintptr_t data,
                     uint32_t size) {
    const uint32_t seek[2] = {(uint32_t)handle, at};
    const uint32_t block[3] = {(uint32_t)handle, (uint32_t)data, size};
    return call(SEEK, seek) < 0 ? size : (uint32_t)call(operation, block);
}

uint32_t semihosting_read(int32_t handle, uint32_t at, void *data, uint32_t size) {
    return move(READ, handle, at, (uintptr_t)data, size);
}

uint32_t semihosting_write(int32_t handle, uint32_t at, const void *data, uint32_t size) {
    return move(WRITE, handle, at, (uintptr_t)data, size);
}
