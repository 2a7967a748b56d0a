/* SPDX-License-Identifier: Apache-2.0
 *
 * The definitions of the operations around attention (attend/stage.h) in double. An item is a row,
 * except for copies, whose items are the slices along the first dimension. */
#include "reference.h"
#include "reference_tensor.h"

/* ---- rows of "[.., N]" ---------------------------------------------------------------------- */

static int64_t rows_of(const attend_tensor *t) {
    int64_t rows = 1;
    for (int32_t d = 0; d + 1 < t->rank; d++)
        rows *= t->sizes[d];
    return rows;
}

/* Where row `row` begins, counting rows in order of the leading dimensions. */
static int64_t row_at(const attend_tensor *t, int64_t row) {
    int64_t at = t->offset;
    for (int32_t d = t->rank - 2; d >= 0; d--) {
        at += row % t->sizes[d] * t->strides[d];
        row /= t->sizes[d];
    }
    return at;
}

static int64_t last_size(const attend_tensor *t) {
    return t->sizes[t->rank - 1];
}

static double row_element(const attend_tensor *t, int64_t row, int64_t n, double absent) {
    return given(t) ? load(t, row_at(t, row) + n * t->strides[t->rank - 1]) : absent;
}

static double vector_element(const attend_tensor *t, int64_t n, double absent) {
    return given(t) ? load(t, t->offset + n * t->strides[0]) : absent;
}

static int64_t no_scratch(const void *description) {
    (void)description;
    return 0;
}

/* ---- activations ---------------------------------------------------------------------------- */

static double activation(attend_activation kind, double x) {
    const double half_root2 = 0.70710678118654752440, root_2_over_pi = 0.79788456080286535588;
    switch (kind) {
    case ATTEND_RELU:
        return x < 0 ? 0 : x; /* NaN stays */
    case ATTEND_GELU:
        return x == -HUGE_VAL ? 0
                              : 0.5 * x * erfc(-x * half_root2); /* erfc: no cancellation at -x */
    case ATTEND_GELU_TANH:
        return x == -HUGE_VAL ? 0 : x / (1 + exp(-2 * root_2_over_pi * (x + 0.044715 * x * x * x)));
    case ATTEND_SILU:
        return x == -HUGE_VAL ? 0 : x / (1 + exp(-x));
    case ATTEND_SIGMOID:
        return 1 / (1 + exp(-x));
    case ATTEND_TANH:
        return tanh(x);
    default:
        return x;
    }
}

static int64_t activate_items(const void *description) {
    return rows_of(&((const attend_elementwise *)description)->out);
}

static void activate_compute(const void *description, int64_t row, double *scratch) {
    const attend_elementwise *const d = description;
    (void)scratch;
    const int64_t at = row_at(&d->out, row), stride = d->out.strides[d->out.rank - 1];
    for (int64_t n = 0; n < last_size(&d->out); n++) {
        double y = activation(d->activation, row_element(&d->x, row, n, 0));
        if (given(&d->multiplier)) y *= row_element(&d->multiplier, row, n, 1);
        if (given(&d->residual)) y += row_element(&d->residual, row, n, 0);
        store(&d->out, at + n * stride, y);
    }
}

const reference_operation attend__reference_activate = {"activate_f64__reference", no_scratch,
                                                        activate_items, activate_compute};

/* ---- projection ----------------------------------------------------------------------------- */

static int64_t project_scratch(const void *description) {
    return last_size(&((const attend_projection *)description)->x);
}

static int64_t project_items(const void *description) {
    return rows_of(&((const attend_projection *)description)->out);
}

static void project_compute(const void *description, int64_t row, double *x) {
    const attend_projection *const d = description;
    const int64_t K = last_size(&d->x), at = row_at(&d->out, row);
    read_row(&d->x, row_at(&d->x, row), d->x.strides[d->x.rank - 1], K, x);
    for (int64_t n = 0; n < last_size(&d->out); n++) {
        double y = dot(x, &d->w, d->w.offset + n * d->w.strides[0], d->w.strides[1], K);
        if (given(&d->bias)) y += vector_element(&d->bias, n, 0);
        y = activation(d->activation, y);
        if (given(&d->multiplier)) y *= row_element(&d->multiplier, row, n, 1);
        if (given(&d->residual)) y += row_element(&d->residual, row, n, 0);
        store(&d->out, at + n * d->out.strides[d->out.rank - 1], y);
    }
}

