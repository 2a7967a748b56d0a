/* SPDX-License-Identifier: Apache-2.0
 *
 * Lengths, positions and layouts of a query row. Values that lay in a buffer were not checked by
 * the host: what would lead outside the tensors is clamped. */
#include "reference_row.h"

static int64_t sample_length(const attend_tensor *lengths, int64_t b, int64_t most) {
    return given(lengths) ? clamped(attend_tensor_index(lengths, b), 0, most) : most;
}

/* Length of sample b of a packed batch; *first: its first row. */
static int64_t segment(const attend_tensor *cu, int64_t b, const attend_tensor *rows, int64_t most,
                       int64_t *first) {
    const int64_t total = rows ? rows->sizes[2] : INT64_MAX / 2;
    *first = clamped(attend_tensor_index(cu, b), 0, total);
    const int64_t room = total - *first < most ? total - *first : most;
    return clamped(attend_tensor_index(cu, b + 1), *first, *first + room) - *first;
}

static int64_t key_length(const attend_attention *a, int64_t b, const row_shape *shape,
                          int64_t *first) {
    int64_t most = shape->S;
    if (given(&a->cu_key_lengths)) return segment(&a->cu_key_lengths, b, shape->keys, most, first);
    if (given(&a->page_table) && shape->keys) {
        const int64_t pages = shape->keys->sizes[0] > 0 ? a->page_table.sizes[1] : 0;
        most = clamped(pages * shape->keys->sizes[2], 0, most);
    }
    return sample_length(&a->key_lengths, b, most);
}

row attend__reference_row(const attend_attention *a, int64_t item, const row_shape *shape) {
    row r = {.a = a, .b = item / shape->L, .i = item % shape->L};
    r.packed = given(&a->cu_query_lengths);
    const int64_t queries =
        r.packed ? segment(&a->cu_query_lengths, r.b, shape->queries, shape->L, &r.first_query)
                 : sample_length(&a->query_lengths, r.b, shape->L);
    r.keys = key_length(a, r.b, shape, &r.first_key);
    r.taking_part = r.i < queries;

    int64_t offset = 0;
    if (a->position == ATTEND_BOTTOM_RIGHT) offset = r.keys - queries;
    if (a->position == ATTEND_AT_OFFSETS) {
        /* beyond 2^60 no key is near; the clamp keeps the sums below from overflowing */
        const int64_t far = (int64_t)1 << 60;
        offset = a->query_offset;
        if (given(&a->query_offsets))
            offset += clamped(attend_tensor_index(&a->query_offsets, r.b), -far, far);
    }
    r.position = r.i + offset;

    r.begin = a->key_begin;
    r.limit = a->key_end > 0 && a->key_end < r.keys ? a->key_end : r.keys;
    r.first = r.begin;
    r.end = r.taking_part ? r.limit : 0;
    if (a->causal && r.position + 1 < r.end) r.end = r.position + 1;
    if (a->window_right >= 0 && a->window_right < r.end - r.position)
        r.end = r.position + a->window_right + 1;
    if (a->window_left >= 0 && r.position > a->window_left && r.position - a->window_left > r.first)
        r.first = r.position - a->window_left;
    if (r.end < r.first) r.end = r.first;
    return r;
}

bool attend__reference_allowed(const row *r, int64_t j) {
    const attend_attention *const a = r->a;
    if (j < r->first || j >= r->end) return false;
    if (given(&a->key_mask) &&
        !load_bool(&a->key_mask,
                   a->key_mask.offset + r->b * a->key_mask.strides[0] + j * a->key_mask.strides[1]))
        return false;
    if (given(&a->mask) &&
        (j >= a->mask.sizes[3] || !load_bool(&a->mask, at4(&a->mask, r->b, r->h, r->i, j))))
        return false;
    return !given(&a->bias) || (j < a->bias.sizes[3] &&
                                load(&a->bias, at4(&a->bias, r->b, r->h, r->i, j)) != -HUGE_VAL);
}

int64_t attend__reference_query_at(const row *r, const attend_tensor *t) {
    return at3(t, r->packed ? 0 : r->b, r->h, r->first_query + r->i);
}

key_row attend__reference_key(const row *r, const attend_tensor *t, const attend_tensor *scales,
                              int64_t group, int64_t j) {
    const attend_attention *const a = r->a;
    int64_t b = r->b, token = j;
    if (given(&a->cu_key_lengths)) {
        b = 0;
        token = r->first_key + j;
    } else if (given(&a->page_table)) {
        const int64_t C = t->sizes[2];
        const attend_tensor *const table = &a->page_table;
        const int32_t page =
            ((const int32_t *)
                 table->data)[table->offset + r->b * table->strides[0] + j / C * table->strides[1]];
        b = clamped(page, 0, t->sizes[0] - 1);
        token = j % C;
    }
    key_row k = {.t = t, .at = at3(t, b, group, token), .stride = t->strides[3]};
    k.scaled = t->type == ATTEND_I8;
    if (k.scaled) k.scale = load_float(scales, at3(scales, b, group, token));
    return k;
}
