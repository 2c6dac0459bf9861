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

MF_VERSIONS void most_of_window(const int32_t rows, const int32_t columns, const window_view *seen,
                                int32_t channels, const float *x, float *y) {
    for (int32_t c = 0; c < channels; c += MF_WIDTH) {
        const float *from = x + seen->first + c;
        mf_vector best = mf_load(from);
        for (int32_t i = 0; i < rows; i++) {
            for (int32_t j = 0; j < columns; j++) {
                best = mf_at_least(best, mf_load(from + i * seen->row + (ptrdiff_t)j * channels));
            }
        }
        const int32_t left = channels - c;
        scattered(best, y + c, 1, left < MF_WIDTH ? left : MF_WIDTH);
    }
}

/* Each channel's gradient goes to the first value that equals the best.  alone: nothing else is
 * given to these values, so that what was just stored need not be read: that would wait for it,
 * where the vectors overlap. */
MF_VERSIONS void give_to_best(const int32_t rows, const int32_t columns, const bool alone,
                              const window_view *seen, int32_t channels, const float *x,
                              const float *y, const float *by_y, float *by_x) {
    for (int32_t c = 0; c < channels; c += MF_WIDTH) {
        const int32_t left = channels - c, n = left < MF_WIDTH ? left : MF_WIDTH;
        const mf_vector best = mf_load(y + c);
        mf_vector waiting = mf_load(by_y + c);
        for (int32_t i = 0; i < rows; i++) {
            for (int32_t j = 0; j < columns; j++) {
                const ptrdiff_t at = seen->first + i * seen->row + (ptrdiff_t)j * channels + c;
                const mf_vector given = mf_where_equal(mf_load(x + at), best, waiting);
                const mf_vector before = alone ? mf_spread(0.0f) : mf_load(by_x + at);
                scattered(mf_add(before, given), by_x + at, 1, n);
                waiting = mf_subtract(waiting, given);
            }
        }
    }
}

/* All windows, each of so many rows and columns, or (0) of those that are on the sample. */
MF_VERSIONS void most_of_all(const int32_t rows, const int32_t columns, const mf_pool *pool,
                             int32_t samples, const float *x, float *y) {
    const ptrdiff_t in = (ptrdiff_t)pool->in_height * pool->in_width * pool->channels;
    for (int32_t s = 0; s < samples; s++, x += in) {
        for (int32_t i = 0; i < pool->out_height; i++) {
            for (int32_t j = 0; j < pool->out_width; j++, y += pool->channels) {
                const window_view seen = window_at(pool, i * pool->stride_height - pool->pad_top,
                                                   j * pool->stride_width - pool->pad_left);
                most_of_window(rows > 0 ? rows : seen.rows, rows > 0 ? columns : seen.columns,
                               &seen, pool->channels, x, y);
            }
        }
    }
}

MF_VERSIONS void give_to_all(const int32_t rows, const int32_t columns, const bool alone,
                             const mf_pool *pool, int32_t samples, const float *x, const float *y,
                             const float *by_y, float *by_x) {
    const ptrdiff_t in = (ptrdiff_t)pool->in_height * pool->in_width * pool->channels;
    for (int32_t s = 0; s < samples; s++, x += in, by_x += in) {
        for (int32_t i = 0; i < pool->out_height; i++) {
            for (int32_t j = 0; j < pool->out_width; j++) {
                const window_view seen = window_at(pool, i * pool->stride_height - pool->pad_top,
                                                   j * pool->stride_width - pool->pad_left);
                give_to_best(rows > 0 ? rows : seen.rows, rows > 0 ? columns : seen.columns, alone,
                             &seen, pool->channels, x, y, by_y, by_x);
                y += pool->channels;
                by_y += pool->channels;
            }
        }
    }
}

/* Whether no window sees padding; a path of small code makes no use of it. */
static bool is_whole(const mf_pool *pool) {
    return !MF_SMALL && MF_WIDTH > 1 && pool->pad_top == 0 && pool->pad_left == 0 &&
           (pool->out_height - 1) * pool->stride_height + pool->kernel_height <= pool->in_height &&
           (pool->out_width - 1) * pool->stride_width + pool->kernel_width <= pool->in_width;
}

static void max_pool(const mf_pool *pool, int32_t samples, const float *x, float *y) {
    const int32_t rows = pool->kernel_height, columns = pool->kernel_width;
    if (is_whole(pool) && rows == 2 && columns == 1) {
        most_of_all(2, 1, pool, samples, x, y);
    } else if (is_whole(pool) && rows == 2 && columns == 2) {
        most_of_all(2, 2, pool, samples, x, y);
    } else {
        most_of_all(0, 0, pool, samples, x, y);
    }
}

static void max_pool_back(const mf_pool *pool, int32_t samples, const float *x, const float *y,
                          const float *by_y, bool adds, float *by_x) {
    const int32_t rows = pool->kernel_height, columns = pool->kernel_width;
    const bool alone =
        !adds && is_whole(pool) && pool->stride_height == rows && pool->stride_width == columns &&
        pool->in_height == pool->out_height * rows && pool->in_width == pool->out_width * columns;
    if (alone && rows == 2 && columns == 1) {
        give_to_all(2, 1, true, pool, samples, x, y, by_y, by_x);
        return;
    }
    if (alone && rows == 2 && columns == 2) {
        give_to_all(2, 2, true, pool, samples, x, y, by_y, by_x);
        return;
    }
    if (!adds) {
        const ptrdiff_t in = (ptrdiff_t)pool->in_height * pool->in_width * pool->channels;
        memset(by_x, 0, (size_t)samples * (size_t)in * sizeof(float));
    }
    give_to_all(0, 0, false, pool, samples, x, y, by_y, by_x);
}
