/* Symbols: integers of which most are 0. */
#ifndef MICROFED_SYMBOLS_H
#define MICROFED_SYMBOLS_H

#include <stdint.h>

#include "codec/coder.h"

/* Where symbols come from (writing) or go to (reading). */
typedef struct {
    int32_t (*find)(const void *of, int32_t from, int32_t to); /* the first not 0, or `to` */
    int32_t (*get)(const void *of, int32_t at);
    int (*put)(void *of, int32_t at, int32_t symbol); /* in ascending order; 0: it cannot be */
    void *of;
    uint32_t most; /* magnitude */
} mf_symbols;

/* Whether bounds ascend from 0. */
int mf_bounds_fit(const int32_t *bounds, int32_t runs);

/* Write or read all symbols of a message; coder->bad says whether it went wrong. */
void mf_code_symbols(mf_coder *coder, const mf_symbols *symbols, const int32_t *bounds,
                     int32_t runs);

#endif