const reference_operation attend__reference_project = {"project_f64__reference", project_scratch,
                                                       project_items, project_compute};

/* ---- copies --------------------------------------------------------------------------------- */

static void copy_element(const attend_tensor *x, int64_t from, const attend_tensor *out,
                         int64_t to) {
    switch ((int)x->type) {
    case ATTEND_I8:
    case ATTEND_BOOL:
    case ATTEND_U8:
        ((uint8_t *)out->data)[to] = ((const uint8_t *)x->data)[from];
        break;
    case ATTEND_I32:
        ((int32_t *)out->data)[to] = ((const int32_t *)x->data)[from];
        break;
    case ATTEND_I64:
        ((int64_t *)out->data)[to] = ((const int64_t *)x->data)[from];
        break;
    default:
        store(out, to, load(x, from));
    }
}

static int64_t copy_items(const void *description) {
    const attend_copy *const d = description;
    return d->out.sizes[0];
}

/* Counts through all dimensions but the first like an odometer. */
static void copy_compute(const void *description, int64_t item, double *scratch) {
    const attend_copy *const d = description;
    (void)scratch;
    int64_t index[ATTEND_MAX_RANK] = {item};
    for (int32_t turned = d->out.rank; turned > 0;) {
        int64_t from = d->x.offset, to = d->out.offset;
        for (int32_t r = 0; r < d->out.rank; r++) {
            from += index[r] * d->x.strides[r];
            to += index[r] * d->out.strides[r];
        }
        copy_element(&d->x, from, &d->out, to);
        turned = d->out.rank - 1;
        while (turned > 0 && ++index[turned] == d->out.sizes[turned])
            index[turned--] = 0;
    }
}

const reference_operation attend__reference_copy = {"copy__reference", no_scratch, copy_items,
                                                    copy_compute};

/* ---- norms ---------------------------------------------------------------------------------- */

static int64_t norm_scratch(const void *description) {
    return last_size(&((const attend_norm *)description)->x);
}

static int64_t norm_items(const void *description) {
    return rows_of(&((const attend_norm *)description)->x);
}

/* The norm takes the unrounded sum, not the stored one. */
static void norm_compute(const void *description, int64_t row, double *t) {
    const attend_norm *const d = description;
    const int64_t M = last_size(&d->x);
    double mean = 0, square = 0;
    read_row(&d->x, row_at(&d->x, row), d->x.strides[d->x.rank - 1], M, t);
    for (int64_t n = 0; n < M; n++) {
        if (given(&d->residual)) t[n] += row_element(&d->residual, row, n, 0);
        mean += t[n];
    }
    mean = d->kind == ATTEND_LAYER_NORM ? mean / (double)M : 0;
    for (int64_t n = 0; n < M; n++)
        square += (t[n] - mean) * (t[n] - mean);
    const double root = sqrt(square / (double)M + d->eps);
    for (int64_t n = 0; n < M; n++) {
        double y = (t[n] - mean) / root * vector_element(&d->weight, n, 1);
        if (given(&d->bias)) y += vector_element(&d->bias, n, 0);
        if (given(&d->sum))
            store(&d->sum, row_at(&d->sum, row) + n * d->sum.strides[d->sum.rank - 1], t[n]);
        if (given(&d->out))
            store(&d->out, row_at(&d->out, row) + n * d->out.strides[d->out.rank - 1], y);
    }
}

const reference_operation attend__reference_norm = {"norm_f64__reference", norm_scratch, norm_items,
                                                    norm_compute};

/* ---- rotary positions ------------------------------------------------------------------------ */

static int64_t rope_items(const void *description) {
    return rows_of(&((const attend_rope *)description)->x);
}

