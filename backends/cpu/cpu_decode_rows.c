/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows that are decoded: the memory they need, how chunks of keys are joined, and how a row is
 * written. The same for samples of few rows and for the rows that many leave over. */
#include "cpu_decode.h"

#include <math.h>
#include <string.h>

attend__partial attend__decode_carve_partial(attend__carver *c, const attend__call *call,
                                             int64_t rows) {
    const int64_t width = attend__decode_width(rows);
    attend__partial p;
    p.out = attend__carve(c, width, call->padded_columns, sizeof(float));
    p.highest = attend__carve(c, width, 1, sizeof(float));
    p.sum = attend__carve(c, width, 1, sizeof(float));
    return p;
}

attend__decode_scratch attend__decode_lay_out(const attend__call *call, attend__carver *c,
                                              int64_t rows) {
    const int64_t width = attend__decode_width(rows), block = ATTEND__BLOCK_KEYS,
                  strip = call->kernels->strip_rows,
                  group = call->decode_kernels->group_panels * call->kernels->lanes,
                  wide = call->depth > call->columns ? call->depth : call->columns;
    attend__decode_scratch s;
    s.rows = attend__carve(c, rows, 1, sizeof *s.rows);
    s.strips = attend__carve(c, (rows + strip - 1) / strip * strip, call->depth, sizeof(float));
    s.queries = attend__carve(c, ATTEND__DECODE_DIRECT, attend__decode_stride(call), sizeof(float));
    s.scores = attend__carve(c, width, ATTEND__SCORE_STRIDE, sizeof(float));
    s.shrink = attend__carve(c, width, 1, sizeof(float));
    s.sums = attend__carve(c, width, call->padded_columns, sizeof(float));
    s.panels = attend__carve(c, group, call->depth, sizeof(float));
    s.lists = attend__carve(c, 2 * block + ATTEND__DECODE_AHEAD, 1, sizeof *s.lists);
    s.scales = attend__carve(c, 2 * block, 1, sizeof(float));
    s.copied_keys = attend__carve(c, block, call->depth, sizeof(float));
    s.copied_values = attend__carve(c, block, call->padded_columns, sizeof(float));
    s.zeros = attend__carve(c, wide, 1, sizeof(float));
    s.again_strip = attend__carve(c, strip, call->depth, sizeof(float));
    s.total = attend__decode_carve_partial(c, call, rows);
    s.chunk = attend__decode_carve_partial(c, call, rows);
    s.again = attend__decode_carve_partial(c, call, 1);
    return s;
}

static void widen_queries(const attend__call *call, const attend__decode_scratch *scratch,
                          int64_t batch, int32_t count) {
    const int64_t stride = attend__decode_stride(call);
    for (int32_t r = 0; r < count; r++) {
        float *const to = scratch->queries + r * stride;
        const attend__span from = attend__query_span(call, &call->a->q, batch, &scratch->rows[r]);
        call->kernels->widen(from, call->depth, to);
        memset(to + call->depth, 0, (size_t)(stride - call->depth) * sizeof *to);
    }
}

attend__decode_set attend__decode_set_of(const attend__call *call,
                                         const attend__decode_scratch *scratch,
                                         attend__decode_rows which) {
    const int32_t strip = call->kernels->strip_rows, rows = which.count;
    /* Strips of almost the same size; an odd one computes one row more. */
    const int32_t strips = (rows + strip - 1) / strip;
    const int32_t each = strips == 1 ? rows : ((rows + strips - 1) / strips + 1) / 2 * 2;
    for (int32_t r = 0; r < rows; r++)
        scratch->rows[r] = attend__query_of(call, which.batch, which.group, which.first + r);
    const bool direct = rows <= (call->a->k.type == ATTEND_F32 ? ATTEND__DECODE_DIRECT : 1);
    if (direct) widen_queries(call, scratch, which.batch, rows);
    for (int32_t r = 0, s = 0; !direct && r < rows; r += each, s++)
        attend__pack_queries(call, which.batch, scratch->rows + r,
                             rows - r < each ? rows - r : each,
                             scratch->strips + s * strip * call->depth);
    memset(scratch->zeros, 0,
           (size_t)(call->depth > call->columns ? call->depth : call->columns) * sizeof(float));
    const attend__decode_set set = {.batch = which.batch,
                                    .group = which.group,
                                    .rows = scratch->rows,
                                    .count = rows,
                                    .each = each,
                                    .direct = direct,
                                    .queries = scratch->queries,
                                    .strips = scratch->strips};
    return set;
}

void attend__decode_join(const attend__call *call, int32_t rows, attend__partial total,
                         attend__partial chunk) {
    for (int32_t r = 0; r < rows; r++) {
        const float before = total.highest[r], next = chunk.highest[r];
        if (chunk.sum[r] == 0.0f) continue; /* no key with a score above -inf */
        const float highest = next > before ? next : before;
        const float by = total.sum[r] == 0.0f ? 0.0f : expf(before - highest),
                    next_by = expf(next - highest);
        total.highest[r] = highest;
        total.sum[r] = total.sum[r] * by + chunk.sum[r] * next_by;
        call->decode_kernels->fold(total.out + r * call->padded_columns, by,
                                   chunk.out + r * call->padded_columns, next_by,
                                   call->padded_columns);
    }
}

/* How a row's sums of values are scaled; joins the sink. The sum is 0 only if no allowed key has a
 * score above -inf: then there is nothing to divide. */
static attend__sink_end close_row(float sink, float highest, float sum) {
    attend__sink_end end = {.highest = (double)highest,
                            .sum = (double)sum,
                            .scale = sum == 0.0f ? 0.0f : 1.0f / sum,
                            .tail = 1.0f};
    const bool counts = sink != -INFINITY && !isnan(sum);
    return counts ? attend__join_sink(end.highest, end.sum, (double)sink) : end;
}

void attend__decode_write_row(const attend__call *call, const attend__decode_set *set, int32_t r,
                              attend__partial total) {
    const attend__query *const row = &set->rows[r];
    const bool empty = row->first == row->last;
    float *const out = total.out + r * call->padded_columns;
    const attend__sink_end end =
        close_row(attend__sink(call, row->head), empty ? -INFINITY : total.highest[r],
                  empty ? 0.0f : total.sum[r]);
    if (empty || end.scale == 0.0f)
        memset(out, 0, (size_t)call->columns * sizeof(float));
    else
        call->kernels->scale_row(out, call->columns, end.scale);
    if (end.tail != 1.0f) call->kernels->scale_row(out, call->columns, end.tail);
    total.highest[r] = (float)end.highest;
    total.sum[r] = (float)end.sum;
    call->kernels->narrow(out, call->columns,
                          attend__query_span(call, &call->a->out, set->batch, row));
    if (call->wants_lse) attend__write_lse(call, set->batch, row, total.highest[r], total.sum[r]);
}
