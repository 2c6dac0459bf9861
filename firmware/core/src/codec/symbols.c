#include "codec/symbols.h"

enum { RUNS_FROM = 4 }; /* symbols for each run, from which on runs are counted apart */

int mf_bounds_fit(const int32_t *bounds, int32_t runs) {
    if (runs < 1 || bounds[0] != 0) {
        return 0;
    }
    for (int32_t t = 0; t < runs; t++) {
        if (bounds[t] > bounds[t + 1]) {
            return 0;
        }
    }
    return 1;
}

/* How many symbols of [from, to) are not 0; none is known of when reading. */
static uint32_t count(const mf_coder *coder, const mf_symbols *symbols, int32_t from, int32_t to) {
    uint32_t found = 0;
    if (coder->direction == MF_READING) {
        return 0;
    }
    while ((from = symbols->find(symbols->of, from, to)) < to) {
        found++;
        from++;
    }
    return found;
}

static void code_run(mf_coder *coder, const mf_symbols *symbols, int32_t at, int32_t stop,
                     uint32_t left) {
    const int reading = coder->direction == MF_READING;
    uint32_t level = 1;
    for (; left > 0 && !coder->bad; left--) {
        const uint32_t most = (uint32_t)(stop - at) - left;
        const uint32_t gap = reading ? 0 : (uint32_t)(symbols->find(symbols->of, at, stop) - at);
        at += (int32_t)mf_code_number(coder, MF_GAPS, gap, most, most / (left + 1));
        const int32_t symbol = reading ? 1 : symbols->get(symbols->of, at);
        const uint32_t negative = mf_code_plain(coder, symbol < 0, 1);
        const uint32_t above = (uint32_t)(symbol < 0 ? -symbol : symbol) - 1;
        level = 1 + mf_code_number(coder, MF_LEVELS, above, symbols->most - 1, level - 1);
        if (reading) {
            const int32_t found = negative ? -(int32_t)level : (int32_t)level;
            if (!coder->bad && !symbols->put(symbols->of, at, found)) {
                coder->bad = 1;
            }
        }
        at++;
    }
}

/* a · b / c of 32 bits, rounded down, for c < 2^31: without the library's division of 64. */
static uint32_t share(uint32_t a, uint32_t b, uint32_t c) {
    uint32_t quotient = a / c * b, rest = 0, part = 0;
    a %= c;
    for (int bit = 31; bit >= 0; bit--) {
        rest *= 2;
        part *= 2;
        if (rest >= c) {
            rest -= c;
            part++;
        }
        rest += b >> bit & 1u ? a : 0u;
        if (rest >= c) {
            rest -= c;
            part++;
        }
    }
    return quotient + part;
}

void mf_code_symbols(mf_coder *coder, const mf_symbols *symbols, const int32_t *bounds,
                     int32_t runs) {
    const int32_t n = bounds[runs];
    uint32_t filled = 0; /* runs that are not empty */
    for (int32_t t = 0; t < runs; t++) {
        filled += bounds[t] < bounds[t + 1];
    }
    uint32_t usual = (uint32_t)n >> 8;
    if (usual == 0) {
        usual = 1;
    }
    uint32_t left = count(coder, symbols, 0, n);
    left = mf_code_number(coder, MF_COUNTS, left, (uint32_t)n, usual);
    if (left < RUNS_FROM * filled) {
        code_run(coder, symbols, 0, n, left);
        return;
    }
    for (int32_t t = 0; t < runs && !coder->bad; t++) {
        const int32_t start = bounds[t], stop = bounds[t + 1];
        const uint32_t size = (uint32_t)(stop - start);
        if (start == stop) {
            continue;
        }
        const uint32_t most = left < size ? left : size;
        uint32_t own = most;
        if (stop < n) {
            usual = share(left, size, (uint32_t)(n - start));
            own = count(coder, symbols, start, stop);
            own = mf_code_number(coder, MF_COUNTS, own, most, usual);
        } else if (left > size) {
            coder->bad = 1;
        }
        code_run(coder, symbols, start, stop, own);
        left -= own;
    }
}
