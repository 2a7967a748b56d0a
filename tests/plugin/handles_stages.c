/* SPDX-License-Identifier: Apache-2.0
 *
 * Projection, copy, norm, activation, rotary positions and embedding in double precision, element
 * by element. */
#include "handles.h"

#include <math.h>

/* Where element `index` (last dimension fastest) of a tensor with these sizes lies. */
static int64_t place(const attend_tensor *t, const attend_tensor *shape, int64_t index) {
    int64_t at = 0;
    for (int32_t d = shape->rank - 1; d >= 0; d--) {
        at += index % shape->sizes[d] * t->strides[d];
        index /= shape->sizes[d];
    }
    return at;
}

static int64_t count(const attend_tensor *t) {
    int64_t n = 1;
    for (int32_t d = 0; d < t->rank; d++)
        n *= t->sizes[d];
    return n;
}

static int64_t last(const attend_tensor *t) {
    return t->sizes[t->rank - 1];
}

/* Start of row `index` of a [.., N] tensor whose rows have the sizes of `shape`'s. */
static int64_t row_start(const attend_tensor *t, const attend_tensor *shape, int64_t index) {
    int64_t at = 0;
    for (int32_t d = shape->rank - 2; d >= 0; d--) {
        at += index % shape->sizes[d] * t->strides[d];
        index /= shape->sizes[d];
    }
    return at;
}

static double activated(attend_activation activation, double x) {
    switch (activation) {
    case ATTEND_RELU:
        return x > 0 || isnan(x) ? x : 0;
    case ATTEND_GELU:
        return x / 2 * (1 + erf(x / sqrt(2.0)));
    case ATTEND_GELU_TANH:
        return x / 2 * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case ATTEND_SILU:
        return x / (1 + exp(-x));
    case ATTEND_SIGMOID:
        return 1 / (1 + exp(-x));
    case ATTEND_TANH:
        return tanh(x);
    default:
        return x;
    }
}

void run_project(const attend_projection *p) {
    const int64_t n = last(&p->out), k = last(&p->x);
    for (int64_t index = 0; index < count(&p->out); index++) {
        const int64_t column = index % n, x = row_start(&p->x, &p->x, index / n);
        double sum = 0;
        for (int64_t i = 0; i < k; i++)
            sum += element(&p->x, x + i * p->x.strides[p->x.rank - 1]) *
                   element(&p->w, column * p->w.strides[0] + i * p->w.strides[1]);
        if (given(&p->bias)) sum += element(&p->bias, column * p->bias.strides[0]);
        double y = activated(p->activation, sum);
        if (given(&p->multiplier))
            y *= element(&p->multiplier, place(&p->multiplier, &p->out, index));
        if (given(&p->residual)) y += element(&p->residual, place(&p->residual, &p->out, index));
        set_element(&p->out, place(&p->out, &p->out, index), y);
    }
}

void run_copy(const attend_copy *c) {
    for (int64_t index = 0; index < count(&c->out); index++)
        set_element(&c->out, place(&c->out, &c->out, index),
                    element(&c->x, place(&c->x, &c->out, index)));
}

static double norm_input(const attend_norm *n, int64_t index) {
    double x = element(&n->x, place(&n->x, &n->out, index));
    if (given(&n->residual)) x += element(&n->residual, place(&n->residual, &n->out, index));
    return x;
}

static void norm_row(const attend_norm *n, int64_t first, int64_t m) {
    double mean = 0, square = 0;
    for (int64_t i = 0; i < m && n->kind == ATTEND_LAYER_NORM; i++)
        mean += norm_input(n, first + i) / (double)m;
    for (int64_t i = 0; i < m; i++)
        square += pow(norm_input(n, first + i) - mean, 2) / (double)m;
    const double factor = 1 / sqrt(square + n->eps);
    for (int64_t i = 0; i < m; i++) {
        const double x = norm_input(n, first + i);
        double y = (x - mean) * factor;
        if (given(&n->weight)) y *= element(&n->weight, i * n->weight.strides[0]);
        if (given(&n->bias)) y += element(&n->bias, i * n->bias.strides[0]);
        if (given(&n->sum)) set_element(&n->sum, place(&n->sum, &n->out, first + i), x);
        set_element(&n->out, place(&n->out, &n->out, first + i), y);
    }
}

