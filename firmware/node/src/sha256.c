#include "sha256.h"

#include <string.h>

enum { BLOCK = 64, LENGTH = 8 };

static uint32_t turned(uint32_t x, int by) {
    return x >> by | x << (32 - by);
}

static uint32_t word_at(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put_word(uint8_t *at, uint32_t word) {
    for (int i = 0; i < 4; i++) {
        at[i] = (uint8_t)(word >> (24 - 8 * i));
    }
}

static void compress(uint32_t state[8], const uint8_t *block) {
    static const uint32_t constants[BLOCK] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
        0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
        0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
        0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
        0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
        0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
        0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
        0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
        0xc67178f2,
    };
    uint32_t w[16], s[8]; /* w: a ring, the last 16 words of the schedule */
    memcpy(s, state, sizeof s);
    for (int t = 0; t < BLOCK; t++) {
        if (t < 16) {
            w[t] = word_at(block + 4 * t);
        } else {
            const uint32_t a = w[(t + 1) % 16], b = w[(t + 14) % 16];
            w[t % 16] += (turned(a, 7) ^ turned(a, 18) ^ a >> 3) + w[(t + 9) % 16] +
                         (turned(b, 17) ^ turned(b, 19) ^ b >> 10);
        }
        const uint32_t chosen = (s[4] & s[5]) ^ (~s[4] & s[6]);
        const uint32_t most = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        const uint32_t one = s[7] + (turned(s[4], 6) ^ turned(s[4], 11) ^ turned(s[4], 25)) +
                             chosen + constants[t] + w[t % 16];
        const uint32_t two = (turned(s[0], 2) ^ turned(s[0], 13) ^ turned(s[0], 22)) + most;
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += one;
        s[0] = one + two;
    }
    for (int i = 0; i < 8; i++) {
        state[i] += s[i];
    }
}

void mf_sha256(const void *data, uint32_t size, uint8_t digest[MF_SHA256_BYTES]) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const uint8_t *at = data;
    uint32_t left = size;
    for (; left >= BLOCK; left -= BLOCK, at += BLOCK) {
        compress(state, at);
    }
    uint8_t last[BLOCK] = {0};
    if (left > 0) {
        memcpy(last, at, left);
    }
    last[left] = 0x80;
    if (left >= BLOCK - LENGTH) {
        compress(state, last);
        memset(last, 0, sizeof last);
    }
    put_word(last + BLOCK - 8, size >> 29);
    put_word(last + BLOCK - 4, size << 3);
    compress(state, last);
    for (int i = 0; i < 8; i++) {
        put_word(digest + 4 * i, state[i]);
    }
}
