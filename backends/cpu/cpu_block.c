/* SPDX-License-Identifier: Apache-2.0
 *
 * A block of keys and values as the kernels read it: float32 where it lies, in whatever strides;
 * other types, and pages too small to be worth a call, widened and put together in scratch. The
 * same floats reach the kernels either way. */
#include "cpu_runs.h"
#include "cpu_strip.h"

static void copy_rows(const attend__call *call, const attend_tensor *t, const attend_tensor *scales,
                      const attend__row_set *set, attend__part part, int64_t columns, float *to) {
    for (int32_t done = 0; done < part.count;) {
        const attend__run r = attend__run_at(call, t, scales, set->batch, set->group,
                                             part.key + done, part.count - done);
        attend__widen_run(call, &r, columns, to, columns);
        to += r.count * columns;
        done += (int32_t)r.count;
    }
}

int64_t attend__to_next_block(const attend__call *call, const attend_tensor *t,
                              const attend__row_set *set, attend__part part) {
    if (t->strides[3] != 1 || call->paged) return 0;
    if (part.key + part.count < set->last)
        return ATTEND__LANE_KEYS * t->strides[2] * attend__element_bytes(t->type);
    if (!set->next.known || call->small || call->key_rows == 0) return 0;
    const attend__run here =
        attend__run_at(call, t, NULL, set->batch, set->group, part.key, part.count);
    const attend__run there = attend__run_at(call, t, NULL, set->next.batch, set->next.group, 0, 1);
    return (int64_t)((uintptr_t)there.rows.first - (uintptr_t)here.rows.first);
}

void attend__read_keys(const attend__call *call, const attend__scratch *scratch,
                       const attend__row_set *set, attend__kv_block *block) {
    const attend_tensor *const k = &call->a->k;
    const attend__part part = block->part;
    block->pairs = false;
    block->key_ahead = 0;
    if (k->type != ATTEND_F32 || (call->paged && k->sizes[2] % ATTEND__LEAST_RUN != 0)) {
        copy_rows(call, k, &call->a->k_scales, set, part, call->depth, scratch->keys);
        block->runs[0] = (attend__key_run){(const char *)scratch->keys, call->depth, 1, part.count};
        return;
    }
    block->key_ahead = attend__to_next_block(call, k, set, part);
    attend__key_run *run = block->runs;
    for (int32_t done = 0; done < part.count; done += run++->count) {
        const attend__run r = attend__run_at(call, k, NULL, set->batch, set->group, part.key + done,
                                             part.count - done);
        *run = (attend__key_run){r.rows.first, r.rows.row_stride, r.rows.column_stride,
                                 (int32_t)r.count};
    }
}

void attend__read_values(const attend__call *call, const attend__scratch *scratch,
                         const attend__row_set *set, bool copy, attend__kv_block *block) {
    const attend_tensor *const v = &call->a->v;
    const attend__part part = block->part;
    block->value_ahead = 0;
    if (v->type == ATTEND_F32 && v->strides[3] == 1 && !copy) {
        const attend__run r =
            attend__run_at(call, v, NULL, set->batch, set->group, part.key, part.count);
        block->values =
            (attend__values){(const float *)(const void *)r.rows.first, r.rows.row_stride};
        block->value_ahead = attend__to_next_block(call, v, set, part);
        if (r.count == part.count) return;
    }
    block->values = (attend__values){scratch->values, call->columns};
    copy_rows(call, v, &call->a->v_scales, set, part, call->columns, scratch->values);
}
