/* SPDX-License-Identifier: Apache-2.0
 *
 * The definition of attention and of its three steps (attend/attention.h), one query row at a time,
 * in double. An item is row i of sample b with all its heads, so that the mean of the weights needs
 * no second pass. */
#include "reference.h"
#include "reference_row.h"

/* ---- the formula ---------------------------------------------------------------------------- */

/* Takes the score of key j, which is as far as stage `from`, on to stage `to`. */
static double advance(const row *r, int64_t j, double s, int from, int to) {
    const attend_attention *const a = r->a;
    if (from < ATTEND_SCORES_SCALED && to >= ATTEND_SCORES_SCALED) s *= a->scale;
    if (from < ATTEND_SCORES_SOFTCAPPED && to >= ATTEND_SCORES_SOFTCAPPED && a->softcap > 0)
        s = a->softcap * tanh(s / a->softcap);
    if (from < ATTEND_SCORES_MASKED && to >= ATTEND_SCORES_MASKED) {
        if (given(&a->bias)) s += load(&a->bias, at4(&a->bias, r->b, r->h, r->i, j));
        if (given(&a->alibi_slopes)) {
            const attend_tensor *const t = &a->alibi_slopes;
            s -= load(t, t->offset + r->b * t->strides[0] + r->h * t->strides[1]) *
                 fabs((double)(r->position - j));
        }
    }
    return s;
}

/* q_i . k_j */
static double product(const row *r, const double *q, int64_t j) {
    const attend_tensor *const k = &r->a->k;
    const int64_t group = r->h / (r->a->q.sizes[1] / k->sizes[1]);
    const key_row key = attend__reference_key(r, k, &r->a->k_scales, group, j);
    if (!key.scaled) return dot(q, k, key.at, key.stride, k->sizes[3]);
    double sum = 0;
    for (int64_t d = 0; d < k->sizes[3]; d++)
        sum += q[d] * key_element(&key, d);
    return sum;
}

static void read_query(const row *r, double *q) {
    const attend_tensor *const t = &r->a->q;
    if (r->taking_part)
        read_row(t, attend__reference_query_at(r, t), t->strides[3], t->sizes[3], q);
}

/* Scores at MASKED become weights; returns lse. Whether a row is empty is decided by counting: a
 * sum that is zero or NaN may be data's. Scores of -inf that data made count as no key, as a weight
 * of 0 would. */
static double normalise(row *r, double *s) {
    const attend_attention *const a = r->a;
    const double sink = given(&a->sinks) && r->taking_part
                            ? load(&a->sinks, a->sinks.offset + r->h * a->sinks.strides[0])
                            : -HUGE_VAL;
    double maximum = sink > -HUGE_VAL ? sink : -HUGE_VAL, sum = 0;
    int64_t count = sink != -HUGE_VAL;
    for (int64_t j = r->first; j < r->end; j++) {
        if (!attend__reference_allowed(r, j) || s[j] == -HUGE_VAL) continue;
        count++;
        if (s[j] > maximum) maximum = s[j];
    }
    if (count == 0) {
        r->end = r->first;
        return -HUGE_VAL;
    }
    if (sink != -HUGE_VAL) sum = exp(sink - maximum);
    for (int64_t j = r->first; j < r->end; j++) {
        s[j] = attend__reference_allowed(r, j) && s[j] != -HUGE_VAL ? exp(s[j] - maximum) : 0;
        sum += s[j];
    }
    for (int64_t j = r->first; j < r->end; j++)
        if (attend__reference_allowed(r, j)) s[j] /= sum;
    return maximum + log(sum);
}

/* Rows of a packed batch behind a sample's last belong to another sample, or to none. */
static bool has_row(const row *r) {
    return !r->packed || r->taking_part;
}

