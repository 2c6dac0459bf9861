/* Products of which most of A is zero, as the gradient by what a ReLU or a max pool has let through
 * is: each number of A that is not 0 adds its multiple of a row of B to a row of C.  Every sum has
 * the order that it has in `product`.  Included by each path of wide vectors. */

/* Which of up to 64 numbers are not 0: bit i for number i. */
static inline uint64_t kept_of(const float *a, int32_t n) {
    uint64_t kept = 0;
    for (int32_t i = 0; i < n; i += MF_WIDTH) {
        kept |= (uint64_t)mf_nonzero(mf_load(a + i)) << i;
    }
    return kept & UINT64_MAX >> (64 - n);
}

static int64_t kept(const float *values, size_t n) {
    int64_t count = 0;
    for (size_t at = 0; at < n; at += 64) {
        count += __builtin_popcountll(kept_of(values + at, n - at < 64 ? (int32_t)(n - at) : 64));
    }
    return count;
}

/* Some of a product's rows, and `vectors` of its columns, of which there are `columns`. */
typedef struct {
    const float *a, *b;
    float *c;
    int32_t rows, columns;
} part_of_product;

/* Sums wait in `room`, row after row in whole vectors; those of B's row are in registers. */
MF_INLINE void sums_of_few(const int vectors, const mf_product *p, const part_of_product *part,
                           float *room) {
    const mf_loops *k = &p->depth;
    const size_t row_bytes = (size_t)part->columns * sizeof(float);
    const ptrdiff_t row = vectors * MF_WIDTH, c_row = p->rows.second[2];
    for (int32_t r = 0; r < part->rows; r++) {
        memcpy(room + r * row, part->c + r * c_row, row_bytes);
    }
    for (int32_t i = 0; i < k->count[0]; i++) {
        for (int32_t j = 0; j < k->count[1]; j++) {
            const float *a = part->a + i * k->first[0] + j * k->first[1];
            const float *b = part->b + i * k->second[0] + j * k->second[1];
            for (int32_t n = k->count[2]; n > 0; n--, a += k->first[2], b += k->second[2]) {
                mf_vector factor[MF_KEPT];
                MF_UNROLL for (int v = 0; v < vectors; v++) {
                    factor[v] = mf_load(b + v * MF_WIDTH);
                }
                for (uint64_t left = kept_of(a, part->rows); left != 0; left &= left - 1) {
                    const int r = __builtin_ctzll(left);
                    const mf_vector x = mf_spread(a[r]);
                    float *sum = room + r * row;
                    MF_UNROLL for (int v = 0; v < vectors; v++) {
                        float *at = sum + v * MF_WIDTH;
                        mf_store(at, mf_multiply_add(x, factor[v], mf_load(at)));
                    }
                }
            }
        }
    }
    for (int32_t r = 0; r < part->rows; r++) {
        hold(&p->hold, room + r * row, part->c + r * c_row, (size_t)part->columns);
    }
}

#define FEW(VECTORS)                                                                               \
    static void few_##VECTORS(const mf_product *p, const part_of_product *part, float *room) {     \
        sums_of_few(VECTORS, p, part, room);                                                       \
    }
MF_COUNTS(FEW)
#undef FEW

static void (*const few_by[])(const mf_product *, const part_of_product *, float *) = {
#define FEW(VECTORS) few_##VECTORS,
    MF_COUNTS(FEW)
#undef FEW
};

static void product_of_few(const mf_product *p, float *room) {
    const int32_t vectors = (p->columns + MF_WIDTH - 1) / MF_WIDTH, rows = p->rows.count[2];
    const int32_t spans = (vectors + MF_KEPT - 1) / MF_KEPT;
    const int32_t wide = (vectors + spans - 1) / spans;
    const int32_t blocks = (rows + MF_FEW_ROWS - 1) / MF_FEW_ROWS;
    const int32_t high = (rows + blocks - 1) / blocks;
    for (int32_t r = 0; r < rows; r += high) {
        for (int32_t v = 0; v < vectors; v += wide) {
            const int32_t column = v * MF_WIDTH, left = p->columns - column;
            const int32_t used = vectors - v < wide ? vectors - v : wide;
            const part_of_product part = {
                p->a + r, p->b + column, p->c + r * p->rows.second[2] + column,
                rows - r < high ? rows - r : high, left < used * MF_WIDTH ? left : used * MF_WIDTH};
            few_by[used - 1](p, &part, room);
        }
    }
}
