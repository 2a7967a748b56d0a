/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the rows of a sample lie: in batches of equal sizes, packed one after another, or, keys and
 * values, in pages; and how a block of keys or values gets from there to what the kernels read. The
 * same floats reach them whatever the layout, so that it changes no bit of a result. Values that
 * lay in a buffer were not checked by the host: what would lead outside the tensors is clamped. */
#include "cpu_runs.h"

#include "base/checked.h"

#include <string.h>

/* ---- samples -------------------------------------------------------------------------------- */

static int64_t length_of(const attend_tensor *lengths, int64_t batch, int64_t most) {
    return attend__given(lengths) ? attend__between(attend_tensor_index(lengths, batch), 0, most)
                                  : most;
}

static int64_t segment_length(const attend_tensor *cu, int64_t batch, int64_t total, int64_t most) {
    const int64_t first = attend__between(attend_tensor_index(cu, batch), 0, total);
    const int64_t room = total - first < most ? total - first : most;
    return attend__between(attend_tensor_index(cu, batch + 1), first, first + room) - first;
}

int64_t attend__key_length(const attend__call *call, int64_t batch) {
    const attend_attention *const a = call->a;
    if (call->packed_keys)
        return segment_length(&a->cu_key_lengths, batch, call->key_rows, call->keys);
    return length_of(&a->key_lengths, batch, call->key_rows);
}

int64_t attend__key_limit(const attend__call *call, int64_t batch) {
    const int64_t length = attend__key_length(call, batch), end = call->a->key_end;
    return end > 0 && end < length ? end : length;
}

int64_t attend__query_length(const attend__call *call, int64_t batch) {
    const attend_attention *const a = call->a;
    if (call->packed)
        return segment_length(&a->cu_query_lengths, batch, call->query_rows, call->queries);
    return length_of(&a->query_lengths, batch, call->queries);
}

/* ---- rows of queries ------------------------------------------------------------------------- */

attend__span attend__span_at(const attend_tensor *t, int64_t b, int64_t h, int64_t i,
                             int64_t column) {
    const int64_t at = t->offset + b * t->strides[0] + h * t->strides[1] + i * t->strides[2] +
                       column * t->strides[3];
    const attend__span span = {(char *)t->data + at * attend__element_bytes(t->type), t->type,
                               t->strides[3]};
    return span;
}

attend__place attend__place_of(const attend__call *call, int64_t batch, int64_t query) {
    attend__place place = {batch, query};
    if (!call->packed) return place;
    place.batch = 0;
    place.row += attend__between(attend_tensor_index(&call->a->cu_query_lengths, batch), 0,
                                 call->query_rows);
    return place;
}

attend__span attend__query_span(const attend__call *call, const attend_tensor *t, int64_t batch,
                                const attend__query *row) {
    const attend__place place = attend__place_of(call, batch, row->query);
    return attend__span_at(t, place.batch, row->head, place.row, 0);
}

/* ---- rows of keys ---------------------------------------------------------------------------- */

attend__run attend__run_at(const attend__call *call, const attend_tensor *t,
                           const attend_tensor *scales, int64_t batch, int64_t group, int64_t key,
                           int64_t most) {
    const attend_attention *const a = call->a;
    attend__place place = {batch, key};
    attend__run r = {.count = most};
    if (call->packed_keys) {
        place.batch = 0;
        place.row +=
            attend__between(attend_tensor_index(&a->cu_key_lengths, batch), 0, call->key_rows);
    } else if (call->paged) {
        const attend_tensor *const table = &a->page_table;
        const int64_t size = t->sizes[2], at = table->offset + batch * table->strides[0] +
                                               key / size * table->strides[1];
        const int32_t *entry = (const int32_t *)table->data + at;
        place.batch = attend__between(*entry, 0, t->sizes[0] - 1);
        place.row = key % size;
        /* pages that follow one another are one run where their rows do, too */
        const bool joins = t->type != ATTEND_I8 && t->strides[0] == size * t->strides[2];
        int64_t here = size - place.row, last = place.batch + 1;
        for (; joins && here < most && last < t->sizes[0]; here += size, last++) {
            entry += table->strides[1];
            if (*entry != last) break;
        }
        if (here < most) r.count = here;
    }
    const attend__span first = attend__span_at(t, place.batch, group, place.row, 0);
    r.rows = (attend__matrix){first.first, t->type, t->strides[2], t->strides[3]};
    if (t->type != ATTEND_I8) return r;
    r.scales = (const float *)scales->data + scales->offset + place.batch * scales->strides[0] +
               group * scales->strides[1] + place.row * scales->strides[2];
    r.scale_stride = scales->strides[2];
    return r;
}

static void multiply_out(const int8_t *x, int64_t stride, int64_t n, float scale, float *to) {
    if (stride == 1) {
        for (int64_t i = 0; i < n; i++)
            to[i] = (float)x[i] * scale;
        return;
    }
    for (int64_t i = 0; i < n; i++)
        to[i] = (float)x[i * stride] * scale;
}

void attend__widen_run(const attend__call *call, const attend__run *r, int64_t columns, float *to,
                       int64_t to_stride) {
    const int64_t bytes = r->rows.row_stride * attend__element_bytes(r->rows.type);
    if (r->scales == NULL && r->rows.column_stride == 1 && r->rows.row_stride == columns &&
        to_stride == columns) { /* one long row */
        const attend__span all = {(char *)(uintptr_t)r->rows.first, r->rows.type, 1};
        call->kernels->widen(all, r->count * columns, to);
        return;
    }
    for (int64_t i = 0; i < r->count; i++, to += to_stride) {
        char *const first = (char *)(uintptr_t)r->rows.first + i * bytes;
        const attend__span row = {first, r->rows.type, r->rows.column_stride};
        if (r->scales != NULL)
            multiply_out((const int8_t *)first, row.stride, columns, r->scales[i * r->scale_stride],
                         to);
        else
            call->kernels->widen(row, columns, to);
        memset(to + columns, 0, (size_t)(to_stride - columns) * sizeof *to);
    }
}

/* ---- caches ---------------------------------------------------------------------------------- */

/* All pages of a head follow one another, so that pages taken in order are read as one run. */

void attend__cpu_cache_layout(attend_device *device, const attend_cache_desc *d,
                              attend_cache_layout *layout) {
    (void)device;
    const int64_t values = d->value_size != 0 ? d->value_size : d->head_size;
    const int64_t size = layout->page_size;
    int64_t pages = (d->capacity + size - 1) / size, keys = 0, wide = 0;
    const bool fits =
        attend__mul_i64(pages, d->batch, &pages) &&
        attend__mul_i64(d->page_size != 0 && d->page_count != 0 ? d->page_count : pages, size,
                        &keys) &&
        attend__mul_i64(keys, d->head_size > values ? d->head_size : values, &wide);
    if (!fits) return; /* the host refuses sizes like these */
    layout->k_strides[0] = size * d->head_size;
    layout->k_strides[1] = keys * d->head_size;
    layout->k_strides[2] = d->head_size;
    layout->k_strides[3] = 1;
    layout->v_strides[0] = size * values;
    layout->v_strides[1] = keys * values;
    layout->v_strides[2] = values;
    layout->v_strides[3] = 1;
}
