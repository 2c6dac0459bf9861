/* Files of the machine that runs QEMU (Arm semihosting, 2.0). */
#ifndef MICROFED_QEMU_SEMIHOSTING_H
#define MICROFED_QEMU_SEMIHOSTING_H

#include <stdint.h>

/* Open a file of QEMU's working folder for reading and writing; mode 3: it exists, 7: make an
 * empty one.  A handle, or −1. */
int32_t semihosting_open(const char *name, uint32_t mode);

/* Read or write at a position; how many bytes were not moved. */
uint32_t semihosting_read(int32_t handle, uint32_t at, void *data, uint32_t size);
uint32_t semihosting_write(int32_t handle, uint32_t at, const void *data, uint32_t size);

#endif
