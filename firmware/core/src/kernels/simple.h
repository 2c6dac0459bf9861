/* Loops that go value by value, or window by window.  The compiler makes vectors of them.
 * Included by each path. */

static void hold(const mf_hold *h, const float *from, float *to, size_t n) {
    const mf_hold own = *h; /* a copy: `to` cannot change it */
    if (own.inverse == 0.0f) {
        for (size_t i = 0; i < n; i++) {
            float v = from[i];
            v = own.low > v ? own.low : v;
            v = own.high < v ? own.high : v;
            to[i] = v + 0.0f;
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        float v = from[i];
        v = own.low > v ? own.low : v;
        v = own.high < v ? own.high : v;
        v = ((v * own.inverse + 12582912.0f) - 12582912.0f) * own.grid;
        to[i] = v + 0.0f;
    }
}

/* The gradient is 0 where the value was held, or lies on the border. */
static void gate(const mf_hold *h, const float *values, float *gradient, size_t n) {
    const float low = h->low, high = h->high;
    for (size_t i = 0; i < n; i++) {
        const bool inside = (values[i] > low) & (values[i] < high);
        gradient[i] = inside ? gradient[i] : 0.0f;
    }
}

static void add(const float *a, const float *b, float *to, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] = a[i] + b[i] + 0.0f;
}

static void multiply(const float *a, const float *b, float *to, size_t n, bool adds) {
    if (adds)
        for (size_t i = 0; i < n; i++) to[i] = mf_fma(a[i], b[i], to[i]) + 0.0f;
    else
        for (size_t i = 0; i < n; i++) to[i] = a[i] * b[i] + 0.0f;
}

static void scale(float factor, float *values, size_t n) {
    for (size_t i = 0; i < n; i++) values[i] = factor * values[i] + 0.0f;
}

/* The taps of a window that lie on the sample, along one axis: [*first, *last). */
static inline void window_taps(int32_t start, int32_t taps, int32_t size, int32_t *first,
                               int32_t *last) {
    *first = start < 0 ? -start : 0;
    *last = start + taps > size ? size - start : taps;
}

static void max_of_window(const mf_pool *pool, const float *x, int32_t top, int32_t left,
                          float *best) {
    int32_t i0, i1, j0, j1;
    window_taps(top, pool->kernel_height, pool->in_height, &i0, &i1);
    window_taps(left, pool->kernel_width, pool->in_width, &j0, &j1);
    const int32_t channels = pool->channels;
    bool begun = false;
    for (int32_t i = i0; i < i1; i++) {
        for (int32_t j = j0; j < j1; j++) {
            const float *seen = x + ((ptrdiff_t)(top + i) * pool->in_width + left + j) * channels;
            if (begun)
                for (int32_t c = 0; c < channels; c++) best[c] = seen[c] > best[c] ? seen[c] : best[c];
            else
                for (int32_t c = 0; c < channels; c++) best[c] = seen[c];
            begun = true;
        }
    }
}

static void max_pool(const mf_pool *pool, int32_t samples, const float *x, float *y) {
    const ptrdiff_t in = (ptrdiff_t)pool->in_height * pool->in_width * pool->channels;
    for (int32_t s = 0; s < samples; s++, x += in) {
        for (int32_t i = 0; i < pool->out_height; i++) {
            for (int32_t j = 0; j < pool->out_width; j++, y += pool->channels)
                max_of_window(pool, x, i * pool->stride_height - pool->pad_top,
                              j * pool->stride_width - pool->pad_left, y);
        }
    }
}

/* Give each channel's gradient to the first value that equals the window's best. */
static void give_to_best(const mf_pool *pool, const float *x, const float *best,
                         const float *by_y, float *by_x, int32_t top, int32_t left) {
    enum { CHUNK = 16 };
    int32_t i0, i1, j0, j1;
    window_taps(top, pool->kernel_height, pool->in_height, &i0, &i1);
    window_taps(left, pool->kernel_width, pool->in_width, &j0, &j1);
    for (int32_t begin = 0; begin < pool->channels; begin += CHUNK) {
        const int32_t rest = pool->channels - begin;
        const int32_t n = rest < CHUNK ? rest : CHUNK;
        float waiting[CHUNK];
        for (int32_t c = 0; c < n; c++) waiting[c] = by_y[begin + c];
        for (int32_t i = i0; i < i1; i++) {
            for (int32_t j = j0; j < j1; j++) {
                const ptrdiff_t at =
                    ((ptrdiff_t)(top + i) * pool->in_width + left + j) * pool->channels + begin;
                for (int32_t c = 0; c < n; c++) {
                    const bool found = x[at + c] == best[begin + c];
                    by_x[at + c] += found ? waiting[c] : 0.0f;
                    waiting[c] = found ? 0.0f : waiting[c];
                }
            }
        }
    }
}

static void max_pool_back(const mf_pool *pool, int32_t samples, const float *x, const float *y,
                          const float *by_y, float *by_x) {
    const ptrdiff_t in = (ptrdiff_t)pool->in_height * pool->in_width * pool->channels;
    for (int32_t s = 0; s < samples; s++, x += in, by_x += in) {
        for (int32_t i = 0; i < pool->out_height; i++) {
            for (int32_t j = 0; j < pool->out_width; j++) {
                give_to_best(pool, x, y, by_y, by_x, i * pool->stride_height - pool->pad_top,
                             j * pool->stride_width - pool->pad_left);
                y += pool->channels;
                by_y += pool->channels;
            }
        }
    }
}
