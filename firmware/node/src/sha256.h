/* SHA-256 (FIPS 180-4). */
#ifndef MICROFED_NODE_SHA256_H
#define MICROFED_NODE_SHA256_H

#include <stdint.h>

#define MF_SHA256_BYTES 32

/* Write the hash of `size` bytes, fewer than 2^29, to `digest`. */
void mf_sha256(const void *data, uint32_t size, uint8_t digest[MF_SHA256_BYTES]);

#endif
