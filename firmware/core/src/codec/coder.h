/* Adaptive binary range coding (Martin 1979), both ways through the same calls.
 *
 * A coder writes, counts what it would write, or reads.  Every call is given the value to
 * write and returns the value that was written or read, so a format is one function. */
#ifndef MICROFED_CODER_H
#define MICROFED_CODER_H

#include <stdint.h>

/* Kinds of numbers: each has contexts of its own. */
typedef enum {
    MF_COUNTS = 0, /* how many symbols are not 0 */
    MF_GAPS = 1,   /* zeros between two that are not */
    MF_LEVELS = 2, /* magnitudes */
} mf_kind;

enum { MF_KINDS = 3, MF_LENGTHS = 16 };

typedef enum { MF_WRITING, MF_COUNTING, MF_READING } mf_direction;

typedef struct {
    uint16_t chance; /* of a 1, in 1/65536 */
    uint16_t seen;   /* decisions so far */
} mf_context;

typedef struct {
    mf_direction direction;
    uint8_t *to;         /* writing */
    const uint8_t *from; /* reading */
    int32_t size;        /* bytes that may be written, or that there are to read */
    int32_t at;          /* bytes that were written, or read with zeros behind the end */
    int bad;             /* more than fits, or what no writer makes */
    uint32_t low;        /* writing: of the interval; reading: the code above its low */
    uint32_t range;
    mf_context contexts[MF_KINDS][2 * MF_LENGTHS];
} mf_coder;

/* Begin to write at most `size` bytes, to count them (`to` may then be null), or to read. */
void mf_begin_writing(mf_coder *coder, uint8_t *to, int32_t size, int counting);
void mf_begin_reading(mf_coder *coder, const uint8_t *from, int32_t size);

/* `bits` bits, 0 to 32, each value as likely as any other. */
uint32_t mf_code_plain(mf_coder *coder, uint32_t value, int bits);

/* A number 0 … most that tends to have as many bits as `usual` has. */
uint32_t mf_code_number(mf_coder *coder, mf_kind kind, uint32_t value, uint32_t most,
                        uint32_t usual);

/* End the message; `at` is its size, and `bad` whether anything went wrong. */
void mf_finish(mf_coder *coder);

#endif
