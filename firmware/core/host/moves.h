/* What takes the codes of one model version to those of the next, for a host that makes a
 * difference once for many devices.
 *
 * docs/protocol.md, section 6, gives the format; wire/moves.py is the same in Python.  A
 * microcontroller reads a difference as it comes (firmware/node/src/difference.c), and writes
 * none.
 *
 * A version is n codes, and `mask` has a byte for each: 0 for one that no difference moves.  The
 * moves of the others are 64 bits wide: the difference of two int32 needs 33. */
#ifndef MICROFED_MOVES_H
#define MICROFED_MOVES_H

#include <stddef.h>
#include <stdint.h>

#include "microfed/export.h"
#include "microfed/status.h"

/* Bytes of a move in LEB128, at most. */
#define MF_MOVE_BYTES 5

/* Magnitudes that mf_find_moves tells apart: larger ones count as this. */
#define MF_RARE 4096

/* What there is to know of moves. */
typedef struct {
    int64_t largest; /* magnitude */
    int32_t count;   /* codes under the mask */
    int32_t moving;  /* moves that are not 0 */
    int32_t kinds;   /* magnitudes that occur */
} mf_moves;

/* Write to − from of each code under the mask to `moves`, which has room for n.
 *
 * from: NULL for zeros; codes outside the mask may then be anything.
 * often: how often each magnitude occurs, the smallest first, without those that do not; room
 * for MF_RARE + 1.
 * MF_BAD_ARGUMENT: a code outside the mask is not the same in both. */
MF_EXPORT mf_status mf_find_moves(const int32_t *from, const int32_t *to, const uint8_t *mask,
                                  int32_t n, int64_t *moves, double *often, mf_moves *found);

/* Write moves in zigzag and LEB128 to `data`, which has room for MF_MOVE_BYTES each.
 *
 * Returns the bytes written. */
MF_EXPORT size_t mf_write_moves(const int64_t *moves, int32_t count, uint8_t *data);

/* Read a move for each code under the mask, and add it.
 *
 * MF_BAD_DATA: more bytes or fewer than they have, a move of more than MF_MOVE_BYTES, or a code
 * that leaves int32; `codes` are then of no use. */
MF_EXPORT mf_status mf_read_moves(const uint8_t *data, size_t size, const uint8_t *mask, int32_t n,
                                  int32_t *codes);

/* Add such a move to each code under the mask.
 *
 * MF_BAD_ARGUMENT: they are not `count` codes.
 * MF_BAD_DATA: a code leaves int32; `codes` are then of no use. */
MF_EXPORT mf_status mf_add_moves(const int32_t *moves, int32_t count, const uint8_t *mask,
                                 int32_t n, int32_t *codes);

/* What the codes are nearest to when scales change: each code under the mask whose scale has
 * `changed` is multiplied by the ratio of that and rounded, half to even.  One that would be 2^30
 * or beyond becomes 0.
 *
 * channels: for each code, which of the `scales` is its own.
 * carried: how many codes that were.
 * MF_BAD_ARGUMENT: a channel that is none of the scales. */
MF_EXPORT mf_status mf_carry_codes(const uint8_t *changed, const float *ratios, int32_t scales,
                                   const int32_t *channels, const uint8_t *mask, int32_t n,
                                   int32_t *codes, int32_t *carried);

#endif
