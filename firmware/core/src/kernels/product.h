/* The product of kernels.h in blocks of MF_ROWS rows × up to MF_VECTORS vectors of columns,
 * whose sums stay in registers.  Included by each path. */

#define MF_SPAN (MF_VECTORS * MF_WIDTH)

/* A hold in vectors. */
typedef struct {
    mf_vector low, high, grid, inverse;
    bool rounds;
} vector_hold;

MF_INLINE vector_hold vectors_of(const mf_hold *hold) {
    return (vector_hold){mf_spread(hold->low), mf_spread(hold->high), mf_spread(hold->grid),
                         mf_spread(hold->inverse), hold->inverse != 0.0f};
}

MF_INLINE mf_vector held(mf_vector v, const vector_hold *hold) {
    v = mf_at_most(mf_at_least(v, hold->low), hold->high);
    if (hold->rounds) {
        const mf_vector magic = mf_spread(12582912.0f); /* 1.5 · 2^23: its ulp is 1 */
        v = mf_multiply(v, hold->inverse);
        v = mf_multiply(mf_subtract(mf_add(v, magic), magic), hold->grid);
    }
    return mf_add(v, mf_spread(0.0f));
}

/* What a column block has in common: `vectors` of them, `columns` floats. */
typedef struct {
    const mf_product *p;
    const float *b;
    const float *start;
    ptrdiff_t c; /* offset of its first column */
    int32_t columns;
} block_columns;

static inline int32_t lanes_of(int32_t columns, int vector) {
    const int32_t left = columns - vector * MF_WIDTH;
    return left < MF_WIDTH ? left : MF_WIDTH;
}

/* What the sums of one row begin with. */
MF_INLINE void begin_row(const int vectors, const block_columns *at, const float *c,
                         mf_vector sum[MF_VECTORS]) {
    const ptrdiff_t step = MF_WIDTH == 1 ? 1 : at->p->c_column;
    MF_UNROLL for (int v = 0; v < vectors; v++) {
        if (at->p->adds) {
            sum[v] = gathered(c + at->c + v * MF_WIDTH * step, step, lanes_of(at->columns, v));
        } else if (at->start != NULL) {
            sum[v] = mf_load(at->start + v * MF_WIDTH);
        } else {
            sum[v] = mf_spread(0.0f);
        }
    }
}

/* One float has no vector to hold it with: hold_rows does, for less code in each block. */
MF_INLINE void store_row(const int vectors, const block_columns *at, const vector_hold *hold,
                         float *c, const mf_vector sum[MF_VECTORS]) {
    const ptrdiff_t step = at->p->c_column;
    float *to = c + at->c;
    MF_UNROLL for (int v = 0; v < vectors; v++) {
        if (MF_WIDTH == 1) {
            mf_store(to + v, mf_add(sum[v], mf_spread(0.0f)));
        } else if (v < vectors - 1 && step == 1) {
            mf_store(to + v * MF_WIDTH, held(sum[v], hold));
        } else {
            scattered(held(sum[v], hold), to + v * MF_WIDTH * step, step, lanes_of(at->columns, v));
        }
    }
}

static void hold_rows(const mf_product *p) {
    const mf_loops *over = &p->rows;
    for (int32_t i = 0; i < over->count[0]; i++) {
        for (int32_t j = 0; j < over->count[1]; j++) {
            float *row = p->c + i * over->second[0] + j * over->second[1];
            for (int32_t k = 0; k < over->count[2]; k++, row += over->second[2]) {
                hold(&p->hold, row, row, (size_t)p->columns);
            }
        }
    }
}

/* Sums of `rows` × `vectors`, both constants where this is used.  Rows from `used` on repeat
 * the last one, and are not stored. */
MF_INLINE void block(const int rows, const int vectors, const block_columns *at,
                     const float *const a[], float *const c[], int used) {
    const mf_loops *k = &at->p->depth;
    const ptrdiff_t a_step = k->first[2], b_step = k->second[2];
    const ptrdiff_t b_vector = at->p->b_column * MF_WIDTH;
    mf_vector sum[MF_ROWS][MF_VECTORS];
    const float *row[MF_ROWS];
    MF_UNROLL for (int r = 0; r < rows; r++) {
        row[r] = a[r];
        begin_row(vectors, at, c[r], sum[r]);
    }
    for (int32_t i = 0; i < k->count[0]; i++) {
        for (int32_t j = 0; j < k->count[1]; j++) {
            ptrdiff_t from = i * k->first[0] + j * k->first[1];
            const float *b = at->b + i * k->second[0] + j * k->second[1];
            for (int32_t n = k->count[2]; n > 0; n--) {
                mf_vector factor[MF_VECTORS];
                MF_UNROLL for (int v = 0; v < vectors; v++) {
                    factor[v] = mf_load(b + v * b_vector);
                }
                MF_UNROLL for (int r = 0; r < rows; r++) {
                    const mf_vector x = mf_spread(row[r][from]);
                    MF_UNROLL for (int v = 0; v < vectors; v++) {
                        sum[r][v] = mf_multiply_add(x, factor[v], sum[r][v]);
                    }
                }
                from += a_step;
                b += b_step;
            }
        }
    }
    const vector_hold hold = vectors_of(&at->p->hold);
    MF_UNROLL for (int r = 0; r < rows; r++) {
        if (r < used) {
            store_row(vectors, at, &hold, c[r], sum[r]);
        }
    }
}