/* Where the row of cos or sin for query i of batch b begins. */
static int64_t table_at(const attend_rope *d, const attend_tensor *t, int64_t b, int64_t i) {
    if (t->rank == 3) return t->offset + b * t->strides[0] + i * t->strides[1];
    int64_t position = i + d->position_offset;
    if (given(&d->position_offsets)) /* in a buffer nobody checked it */
        position += clamped(attend_tensor_index(&d->position_offsets, b), 0, t->sizes[0]);
    if (given(&d->position_ids)) {
        const attend_tensor *const ids = &d->position_ids;
        const int64_t at = ids->offset + b * ids->strides[0] + i * ids->strides[1];
        position = ids->type == ATTEND_I64 ? ((const int64_t *)ids->data)[at]
                                           : ((const int32_t *)ids->data)[at];
    }
    return t->offset + clamped(position, 0, t->sizes[0] - 1) * t->strides[0];
}

static void rope_compute(const void *description, int64_t row, double *scratch) {
    const attend_rope *const d = description;
    (void)scratch;
    const int64_t D = d->x.sizes[3], n = (d->rotary_dim > 0 ? d->rotary_dim : D) / 2;
    const int64_t i = row % d->x.sizes[2], b = row / d->x.sizes[2] / d->x.sizes[1];
    const int64_t x = row_at(&d->x, row), out = row_at(&d->out, row);
    const int64_t xs = d->x.strides[3], os = d->out.strides[3];
    for (int64_t r = 0; r < n; r++) {
        const int64_t one = d->interleaved ? 2 * r : r, two = d->interleaved ? 2 * r + 1 : n + r;
        const double c =
            load(&d->cos, table_at(d, &d->cos, b, i) + r * d->cos.strides[d->cos.rank - 1]);
        const double s =
            load(&d->sin, table_at(d, &d->sin, b, i) + r * d->sin.strides[d->sin.rank - 1]);
        const double x1 = load(&d->x, x + one * xs), x2 = load(&d->x, x + two * xs);
        store(&d->out, out + one * os, c * x1 - s * x2);
        store(&d->out, out + two * os, s * x1 + c * x2);
    }
    for (int64_t e = 2 * n; e < D; e++)
        store(&d->out, out + e * os, load(&d->x, x + e * xs));
}

const reference_operation attend__reference_rope = {"rope_f64__reference", no_scratch, rope_items,
                                                    rope_compute};

/* ---- embeddings ------------------------------------------------------------------------------ */

static int64_t embed_items(const void *description) {
    return rows_of(&((const attend_embedding *)description)->out);
}

/* The id of row `row` of out; `ids` has out's leading dimensions. */
static int64_t id_of(const attend_embedding *d, int64_t row) {
    const attend_tensor *const ids = &d->ids;
    if (!given(ids))
        return (d->out.rank > 1 ? row % d->out.sizes[d->out.rank - 2] : 0) + d->id_offset;
    int64_t at = ids->offset;
    for (int32_t r = ids->rank - 1; r >= 0; r--) {
        at += row % ids->sizes[r] * ids->strides[r];
        row /= ids->sizes[r];
    }
    return ids->type == ATTEND_I64 ? ((const int64_t *)ids->data)[at]
                                   : ((const int32_t *)ids->data)[at];
}

static void embed_compute(const void *description, int64_t row, double *scratch) {
    const attend_embedding *const d = description;
    (void)scratch;
    const int64_t id = clamped(id_of(d, row), 0, d->table.sizes[0] - 1);
    const int64_t from = d->table.offset + id * d->table.strides[0], at = row_at(&d->out, row);
    for (int64_t n = 0; n < last_size(&d->out); n++) {
        double y = load(&d->table, from + n * d->table.strides[1]) * d->scale;
        if (given(&d->x)) y += row_element(&d->x, row, n, 0);
        store(&d->out, at + n * d->out.strides[d->out.rank - 1], y);
    }
}

const reference_operation attend__reference_embed = {"embed_f64__reference", no_scratch,
                                                     embed_items, embed_compute};
