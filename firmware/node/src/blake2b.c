#include "blake2b.h"

#include <string.h>

enum { ROUNDS = 12 };

static uint64_t turned(uint64_t x, int by) {
    return x >> by | x << (64 - by);
}

/* The function G of RFC 7693, 3.1, of four words and two of the block: its steps are alike. */
static void mix(uint64_t *const w[4], uint64_t x, uint64_t y) {
    static const uint8_t by[4] = {32, 24, 16, 63};
    for (int step = 0; step < 4; step++) {
        const int at = step % 2 * 2;
        *w[at] += *w[at + 1] + (step == 0 ? x : step == 2 ? y : 0);
        *w[3 - at] = turned(*w[3 - at] ^ *w[at], by[step]);
    }
}

void mf_blake2b(const void *text, uint32_t size, uint8_t *digest, uint32_t digest_size) {
    static const uint64_t initial[8] = {
        0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
        0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
    };
    /* the order in which each round takes the words of the block, two to a byte */
    static const uint8_t order[10][8] = {
        {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef},
        {0xea, 0x48, 0x9f, 0xd6, 0x1c, 0x02, 0xb7, 0x53},
        {0xb8, 0xc0, 0x52, 0xfd, 0xae, 0x36, 0x71, 0x94},
        {0x79, 0x31, 0xdc, 0xbe, 0x26, 0x5a, 0x40, 0xf8},
        {0x90, 0x57, 0x24, 0xaf, 0xe1, 0xbc, 0x68, 0x3d},
        {0x2c, 0x6a, 0x0b, 0x83, 0x4d, 0x75, 0xfe, 0x19},
        {0xc5, 0x1f, 0xed, 0x4a, 0x07, 0x63, 0x92, 0x8b},
        {0xdb, 0x7e, 0xc1, 0x39, 0x50, 0xf4, 0x86, 0x2a},
        {0x6f, 0xe9, 0xb3, 0x08, 0xc2, 0xd7, 0x14, 0xa5},
        {0xa2, 0x84, 0x76, 0x15, 0xfb, 0x9e, 0x3c, 0xd0},
    };
    uint64_t block[16] = {0}, state[8], v[16];
    memcpy(block, text, size); /* little-endian, as the words of a body in flash are */
    memcpy(state, initial, sizeof state);
    state[0] ^= 0x01010000 ^ digest_size;
    memcpy(v, state, sizeof state);
    memcpy(v + 8, initial, sizeof initial);
    v[12] ^= size;
    v[14] = ~v[14]; /* this block is the last */
    for (int r = 0; r < ROUNDS; r++) {
        for (int i = 0; i < 8; i++) {
            const int b = i % 4, diagonal = i / 4;
            const uint8_t pair = order[r % 10][i];
            uint64_t *w[] = {v + b, v + 4 + (b + diagonal) % 4, v + 8 + (b + 2 * diagonal) % 4,
                             v + 12 + (b + 3 * diagonal) % 4};
            mix(w, block[pair >> 4], block[pair & 15]);
        }
    }
    for (int i = 0; i < 8; i++) {
        state[i] ^= v[i] ^ v[i + 8];
    }
    memcpy(digest, state, digest_size);
}
