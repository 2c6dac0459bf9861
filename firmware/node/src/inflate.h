/* Inflate (RFC 1951), a byte at a time, with a window of 4 KB: streams that reach further back
 * are refused, and the protocol sends none. */
#ifndef MICROFED_NODE_INFLATE_H
#define MICROFED_NODE_INFLATE_H

#include <stdbool.h>
#include <stdint.h>

#define MF_INFLATE_WINDOW 4096
#define MF_INFLATE_END    (-1)
#define MF_INFLATE_BAD    (-2)

/* A canonical Huffman code: how many symbols have each length, and the symbols by their code. */
typedef struct {
    uint16_t count[16];
    uint16_t symbols[288];
} mf_huffman;

/* A stream that is being read.  All of it is the reader's own. */
typedef struct {
    const uint8_t *at, *end;
    uint32_t made; /* bytes given so far */
    uint32_t bits; /* of the last byte, those not yet read: the lowest bit_count */
    uint32_t left; /* bytes of a stored block, or of a repetition */
    uint32_t back; /* how far back the repetition begins */
    uint8_t bit_count, state;
    bool last; /* no block follows */
    mf_huffman literals, distances;
    uint8_t window[MF_INFLATE_WINDOW];
} mf_inflate;

void mf_inflate_begin(mf_inflate *stream, const uint8_t *data, uint32_t size);

/* The next byte, 0 … 255; MF_INFLATE_END once, when the stream and the data end together;
 * MF_INFLATE_BAD for anything that is not such a stream, from then on. */
int32_t mf_inflate_next(mf_inflate *stream);

#endif
