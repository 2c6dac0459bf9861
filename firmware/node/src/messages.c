#include "messages.h"

#include <stddef.h>
#include <string.h>

#include "cbor.h"

/* What a field is in its struct, and on the wire. */
typedef enum {
    UINT,  /* uint32_t */
    REAL,  /* float, finite */
    TEXT,  /* mf_text */
    BLOB,  /* mf_blob */
    FIXED, /* uint8_t[most] */
    BYTES, /* mf_bytes */
    PART,  /* the struct of another table; absent if its first field is 0 */
    PARTS, /* at most `most` of them, and behind them their number, uint32_t */
} field_kind;

typedef struct part part;

typedef struct {
    uint8_t key, kind;
    bool required;
    uint16_t offset;
    uint32_t least, most; /* a value, or a length */
    const part *of;       /* PART, PARTS */
} field;

struct part {
    const field *fields;
    uint16_t count, size;
};

#define ANY UINT32_MAX
#define UINT_OF(key, type, name, least, most)                                                      \
    {key, UINT, true, offsetof(type, name), least, most, NULL}
#define UINT_OR_0(key, type, name, most) {key, UINT, false, offsetof(type, name), 0, most, NULL}
#define REAL_OF(key, type, name)         {key, REAL, true, offsetof(type, name), 0, 0, NULL}
#define REAL_OR_0(key, type, name)       {key, REAL, false, offsetof(type, name), 0, 0, NULL}
#define TEXT_OF(key, type, name, required)                                                         \
    {key, TEXT, required, offsetof(type, name), 0, MF_TEXT_BYTES, NULL}
#define BLOB_OR_NONE(key, type, name)                                                              \
    {key, BLOB, false, offsetof(type, name), 0, MF_TEXT_BYTES, NULL}
#define FIXED_OF(key, type, name, size) {key, FIXED, true, offsetof(type, name), size, size, NULL}
#define BYTES_OF(key, type, name, required, least, most)                                           \
    {key, BYTES, required, offsetof(type, name), least, most, NULL}
#define PART_OF(key, type, name, required, of) {key, PART, required, offsetof(type, name), 0, 1, of}
#define PARTS_OF(key, type, name, most, of)    {key, PARTS, true, offsetof(type, name), 0, most, of}
#define TABLE(fields, type) {fields, sizeof(fields) / sizeof *(fields), sizeof(type)}

enum { MOST_BLOCK = 131072, MOST_OBJECT = 1 << 24, MOST_PAYLOAD = MOST_BLOCK + 1024 };

static const field manifest_fields[] = {
    UINT_OF(1, mf_manifest, kind, 1, 3),
    UINT_OF(2, mf_manifest, size, 1, MOST_OBJECT),
    FIXED_OF(3, mf_manifest, digest, MF_DIGEST_BYTES),
    UINT_OR_0(4, mf_manifest, source, ANY),
    UINT_OR_0(5, mf_manifest, target, ANY),
};
static const part manifest_part = TABLE(manifest_fields, mf_manifest);

static const field recipe_fields[] = {
    UINT_OF(1, mf_task_recipe, epochs, 1, 1000),    UINT_OF(2, mf_task_recipe, batch, 1, 65536),
    REAL_OF(3, mf_task_recipe, learning_rate),      REAL_OR_0(4, mf_task_recipe, momentum),
    REAL_OR_0(5, mf_task_recipe, weight_decay),     REAL_OR_0(6, mf_task_recipe, proximal),
    REAL_OR_0(7, mf_task_recipe, clip_norm),        REAL_OR_0(8, mf_task_recipe, rotation),
    UINT_OR_0(9, mf_task_recipe, fake_quantize, 1), BLOB_OR_NONE(10, mf_task_recipe, trains),
};
static const part recipe_part = TABLE(recipe_fields, mf_task_recipe);

static const field presence_fields[] = {
    UINT_OF(1, mf_presence, session, 0, ANY),
    UINT_OF(2, mf_presence, status, 1, 3),
};

