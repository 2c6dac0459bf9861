#include "memory.h"

#include <string.h>

#include "half.h"
#include "microfed/codec.h"
#include "microfed/node.h"
#include "store.h"
#include "version.h"

uint32_t mf_memory_bytes(const mf_node_model *model, uint32_t update_most) {
    const uint32_t record = (uint32_t)sizeof(mf_memory_head) + 2 * (uint32_t)mf_unmasked(model) +
                            MF_MOST_SAID * update_most;
    return (record / MF_FLASH_PAGE + 2) * MF_FLASH_PAGE;
}

void mf_memory_load(mf_memory *memory, const mf_node_model *model, const mf_flash *flash) {
    memory->record = mf_store_newest(flash, MF_MEMORY_A, mf_model_layout(model));
    memset(&memory->head, 0, sizeof memory->head);
    if (memory->record != NULL) {
        memcpy(&memory->head, memory->record, sizeof memory->head);
    }
}

mf_said *mf_memory_find(mf_memory *memory, uint32_t round, const uint8_t *nonce) {
    for (uint32_t i = 0; i < memory->head.count; i++) {
        mf_said *said = &memory->head.said[i];
        if (said->state != MF_REFUSED && said->round == round &&
            memcmp(said->nonce, nonce, MF_ID_BYTES) == 0) {
            return said;
        }
    }
    return NULL;
}

const uint8_t *mf_memory_data(const mf_memory *memory, const mf_said *said) {
    return memory->record + said->offset;
}

static float kept_at(const mf_memory *memory, uint32_t i) {
    const uint8_t *at = memory->record + sizeof(mf_memory_head) + 2 * i;
    return mf_from_half((uint16_t)(at[0] | at[1] << 8));
}

void mf_memory_owed(const mf_memory *memory, float *values) {
    for (uint32_t i = 0; memory->record != NULL && i < memory->head.values; i++) {
        values[i] += kept_at(memory, i);
    }
}

/* Nothing is kept, of values of this scope. */
static void forget(mf_memory *memory, const mf_scope *scope) {
    memset(memory, 0, sizeof *memory);
    memory->head.trains = scope->bits;
    memory->head.values = (uint32_t)scope->values;
}

bool mf_memory_fold(mf_memory *memory, const mf_node_model *model, const mf_flash *flash,
                    const mf_scope *scope, float *room) {
    const mf_memory_head before = memory->head;
    if (memory->record == NULL || memcmp(&before.trains, &scope->bits, sizeof scope->bits) != 0) {
        forget(memory, scope);
        return true;
    }
    for (uint32_t k = before.count; k-- > 0;) {
        if (before.said[k].state == MF_REFUSED) {
            mf_memory_drop(memory, &memory->head.said[k]);
        }
    }
    if (memory->head.count == before.count) {
        return true;
    }
    for (uint32_t i = 0; i < before.values; i++) {
        room[i] = kept_at(memory, i);
    }
    for (uint32_t k = 0; k < before.count; k++) {
        const mf_said *said = &before.said[k];
        if (said->state == MF_REFUSED &&
            mf_decode_update(mf_memory_data(memory, said), (int32_t)said->size, scope->bounds,
                             scope->runs, 1.0f, room) == MF_OK) {
            for (uint32_t i = 0; i < before.values; i++) {
                room[i] = mf_from_half(mf_half(room[i]));
            }
        }
    }
    return mf_memory_save(memory, model, flash, room, NULL);
}

void mf_memory_drop(mf_memory *memory, mf_said *said) {
    const mf_said *end = memory->head.said + memory->head.count;
    memmove(said, said + 1, (size_t)(end - said - 1) * sizeof *said);
    memory->head.count--;
}

static void put_kept(mf_store *store, const mf_memory *memory, const float *left) {
    for (uint32_t i = 0; i < memory->head.values; i++) {
        uint16_t half = 0;
        if (left != NULL) {
            half = mf_half(left[i]);
        } else if (memory->record != NULL) {
            half = mf_half(kept_at(memory, i));
        }
        const uint8_t bytes[2] = {(uint8_t)half, (uint8_t)(half >> 8)};
        mf_store_put(store, bytes, sizeof bytes);
    }
}

bool mf_memory_save(mf_memory *memory, const mf_node_model *model, const mf_flash *flash,
                    const float *left, const uint8_t *data) {
    mf_memory_head head = memory->head;
    uint32_t offset = (uint32_t)sizeof head + 2 * head.values;
    for (uint32_t i = 0; i < MF_MOST_SAID; i++) {
        mf_said *said = &head.said[i];
        if (i >= head.count) {
            memset(said, 0, sizeof *said);
            continue;
        }
        said->offset = offset;
        said->due = 0;
        said->state = said->state == MF_REFUSED ? MF_REFUSED : MF_SILENT;
        offset += said->size;
    }
    mf_store store;
    mf_store_begin(&store, flash, MF_MEMORY_A, mf_model_layout(model));
    mf_store_put(&store, &head, sizeof head);
    put_kept(&store, memory, left);
    for (uint32_t i = 0; i < head.count; i++) {
        const bool fresh = data != NULL && i + 1 == head.count;
        const mf_said *said = &memory->head.said[i];
        mf_store_put(&store, fresh ? data : mf_memory_data(memory, said), said->size);
    }
    const uint8_t *record = mf_store_end(&store);
    if (record == NULL) {
        return false;
    }
    memory->record = record;
    for (uint32_t i = 0; i < head.count; i++) {
        memory->head.said[i].offset = head.said[i].offset;
    }
    return true;
}
