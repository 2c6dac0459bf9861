/* The messages of docs/protocol.md, section 3, as structs and as bytes. */
#ifndef MICROFED_NODE_MESSAGES_H
#define MICROFED_NODE_MESSAGES_H

#include <stdbool.h>
#include <stdint.h>

#define MF_DIGEST_BYTES 32
#define MF_ID_BYTES     8 /* of an object, and of a nonce */
#define MF_MOST_OBJECTS 2 /* of a task */
#define MF_TEXT_BYTES   32
#define MF_PROTOCOL     1

typedef enum { MF_ONLINE = 1, MF_SLEEPING = 2, MF_LOST = 3 } mf_presence_status;
typedef enum { MF_WAITING = 1, MF_TRAINING = 2, MF_FINISHED = 3 } mf_phase;
typedef enum { MF_BASE = 1, MF_DIFFERENCE = 2, MF_UPDATE = 3 } mf_kind;
typedef enum { MF_ACCEPTED = 0 } mf_reason; /* the others are all the same to a device */
typedef enum {
    MF_NO_REFUSAL = 0,
    MF_BATTERY = 1,
    MF_NO_DATA = 2,
    MF_CANNOT = 3, /* UNSUPPORTED */
    MF_FAILED = 4,
} mf_refusal;

/* Bytes that lie elsewhere: of a message that was read, in its payload. */
typedef struct {
    const uint8_t *at;
    uint32_t size;
} mf_bytes;

typedef struct {
    uint32_t size;
    char at[MF_TEXT_BYTES];
} mf_text;

typedef struct {
    uint32_t size;
    uint8_t at[MF_TEXT_BYTES];
} mf_blob;

typedef struct {
    uint32_t session, status;
} mf_presence;

typedef struct {
    uint32_t session, protocol, buffer, samples;
    mf_text board;
    mf_bytes base;
    uint32_t version, check;
    mf_text gateway;
} mf_hello;

typedef struct {
    uint32_t session, phase, round, version;
    uint8_t base[MF_DIGEST_BYTES];
} mf_announce;

typedef struct {
    uint32_t kind; /* 0: there is no manifest */
    uint32_t size;
    uint8_t digest[MF_DIGEST_BYTES];
    uint32_t source, target;
} mf_manifest;

typedef struct {
    uint32_t epochs, batch;
    float learning_rate, momentum, weight_decay, proximal, clip_norm, rotation;
    uint32_t fake_quantize;
    mf_blob trains; /* a bit for each tensor; empty: all */
} mf_task_recipe;

typedef struct {
    uint32_t round, version;
    uint8_t base[MF_DIGEST_BYTES];
    mf_task_recipe recipe;
    mf_text codec;
    uint32_t seed, deadline;
    mf_manifest objects[MF_MOST_OBJECTS];
    uint32_t object_count;
    uint32_t check, budget;
} mf_task;

typedef struct {
    uint8_t id[MF_ID_BYTES];
    uint32_t block, first;
    mf_bytes bitmap;
} mf_need;

typedef struct {
    uint8_t id[MF_ID_BYTES];
    uint32_t index, total, crc;
    mf_bytes data;
} mf_block;

typedef struct {
    uint32_t round;
    uint8_t nonce[MF_ID_BYTES];
    uint32_t version;
    mf_text codec;
    uint32_t samples;
    float loss_before, loss_after;
    mf_manifest manifest; /* only where there is no data */
    mf_bytes data;
    uint32_t check;
    mf_blob trains;
} mf_offer;

typedef struct {
    uint32_t round;
    uint8_t nonce[MF_ID_BYTES];
    uint32_t reason;
} mf_verdict;

typedef struct {
    uint32_t round, reason;
} mf_decline;

typedef enum {
    MF_NO_MESSAGE = 0,
    MF_PRESENCE = 1,
    MF_HELLO = 2,
    MF_ANNOUNCE = 3,
    MF_TASK = 4,
    MF_NEED = 5,
    MF_BLOCK = 6,
    MF_OFFER = 7,
    MF_VERDICT = 8,
    MF_DECLINE = 9,
} mf_message_type;

typedef struct {
    uint32_t type; /* mf_message_type */
    union {
        mf_presence presence;
        mf_hello hello;
        mf_announce announce;
        mf_task task;
        mf_need need;
        mf_block block;
        mf_offer offer;
        mf_verdict verdict;
        mf_decline decline;
    } is;
} mf_message;

/* Read a payload.  False, and of no use, for anything but one well-formed message within its
 * bounds.  Byte strings of the message point into the payload. */
bool mf_message_read(mf_message *message, const uint8_t *payload, uint32_t size);

/* Write a message as wire/ does, to the byte; the payload's size.  Where that is larger than
 * `capacity` the bytes are of no use.  The fields must be within their bounds. */
uint32_t mf_message_write(const mf_message *message, uint8_t *payload, uint32_t capacity);

#endif
