/* SPDX-License-Identifier: Apache-2.0
 *
 * One row more than whole vectors of rows would cost as much as a vector. Such rows are decoded
 * instead, by the kernels of samples with few rows, piece by piece of the keys: what the strips
 * have just read is still in the second cache, so that they cost their own arithmetic and no
 * memory. */
#include "cpu_strip.h"
#include "tiny_kernels.h"

/* Below, lists and joining cost more than a vector; and calls of cpu_tiny.c stay in lanes. */
enum { LEAST_KEYS = ATTEND__TINY_KEYS + 1 };

int32_t attend__few_of(const attend__call *call, int64_t rows, int64_t keys) {
    const int64_t lanes = call->kernels->lanes, rest = rows % lanes;
    const bool few = rows > lanes && 2 * rest < lanes && keys >= LEAST_KEYS;
    return call->decodes && few ? (int32_t)rest : 0;
}

int64_t attend__sets_of(const attend__call *call, int64_t rows, int64_t keys, int64_t size) {
    const int64_t in_strips = rows - attend__few_of(call, rows, keys);
    return (in_strips + size - 1) / size;
}

attend__few attend__few_begin(const attend__call *call, const attend__scratch *scratch,
                              const attend__row_set *set) {
    const attend__decode_rows which = {set->batch, set->group, set->first_row + set->few_row,
                                       set->few_count};
    attend__few few = {.set = attend__decode_set_of(call, &scratch->few, which)};
    attend__rows_range(few.set.rows, few.set.count, &few.first, &few.last);
    return few;
}

void attend__few_keys(const attend__call *call, const attend__scratch *scratch, attend__few *few,
                      int64_t begin) {
    const attend__decode_scratch *const s = &scratch->few;
    const attend__decode_part part = {begin, ATTEND__FEW_KEYS};
    if (begin >= few->last || begin + part.size <= few->first) return;
    attend__decode_chunk(call, s, &few->set, part, few->begun ? s->chunk : s->total);
    if (few->begun) attend__decode_join(call, few->set.count, s->total, s->chunk);
    few->begun = true;
}

void attend__few_end(const attend__call *call, const attend__scratch *scratch,
                     const attend__few *few, attend__row_set *set) {
    const attend__partial total = scratch->few.total;
    for (int32_t i = 0; i < few->set.count; i++) {
        const int32_t r = set->few_row + i;
        attend__decode_write_row(call, &few->set, i, total);
        const bool none = total.sum[i] == 0.0f;
        set->reference[r] = none ? 0.0f : total.highest[i];
        set->scale[r] = none ? 0.0f : 1.0f / total.sum[i];
        set->tail[r] = 1.0f;
    }
}
