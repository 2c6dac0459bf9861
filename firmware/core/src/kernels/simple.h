/* Loops that go value by value: the compiler makes vectors of them.  Included by each path. */

MF_VERSIONS void hold_with(const bool rounds, const mf_hold *h, const float *from, float *to,
                           size_t n) {
    const mf_hold own = *h; /* a copy: `to` cannot change it */
    for (size_t i = 0; i < n; i++) {
        float v = from[i];
        v = own.low > v ? own.low : v;
        v = own.high < v ? own.high : v;
        if (rounds) {
            v = ((v * own.inverse + 12582912.0f) - 12582912.0f) * own.grid;
        }
        to[i] = v + 0.0f;
    }
}

static void hold(const mf_hold *h, const float *from, float *to, size_t n) {
#if MF_SMALL
    hold_with(h->inverse != 0.0f, h, from, to, n);
#else
    if (h->inverse == 0.0f) {
        hold_with(false, h, from, to, n);
    } else {
        hold_with(true, h, from, to, n);
    }
#endif
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
    for (size_t i = 0; i < n; i++) {
        to[i] = a[i] + b[i] + 0.0f;
    }
}

static void multiply(const float *a, const float *b, float *to, size_t n, bool adds) {
    if (adds) {
        for (size_t i = 0; i < n; i++) {
            to[i] = mf_fma(a[i], b[i], to[i]) + 0.0f;
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            to[i] = a[i] * b[i] + 0.0f;
        }
    }
}

static void scale(float factor, float *values, size_t n) {
    for (size_t i = 0; i < n; i++) {
        values[i] = factor * values[i] + 0.0f;
    }
}