/* out = sum of w_j v_j over the allowed keys; no other value is read. */
static void write_out(const row *r, const double *w, double *sum) {
    const attend_tensor *const out = &r->a->out, *const v = &r->a->v;
    const int64_t E = out->sizes[3], group = r->h / (out->sizes[1] / v->sizes[1]);
    if (!has_row(r)) return;
    for (int64_t e = 0; e < E; e++)
        sum[e] = 0;
    for (int64_t j = r->first; j < r->end; j++) {
        if (!attend__reference_allowed(r, j)) continue;
        const key_row value = attend__reference_key(r, v, &r->a->v_scales, group, j);
        for (int64_t e = 0; e < E; e++)
            sum[e] += w[j] * key_element(&value, e);
    }
    const int64_t at = attend__reference_query_at(r, out);
    for (int64_t e = 0; e < E; e++)
        store(out, at + e * out->strides[3], sum[e]);
}

/* ---- side outputs -------------------------------------------------------------------------- */

/* Before MASKED the scores of all keys within lengths and key range are wanted, masked or not. */
static double score(const row *r, const double *q, int64_t j) {
    const int stage = (int)r->a->scores_stage;
    if (r->packed && !(r->taking_part && j < r->keys)) return 0; /* padding */
    const bool wanted = stage == ATTEND_SCORES_MASKED
                            ? attend__reference_allowed(r, j)
                            : r->taking_part && j >= r->begin && j < r->limit;
    return wanted ? advance(r, j, product(r, q, j), ATTEND_SCORES_RAW, stage) : -HUGE_VAL;
}

static void write_scores(const row *r, const double *q) {
    const attend_tensor *const t = &r->a->scores;
    if (!given(t)) return;
    for (int64_t j = 0; j < t->sizes[3]; j++)
        store(t, at4(t, r->b, r->h, r->i, j), score(r, q, j));
}

static void write_weights(const row *r, const double *w) {
    const attend_tensor *const t = &r->a->weights;
    if (!given(t)) return;
    for (int64_t j = 0; j < t->sizes[3]; j++)
        store(t, at4(t, r->b, r->h, r->i, j), attend__reference_allowed(r, j) ? w[j] : 0);
}

static void write_lse(const row *r, double lse) {
    const attend_tensor *const t = &r->a->lse;
    if (given(t) && has_row(r)) store(t, attend__reference_query_at(r, t), lse);
}

static void write_mean(const row *r, const double *sum, int64_t heads) {
    const attend_tensor *const t = &r->a->weights_mean;
    if (!given(t)) return;
    for (int64_t j = 0; j < t->sizes[2]; j++)
        store(t, at3(t, r->b, r->i, j), sum[j] / (double)heads);
}

/* From weights of head h on: what attention and the softmax step share. */
static void write_softmax(row *r, double *s, double *mean) {
    write_lse(r, normalise(r, s));
    write_weights(r, s);
    if (!given(&r->a->weights_mean)) return;
    for (int64_t j = r->first; j < r->end; j++)
        if (attend__reference_allowed(r, j)) mean[j] += s[j];
}

static void clear(double *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        x[i] = 0;
}

/* ---- the operations ------------------------------------------------------------------------- */

/* Scratch: scores and sum of weights [S each], q [D], sum of values [E]. */
static int64_t attention_scratch(const void *description) {
    const attend_attention *const a = description;
    return 2 * a->max_key_length + a->q.sizes[3] + a->out.sizes[3];
}

/* Rows of a sample: the longest may be said to be longer than all that are packed, which counts
 * only where padded outputs have as many. */
static int64_t rows_each(const attend_attention *a) {
    const bool padded = !given(&a->cu_query_lengths) || given(&a->weights) ||
                        given(&a->weights_mean) || given(&a->scores);
    return padded ? a->max_query_length : clamped(a->q.sizes[2], 0, a->max_query_length);
}

static int64_t attention_items(const void *description) {
    const attend_attention *const a = description;
    return attend_attention_samples(a) * rows_each(a);
}

