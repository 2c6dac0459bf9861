/* The work of a task: train from the held version on the own samples, code the difference.
 * What device_sim/local_update.py does, to the byte. */
#ifndef MICROFED_NODE_UPDATE_H
#define MICROFED_NODE_UPDATE_H

#include <stddef.h>
#include <stdint.h>

#include "memory.h"
#include "messages.h"
#include "microfed/model.h"

/* What is trained, from what, and where. */
typedef struct {
    const mf_node_model *model;
    const uint8_t *body; /* the version to begin with */
    const mf_samples *samples;
    const mf_task *task;
    const char *device;
    mf_memory *memory;
    const mf_flash *flash;
    void *work;
    size_t work_size;
} mf_assignment;

/* An update, and what it leaves out; both in the work memory. */
typedef struct {
    const uint8_t *data;
    int32_t size;
    const float *left; /* a value for each of the update's */
    float loss_before, loss_after;
} mf_made;

/* Bytes that an update for the task, of so many values, may take. */
uint32_t mf_update_budget(const mf_task *task, int32_t values);

/* MF_NO_MEMORY, or what mf_train or mf_encode_update end with. */
mf_status mf_make_update(const mf_assignment *assignment, mf_made *made);

/* The name of the update that a device makes for a task. */
void mf_update_nonce(const char *device, const mf_task *task, uint8_t nonce[MF_ID_BYTES]);

#endif