void run_norm(const attend_norm *n) {
    /* In place rows are read before they are written only if out is written after all reads: y of
     * element i needs x of element i alone once mean and factor are known. With `sum` over x and
     * `out` over the residual each element is still read before either is stored. */
    const int64_t m = last(&n->out);
    for (int64_t first = 0; first < count(&n->out); first += m)
        norm_row(n, first, m);
}

void run_activate(const attend_elementwise *e) {
    for (int64_t index = 0; index < count(&e->out); index++) {
        double y = activated(e->activation, element(&e->x, place(&e->x, &e->out, index)));
        if (given(&e->multiplier))
            y *= element(&e->multiplier, place(&e->multiplier, &e->out, index));
        if (given(&e->residual)) y += element(&e->residual, place(&e->residual, &e->out, index));
        set_element(&e->out, place(&e->out, &e->out, index), y);
    }
}

static void rope_row(const attend_rope *r, const int64_t at[3]) {
    const int64_t b = at[0], h = at[1], i = at[2], d = r->x.sizes[3];
    const int64_t turned = r->rotary_dim ? r->rotary_dim : d, n = turned / 2;
    const int64_t x = b * r->x.strides[0] + h * r->x.strides[1] + i * r->x.strides[2];
    const int64_t out = b * r->out.strides[0] + h * r->out.strides[1] + i * r->out.strides[2];
    int64_t p = i + r->position_offset;
    if (given(&r->position_ids)) {
        p = (int64_t)element(&r->position_ids,
                             b * r->position_ids.strides[0] + i * r->position_ids.strides[1]);
        p = p < 0 ? 0 : p >= r->cos.sizes[0] ? r->cos.sizes[0] - 1 : p;
    }
    const int64_t *cs = r->cos.strides, *ss = r->sin.strides;
    const int64_t c_row = r->cos.rank == 3 ? b * cs[0] + i * cs[1] : p * cs[0];
    const int64_t s_row = r->sin.rank == 3 ? b * ss[0] + i * ss[1] : p * ss[0];
    for (int64_t k = 0; k < n; k++) {
        const int64_t one = r->interleaved ? 2 * k : k, two = r->interleaved ? 2 * k + 1 : n + k;
        const double c = element(&r->cos, c_row + k * cs[r->cos.rank - 1]);
        const double s = element(&r->sin, s_row + k * ss[r->sin.rank - 1]);
        const double x1 = element(&r->x, x + one * r->x.strides[3]);
        const double x2 = element(&r->x, x + two * r->x.strides[3]);
        set_element(&r->out, out + one * r->out.strides[3], c * x1 - s * x2);
        set_element(&r->out, out + two * r->out.strides[3], s * x1 + c * x2);
    }
    for (int64_t k = turned; k < d; k++)
        set_element(&r->out, out + k * r->out.strides[3], element(&r->x, x + k * r->x.strides[3]));
}

void run_rope(const attend_rope *r) {
    for (int64_t b = 0; b < r->x.sizes[0]; b++)
        for (int64_t h = 0; h < r->x.sizes[1]; h++)
            for (int64_t i = 0; i < r->x.sizes[2]; i++)
                rope_row(r, (const int64_t[3]){b, h, i});
}

void run_embed(const attend_embedding *e) {
    const int64_t m = last(&e->out);
    for (int64_t index = 0; index < count(&e->out); index++) {
        const int64_t row = index / m, rows = e->out.rank > 1 ? e->out.sizes[e->out.rank - 2] : 1;
        int64_t id = row % rows + e->id_offset;
        if (given(&e->ids)) id = (int64_t)element(&e->ids, row_start(&e->ids, &e->out, row));
        id = id < 0 ? 0 : id >= e->table.sizes[0] ? e->table.sizes[0] - 1 : id;
        double y = e->scale *
                   element(&e->table, id * e->table.strides[0] + index % m * e->table.strides[1]);
        if (given(&e->x)) y += element(&e->x, place(&e->x, &e->out, index));
        set_element(&e->out, place(&e->out, &e->out, index), y);
    }
}
