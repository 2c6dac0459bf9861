/* A device of a federated fleet: docs/protocol.md, spoken over the MQTT client of mqtt.h.
 *
 * It connects, says who it is, pulls what a task needs, has itself trained, offers its update
 * until there is a verdict, and leaves when the run is over.  For the same data and tasks it
 * says what device_sim says, byte for byte.
 *
 *     static mf_node_memory memory;
 *     mf_node *node;
 *     mf_node_begin(&memory, &settings, &node);
 *     for (;;) {
 *         switch (mf_node_step(node, milliseconds())) {
 *         case MF_NODE_TRAIN: mf_node_train(node); break;
 *         case MF_NODE_IDLE:  wait for a byte of the link, a second at most; break;
 *         case MF_NODE_LEFT:  the run is over
 *         ...
 *
 * Everything happens in these calls, on one thread, in memory that the caller brings. */
#ifndef MICROFED_NODE_H
#define MICROFED_NODE_H

#include <stddef.h>

#include "microfed/model.h"
#include "microfed/mqtt.h"
#include "microfed/port.h"

/* Who the node is and what it stands on.  All of it must stay where it is. */
typedef struct {
    const char *fleet, *device;      /* 1 to 32 letters, digits, '-' or '_' each */
    const char *board;               /* for people to read: at most 32 bytes */
    const char *username, *password; /* of the broker; NULL: none */
    uint32_t seed;                   /* of the jitter of reconnects: another one in each device */
    uint16_t keep_alive;             /* seconds; longer than training takes */

    const mf_node_model *model;
    mf_samples samples; /* what it learns from; count 0: nothing yet */
    const mf_transport *transport;
    const mf_flash *flash;

    uint32_t block;       /* the largest block that it takes, 256 to 131072: a power of two */
    uint32_t update_most; /* bytes: the longest update that it can keep */
    uint8_t *sending, *receiving;
    int32_t sending_size, receiving_size; /* MF_NODE_SENDING, MF_NODE_RECEIVING */
    void *work;                           /* MF_NODE_WORK, at a multiple of MF_ALIGN */
    size_t work_size;
} mf_node_settings;

/* Bytes of the two buffers. */
#define MF_NODE_SENDING(block)   ((block) + 224)
#define MF_NODE_RECEIVING(block) ((block) + 192)

/* Bytes as MF_ALIGN wants them. */
#define MF_LINES(bytes) (((bytes) + MF_ALIGN - 1) / MF_ALIGN * MF_ALIGN)

/* Bytes of work for a model of so many tensors and steps, and of so many tensors of parameters
 * (runs), of which `trained` train: `training` are mf_train_bytes of the plan. */
#define MF_NODE_WORK(tensors, steps, runs, trained, training)                                      \
    (MF_LINES(((runs) + 1) * sizeof(int32_t)) + MF_LINES(steps) +                                  \
     MF_LINES(MF_PLAN_BYTES(tensors, steps)) + MF_LINES((steps) * sizeof(mf_stored)) +             \
     MF_LINES((trained) * sizeof(float)) + (training))

/* Bytes of the areas MF_MEMORY_A and _B. */
uint32_t mf_memory_bytes(const mf_node_model *model, uint32_t update_most);

typedef struct mf_node mf_node;

/* Room for a node. */
#define MF_NODE_BYTES 2560
typedef union {
    uint64_t aligned;
    void *pointer;
    uint8_t bytes[MF_NODE_BYTES];
} mf_node_memory;

/* Make a node of what its flash holds; its first steps connect.
 *
 * MF_BAD_ARGUMENT: a name, or the block.  MF_NO_MEMORY: a buffer or an area is too small.
 * MF_MISALIGNED: work. */
mf_status mf_node_begin(mf_node_memory *memory, const mf_node_settings *settings, mf_node **node);

typedef enum {
    MF_NODE_IDLE = 0,    /* nothing to do until bytes come or time passes */
    MF_NODE_WORKING = 1, /* step again soon */
    MF_NODE_TRAIN = 2,   /* there is work: mf_node_train, now or later, between steps */
    MF_NODE_LEFT = 3,    /* the run is over, and it has said goodbye */
} mf_node_state;

/* Do what is due; never waits.  now: milliseconds, as of mf_mqtt_step. */
mf_node_state mf_node_step(mf_node *node, uint32_t now);

/* Train as the task says and code the update.  This takes as long as it takes. */
void mf_node_train(mf_node *node);

/* From now on there is too little energy to train, or enough again. */
void mf_node_battery(mf_node *node, bool low);

/* Say goodbye, whatever is under way. */
void mf_node_leave(mf_node *node);

/* What has happened so far. */
typedef struct {
    uint32_t messages_up, messages_down;
    uint32_t bytes_up, bytes_down; /* payloads */
    uint32_t refused;              /* messages that were of no use */
    uint32_t trained, accepted, rejected, declined;
    uint32_t round, version; /* of the newest task; of the model that it holds */
    float loss_before, loss_after;
    const uint8_t *update; /* the newest one; NULL: its verdict has come */
    uint32_t update_size;
} mf_node_view;

void mf_node_look(const mf_node *node, mf_node_view *view);

/* The body of the version that the node holds, for inference: see model.h. */
const uint8_t *mf_node_body(const mf_node *node);

#endif
