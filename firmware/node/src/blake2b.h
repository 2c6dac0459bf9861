/* BLAKE2b (RFC 7693) of short texts: what the seeds and nonces of the simulator are made of. */
#ifndef MICROFED_NODE_BLAKE2B_H
#define MICROFED_NODE_BLAKE2B_H

#include <stdint.h>

#define MF_BLAKE2B_MOST 128 /* bytes of text: one block */

/* Write the first `digest_size` bytes, 1 to 64, of what BLAKE2b of that digest size gives for
 * a text of at most MF_BLAKE2B_MOST bytes, without a key. */
void mf_blake2b(const void *text, uint32_t size, uint8_t *digest, uint32_t digest_size);

#endif
