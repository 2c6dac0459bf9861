#include "codec/coder.h"

#include <stddef.h>

enum {
    LEAST = 32,   /* probabilities stay this far from 0 and 1 */
    START = 16,   /* decisions that a first probability counts as */
    SLOWEST = 64, /* decisions after which adaptation slows no further */
    USUAL = 8,    /* the context of a length that is the usual one */
};
#define ONE 65536u
#define TOP (1u << 24) /* the range is kept at or above this */

/* First probabilities: wire/coder.py says what they are and where they come from. */
static const uint16_t FIRST[MF_KINDS][2 * MF_LENGTHS] = {
    {40800, 42500, 50700, 61500, 58900, 60500, 58400, 36200, 48100, 33300, 32900,
     20600, 32800, 32800, 32800, 32800, 32800, 32800, 32800, 32800, 32800, 32800,
     32700, 56500, 29600, 29200, 25500, 28900, 32800, 32800, 32800, 32800},
    {62900, 61700, 60100, 58000, 57600, 55100, 49700, 44200, 36800, 30400, 20000,
     18200, 19100, 32800, 32800, 32800, 37700, 28900, 31600, 28600, 22600, 23100,
     25800, 26700, 25800, 21900, 14400, 16500, 20500, 32800, 32800, 32800},
    {32800, 32800, 41900, 43600, 48500, 50200, 42900, 30200, 4300,  18200, 16100,
     23100, 32800, 32800, 32800, 32800, 32800, 32800, 32800, 32800, 32800, 32800,
     32800, 30900, 25200, 22500, 20800, 23700, 32800, 32800, 32800, 32800},
};

static void begin(mf_coder *coder, mf_direction direction, int32_t size) {
    coder->direction = direction;
    coder->to = NULL;
    coder->from = NULL;
    coder->size = size;
    coder->at = 0;
    coder->bad = 0;
    coder->low = 0;
    coder->range = 0xFFFFFFFFu;
    for (int kind = 0; kind < MF_KINDS; kind++) {
        for (int i = 0; i < 2 * MF_LENGTHS; i++) {
            mf_context *context = &coder->contexts[kind][i];
            context->chance = FIRST[kind][i];
            context->seen = START;
        }
    }
}

void mf_begin_writing(mf_coder *coder, uint8_t *to, int32_t size, int counting) {
    begin(coder, counting ? MF_COUNTING : MF_WRITING, size);
    coder->to = to;
}

/* The next byte; behind the end there are zeros. */
static uint32_t take(mf_coder *coder) {
    const int32_t at = coder->at++;
    return at < coder->size ? coder->from[at] : 0u;
}

void mf_begin_reading(mf_coder *coder, const uint8_t *from, int32_t size) {
    begin(coder, MF_READING, size);
    coder->from = from;
    for (int i = 0; i < 4; i++) {
        coder->low = coder->low << 8 | take(coder);
    }
    coder->bad = size < 1 || coder->low == coder->range;
}

static void give(mf_coder *coder, uint8_t byte) {
    if (coder->at >= coder->size) {
        coder->bad = 1;
    } else if (coder->direction == MF_WRITING) {
        coder->to[coder->at] = byte;
    }
    coder->at++;
}

/* Add 1 to the number that the bytes so far are. */
static void carry(mf_coder *coder) {
    if (coder->direction != MF_WRITING || coder->bad) {
        return;
    }
    int32_t at = coder->at;
    while (++coder->to[--at] == 0) {
    }
}

static void raise_low(mf_coder *coder, uint32_t by) {
    coder->low += by;
    if (coder->low < by) {
        carry(coder);
    }
}

static void normalize(mf_coder *coder) {
    while (coder->range < TOP) {
        coder->range <<= 8;
        if (coder->direction == MF_READING) {
            coder->low = coder->low << 8 | take(coder);
        } else {
            give(coder, (uint8_t)(coder->low >> 24));
            coder->low <<= 8;
        }
    }
}

/* One decision; the interval is cut at `bound`, and `lower` says which part is meant. */
static uint32_t decide(mf_coder *coder, uint32_t bound, uint32_t lower) {
    if (coder->direction == MF_READING) {
        lower = coder->low < bound;
    }
    if (lower) {
        coder->range = bound;
    } else {
        coder->range -= bound;
        if (coder->direction == MF_READING) {
            coder->low -= bound;
        } else {
            raise_low(coder, bound);
        }
    }
    normalize(coder);
    return lower;
}

static uint32_t code_bit(mf_coder *coder, mf_context *context, uint32_t bit) {
    uint32_t chance = context->chance;
    bit = decide(coder, (coder->range >> 16) * chance, bit);
    if (bit) {
        chance += (ONE - chance) / context->seen;
    } else {
        chance -= chance / context->seen;
    }
    if (chance < LEAST) {
        chance = LEAST;
    }
    if (chance > ONE - LEAST) {
        chance = ONE - LEAST;
    }
    context->chance = (uint16_t)chance;
    if (context->seen < SLOWEST) {
        context->seen++;
    }
    return bit;
}

uint32_t mf_code_plain(mf_coder *coder, uint32_t value, int bits) {
    uint32_t found = 0;
    while (bits-- > 0) {
        const uint32_t zero = decide(coder, coder->range >> 1, (value >> bits & 1u) ^ 1u);
        found = found << 1 | (zero ^ 1u);
    }
    return found;
}

/* Bits of a number: 0 has none. */
static int length_of(uint32_t value) {
    int length = 0;
    for (int half = 16; half > 0; half >>= 1) {
        if (value >> half) {
            value >>= half;
            length += half;
        }
    }
    return length + (int)value;
}

uint32_t mf_code_number(mf_coder *coder, mf_kind kind, uint32_t value, uint32_t most,
                        uint32_t usual) {
    mf_context *contexts = coder->contexts[kind];
    const int shift = USUAL - length_of(usual), longest = length_of(most);
    const int own = length_of(value);
    int length = 0, place;
    for (;;) {
        place = length + shift;
        if (place < 0) {
            place = 0;
        }
        if (place >= MF_LENGTHS) {
            place = MF_LENGTHS - 1;
        }
        if (length >= longest || !code_bit(coder, &contexts[place], own > length)) {
            break;
        }
        length++;
    }
    if (length < 2) {
        return (uint32_t)length;
    }
    const int rest = length - 2;
    const uint32_t second = code_bit(coder, &contexts[MF_LENGTHS + place], value >> rest & 1u);
    const uint32_t low = mf_code_plain(coder, value & ((1u << rest) - 1u), rest);
    const uint32_t found = (2u | second) << rest | low;
    if (found > most) {
        coder->bad = 1;
    }
    return found > most ? most : found;
}

void mf_finish(mf_coder *coder) {
    if (coder->direction == MF_READING) {
        coder->bad |= coder->size > coder->at;
        return;
    }
    int bytes = coder->at == 0; /* a message has at least one */
    uint64_t value;
    for (;; bytes++) {
        const uint64_t mask = 0xFFFFFFFFu >> (8 * bytes & 31) & (bytes == 4 ? 0u : 0xFFFFFFFFu);
        value = (coder->low + mask) & ~mask;
        if (value < (uint64_t)coder->low + coder->range) {
            break;
        }
    }
    if (value >> 32) {
        carry(coder);
    }
    for (; bytes > 0; bytes--) {
        give(coder, (uint8_t)(value >> 24));
        value <<= 8;
    }
}