typedef void block_function(const block_columns *at, const float *const a[], float *const c[],
                            int used);

#define BLOCK(ROWS, VECTORS)                                                                       \
    static void block_##ROWS##_##VECTORS(const block_columns *at, const float *const a[],          \
                                         float *const c[], int used) {                             \
        block(ROWS, VECTORS, at, a, c, used);                                                      \
    }
MF_BLOCKS(BLOCK)
#undef BLOCK

/* The block of so many vectors that suits `left` rows: the smallest that takes them all, else
 * the largest; and how many rows it takes.  MF_BLOCKS lists the smaller first. */
static block_function *block_for(int vectors, int32_t left, int *rows) {
    block_function *found = block_1_1;
    *rows = 0;
#define BLOCK(ROWS, VECTORS)                                                                       \
    if (vectors == (VECTORS) && *rows < left) {                                                    \
        *rows = (ROWS);                                                                            \
        found = block_##ROWS##_##VECTORS;                                                          \
    }
    MF_BLOCKS(BLOCK)
#undef BLOCK
    return found;
}

/* All rows of one block of columns. */
static void sweep(const block_columns *at, int vectors) {
    const mf_loops *over = &at->p->rows;
    int rows;
    block_function *run =
        block_for(vectors, over->count[0] * over->count[1] * over->count[2], &rows);
    const float *a[MF_ROWS];
    float *c[MF_ROWS];
    int filled = 0;
    for (int32_t i = 0; i < over->count[0]; i++) {
        for (int32_t j = 0; j < over->count[1]; j++) {
            const float *from = at->p->a + i * over->first[0] + j * over->first[1];
            float *to = at->p->c + i * over->second[0] + j * over->second[1];
            for (int32_t k = 0; k < over->count[2]; k++) {
                a[filled] = from;
                c[filled] = to;
                from += over->first[2];
                to += over->second[2];
                if (++filled == rows) {
                    run(at, a, c, rows);
                    filled = 0;
                }
            }
        }
    }
    if (filled == 0) {
        return;
    }
    run = block_for(vectors, filled, &rows);
    for (int r = filled; r < rows; r++) {
        a[r] = a[filled - 1];
        c[r] = c[filled - 1];
    }
    run(at, a, c, filled);
}

/* The same loops with as much as possible in the innermost. */
static mf_loops joined(mf_loops loops) {
    for (int turn = 0; turn < 2; turn++) {
        const int32_t inner = loops.count[2];
        if (inner != 1 && loops.count[1] != 1 &&
            (loops.first[1] != inner * loops.first[2] ||
             loops.second[1] != inner * loops.second[2])) {
            return loops;
        }
        if (inner == 1) {
            loops.first[2] = loops.first[1];
            loops.second[2] = loops.second[1];
        }
        loops.count[2] = inner * loops.count[1];
        loops.count[1] = loops.count[0];
        loops.first[1] = loops.first[0];
        loops.second[1] = loops.second[0];
        loops.count[0] = 1;
    }
    return loops;
}

static void product(const mf_product *given) {
    mf_product own = *given;
    own.rows = joined(given->rows);
    own.depth = joined(given->depth);
    const mf_product *p = &own;
    const int32_t vectors = (p->columns + MF_WIDTH - 1) / MF_WIDTH;
    int32_t done = 0;
    while (done < vectors) {
        /* Blocks of nearly the same width: 2 + 2 vectors rather than 3 + 1. */
        const int32_t left = vectors - done;
        const int32_t blocks = (left + MF_VECTORS - 1) / MF_VECTORS;
        int32_t wide = (left + blocks - 1) / blocks;
        if (MF_WIDTH == 1) {
            wide = left < MF_VECTORS ? 1 : MF_VECTORS; /* few kinds of blocks: less code */
        }
        const int32_t column = done * MF_WIDTH;
        const int32_t rest = p->columns - column;
        const block_columns at = {p, p->b + column * p->b_column,
                                  p->start == NULL ? NULL : p->start + column, column * p->c_column,
                                  rest < wide * MF_WIDTH ? rest : wide * MF_WIDTH};
        sweep(&at, (int)wide);
        done += wide;
    }
    if (MF_WIDTH == 1 &&
        (p->hold.inverse != 0.0f || p->hold.low > -INFINITY || p->hold.high < INFINITY)) {
        hold_rows(p);
    }
}
