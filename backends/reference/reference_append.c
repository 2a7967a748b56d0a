/* SPDX-License-Identifier: Apache-2.0
 *
 * The definition of appending to pages (attend/cache.h). An item is all that one sample appends to
 * one head. Rounding and quantising are in float32, not in double: every backend has to store the
 * same bytes. */
#include "reference.h"
#include "reference_tensor.h"

typedef struct tokens {
    const attend_append *d;
    int64_t b, head;
    int64_t batch, first, count; /* where k and v hold them */
    int64_t start;
} tokens;

/* Counts and starts that lay in a buffer were not checked by the host, hence the clamps. */
static tokens tokens_of(const attend_append *d, int64_t item) {
    const int64_t heads = d->k.sizes[1], n = d->k.sizes[2];
    tokens t = {.d = d, .b = item / heads, .head = item % heads};
    if (given(&d->cu_counts)) {
        t.first = clamped(attend_tensor_index(&d->cu_counts, t.b), 0, n);
        t.count = clamped(attend_tensor_index(&d->cu_counts, t.b + 1), t.first, n) - t.first;
    } else {
        t.batch = t.b;
        t.count = clamped(attend_tensor_index(&d->counts, t.b), 0, n);
    }
    t.start = clamped(attend_tensor_index(&d->starts, t.b), 0, INT64_MAX / 2);
    return t;
}

/* The page of token `position`, -1 where the sample has none. */
static int64_t page_of(const tokens *t, int64_t position) {
    const attend_tensor *const table = &t->d->page_table;
    const int64_t P = t->d->k_pages.sizes[0], C = t->d->k_pages.sizes[2];
    const int64_t pages = given(table) ? table->sizes[1] : 1;
    if (P == 0 || C == 0 || position / C >= pages) return -1;
    if (!given(table)) return t->b;
    const int32_t page =
        ((const int32_t *)table
             ->data)[table->offset + t->b * table->strides[0] + position / C * table->strides[1]];
    return clamped(page, 0, P - 1);
}

static void rotate(const attend_append *d, int64_t position, int64_t D, float *x) {
    const int64_t n = (d->rotary_dim > 0 ? d->rotary_dim : D) / 2;
    const attend_tensor *const cos_table = &d->rope_cos, *const sin_table = &d->rope_sin;
    const int64_t at = clamped(position, 0, cos_table->sizes[0] - 1);
    for (int64_t r = 0; r < n; r++) {
        const int64_t one = d->interleaved ? 2 * r : r, two = d->interleaved ? 2 * r + 1 : n + r;
        const double c = load(cos_table, cos_table->offset + at * cos_table->strides[0] +
                                             r * cos_table->strides[1]);
        const double s = load(sin_table, sin_table->offset + at * sin_table->strides[0] +
                                             r * sin_table->strides[1]);
        const double x1 = (double)x[one], x2 = (double)x[two];
        x[one] = (float)(c * x1 - s * x2);
        x[two] = (float)(s * x1 + c * x2);
    }
}

/* A scale can only be 0 under an amax above 0 where the quotient underflows; then, and where a
 * subnormal scale was rounded down far, the elements stay within -127..127. */
static float quantise(const float *x, int64_t n, int64_t stride, int8_t *to) {
    float amax = 0;
    bool finite = true;
    for (int64_t e = 0; e < n; e++) {
        finite = finite && isfinite(x[e]);
        if (fabsf(x[e]) > amax) amax = fabsf(x[e]);
    }
    const float scale = finite ? amax / 127.0f : attend__bits_float(0x7fc00000u);
    for (int64_t e = 0; e < n; e++) {
        const float ratio = finite && scale > 0 ? rintf(x[e] / scale) : 0;
        to[e * stride] = (int8_t)(ratio < -127.0f ? -127.0f : ratio > 127.0f ? 127.0f : ratio);
    }
    return scale;
}

static void write_row(const attend_tensor *pages, const attend_tensor *scales, int64_t page,
                      int64_t head, int64_t token, const float *x) {
    const int64_t at = at3(pages, page, head, token), stride = pages->strides[3];
    if (pages->type == ATTEND_I8) {
        ((float *)scales->data)[at3(scales, page, head, token)] =
            quantise(x, pages->sizes[3], stride, (int8_t *)pages->data + at);
        return;
    }
    for (int64_t e = 0; e < pages->sizes[3]; e++)
        store_float(pages, at + e * stride, x[e]);
}

static void read_floats(const tokens *t, const attend_tensor *x, int64_t i, float *to) {
    const int64_t at = at3(x, t->batch, t->head, t->first + i);
    for (int64_t e = 0; e < x->sizes[3]; e++)
        to[e] = load_float(x, at + e * x->strides[3]);
}

static int64_t append_scratch(const void *description) {
    const attend_append *const d = description;
    return d->k.sizes[3] > d->v.sizes[3] ? d->k.sizes[3] : d->v.sizes[3];
}

static int64_t append_items(const void *description) {
    const attend_append *const d = description;
    return d->starts.sizes[0] * d->k.sizes[1];
}

static void append_compute(const void *description, int64_t item, double *scratch) {
    const attend_append *const d = description;
    const int64_t C = d->k_pages.sizes[2];
    float *const x = (float *)scratch;
    const tokens t = tokens_of(d, item);
    for (int64_t i = 0; i < t.count; i++) {
        const int64_t position = t.start + i, page = page_of(&t, position);
        if (page < 0) return;
        read_floats(&t, &d->k, i, x);
        if (given(&d->rope_cos)) rotate(d, position, d->k.sizes[3], x);
        write_row(&d->k_pages, &d->k_scales, page, t.head, position % C, x);
        read_floats(&t, &d->v, i, x);
        write_row(&d->v_pages, &d->v_scales, page, t.head, position % C, x);
    }
}

const reference_operation attend__reference_append = {"append__reference", append_scratch,
                                                      append_items, append_compute};
