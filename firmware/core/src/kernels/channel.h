/* by_channel of kernels.h: depthwise convolutions and average pools.  Included by each path. */

#define MF_CHANNEL_ROWS 4

static void channel_block(const mf_product *p, int32_t column, const float *const a[],
                          float *const c[], int used) {
    const int32_t left = p->columns - column;
    const int32_t n = left < MF_WIDTH ? left : MF_WIDTH;
    mf_vector sum[MF_CHANNEL_ROWS];
    MF_UNROLL for (int r = 0; r < MF_CHANNEL_ROWS; r++) {
        if (p->adds) {
            sum[r] = gathered(c[r] + column * p->c_column, p->c_column, n);
        } else if (p->start != NULL) {
            sum[r] = gathered(p->start + column * p->start_step, p->start_step, n);
        } else {
            sum[r] = mf_spread(0.0f);
        }
    }
    const mf_loops *k = &p->depth;
    for (int32_t i = 0; i < k->count[0]; i++) {
        for (int32_t j = 0; j < k->count[1]; j++) {
            ptrdiff_t from = i * k->first[0] + j * k->first[1] + column * p->a_column;
            const float *b = p->b + i * k->second[0] + j * k->second[1] + column * p->b_column;
            for (int32_t m = k->count[2]; m > 0; m--) {
                const mf_vector factor = p->b_column == 1   ? mf_load(b)
                                         : p->b_column == 0 ? mf_spread(*b)
                                                            : gathered(b, p->b_column, n);
                MF_UNROLL for (int r = 0; r < MF_CHANNEL_ROWS; r++) {
                    const float *x = a[r] + from;
                    const mf_vector value =
                        p->a_column == 1 ? mf_load(x) : gathered(x, p->a_column, n);
                    sum[r] = mf_multiply_add(value, factor, sum[r]);
                }
                from += k->first[2];
                b += k->second[2];
            }
        }
    }
    const vector_hold hold = vectors_of(&p->hold);
    for (int r = 0; r < used; r++) {
        scattered(held(sum[r], &hold), c[r] + column * p->c_column, p->c_column, n);
    }
}

static void channel_blocks(const mf_product *p, const float *a[], float *c[], int filled) {
    for (int r = filled; r < MF_CHANNEL_ROWS; r++) {
        a[r] = a[filled - 1];
        c[r] = c[filled - 1];
    }
    for (int32_t column = 0; column < p->columns; column += MF_WIDTH) {
        channel_block(p, column, a, c, filled);
    }
}

static void by_channel(const mf_product *p) {
    const float *a[MF_CHANNEL_ROWS];
    float *c[MF_CHANNEL_ROWS];
    int filled = 0;
    for (int32_t i = 0; i < p->rows.count[0]; i++) {
        for (int32_t j = 0; j < p->rows.count[1]; j++) {
            const float *from = p->a + i * p->rows.first[0] + j * p->rows.first[1];
            float *to = p->c + i * p->rows.second[0] + j * p->rows.second[1];
            for (int32_t k = 0; k < p->rows.count[2]; k++) {
                a[filled] = from;
                c[filled] = to;
                from += p->rows.first[2];
                to += p->rows.second[2];
                if (++filled == MF_CHANNEL_ROWS) {
                    channel_blocks(p, a, c, filled);
                    filled = 0;
                }
            }
        }
    }
    if (filled > 0) {
        channel_blocks(p, a, c, filled);
    }
}
