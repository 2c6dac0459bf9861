/* The products of kernels.h where code is to be small: one sum at a time, and the same loops for
 * both, since without vectors they differ in `a_column` alone.  Included by a path of width 1. */

static float sum_of(const mf_product *p, const float *a, const float *b, float sum) {
    const mf_loops *k = &p->depth;
    for (int32_t i = 0; i < k->count[0]; i++) {
        for (int32_t j = 0; j < k->count[1]; j++) {
            const float *x = a + i * k->first[0] + j * k->first[1];
            const float *factor = b + i * k->second[0] + j * k->second[1];
            for (int32_t n = k->count[2]; n > 0; n--) {
                sum = mf_fma(*x, *factor, sum);
                x += k->first[2];
                factor += k->second[2];
            }
        }
    }
    return sum;
}

static void row_of(const mf_product *p, const float *a, float *c) {
    const float *b = p->b, *start = p->start;
    for (int32_t n = p->columns; n > 0; n--) {
        float sum = 0.0f;
        if (p->adds) {
            sum = *c;
        } else if (start != NULL) {
            sum = *start;
            start += p->start_step;
        }
        sum = sum_of(p, a, b, sum);
        hold(&p->hold, &sum, c, 1);
        a += p->a_column;
        b += p->b_column;
        c += p->c_column;
    }
}

static void product(const mf_product *p) {
    const mf_loops *over = &p->rows;
    for (int32_t i = 0; i < over->count[0]; i++) {
        for (int32_t j = 0; j < over->count[1]; j++) {
            const float *a = p->a + i * over->first[0] + j * over->first[1];
            float *c = p->c + i * over->second[0] + j * over->second[1];
            for (int32_t n = over->count[2]; n > 0; n--) {
                row_of(p, a, c);
                a += over->first[2];
                c += over->second[2];
            }
        }
    }
}

static void by_channel(const mf_product *p) {
    product(p);
}
