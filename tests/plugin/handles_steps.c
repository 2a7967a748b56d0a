/* SPDX-License-Identifier: Apache-2.0
 *
 * Scores, masked softmax and mix in double precision, one row after the other, as
 * attend/attention.h defines them. */
#include "handles.h"

#include <math.h>

/* One query row: who may take part, and where it stands. */
typedef struct row {
    const attend_attention *a;
    int64_t b, h, i;
    int64_t keys;  /* keys of this sample */
    int64_t place; /* p */
    int beyond;    /* at or beyond the query length */
} row;

static int64_t at4(const attend_tensor *t, int64_t i0, int64_t i1, int64_t i2, int64_t i3) {
    return i0 * t->strides[0] + i1 * t->strides[1] + i2 * t->strides[2] + i3 * t->strides[3];
}

static int64_t length_of(const attend_tensor *lengths, int64_t b, int64_t all) {
    if (!given(lengths)) return all;
    const int64_t n = attend_tensor_index(lengths, b);
    return n < 0 ? 0 : n > all ? all : n;
}

static row row_at(const attend_attention *a, int64_t index, const int64_t sizes[4]) {
    const int64_t i = index % sizes[2], h = index / sizes[2] % sizes[1],
                  b = index / sizes[2] / sizes[1];
    row r = {.a = a, .b = b, .h = h, .i = i};
    const int64_t queries = length_of(&a->query_lengths, b, sizes[2]);
    r.keys = length_of(&a->key_lengths, b, sizes[3]);
    r.beyond = i >= queries;
    r.place = i;
    if (a->position == ATTEND_BOTTOM_RIGHT) r.place += r.keys - queries;
    if (a->position == ATTEND_AT_OFFSETS)
        r.place += a->query_offset +
                   (given(&a->query_offsets) ? attend_tensor_index(&a->query_offsets, b) : 0);
    return r;
}

static int covers(const attend_tensor *mask, const row *r, int64_t j) {
    return j < mask->sizes[3] && element(mask, at4(mask, r->b, r->h, r->i, j)) != 0;
}

static int allowed(const row *r, int64_t j) {
    const attend_attention *a = r->a;
    if (r->beyond || j >= r->keys) return 0;
#ifdef HANDLES_LOSES_A_KEY /* a test build that is wrong: somebody has to notice */
    if (j == r->keys - 1 && j > 0) return 0;
#endif
    if (a->causal && j > r->place) return 0;
    if (a->window_left >= 0 && j < r->place - a->window_left) return 0;
    if (a->window_right >= 0 && j > r->place + a->window_right) return 0;
    if (given(&a->mask) && !covers(&a->mask, r, j)) return 0;
    if (given(&a->key_mask) &&
        element(&a->key_mask, r->b * a->key_mask.strides[0] + j * a->key_mask.strides[1]) == 0)
        return 0;
    if (!given(&a->bias)) return 1;
    return j < a->bias.sizes[3] &&
           element(&a->bias, at4(&a->bias, r->b, r->h, r->i, j)) != -HUGE_VAL;
}

/* From `stage` up to `until`; j is allowed, or until is below MASKED. */
static double advance(const row *r, int64_t j, double s, int stage, int until) {
    const attend_attention *a = r->a;
    if (stage < ATTEND_SCORES_SCALED && until >= ATTEND_SCORES_SCALED) s *= a->scale;
    if (stage < ATTEND_SCORES_SOFTCAPPED && until >= ATTEND_SCORES_SOFTCAPPED && a->softcap > 0)
        s = a->softcap * tanh(s / a->softcap);
    if (stage >= ATTEND_SCORES_MASKED || until < ATTEND_SCORES_MASKED) return s;
    if (given(&a->bias)) s += element(&a->bias, at4(&a->bias, r->b, r->h, r->i, j));
    if (given(&a->alibi_slopes)) {
        const attend_tensor *slopes = &a->alibi_slopes;
        s -= element(slopes, r->b * slopes->strides[0] + r->h * slopes->strides[1]) *
             fabs((double)(r->place - j));
    }
    return s;
}

static double dot(const attend_attention *a, const row *r, int64_t j) {
    const int64_t g = r->h / (a->q.sizes[1] / a->k.sizes[1]);
    double sum = 0;
    for (int64_t d = 0; d < a->q.sizes[3]; d++)
        sum += element(&a->q, at4(&a->q, r->b, r->h, r->i, d)) *
               element(&a->k, at4(&a->k, r->b, g, j, d));
    return sum;
}

