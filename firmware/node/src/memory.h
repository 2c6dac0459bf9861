/* What a node must not forget: what its updates left out, and those without a verdict.
 *
 * Error feedback as in device_sim/feedback.py.  The node counts on its updates being accepted;
 * what one that was not accepted said is added again before the next training. */
#ifndef MICROFED_NODE_MEMORY_H
#define MICROFED_NODE_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "messages.h"
#include "microfed/model.h"
#include "microfed/port.h"
#include "scope.h"

#define MF_MOST_ASKED 4 /* offers of earlier rounds that are repeated */
#define MF_MOST_SAID  6 /* those, that of the round, and one whose time has passed */

typedef enum {
    MF_SILENT = 0,  /* without a verdict, and of before a loss of power */
    MF_OFFERED = 1, /* the round's */
    MF_ASKING = 2,  /* of an earlier round: what became of it? */
    MF_REFUSED = 3, /* to be made up for by the next update */
} mf_said_state;

/* An update without a verdict, and its offer. */
typedef struct {
    uint32_t state, round;
    uint8_t nonce[MF_ID_BYTES];
    uint32_t work; /* tells what task it was made for */
    mf_blob trains;
    uint32_t version, check, samples;
    float loss_before, loss_after;
    uint32_t size, offset; /* of its bytes in the record */
    uint8_t digest[MF_DIGEST_BYTES];
    uint32_t due; /* whether its offer is to be sent now */
} mf_said;

/* What begins a record.  Behind it are the halves of what was left out, one for each value of
 * an update, and the bytes of the updates. */
typedef struct {
    mf_blob trains; /* whose values; of another choice nothing is kept */
    uint32_t values;
    uint32_t count;
    mf_said said[MF_MOST_SAID];
} mf_memory_head;

typedef struct {
    mf_memory_head head;
    const uint8_t *record; /* in flash; NULL: nothing was left out yet */
} mf_memory;

void mf_memory_load(mf_memory *memory, const mf_node_model *model, const mf_flash *flash);

/* The update of that name that waits for a verdict; NULL: there is none. */
mf_said *mf_memory_find(mf_memory *memory, uint32_t round, const uint8_t *nonce);

const uint8_t *mf_memory_data(const mf_memory *memory, const mf_said *said);

/* Make ready for an update of a scope: forget what is of another, and make up for refused
 * updates, whose values are kept again.  room: a float for each value.  False: flash could not
 * be written. */
bool mf_memory_fold(mf_memory *memory, const mf_node_model *model, const mf_flash *flash,
                    const mf_scope *scope, float *room);

/* Add to the values of an update what was left out. */
void mf_memory_owed(const mf_memory *memory, float *values);

/* Forget an update.  mf_memory_save makes it last. */
void mf_memory_drop(mf_memory *memory, mf_said *said);

/* Write the record.  left: what is left out from now on, NULL: the same as before.  data: the
 * bytes of the newest update, the last of the list, NULL: none is new.  False: flash could not
 * be written. */
bool mf_memory_save(mf_memory *memory, const mf_node_model *model, const mf_flash *flash,
                    const float *left, const uint8_t *data);

#endif
