#include "inflate.h"

#include <string.h>

enum { HEAD, STORED, CODED, REPEATING, BAD };
enum { MOST_LITERALS = 286, MOST_DISTANCES = 30, END_OF_BLOCK = 256, LONGEST = 15 };

/* The next `count` ≤ 13 bits, the first of them lowest; −1 behind the end. */
static int32_t take(mf_inflate *s, int count) {
    uint32_t value = 0;
    for (int i = 0; i < count; i++) {
        if (s->bit_count == 0) {
            if (s->at == s->end) {
                return -1;
            }
            s->bits = *s->at++;
            s->bit_count = 8;
        }
        value |= (s->bits & 1u) << i;
        s->bits >>= 1;
        s->bit_count--;
    }
    return (int32_t)value;
}

/* Order symbols 0 … n − 1 by length and number.  False if there are more codes than their
 * lengths have room for, or fewer: where it need not be `whole` a single code of one bit, or
 * none, may stand alone. */
static bool make_code(mf_huffman *code, const uint8_t *lengths, int32_t n, bool whole) {
    uint16_t next[LONGEST + 1] = {0};
    memset(code->count, 0, sizeof code->count);
    int32_t longest = 0;
    for (int32_t i = 0; i < n; i++) {
        code->count[lengths[i]]++;
        longest = lengths[i] > longest ? lengths[i] : longest;
    }
    int32_t room = 1;
    code->count[0] = 0;
    for (int32_t l = 1; l <= LONGEST; l++) {
        room = 2 * room - code->count[l];
        if (room < 0) {
            return false;
        }
        next[l] = (uint16_t)(next[l - 1] + code->count[l - 1]);
    }
    for (int32_t i = 0; i < n; i++) {
        if (lengths[i] != 0) {
            code->symbols[next[lengths[i]]++] = (uint16_t)i;
        }
    }
    return room == 0 || (!whole && longest <= 1);
}

/* The next symbol of a code, −1 if there is none. */
static int32_t symbol(mf_inflate *s, const mf_huffman *code) {
    int32_t value = 0, first = 0, index = 0;
    for (int32_t l = 1; l <= LONGEST; l++) {
        const int32_t bit = take(s, 1);
        if (bit < 0) {
            return -1;
        }
        value = value << 1 | bit;
        const int32_t count = code->count[l];
        if (value - first < count) {
            return code->symbols[index + value - first];
        }
        index += count;
        first = (first + count) << 1;
    }
    return -1;
}

static bool begin_fixed(mf_inflate *s) {
    uint8_t lengths[288];
    memset(lengths, 8, 144);
    memset(lengths + 144, 9, 112);
    memset(lengths + 256, 7, 24);
    memset(lengths + 280, 8, 8);
    if (!make_code(&s->literals, lengths, 288, true)) {
        return false;
    }
    memset(lengths, 5, 32);
    return make_code(&s->distances, lengths, 32, true);
}

/* Read the lengths of both codes, which are coded themselves: RFC 1951, 3.2.7. */
static bool begin_dynamic(mf_inflate *s) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    const int32_t literals = take(s, 5) + 257, distances = take(s, 5) + 1, own = take(s, 4) + 4;
    uint8_t lengths[MOST_LITERALS + MOST_DISTANCES] = {0};
    if (own < 4 || literals > MOST_LITERALS || distances > MOST_DISTANCES) {
        return false;
    }
    for (int32_t i = 0; i < own; i++) {
        const int32_t length = take(s, 3);
        if (length < 0) {
            return false;
        }
        lengths[order[i]] = (uint8_t)length;
    }
    if (!make_code(&s->literals, lengths, 19, true)) {
        return false;
    }
    memset(lengths, 0, sizeof lengths);
    for (int32_t at = 0; at < literals + distances;) {
        const int32_t found = symbol(s, &s->literals);
        if (found >= 0 && found < 16) {
            lengths[at++] = (uint8_t)found;
            continue;
        }
        const int32_t extra = found < 0 ? -1 : take(s, found == 16 ? 2 : found == 17 ? 3 : 7);
        const int32_t times = extra + (found == 18 ? 11 : 3);
        if (extra < 0 || times > literals + distances - at || (found == 16 && at == 0)) {
            return false;
        }
        memset(lengths + at, found == 16 ? lengths[at - 1] : 0, (size_t)times);
        at += times;
    }
    return lengths[END_OF_BLOCK] != 0 && make_code(&s->literals, lengths, literals, false) &&
           make_code(&s->distances, lengths + literals, distances, false);
}

