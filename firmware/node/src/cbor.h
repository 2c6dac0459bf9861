/* CBOR (RFC 8949), as much of it as messages are made of: docs/protocol.md, section 2. */
#ifndef MICROFED_NODE_CBOR_H
#define MICROFED_NODE_CBOR_H

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    MF_CBOR_UINT = 0,
    MF_CBOR_NEGATIVE = 1,
    MF_CBOR_BYTES = 2,
    MF_CBOR_TEXT = 3,
    MF_CBOR_ARRAY = 4,
    MF_CBOR_MAP = 5,
    MF_CBOR_TAG = 6,
    MF_CBOR_SIMPLE = 7, /* false, true, null and floats */
} mf_cbor_major;

/* The head of an item. */
typedef struct {
    uint8_t major, info; /* info: 25, 26, 27 of a half, single, double float */
    uint64_t value;      /* or a length, or the bits of a float */
} mf_cbor_head;

/* Whether the bytes are one item and nothing else, strictly: definite lengths, unsigned
 * integers as keys, each once, no tags, UTF-8, at most 256 items, nested at most 8 deep. */
bool mf_cbor_is_strict(const uint8_t *data, uint32_t size);

/* In strict bytes: read a head, and give what is behind it: an item's bytes or its members. */
const uint8_t *mf_cbor_head_at(const uint8_t *at, mf_cbor_head *head);

/* In strict bytes: what is behind the item that begins here. */
const uint8_t *mf_cbor_behind(const uint8_t *at);

/* A head that is a float, as the nearest single; infinite where there is none. */
float mf_cbor_real(const mf_cbor_head *head);

/* Bytes being written; `size` goes on counting behind the end, where nothing is written. */
typedef struct {
    uint8_t *to;
    uint32_t capacity, size;
} mf_cbor_writer;

void mf_cbor_put_head(mf_cbor_writer *writer, mf_cbor_major major, uint32_t value);
void mf_cbor_put_bytes(mf_cbor_writer *writer, const void *data, uint32_t size);

/* The shortest of half and single that holds the value. */
void mf_cbor_put_real(mf_cbor_writer *writer, float value);

#endif
