/* One batch's update of the parameters; device_sim/twin/sgd.py has the formulas.  Included by
 * each path. */

/* Add the squares of the unpruned gradients to 16 interleaved sums. */
static void squares(const float *g, const uint8_t *mask, size_t n, float lanes[LANES]) {
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            const float kept = mask[i + k] ? g[i + k] : 0.0f;
            lanes[k] = mf_fma(kept, kept, lanes[k]);
        }
    }
    for (size_t k = 0; i + k < n; k++) {
        const float kept = mask[i + k] ? g[i + k] : 0.0f;
        lanes[k] = mf_fma(kept, kept, lanes[k]);
    }
}

MF_VERSIONS void begin_with(const bool proximal, const mf_update *u, const float *w,
                            const float *received, float *g, size_t n) {
    const mf_update own = *u;
    const bool moves = own.momentum != 0.0f;
    for (size_t i = 0; i < n; i++) {
        float start = moves ? own.momentum * g[i] : 0.0f;
        start = mf_fma(own.weight_decay, w[i], start);
        if (proximal) {
            start = mf_fma(own.proximal, w[i] - received[i], start);
        }
        g[i] = start + 0.0f;
    }
}

static void begin(const mf_update *u, const float *w, const float *received, float *g, size_t n) {
#if MF_SMALL
    begin_with(u->proximal != 0.0f, u, w, received, g, n);
#else
    if (u->proximal != 0.0f) {
        begin_with(true, u, w, received, g, n);
    } else if (u->momentum != 0.0f || u->weight_decay != 0.0f) {
        begin_with(false, u, w, NULL, g, n);
    } else {
        memset(g, 0, n * sizeof(float));
    }
#endif
}

static void join(float factor, const float *from, float *g, size_t n) {
    for (size_t i = 0; i < n; i++) {
        g[i] = mf_fma(factor, from[i], g[i]) + 0.0f;
    }
}

static void finish(float learning_rate, const uint8_t *mask, float *g, float *w, size_t n) {
    if (mask == NULL) {
        for (size_t i = 0; i < n; i++) {
            w[i] = mf_fma(-learning_rate, g[i], w[i]) + 0.0f;
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const float step = mask[i] ? g[i] : 0.0f;
        g[i] = step;
        w[i] = mf_fma(-learning_rate, step, w[i]) + 0.0f;
    }
}