static void scores_row(const row *r) {
    const attend_tensor *scores = &r->a->scores;
    for (int64_t j = 0; j < scores->sizes[3]; j++) {
        const int masked = r->a->scores_stage == ATTEND_SCORES_MASKED;
        const int readable = !r->beyond && j < r->keys;
        double s = -HUGE_VAL;
        if (masked ? allowed(r, j) : readable)
            s = advance(r, j, dot(r->a, r, j), ATTEND_SCORES_RAW, (int)r->a->scores_stage);
        set_element(scores, at4(scores, r->b, r->h, r->i, j), s);
    }
}

static double score_in(const row *r, int64_t j, int *takes_part) {
    const attend_attention *a = r->a;
    const double s = element(&a->scores, at4(&a->scores, r->b, r->h, r->i, j));
    if (a->scores_stage == ATTEND_SCORES_MASKED) {
        *takes_part = !r->beyond && j < r->keys && s != -HUGE_VAL;
        return s;
    }
    *takes_part = allowed(r, j);
    return *takes_part ? advance(r, j, s, (int)a->scores_stage, ATTEND_SCORES_MASKED) : 0;
}

static void softmax_row(const row *r) {
    const attend_attention *a = r->a;
    const int sink = given(&a->sinks) && !r->beyond;
    double top = sink ? element(&a->sinks, r->h * a->sinks.strides[0]) : -HUGE_VAL;
    const double sink_score = top;
    int part;
    for (int64_t j = 0; j < a->scores.sizes[3]; j++) {
        const double s = score_in(r, j, &part);
        if (part && !(s <= top)) top = isnan(top) ? top : s;
    }
    double sum = sink && sink_score > -HUGE_VAL ? exp(sink_score - top) : 0;
    for (int64_t j = 0; j < a->scores.sizes[3]; j++) {
        const double s = score_in(r, j, &part);
        if (part && s != -HUGE_VAL) sum += exp(s - top);
    }
    for (int64_t j = 0; j < a->scores.sizes[3]; j++) {
        const double s = score_in(r, j, &part);
        const double w = part && s != -HUGE_VAL ? exp(s - top) / sum : 0;
        set_element(&a->weights, at4(&a->weights, r->b, r->h, r->i, j), w);
    }
    if (given(&a->lse))
        set_element(&a->lse,
                    r->b * a->lse.strides[0] + r->h * a->lse.strides[1] + r->i * a->lse.strides[2],
                    top == -HUGE_VAL ? top : top + log(sum));
}

static void mix_row(const row *r) {
    const attend_attention *a = r->a;
    const int64_t g = r->h / (a->weights.sizes[1] / a->v.sizes[1]);
    for (int64_t e = 0; e < a->v.sizes[3]; e++) {
        double sum = 0;
        for (int64_t j = 0; j < a->weights.sizes[3]; j++)
            if (allowed(r, j))
                sum += element(&a->weights, at4(&a->weights, r->b, r->h, r->i, j)) *
                       element(&a->v, at4(&a->v, r->b, g, j, e));
        set_element(&a->out, at4(&a->out, r->b, r->h, r->i, e), sum);
    }
}

static void average_heads(const attend_attention *a) {
    const int64_t *n = a->weights.sizes;
    const attend_tensor *mean = &a->weights_mean;
    for (int64_t b = 0; b < n[0]; b++)
        for (int64_t i = 0; i < n[2]; i++)
            for (int64_t j = 0; j < n[3]; j++) {
                double sum = 0;
                for (int64_t h = 0; h < n[1]; h++)
                    sum += element(&a->weights, at4(&a->weights, b, h, i, j));
                set_element(mean,
                            b * mean->strides[0] + i * mean->strides[1] + j * mean->strides[2],
                            sum / (double)n[1]);
            }
}

void run_attention_step(attend_operation operation, const attend_attention *a) {
    const int64_t *sizes = operation == ATTEND_OP_MIX ? a->weights.sizes : a->scores.sizes;
    for (int64_t index = 0; index < sizes[0] * sizes[1] * sizes[2]; index++) {
        const row r = row_at(a, index, sizes);
        if (operation == ATTEND_OP_SCORES) scores_row(&r);
        if (operation == ATTEND_OP_SOFTMAX) softmax_row(&r);
        if (operation == ATTEND_OP_MIX) mix_row(&r);
    }
    if (operation == ATTEND_OP_SOFTMAX && given(&a->weights_mean)) average_heads(a);
}
