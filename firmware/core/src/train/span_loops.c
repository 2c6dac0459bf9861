#include "train/span_loops.h"

mf_loops mf_over_outputs(const mf_geometry *g, int32_t samples, const mf_span *row,
                         const mf_span *column) {
    return (mf_loops){
        .count = {samples, row->count, column->count},
        .first = {mf_in_size(g), (ptrdiff_t)row->source_step * g->columns.in * g->in_channels,
                  (ptrdiff_t)column->source_step * g->in_channels},
        .second = {mf_out_size(g), (ptrdiff_t)g->columns.out * g->out_channels, g->out_channels}};
}

mf_loops mf_over_inputs(const mf_geometry *g, int32_t samples, const mf_span *row,
                        const mf_span *column) {
    return (mf_loops){
        .count = {samples, row->count, column->count},
        .first = {mf_out_size(g), (ptrdiff_t)g->columns.out * g->out_channels, g->out_channels},
        .second = {mf_in_size(g), (ptrdiff_t)row->step * g->columns.in * g->in_channels,
                   (ptrdiff_t)column->step * g->in_channels}};
}

mf_seen mf_seen_by(const mf_geometry *g, int32_t samples, int32_t i, int32_t j) {
    int32_t top, bottom, left, right;
    mf_outputs_of_tap(&g->rows, i, &top, &bottom);
    mf_outputs_of_tap(&g->columns, j, &left, &right);
    const int32_t in_row = top * g->rows.stride - g->rows.pad + i;
    const int32_t in_column = left * g->columns.stride - g->columns.pad + j;
    const bool none = bottom <= top || right <= left;
    mf_seen seen = {.over = {.count = {none ? 0 : samples, bottom - top, right - left},
                             .first = {mf_in_size(g),
                                       (ptrdiff_t)g->rows.stride * g->columns.in * g->in_channels,
                                       (ptrdiff_t)g->columns.stride * g->in_channels},
                             .second = {mf_out_size(g), (ptrdiff_t)g->columns.out * g->out_channels,
                                        g->out_channels}},
                    .x = none ? 0 : mf_position(in_row, in_column, g->columns.in, g->in_channels),
                    .y = none ? 0 : mf_position(top, left, g->columns.out, g->out_channels)};
    return seen;
}
