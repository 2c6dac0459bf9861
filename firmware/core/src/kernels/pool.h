/* Max pools, in vectors of channels.  Included by each path. */

/* What a window sees of the sample: `rows` × `columns` values of each channel from `first`
 * on, `row` floats from one row to the next. */
typedef struct {
    ptrdiff_t first, row;
    int32_t rows, columns;
} window_view;

static window_view window_at(const mf_pool *pool, int32_t top, int32_t left) {
    const int32_t above = top < 0 ? -top : 0, before = left < 0 ? -left : 0;
    const int32_t below = pool->in_height - top, behind = pool->in_width - left;
    const ptrdiff_t row = (ptrdiff_t)pool->in_width * pool->channels;
    return (window_view){
        .first = (top + above) * row + (ptrdiff_t)(left + before) * pool->channels,
        .row = row,
        .rows = (below < pool->kernel_height ? below : pool->kernel_height) - above,
        .columns = (behind < pool->kernel_width ? behind : pool->kernel_width) - before};
}

static void most_of_window(const window_view *seen, int32_t channels, const float *x, float *y) {
    for (int32_t c = 0; c < channels; c += MF_WIDTH) {
        const float *from = x + seen->first + c;
        mf_vector best = mf_load(from);
        for (int32_t i = 0; i < seen->rows; i++) {
            for (int32_t j = 0; j < seen->columns; j++) {
                best = mf_at_least(best, mf_load(from + i * seen->row + (ptrdiff_t)j * channels));
            }
        }
        const int32_t left = channels - c;
        scattered(best, y + c, 1, left < MF_WIDTH ? left : MF_WIDTH);
    }
}

/* Each channel's gradient goes to the first value that equals the best. */
static void give_to_best(const window_view *seen, int32_t channels, const float *x, const float *y,
                         const float *by_y, float *by_x) {
    for (int32_t c = 0; c < channels; c += MF_WIDTH) {
        const int32_t left = channels - c, n = left < MF_WIDTH ? left : MF_WIDTH;
        const mf_vector best = mf_load(y + c);
        mf_vector waiting = mf_load(by_y + c);
        for (int32_t i = 0; i < seen->rows; i++) {
            for (int32_t j = 0; j < seen->columns; j++) {
                const ptrdiff_t at = seen->first + i * seen->row + (ptrdiff_t)j * channels + c;
                const mf_vector given = mf_where_equal(mf_load(x + at), best, waiting);
                scattered(mf_add(mf_load(by_x + at), given), by_x + at, 1, n);
                waiting = mf_subtract(waiting, given);
            }
        }
    }
}

static void max_pool(const mf_pool *pool, int32_t samples, const float *x, float *y) {
    const ptrdiff_t in = (ptrdiff_t)pool->in_height * pool->in_width * pool->channels;
    for (int32_t s = 0; s < samples; s++, x += in) {
        for (int32_t i = 0; i < pool->out_height; i++) {
            for (int32_t j = 0; j < pool->out_width; j++, y += pool->channels) {
                const window_view seen = window_at(pool, i * pool->stride_height - pool->pad_top,
                                                   j * pool->stride_width - pool->pad_left);
                most_of_window(&seen, pool->channels, x, y);
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
                const window_view seen = window_at(pool, i * pool->stride_height - pool->pad_top,
                                                   j * pool->stride_width - pool->pad_left);
                give_to_best(&seen, pool->channels, x, y, by_y, by_x);
                y += pool->channels;
                by_y += pool->channels;
            }
        }
    }
}
