#include "cbor.h"

#include <string.h>

#include "half.h"

enum { MOST_ITEMS = 256, MOST_DEPTH = 8 };

typedef struct {
    const uint8_t *at, *end;
    int32_t items;
} reader;

const uint8_t *mf_cbor_head_at(const uint8_t *at, mf_cbor_head *head) {
    head->major = *at >> 5;
    head->info = *at++ & 31u;
    head->value = head->info;
    if (head->info >= 24) {
        head->value = 0;
        for (int i = 0; i < 1 << (head->info - 24); i++) {
            head->value = head->value << 8 | *at++;
        }
    }
    return at;
}

/* Whether a whole head of a kind that messages may hold begins here. */
static bool has_head(const reader *r) {
    if (r->at == r->end) {
        return false;
    }
    const uint8_t major = *r->at >> 5, info = *r->at & 31u;
    if (info > 27 || major == MF_CBOR_TAG) {
        return false;
    }
    if (major == MF_CBOR_SIMPLE && (info < 20 || (info > 22 && info < 25))) {
        return false;
    }
    const int32_t size = info < 24 ? 1 : 1 + (1 << (info - 24));
    return r->end - r->at >= size;
}

/* RFC 3629: no surrogates, nothing beyond U+10FFFF, each character in its shortest form. */
static bool is_utf8(const uint8_t *at, const uint8_t *end) {
    while (at < end) {
        const uint8_t lead = *at++;
        if (lead < 0x80) {
            continue;
        }
        const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
        if (lead < 0xC2 || lead > 0xF4 || end - at < more) {
            return false;
        }
        const uint8_t least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        const uint8_t most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        if (*at < least || *at > most) {
            return false;
        }
        for (int i = 1; i < more; i++) {
            if ((at[i] & 0xC0u) != 0x80) {
                return false;
            }
        }
        at += more;
    }
    return true;
}

const uint8_t *mf_cbor_behind(const uint8_t *at) {
    uint32_t items = 1; /* still to be passed */
    while (items > 0) {
        mf_cbor_head head;
        at = mf_cbor_head_at(at, &head);
        items--;
        if (head.major == MF_CBOR_BYTES || head.major == MF_CBOR_TEXT) {
            at += head.value;
        } else if (head.major == MF_CBOR_ARRAY) {
            items += (uint32_t)head.value;
        } else if (head.major == MF_CBOR_MAP) {
            items += 2 * (uint32_t)head.value;
        }
    }
    return at;
}

/* Whether one of the first `count` keys from `at` on is `key`. */
static bool has_key(const uint8_t *at, uint64_t count, uint64_t key) {
    for (uint64_t i = 0; i < count; i++) {
        mf_cbor_head head;
        at = mf_cbor_head_at(at, &head);
        if (head.value == key) {
            return true;
        }
        at = mf_cbor_behind(at);
    }
    return false;
}

static bool is_item(reader *r, int depth);

static bool is_map(reader *r, uint64_t count, int depth) {
    const uint8_t *first = r->at;
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *key_at = r->at;
        mf_cbor_head key;
        if (!is_item(r, depth)) {
            return false;
        }
        mf_cbor_head_at(key_at, &key);
        if (key.major != MF_CBOR_UINT || has_key(first, i, key.value) || !is_item(r, depth)) {
            return false;
        }
    }
    return true;
}

static bool is_item(reader *r, int depth) {
    if (++r->items > MOST_ITEMS || depth == 0 || !has_head(r)) {
        return false;
    }
    mf_cbor_head head;
    r->at = mf_cbor_head_at(r->at, &head);
    switch (head.major) {
    case MF_CBOR_BYTES:
    case MF_CBOR_TEXT: {
        const uint8_t *begin = r->at;
        if (head.value > (uint64_t)(r->end - r->at)) {
            return false;
        }
        r->at += head.value;
        return head.major == MF_CBOR_BYTES || is_utf8(begin, r->at);
    }
    case MF_CBOR_ARRAY:
        for (uint64_t i = 0; i < head.value; i++) {
            if (!is_item(r, depth - 1)) {
                return false;
            }
        }
        return true;
    case MF_CBOR_MAP:
        return is_map(r, head.value, depth - 1);
    default:
        return true;
    }
}

bool mf_cbor_is_strict(const uint8_t *data, uint32_t size) {
    reader r = {data, data + size, 0};
    return is_item(&r, MOST_DEPTH) && r.at == r.end;
}

/* The float nearest to the double of these bits (to even; infinite: none is near), without the
 * library's doubles. */
static float narrowed(uint64_t bits) {
    const int32_t exponent = (int32_t)(bits >> 52 & 0x7FF) - (1023 - 127);
    const int32_t drop = exponent > 0 ? 7 : 8 - exponent; /* a subnormal keeps fewer bits */
    /* 30 bits of the mantissa, and whether there is more */
    const uint32_t mantissa = UINT32_C(1) << 30 | (uint32_t)(bits >> 22 & 0x3FFFFFFF) |
                              ((bits & 0x3FFFFF) != 0 ? 1u : 0u);
    uint32_t kept = 0;
    if (exponent >= 255) {
        kept = 0x7F800000u;
    } else if (drop < 32) {
        const uint32_t lost = mantissa & ((UINT32_C(1) << drop) - 1);
        const uint32_t tie = UINT32_C(1) << (drop - 1);
        kept = mantissa >> drop;
        kept += lost > tie || (lost == tie && (kept & 1u) != 0);
        /* the leading one adds 1 to the exponent, and so does a carry */
        kept += exponent > 0 ? (uint32_t)(exponent - 1) << 23 : 0;
    }
    kept |= (uint32_t)(bits >> 32) & 0x80000000u;
    float value;
    memcpy(&value, &kept, sizeof value);
    return value;
}

float mf_cbor_real(const mf_cbor_head *head) {
    if (head->info == 25) {
        return mf_from_half((uint16_t)head->value);
    }
    if (head->info == 26) {
        const uint32_t bits = (uint32_t)head->value;
        float single;
        memcpy(&single, &bits, sizeof single);
        return single;
    }
    return narrowed(head->value);
}

void mf_cbor_put_bytes(mf_cbor_writer *writer, const void *data, uint32_t size) {
    if (size > 0 && writer->size <= writer->capacity && size <= writer->capacity - writer->size) {
        memcpy(writer->to + writer->size, data, size);
    }
    writer->size += size;
}

static void put_number(mf_cbor_writer *writer, uint8_t first, uint32_t value, int bytes) {
    uint8_t head[5] = {first};
    for (int i = 0; i < bytes; i++) {
        head[1 + i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
    }
    mf_cbor_put_bytes(writer, head, 1 + (uint32_t)bytes);
}

void mf_cbor_put_head(mf_cbor_writer *writer, mf_cbor_major major, uint32_t value) {
    const uint8_t first = (uint8_t)((uint32_t)major << 5);
    if (value < 24) {
        put_number(writer, (uint8_t)(first | value), 0, 0);
    } else if (value <= UINT8_MAX) {
        put_number(writer, first | 24, value, 1);
    } else if (value <= UINT16_MAX) {
        put_number(writer, first | 25, value, 2);
    } else {
        put_number(writer, first | 26, value, 4);
    }
}

void mf_cbor_put_real(mf_cbor_writer *writer, float value) {
    const uint8_t first = MF_CBOR_SIMPLE << 5;
    const uint16_t half = mf_half(value);
    if (mf_from_half(half) == value) {
        put_number(writer, first | 25, half, 2);
        return;
    }
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_number(writer, first | 26, bits, 4);
}