static const field hello_fields[] = {
    UINT_OF(1, mf_hello, session, 0, ANY),
    UINT_OF(2, mf_hello, protocol, 0, ANY),
    UINT_OF(3, mf_hello, buffer, 256, MOST_BLOCK),
    UINT_OF(4, mf_hello, samples, 0, ANY),
    TEXT_OF(5, mf_hello, board, true),
    BYTES_OF(6, mf_hello, base, false, 0, MF_DIGEST_BYTES),
    UINT_OR_0(7, mf_hello, version, ANY),
    UINT_OR_0(8, mf_hello, check, ANY),
    TEXT_OF(9, mf_hello, gateway, false),
};

static const field announce_fields[] = {
    UINT_OF(1, mf_announce, session, 0, ANY),        UINT_OF(2, mf_announce, phase, 1, 3),
    UINT_OF(3, mf_announce, round, 0, ANY),          UINT_OF(4, mf_announce, version, 0, ANY),
    FIXED_OF(5, mf_announce, base, MF_DIGEST_BYTES),
};

static const field task_fields[] = {
    UINT_OF(1, mf_task, round, 1, ANY),
    UINT_OF(2, mf_task, version, 0, ANY),
    FIXED_OF(3, mf_task, base, MF_DIGEST_BYTES),
    PART_OF(4, mf_task, recipe, true, &recipe_part),
    TEXT_OF(5, mf_task, codec, true),
    UINT_OF(6, mf_task, seed, 0, ANY),
    UINT_OF(7, mf_task, deadline, 0, ANY),
    PARTS_OF(8, mf_task, objects, MF_MOST_OBJECTS, &manifest_part),
    UINT_OR_0(9, mf_task, check, ANY),
    UINT_OR_0(10, mf_task, budget, ANY),
};

static const field need_fields[] = {
    FIXED_OF(1, mf_need, id, MF_ID_BYTES),
    UINT_OF(2, mf_need, block, 16, MOST_BLOCK),
    UINT_OF(3, mf_need, first, 0, ANY),
    BYTES_OF(4, mf_need, bitmap, true, 1, 64),
};

static const field block_fields[] = {
    FIXED_OF(1, mf_block, id, MF_ID_BYTES),
    UINT_OF(2, mf_block, index, 0, ANY),
    UINT_OF(3, mf_block, total, 1, ANY),
    UINT_OF(4, mf_block, crc, 0, ANY),
    BYTES_OF(5, mf_block, data, true, 1, MOST_BLOCK),
};

static const field offer_fields[] = {
    UINT_OF(1, mf_offer, round, 1, ANY),
    FIXED_OF(2, mf_offer, nonce, MF_ID_BYTES),
    UINT_OF(3, mf_offer, version, 0, ANY),
    TEXT_OF(4, mf_offer, codec, true),
    UINT_OF(5, mf_offer, samples, 1, 1 << 20),
    REAL_OF(6, mf_offer, loss_before),
    REAL_OF(7, mf_offer, loss_after),
    PART_OF(8, mf_offer, manifest, false, &manifest_part),
    BYTES_OF(9, mf_offer, data, false, 0, MOST_BLOCK),
    UINT_OR_0(10, mf_offer, check, ANY),
    BLOB_OR_NONE(11, mf_offer, trains),
};

static const field verdict_fields[] = {
    UINT_OF(1, mf_verdict, round, 0, ANY),
    FIXED_OF(2, mf_verdict, nonce, MF_ID_BYTES),
    UINT_OF(3, mf_verdict, reason, 0, 9),
};

static const field decline_fields[] = {
    UINT_OF(1, mf_decline, round, 0, ANY),
    UINT_OF(2, mf_decline, reason, 1, 4),
};