static void attention_compute(const void *description, int64_t item, double *scratch) {
    const attend_attention *const a = description;
    const int64_t S = a->max_key_length, heads = a->q.sizes[1];
    double *const s = scratch, *const mean = s + S, *const q = mean + S;
    double *const sum = q + a->q.sizes[3];
    const row_shape shape = {rows_each(a), S, &a->q, &a->k};
    const row of_any_head = attend__reference_row(a, item, &shape);
    clear(mean, S);
    for (int64_t h = 0; h < heads; h++) {
        row r = of_any_head;
        r.h = h;
        read_query(&r, q);
        write_scores(&r, q);
        for (int64_t j = r.first; j < r.end; j++)
            if (attend__reference_allowed(&r, j))
                s[j] = advance(&r, j, product(&r, q, j), ATTEND_SCORES_RAW, ATTEND_SCORES_MASKED);
        write_softmax(&r, s, mean);
        write_out(&r, s, sum);
    }
    write_mean(&of_any_head, mean, heads);
}

const reference_operation attend__reference_attention = {
    "attention_f64__reference", attention_scratch, attention_items, attention_compute};

static int64_t scores_scratch(const void *description) {
    const attend_attention *const a = description;
    return a->q.sizes[3];
}

static void scores_compute(const void *description, int64_t item, double *scratch) {
    const attend_attention *const a = description;
    const row_shape shape = {rows_each(a), a->max_key_length, &a->q, &a->k};
    row r = attend__reference_row(a, item, &shape);
    for (r.h = 0; r.h < a->q.sizes[1]; r.h++) {
        read_query(&r, scratch);
        write_scores(&r, scratch);
    }
}

const reference_operation attend__reference_scores = {"scores_f64__reference", scores_scratch,
                                                      attention_items, scores_compute};

static int64_t softmax_scratch(const void *description) {
    const attend_attention *const a = description;
    return 2 * a->scores.sizes[3];
}

static int64_t softmax_items(const void *description) {
    const attend_attention *const a = description;
    return a->scores.sizes[0] * a->scores.sizes[2];
}

static void softmax_compute(const void *description, int64_t item, double *scratch) {
    const attend_attention *const a = description;
    const attend_tensor *const t = &a->scores;
    double *const s = scratch, *const mean = s + t->sizes[3];
    const row_shape shape = {t->sizes[2], t->sizes[3], given(&a->lse) ? &a->lse : NULL, NULL};
    const row of_any_head = attend__reference_row(a, item, &shape);
    clear(mean, t->sizes[3]);
    for (int64_t h = 0; h < t->sizes[1]; h++) {
        row r = of_any_head;
        r.h = h;
        for (int64_t j = r.first; j < r.end; j++)
            if (attend__reference_allowed(&r, j))
                s[j] = advance(&r, j, load(t, at4(t, r.b, h, r.i, j)), (int)a->scores_stage,
                               ATTEND_SCORES_MASKED);
        write_softmax(&r, s, mean);
    }
    write_mean(&of_any_head, mean, t->sizes[1]);
}

const reference_operation attend__reference_softmax = {"softmax_f64__reference", softmax_scratch,
                                                       softmax_items, softmax_compute};

static int64_t mix_scratch(const void *description) {
    const attend_attention *const a = description;
    return a->weights.sizes[3] + a->out.sizes[3];
}

static int64_t mix_items(const void *description) {
    const attend_attention *const a = description;
    return a->weights.sizes[0] * a->weights.sizes[2];
}

static void mix_compute(const void *description, int64_t item, double *scratch) {
    const attend_attention *const a = description;
    const attend_tensor *const t = &a->weights;
    const row_shape shape = {t->sizes[2], t->sizes[3], &a->out, &a->v};
    row r = attend__reference_row(a, item, &shape);
    for (r.h = 0; r.h < a->out.sizes[1]; r.h++) {
        for (int64_t j = r.first; j < r.end; j++)
            scratch[j] = attend__reference_allowed(&r, j) ? load(t, at4(t, r.b, r.h, r.i, j)) : 0;
        write_out(&r, scratch, scratch + t->sizes[3]);
    }
}

const reference_operation attend__reference_mix = {"mix_f64__reference", mix_scratch, mix_items,
                                                   mix_compute};
