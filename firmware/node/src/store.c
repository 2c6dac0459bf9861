#include "store.h"

#include <string.h>

#include "crc32.h"

/* What the first page of a record begins with; the record begins behind that page. */
typedef struct {
    uint32_t magic;
    uint32_t crc;      /* of the three numbers behind it and the record */
    uint32_t layout;   /* for whom it was written */
    uint32_t sequence; /* one more than that of the record before it */
    uint32_t size;
} header;

#define MAGIC UINT32_C(0x3152464D) /* "MFR1" */

static uint32_t crc_of(const header *h, uint32_t crc_of_record) {
    const uint32_t words[4] = {h->layout, h->sequence, h->size, crc_of_record};
    return mf_crc32(0, words, sizeof words);
}

static bool read_header(const mf_flash *flash, mf_area area, uint32_t layout, header *h) {
    const uint8_t *at = flash->at[area];
    memcpy(h, at, sizeof *h);
    return h->magic == MAGIC && h->layout == layout &&
           h->size <= flash->size[area] - MF_FLASH_PAGE &&
           h->crc == crc_of(h, mf_crc32(0, at + MF_FLASH_PAGE, h->size));
}

/* The area with the newest whole record, −1 if there is none; and its sequence. */
static int32_t newest(const mf_flash *flash, mf_area pair, uint32_t layout, uint32_t *sequence) {
    int32_t found = -1;
    *sequence = 0;
    for (int32_t i = 0; i < 2; i++) {
        header h;
        const mf_area area = (mf_area)((int32_t)pair + i);
        if (read_header(flash, area, layout, &h) && (found < 0 || h.sequence > *sequence)) {
            found = (int32_t)area;
            *sequence = h.sequence;
        }
    }
    return found;
}

const uint8_t *mf_store_newest(const mf_flash *flash, mf_area pair, uint32_t layout) {
    uint32_t sequence;
    const int32_t area = newest(flash, pair, layout, &sequence);
    return area < 0 ? NULL : flash->at[area] + MF_FLASH_PAGE;
}

void mf_store_begin(mf_store *store, const mf_flash *flash, mf_area pair, uint32_t layout) {
    const int32_t kept = newest(flash, pair, layout, &store->sequence);
    store->flash = flash;
    store->area = (mf_area)((int32_t)pair + (kept == (int32_t)pair ? 1 : 0));
    store->layout = layout;
    store->sequence++;
    store->size = store->crc = 0;
    store->failed = !flash->erase(flash->context, store->area);
}

static void write_page(mf_store *store, uint32_t offset) {
    const mf_flash *flash = store->flash;
    if (!store->failed) {
        store->failed = offset + MF_FLASH_PAGE > flash->size[store->area] ||
                        !flash->write(flash->context, store->area, offset, store->page);
    }
}

void mf_store_put(mf_store *store, const void *data, uint32_t size) {
    const uint8_t *bytes = data;
    store->crc = mf_crc32(store->crc, data, size);
    while (size > 0) {
        const uint32_t at = store->size % MF_FLASH_PAGE;
        const uint32_t count = size < MF_FLASH_PAGE - at ? size : MF_FLASH_PAGE - at;
        memcpy(store->page + at, bytes, count);
        bytes += count;
        size -= count;
        store->size += count;
        if (store->size % MF_FLASH_PAGE == 0) {
            write_page(store, store->size); /* one page behind: the header's comes first */
        }
    }
}

const uint8_t *mf_store_end(mf_store *store) {
    const uint32_t at = store->size % MF_FLASH_PAGE;
    if (at != 0) {
        memset(store->page + at, 0xFF, MF_FLASH_PAGE - at);
        write_page(store, store->size - at + MF_FLASH_PAGE);
    }
    header h = {MAGIC, 0, store->layout, store->sequence, store->size};
    h.crc = crc_of(&h, store->crc);
    memset(store->page, 0xFF, sizeof store->page);
    memcpy(store->page, &h, sizeof h);
    write_page(store, 0);
    if (store->failed || !read_header(store->flash, store->area, store->layout, &h)) {
        return NULL;
    }
    return store->flash->at[store->area] + MF_FLASH_PAGE;
}
