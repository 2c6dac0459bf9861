/* The project's codecs: updates going up and model differences coming down, as few bytes.
 *
 * docs/protocol.md, section 7, gives the formats bit for bit; wire/codecs and
 * wire/coder.py are the same in Python.  Entropy coding is integers only.  Of floats there are
 * the two conversions between values and levels, one division and one product each, and the
 * rotation of peaks, whose sums have one order: every machine writes the same bytes.  Nothing here
 * allocates, and nothing is kept between calls; a call takes less than a kilobyte of stack.
 *
 * `bounds` cuts the values into `runs` tensors: run t is [bounds[t], bounds[t + 1]), and
 * bounds[0] is 0.  Both sides know it from the base file. */
#ifndef MICROFED_CODEC_H
#define MICROFED_CODEC_H

#include <stdint.h>

#include "microfed/export.h"
#include "microfed/status.h"

/* The smallest budget that every update can be written in: one of which nothing is sent. */
#define MF_LEAST_BUDGET 4

/* Write as many values of an update as fit into `budget` bytes of `data`, the largest first.
 *
 * size: the bytes that were written, never more than budget.
 * MF_BAD_ARGUMENT: a budget below MF_LEAST_BUDGET, bounds that do not ascend from 0, or a
 * value that is not finite or 2^20 and above. */
MF_EXPORT mf_status mf_encode_update(const float *delta, const int32_t *bounds, int32_t runs,
                                     int32_t budget, uint8_t *data, int32_t *size);

/* Read an update and add `factor` times its values to `values`.
 *
 * To decode, add it once to zeros.  A device adds it −1 times to what it had to send: what
 * is left is the residual that its next update begins with.
 * MF_BAD_DATA: bytes that mf_encode_update does not write; `values` are then of no use. */
MF_EXPORT mf_status mf_decode_update(const uint8_t *data, int32_t size, const int32_t *bounds,
                                     int32_t runs, float factor, float *values);

/* The smallest budget of mf_encode_peaks. */
#define MF_LEAST_PEAKS 3

/* Write an update of n values as the peaks of its random rotation, for fleets whose devices
 * differ much; it needs no residual.
 *
 * delta: is rotated in place, and of no use afterwards.
 * seed: of the rotation, 0 to 255; another for every update, and of no secret.
 * size: the bytes that were written, never more than budget, nor than a bit for each value.
 * MF_BAD_ARGUMENT: n or seed out of range, a budget below MF_LEAST_PEAKS, or a value that is
 * not finite or 2^20 and above. */
MF_EXPORT mf_status mf_encode_peaks(float *delta, int32_t n, uint32_t seed, int32_t budget,
                                    uint8_t *data, int32_t *size);

/* Read such an update over `values`.
 *
 * MF_BAD_DATA: a size that mf_encode_peaks does not write. */
MF_EXPORT mf_status mf_decode_peaks(const uint8_t *data, int32_t size, int32_t n, float *values);

/* Write the differences of codes, each within ±2^30.
 *
 * MF_NO_MEMORY: they need more than `capacity` bytes; size is then of no use. */
MF_EXPORT mf_status mf_encode_codes(const int32_t *differences, const int32_t *bounds, int32_t runs,
                                    int32_t capacity, uint8_t *data, int32_t *size);

/* Read what mf_encode_codes wrote and add it to `codes`.
 *
 * MF_BAD_DATA: bytes that mf_encode_codes does not write, or a code that leaves int32. */
MF_EXPORT mf_status mf_decode_codes(const uint8_t *data, int32_t size, const int32_t *bounds,
                                    int32_t runs, int32_t *codes);

/* Write the numbers of a base file: of each run int8 weights, or `wide` ones, any int32.
 *
 * The numbers are left as they are.
 * MF_NO_MEMORY: they need more than `capacity` bytes, or a weight is no int8. */
MF_EXPORT mf_status mf_encode_numbers(int32_t *numbers, const int32_t *bounds, const uint8_t *wide,
                                      int32_t runs, int32_t capacity, uint8_t *data, int32_t *size);

/* Read what mf_encode_numbers wrote over `numbers`.
 *
 * MF_BAD_DATA: bytes that mf_encode_numbers does not write. */
MF_EXPORT mf_status mf_decode_numbers(const uint8_t *data, int32_t size, const int32_t *bounds,
                                      const uint8_t *wide, int32_t runs, int32_t *numbers);

#endif
