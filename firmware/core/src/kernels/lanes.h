/* Vectors that lie in memory in part, or apart.  Included by each path. */

/* Rare, so kept out of the blocks. */
MF_RARE mf_vector gathered_slowly(const float *from, ptrdiff_t step, int32_t n) {
    float lanes[MF_WIDTH] = {0};
    for (int32_t i = 0; i < n; i++) {
        lanes[i] = from[i * step];
    }
    return mf_load(lanes);
}

MF_RARE void scattered_slowly(const float lanes[MF_WIDTH], float *to, ptrdiff_t step, int32_t n) {
    for (int32_t i = 0; i < n; i++) {
        to[i * step] = lanes[i];
    }
}

static inline mf_vector gathered(const float *from, ptrdiff_t step, int32_t n) {
    return MF_WIDTH == 1 || (step == 1 && n == MF_WIDTH) ? mf_load(from)
                                                         : gathered_slowly(from, step, n);
}

static inline void scattered(mf_vector v, float *to, ptrdiff_t step, int32_t n) {
    if (MF_WIDTH == 1 || (step == 1 && n == MF_WIDTH)) {
        mf_store(to, v);
    } else if (step == 1) {
        mf_store_part(to, v, n);
    } else {
        float lanes[MF_WIDTH];
        mf_store(lanes, v);
        scattered_slowly(lanes, to, step, n);
    }
}
