/* Sums over lists of weights, where vectors lie over the samples: a weight that is not in the list
 * costs nothing.  Included by each path whose vectors are wider than one float. */

#define MF_TO_12(EACH)                                                                             \
    EACH(1)                                                                                        \
    EACH(2) EACH(3) EACH(4) EACH(5) EACH(6) EACH(7) EACH(8) EACH(9) EACH(10) EACH(11) EACH(12)
#if MF_KEPT == 16
#define MF_COUNTS(EACH) MF_TO_12(EACH) EACH(13) EACH(14) EACH(15) EACH(16)
#else
#define MF_COUNTS(EACH) MF_TO_12(EACH)
#endif

static void turn(const float *from, ptrdiff_t step, int32_t samples, float *to, size_t n) {
    for (size_t at = 0; at < n; at += MF_WIDTH, from += MF_WIDTH) {
        mf_vector rows[MF_WIDTH];
        for (int s = 0; s < MF_WIDTH; s++) {
            rows[s] = s < samples ? mf_load(from + s * step) : mf_spread(0.0f);
        }
        mf_transpose(rows);
        for (size_t i = 0; i < MF_WIDTH && at + i < n; i++, to += MF_WIDTH) {
            mf_store(to, rows[i]);
        }
    }
}

static void turn_back(const float *from, float *to, ptrdiff_t step, int32_t samples, size_t n) {
    for (size_t at = 0; at < n; at += MF_WIDTH, to += MF_WIDTH) {
        mf_vector rows[MF_WIDTH];
        for (int i = 0; i < MF_WIDTH; i++, from += MF_WIDTH) {
            rows[i] = mf_load(from);
        }
        mf_transpose(rows);
        const size_t left = n - at;
        for (int s = 0; s < samples; s++) {
            scattered(rows[s], to + s * step, 1, left < MF_WIDTH ? (int32_t)left : MF_WIDTH);
        }
    }
}

/* The sums of so many positions, a constant where this is used, stay in registers. */
MF_INLINE void sums_of_lists(const int positions, const mf_listed *p) {
    const ptrdiff_t step = p->x_position, y_position = (ptrdiff_t)p->outputs * MF_WIDTH;
    const vector_hold hold = vectors_of(&p->hold);
    const uint64_t *places = p->places;
    uint64_t next = *places++; /* places are loaded early: every sum waits for them */
    const float *value = p->values;
    float *y = p->y;
    for (int32_t o = 0; o < p->outputs; o++, y += MF_WIDTH) {
        mf_vector sum[MF_KEPT];
        const mf_vector start = mf_spread(p->start == NULL ? 0.0f : p->start[o]);
        MF_UNROLL for (int i = 0; i < positions; i++) {
            sum[i] = p->adds ? mf_load(y + i * y_position) : start;
        }
        for (const float *end = p->values + p->ends[o]; value < end; value += 4) {
            uint64_t four = next;
            next = *places++;
            MF_UNROLL for (int k = 0; k < 4; k++, four >>= 16) {
                const float *x = p->x + (size_t)(uint16_t)four * MF_WIDTH;
                const mf_vector factor = mf_spread(value[k]);
                MF_UNROLL for (int i = 0; i < positions; i++) {
                    sum[i] = mf_multiply_add(factor, mf_load(x + i * step), sum[i]);
                }
            }
        }
        MF_UNROLL for (int i = 0; i < positions; i++) {
            mf_store(y + i * y_position, held(sum[i], &hold));
        }
    }
}

#define LISTED(POSITIONS)                                                                          \
    static void listed_##POSITIONS(const mf_listed *p) {                                           \
        sums_of_lists(POSITIONS, p);                                                               \
    }
MF_COUNTS(LISTED)
#undef LISTED

static void (*const listed_by[])(const mf_listed *) = {
#define LISTED(POSITIONS) listed_##POSITIONS,
    MF_COUNTS(LISTED)
#undef LISTED
};

static void listed(const mf_listed *p) {
    listed_by[p->positions - 1](p);
}