static bool begin_stored(mf_inflate *s) {
    s->bit_count = 0;
    if (s->end - s->at < 4) {
        return false;
    }
    s->left = (uint32_t)s->at[0] | (uint32_t)s->at[1] << 8;
    const uint32_t inverse = (uint32_t)s->at[2] | (uint32_t)s->at[3] << 8;
    s->at += 4;
    return (s->left ^ inverse) == 0xFFFFu;
}

static void begin_block(mf_inflate *s) {
    const int32_t last = take(s, 1), kind = take(s, 2);
    s->last = last == 1;
    s->state = CODED;
    bool good = false;
    if (kind == 0) {
        s->state = STORED;
        good = begin_stored(s);
    } else if (kind == 1) {
        good = begin_fixed(s);
    } else if (kind == 2) {
        good = begin_dynamic(s);
    }
    if (!good) {
        s->state = BAD;
    }
}

/* Behind a length symbol: how long the repetition is and where it begins. */
static bool begin_repetition(mf_inflate *s, int32_t length) {
    static const uint8_t longer[29] = {0,  1,  2,  3,   4,   5,   6,   7,   8,  10,
                                       12, 14, 16, 20,  24,  28,  32,  40,  48, 56,
                                       64, 80, 96, 112, 128, 160, 192, 224, 255};
    static const uint8_t length_bits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                            2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    if (length >= 29) {
        return false;
    }
    const int32_t more = take(s, length_bits[length]);
    const int32_t code = more < 0 ? -1 : symbol(s, &s->distances);
    if (code < 0 || code >= MOST_DISTANCES) {
        return false;
    }
    const int bits = code < 4 ? 0 : code / 2 - 1;
    const int32_t further = take(s, bits);
    if (further < 0) {
        return false;
    }
    s->left = 3u + longer[length] + (uint32_t)more;
    s->back =
        1u + (uint32_t)further + (code < 4 ? (uint32_t)code : (2u + ((uint32_t)code & 1u)) << bits);
    s->state = REPEATING;
    return s->back <= s->made && s->back <= MF_INFLATE_WINDOW;
}

static int32_t give(mf_inflate *s, uint8_t byte) {
    s->window[s->made++ % MF_INFLATE_WINDOW] = byte;
    return byte;
}

void mf_inflate_begin(mf_inflate *stream, const uint8_t *data, uint32_t size) {
    stream->at = data;
    stream->end = data + size;
    stream->made = stream->left = 0;
    stream->bit_count = 0;
    stream->state = HEAD;
    stream->last = false;
}

/* What a block gives next, or −1: the block or a repetition has ended, or begun. */
static int32_t advance(mf_inflate *s) {
    switch (s->state) {
    case STORED:
        if (s->left == 0) {
            s->state = HEAD;
            return -1;
        }
        if (s->at == s->end) {
            s->state = BAD;
            return -1;
        }
        s->left--;
        return give(s, *s->at++);
    case REPEATING:
        if (s->left == 0) {
            s->state = CODED;
            return -1;
        }
        s->left--;
        return give(s, s->window[(s->made - s->back) % MF_INFLATE_WINDOW]);
    default:
        break;
    }
    const int32_t found = symbol(s, &s->literals);
    if (found >= 0 && found < END_OF_BLOCK) {
        return give(s, (uint8_t)found);
    }
    if (found == END_OF_BLOCK) {
        s->state = HEAD;
    } else if (found < 0 || !begin_repetition(s, found - END_OF_BLOCK - 1)) {
        s->state = BAD;
    }
    return -1;
}

int32_t mf_inflate_next(mf_inflate *stream) {
    for (;;) {
        if (stream->state == BAD) {
            return MF_INFLATE_BAD;
        }
        if (stream->state == HEAD) {
            if (stream->last) {
                const bool whole = stream->at == stream->end;
                stream->state = BAD;
                return whole ? MF_INFLATE_END : MF_INFLATE_BAD;
            }
            begin_block(stream);
            continue;
        }
        const int32_t byte = advance(stream);
        if (byte >= 0) {
            return byte;
        }
    }
}