static const part messages[] = {
    [MF_PRESENCE] = TABLE(presence_fields, mf_presence),
    [MF_HELLO] = TABLE(hello_fields, mf_hello),
    [MF_ANNOUNCE] = TABLE(announce_fields, mf_announce),
    [MF_TASK] = TABLE(task_fields, mf_task),
    [MF_NEED] = TABLE(need_fields, mf_need),
    [MF_BLOCK] = TABLE(block_fields, mf_block),
    [MF_OFFER] = TABLE(offer_fields, mf_offer),
    [MF_VERDICT] = TABLE(verdict_fields, mf_verdict),
    [MF_DECLINE] = TABLE(decline_fields, mf_decline),
};

/* What is behind `key` in the map of `pairs` that begins at `at`; NULL: the key is not there. */
static const uint8_t *find(const uint8_t *at, uint64_t pairs, uint64_t key) {
    for (uint64_t i = 0; i < pairs; i++) {
        mf_cbor_head head;
        at = mf_cbor_head_at(at, &head);
        if (head.value == key) {
            return at;
        }
        at = mf_cbor_behind(at);
    }
    return NULL;
}

static bool read_part(const part *p, const uint8_t *at, unsigned char *to);

static bool read_parts(const field *f, const uint8_t *at, uint64_t count, unsigned char *to) {
    const uint32_t number = (uint32_t)count;
    for (uint32_t i = 0; i < number; i++) {
        if (!read_part(f->of, at, to + i * f->of->size)) {
            return false;
        }
        at = mf_cbor_behind(at);
    }
    memcpy(to + f->most * f->of->size, &number, sizeof number);
    return true;
}

static bool read_field(const field *f, const uint8_t *at, unsigned char *to) {
    static const uint8_t majors[] = {
        [UINT] = MF_CBOR_UINT,  [REAL] = MF_CBOR_SIMPLE, [TEXT] = MF_CBOR_TEXT,
        [BLOB] = MF_CBOR_BYTES, [FIXED] = MF_CBOR_BYTES, [BYTES] = MF_CBOR_BYTES,
        [PART] = MF_CBOR_MAP,   [PARTS] = MF_CBOR_ARRAY,
    };
    mf_cbor_head head;
    const uint8_t *body = mf_cbor_head_at(at, &head);
    if (head.major != majors[f->kind]) {
        return false;
    }
    if (f->kind == PART) {
        return read_part(f->of, at, to);
    }
    if (f->kind == REAL) {
        const float real = mf_cbor_real(&head);
        memcpy(to, &real, sizeof real);
        return head.info >= 25 && real - real == 0.0f;
    }
    if (head.value < f->least || head.value > f->most) {
        return false;
    }
    const uint32_t value = (uint32_t)head.value;
    switch (f->kind) {
    case UINT:
        memcpy(to, &value, sizeof value);
        return true;
    case BLOB: /* the same struct but for the type of its bytes */
    case TEXT:
        ((mf_text *)(void *)to)->size = value;
        memcpy(((mf_text *)(void *)to)->at, body, value);
        return true;
    case FIXED:
        memcpy(to, body, value);
        return true;
    case BYTES:
        *(mf_bytes *)(void *)to = (mf_bytes){body, value};
        return true;
    default:
        return read_parts(f, body, value, to);
    }
}

static bool read_part(const part *p, const uint8_t *at, unsigned char *to) {
    mf_cbor_head head;
    at = mf_cbor_head_at(at, &head);
    if (head.major != MF_CBOR_MAP) {
        return false;
    }
    for (uint32_t i = 0; i < p->count; i++) {
        const field *f = &p->fields[i];
        const uint8_t *found = find(at, head.value, f->key);
        if (found == NULL ? f->required : !read_field(f, found, to + f->offset)) {
            return false;
        }
    }
    return true;
}

