/* SPDX-License-Identifier: Apache-2.0
 *
 * The terms of a score in the order of attention.h (scale, softcap, bias, slope), on the strip's
 * scores in lanes: biases pass through the registers as squares of rows and keys. What excludes
 * keys comes as bits from cpu_row_set.c. */
#include "cpu_strip.h"

static char *row_address(const attend__call *call, const attend__row_set *set, int32_t r,
                         const attend_tensor *t, int64_t column) {
    const bool packed = t == &call->a->q || t == &call->a->out;
    const int64_t query = attend__row_query(call, set, r);
    const attend__place place =
        packed ? attend__place_of(call, set->batch, query) : (attend__place){set->batch, query};
    return attend__span_at(t, place.batch, attend__row_head(call, set, r), place.row, column).first;
}

attend__lane_rows attend__strip_rows(const attend__call *call, const attend__row_set *set,
                                     const attend__strip *strip, const attend_tensor *t,
                                     attend__part columns, char **pointers) {
    const attend__lane_rows rows = {pointers, t->type, strip->rows, t->strides[3], columns.count};
    const bool one_head = call->shared == 1 || set->step == call->shared;
    pointers[0] = row_address(call, set, strip->row, t, columns.key);
    if (one_head) {
        const int64_t step = t->strides[2] * attend__element_bytes(t->type);
        for (int32_t i = 1; i < strip->rows; i++)
            pointers[i] = pointers[0] + i * step;
        return rows;
    }
    for (int32_t i = 1; i < strip->rows; i++)
        pointers[i] = row_address(call, set, strip->row + i, t, columns.key);
    return rows;
}

static void add_bias(const attend__call *call, const attend__scratch *scratch,
                     const attend__row_set *set, const attend__strip *strip, attend__part part) {
    char *pointers[ATTEND__LANE_ROWS_MOST];
    const int64_t covered = attend__between(call->a->bias.sizes[3] - part.key, 0, part.count);
    const attend__part columns = {part.key, (int32_t)covered};
    if (covered == 0) return; /* the keys beyond are excluded */
    const attend__lane_rows rows =
        attend__strip_rows(call, set, strip, &call->a->bias, columns, pointers);
    call->lanes->add_rows(&rows, scratch->scores);
}

static void subtract_slopes(const attend__call *call, const attend__scratch *scratch,
                            const attend__row_set *set, const attend__strip *strip,
                            attend__part part) {
    const attend_tensor *const t = &call->a->alibi_slopes;
    const float *const slopes = (const float *)t->data + t->offset + set->batch * t->strides[0];
    const int64_t origin = attend__position_of(call, set->batch, 0) - part.key;
    for (int32_t i = 0; i < strip->vectors * call->kernels->lanes; i++) {
        const int32_t r = strip->row + (i < strip->rows ? i : 0);
        scratch->slopes[i] = slopes[attend__row_head(call, set, r) * t->strides[1]];
        scratch->distance[i] = (float)(origin + attend__row_query(call, set, r));
    }
    call->lanes->slope(scratch->scores, part.count, strip->vectors, scratch->slopes,
                       scratch->distance);
}

void attend__advance_scores_of(const attend__call *call, const attend__scratch *scratch,
                               const attend__row_set *set, const attend__strip *strip,
                               attend__part part, attend_scores_stage from,
                               attend_scores_stage to) {
    const attend__lane_kernels *const lanes = call->lanes;
    if (from < ATTEND_SCORES_SCALED && to >= ATTEND_SCORES_SCALED)
        lanes->scale(scratch->scores, part.count, strip->vectors, call->scale);
    if (from < ATTEND_SCORES_SOFTCAPPED && to >= ATTEND_SCORES_SOFTCAPPED && call->softcap > 0.0f)
        lanes->cap(scratch->scores, part.count, strip->vectors, call->softcap);
    if (from >= ATTEND_SCORES_MASKED || to < ATTEND_SCORES_MASKED) return;
    if (attend__given(&call->a->bias)) add_bias(call, scratch, set, strip, part);
    if (attend__given(&call->a->alibi_slopes)) subtract_slopes(call, scratch, set, strip, part);
}
