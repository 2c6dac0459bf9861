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

MF_INLINE void update_with(const bool momentum, const bool proximal, const mf_update *u,
                           const float *g, const uint8_t *mask, const float *received,
                           float *velocity, float *w, size_t n) {
    const mf_update own = *u;
    for (size_t i = 0; i < n; i++) {
        float step = (mask[i] ? g[i] : 0.0f) * own.clip;
        step = mf_fma(own.weight_decay, w[i], step);
        if (proximal) {
            const float start = mask[i] ? received[i] : 0.0f;
            step = mf_fma(own.proximal, w[i] - start, step);
        }
        if (momentum) {
            velocity[i] = step = mf_fma(own.momentum, velocity[i], step) + 0.0f;
        }
        w[i] = mf_fma(-own.learning_rate, step, w[i]) + 0.0f;
    }
}

/* velocity NULL: no momentum. */
static void update(const mf_update *u, const float *g, const uint8_t *mask, const float *received,
                   float *velocity, float *w, size_t n) {
    if (velocity == NULL && u->proximal == 0.0f) {
        update_with(false, false, u, g, mask, received, velocity, w, n);
    } else if (velocity == NULL) {
        update_with(false, true, u, g, mask, received, velocity, w, n);
    } else if (u->proximal == 0.0f) {
        update_with(true, false, u, g, mask, received, velocity, w, n);
    } else {
        update_with(true, true, u, g, mask, received, velocity, w, n);
    }
}
