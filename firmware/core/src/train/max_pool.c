#include "train/max_pool.h"

static int32_t most(int32_t a, int32_t b) {
    return a > b ? a : b;
}
static int32_t least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* Where one output looks: its first tap in x, which may lie beside the sample, and the taps
 * [top, bottom) × [left, right) that do not. */
typedef struct {
    ptrdiff_t first;
    int32_t top, bottom, left, right;
} window;

static window window_of(const mf_pool *pool, int32_t i, int32_t j) {
    const int32_t row = i * pool->stride_height - pool->pad_top;
    const int32_t column = j * pool->stride_width - pool->pad_left;
    return (window){((ptrdiff_t)row * pool->in_width + column) * pool->channels, most(0, -row),
                    least(pool->kernel_height, pool->in_height - row), most(0, -column),
                    least(pool->kernel_width, pool->in_width - column)};
}

static void mark(const mf_pool *pool, const window *w, const float *x, float *y, uint8_t *winners) {
    for (int32_t c = 0; c < pool->channels; c++) {
        float best = 0.0f;
        int32_t winner = -1;
        for (int32_t i = w->top; i < w->bottom; i++) {
            const float *row = x + w->first + (ptrdiff_t)i * pool->in_width * pool->channels + c;
            for (int32_t j = w->left; j < w->right; j++) {
                const float value = row[j * pool->channels];
                if (winner < 0 || value > best) {
                    best = value;
                    winner = i * pool->kernel_width + j;
                }
            }
        }
        y[c] = best;
        winners[c] = (uint8_t)winner;
    }
}

void mf_max_pool(const mf_pool *pool, int32_t samples, const float *x, float *y, uint8_t *winners) {
    const ptrdiff_t in = (ptrdiff_t)pool->in_height * pool->in_width * pool->channels;
    for (int32_t s = 0; s < samples; s++, x += in) {
        for (int32_t i = 0; i < pool->out_height; i++) {
            for (int32_t j = 0; j < pool->out_width; j++) {
                const window w = window_of(pool, i, j);
                mark(pool, &w, x, y, winners);
                y += pool->channels;
                winners += pool->channels;
            }
        }
    }
}

void mf_max_pool_back(const mf_pool *pool, int32_t samples, const mf_hold *hold, const float *y,
                      const uint8_t *winners, const float *by_y, float *by_x) {
    const ptrdiff_t in = (ptrdiff_t)pool->in_height * pool->in_width * pool->channels;
    for (int32_t s = 0; s < samples; s++, by_x += in) {
        for (int32_t i = 0; i < pool->out_height; i++) {
            for (int32_t j = 0; j < pool->out_width; j++) {
                const window w = window_of(pool, i, j);
                for (int32_t c = 0; c < pool->channels; c++, y++, by_y++, winners++) {
                    if (*y > hold->low && *y < hold->high) {
                        const int32_t row = *winners / pool->kernel_width;
                        const int32_t column = *winners % pool->kernel_width;
                        by_x[w.first + ((ptrdiff_t)row * pool->in_width + column) * pool->channels +
                             c] += *by_y;
                    }
                }
            }
        }
    }
}
