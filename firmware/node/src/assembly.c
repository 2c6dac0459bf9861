#include "assembly.h"

#include <string.h>

#include "crc32.h"
#include "sha256.h"

static uint32_t blocks(uint32_t size, uint32_t block) {
    return (size + block - 1) / block;
}

uint32_t mf_assembly_bytes(uint32_t size, uint32_t block) {
    return size + blocks(blocks(size, block), 8);
}

static void clear(mf_assembly *a) {
    memset(a->have, 0, blocks(a->total, 8));
    a->left = a->total;
}

void mf_assembly_begin(mf_assembly *assembly, const mf_manifest *manifest, uint32_t block,
                       uint8_t *memory) {
    assembly->manifest = *manifest;
    assembly->block = block;
    assembly->total = blocks(manifest->size, block);
    assembly->data = memory;
    assembly->have = memory + manifest->size;
    clear(assembly);
}

static bool has(const mf_assembly *a, uint32_t index) {
    return a->have[index / 8] >> index % 8 & 1;
}

mf_block_is mf_assembly_add(mf_assembly *assembly, const mf_block *block) {
    const mf_manifest *manifest = &assembly->manifest;
    if (memcmp(block->id, manifest->digest, MF_ID_BYTES) != 0 || block->total != assembly->total ||
        block->index >= assembly->total) {
        return MF_BLOCK_DAMAGED;
    }
    const uint32_t start = block->index * assembly->block, rest = manifest->size - start;
    if (block->data.size != (rest < assembly->block ? rest : assembly->block) ||
        mf_crc32(0, block->data.at, block->data.size) != block->crc) {
        return MF_BLOCK_DAMAGED;
    }
    if (has(assembly, block->index)) {
        return MF_BLOCK_REPEATED;
    }
    memcpy(assembly->data + start, block->data.at, block->data.size);
    assembly->have[block->index / 8] |= (uint8_t)(1u << block->index % 8);
    assembly->left--;
    return MF_BLOCK_NEW;
}

uint32_t mf_assembly_missing(const mf_assembly *assembly, uint32_t window, mf_need *need,
                             uint8_t *bitmap) {
    uint32_t found = 0, index = 0;
    memset(bitmap, 0, MF_NEED_BYTES);
    while (index < assembly->total && has(assembly, index)) {
        index++;
    }
    memcpy(need->id, assembly->manifest.digest, MF_ID_BYTES);
    need->block = assembly->block;
    need->first = index;
    for (; index < assembly->total && index - need->first < 8 * MF_NEED_BYTES && found < window;
         index++) {
        const uint32_t bit = index - need->first;
        if (!has(assembly, index)) {
            bitmap[bit / 8] |= (uint8_t)(1u << bit % 8);
            need->bitmap = (mf_bytes){bitmap, bit / 8 + 1};
            found++;
        }
    }
    return found;
}

bool mf_assembly_is_right(mf_assembly *assembly) {
    uint8_t digest[MF_SHA256_BYTES];
    mf_sha256(assembly->data, assembly->manifest.size, digest);
    if (memcmp(digest, assembly->manifest.digest, sizeof digest) == 0) {
        return true;
    }
    clear(assembly);
    return false;
}