bool mf_message_read(mf_message *message, const uint8_t *payload, uint32_t size) {
    memset(message, 0, sizeof *message);
    if (size > MOST_PAYLOAD || !mf_cbor_is_strict(payload, size)) {
        return false;
    }
    mf_cbor_head head;
    const uint8_t *at = mf_cbor_head_at(payload, &head);
    const uint8_t *type = head.major == MF_CBOR_MAP ? find(at, head.value, 0) : NULL;
    if (type == NULL) {
        return false;
    }
    mf_cbor_head_at(type, &head);
    if (head.major != MF_CBOR_UINT || head.value < MF_PRESENCE || head.value > MF_DECLINE) {
        return false;
    }
    message->type = (uint32_t)head.value;
    if (!read_part(&messages[message->type], payload, (unsigned char *)&message->is)) {
        return false;
    }
    return message->type != MF_OFFER || message->is.offer.manifest.kind != 0 ||
           message->is.offer.data.size > 0;
}

static uint32_t word_at(const unsigned char *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static float real_at(const unsigned char *at) {
    float real;
    memcpy(&real, at, sizeof real);
    return real;
}

/* Whether a field holds what it is when it is left out. */
static bool is_usual(const field *f, const unsigned char *at) {
    if (f->required) {
        return false;
    }
    if (f->kind == REAL) {
        return real_at(at) == 0.0f;
    }
    return (f->kind == BYTES ? ((const mf_bytes *)(const void *)at)->size : word_at(at)) == 0;
}

static void write_part(mf_cbor_writer *writer, const part *p, const unsigned char *from,
                       uint32_t type);

static void write_field(mf_cbor_writer *writer, const field *f, const unsigned char *from) {
    switch (f->kind) {
    case UINT:
        mf_cbor_put_head(writer, MF_CBOR_UINT, word_at(from));
        break;
    case REAL:
        mf_cbor_put_real(writer, real_at(from));
        break;
    case BLOB:
    case TEXT: {
        const mf_text *text = (const void *)from;
        mf_cbor_put_head(writer, f->kind == TEXT ? MF_CBOR_TEXT : MF_CBOR_BYTES, text->size);
        mf_cbor_put_bytes(writer, text->at, text->size);
        break;
    }
    case FIXED:
        mf_cbor_put_head(writer, MF_CBOR_BYTES, f->most);
        mf_cbor_put_bytes(writer, from, f->most);
        break;
    case BYTES: {
        const mf_bytes *bytes = (const void *)from;
        mf_cbor_put_head(writer, MF_CBOR_BYTES, bytes->size);
        mf_cbor_put_bytes(writer, bytes->at, bytes->size);
        break;
    }
    case PART:
        write_part(writer, f->of, from, 0);
        break;
    default: {
        const uint32_t count = word_at(from + f->most * f->of->size);
        mf_cbor_put_head(writer, MF_CBOR_ARRAY, count);
        for (uint32_t i = 0; i < count; i++) {
            write_part(writer, f->of, from + i * f->of->size, 0);
        }
        break;
    }
    }
}

/* type: of a message; 0: a part, which has none. */
static void write_part(mf_cbor_writer *writer, const part *p, const unsigned char *from,
                       uint32_t type) {
    uint32_t pairs = type != 0 ? 1 : 0;
    for (uint32_t i = 0; i < p->count; i++) {
        pairs += is_usual(&p->fields[i], from + p->fields[i].offset) ? 0u : 1u;
    }
    mf_cbor_put_head(writer, MF_CBOR_MAP, pairs);
    if (type != 0) {
        mf_cbor_put_head(writer, MF_CBOR_UINT, 0);
        mf_cbor_put_head(writer, MF_CBOR_UINT, type);
    }
    for (uint32_t i = 0; i < p->count; i++) {
        const field *f = &p->fields[i];
        if (!is_usual(f, from + f->offset)) {
            mf_cbor_put_head(writer, MF_CBOR_UINT, f->key);
            write_field(writer, f, from + f->offset);
        }
    }
}

uint32_t mf_message_write(const mf_message *message, uint8_t *payload, uint32_t capacity) {
    mf_cbor_writer writer = {payload, capacity, 0};
    write_part(&writer, &messages[message->type], (const unsigned char *)&message->is,
               message->type);
    return writer.size;
}
