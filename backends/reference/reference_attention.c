/* SPDX-License-Identifier: Apache-2.0
 *
 * The definition of attention and of its three steps (attend/attention.h), one query row at a time,
 * in double. An item is row i of sample b with all its heads, so that the mean of the weights needs
 * no second pass. */
#include "reference.h"
#include "reference_tensor.h"

typedef struct row {
    const attend_attention *a;
    int64_t b, h, i;
    bool taking_part; /* false at or beyond the query length */
    int64_t keys;     /* key length of the sample */
    int64_t position;
    int64_t first, end; /* the keys that position and length allow */
} row;

/* ---- which keys ----------------------------------------------------------------------------- */

/* Lengths that lay in a buffer were not checked by the host, hence the clamp. */
static int64_t sample_length(const attend_tensor *lengths, int64_t b, int64_t most) {
    return given(lengths) ? clamped(attend_tensor_index(lengths, b), 0, most) : most;
}

/* Row `item` in order of [B, L], before a head is chosen. */
static row row_make(const attend_attention *a, int64_t item, int64_t L, int64_t S) {
    row r = {.a = a, .b = item / L, .i = item % L};
    const int64_t queries = sample_length(&a->query_lengths, r.b, L);
    r.keys = sample_length(&a->key_lengths, r.b, S);
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

    r.end = r.taking_part ? r.keys : 0;
    if (a->causal && r.position + 1 < r.end) r.end = r.position + 1;
    if (a->window_right >= 0 && a->window_right < r.end - r.position)
        r.end = r.position + a->window_right + 1;
    if (a->window_left >= 0 && r.position > a->window_left) r.first = r.position - a->window_left;
    if (r.end < r.first) r.end = r.first;
    return r;
}

static bool allowed(const row *r, int64_t j) {
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
    return dot(q, k, at4(k, r->b, group, j, 0), k->strides[3], k->sizes[3]);
}

static void read_query(const row *r, double *q) {
    const attend_tensor *const t = &r->a->q;
    if (r->taking_part) read_row(t, at4(t, r->b, r->h, r->i, 0), t->strides[3], t->sizes[3], q);
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
        if (!allowed(r, j) || s[j] == -HUGE_VAL) continue;
        count++;
        if (s[j] > maximum) maximum = s[j];
    }
    if (count == 0) {
        r->end = r->first;
        return -HUGE_VAL;
    }
    if (sink != -HUGE_VAL) sum = exp(sink - maximum);
    for (int64_t j = r->first; j < r->end; j++) {
        s[j] = allowed(r, j) && s[j] != -HUGE_VAL ? exp(s[j] - maximum) : 0;
        sum += s[j];
    }
    for (int64_t j = r->first; j < r->end; j++)
        if (allowed(r, j)) s[j] /= sum;
    return maximum + log(sum);
}

/* out = sum of w_j v_j over the allowed keys; no other value is read. */
static void write_out(const row *r, const double *w, double *sum) {
    const attend_tensor *const out = &r->a->out, *const v = &r->a->v;
    const int64_t E = out->sizes[3], group = r->h / (out->sizes[1] / v->sizes[1]);
    for (int64_t e = 0; e < E; e++)
        sum[e] = 0;
    for (int64_t j = r->first; j < r->end; j++) {
        if (!allowed(r, j)) continue;
        const int64_t at = at4(v, r->b, group, j, 0);
        for (int64_t e = 0; e < E; e++)
            sum[e] += w[j] * load(v, at + e * v->strides[3]);
    }
    for (int64_t e = 0; e < E; e++)
        store(out, at4(out, r->b, r->h, r->i, e), sum[e]);
}

/* ---- side outputs -------------------------------------------------------------------------- */

/* Before MASKED the scores of all keys within the lengths are wanted, masked or not. */
static void write_scores(const row *r, const double *q) {
    const attend_tensor *const t = &r->a->scores;
    const int stage = (int)r->a->scores_stage;
    if (!given(t)) return;
    for (int64_t j = 0; j < t->sizes[3]; j++) {
        const bool wanted =
            stage == ATTEND_SCORES_MASKED ? allowed(r, j) : r->taking_part && j < r->keys;
        store(t, at4(t, r->b, r->h, r->i, j),
              wanted ? advance(r, j, product(r, q, j), ATTEND_SCORES_RAW, stage) : -HUGE_VAL);
    }
}

static void write_weights(const row *r, const double *w) {
    const attend_tensor *const t = &r->a->weights;
    if (!given(t)) return;
    for (int64_t j = 0; j < t->sizes[3]; j++)
        store(t, at4(t, r->b, r->h, r->i, j), allowed(r, j) ? w[j] : 0);
}

static void write_lse(const row *r, double lse) {
    const attend_tensor *const t = &r->a->lse;
    if (given(t)) store(t, at3(t, r->b, r->h, r->i), lse);
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
        if (allowed(r, j)) mean[j] += s[j];
}

static void clear(double *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        x[i] = 0;
}

/* ---- the operations ------------------------------------------------------------------------- */

/* Scratch: scores and sum of weights [S each], q [D], sum of values [E]. */
static int64_t attention_scratch(const void *description) {
    const attend_attention *const a = description;
    return 2 * a->k.sizes[2] + a->q.sizes[3] + a->out.sizes[3];
}

static int64_t attention_items(const void *description) {
    const attend_attention *const a = description;
    return a->q.sizes[0] * a->q.sizes[2];
}

static void attention_compute(const void *description, int64_t item, double *scratch) {
    const attend_attention *const a = description;
    const int64_t S = a->k.sizes[2], heads = a->q.sizes[1];
    double *const s = scratch, *const mean = s + S, *const q = mean + S;
    double *const sum = q + a->q.sizes[3];
    const row of_any_head = row_make(a, item, a->q.sizes[2], S);
    clear(mean, S);
    for (int64_t h = 0; h < heads; h++) {
        row r = of_any_head;
        r.h = h;
        read_query(&r, q);
        write_scores(&r, q);
        for (int64_t j = r.first; j < r.end; j++)
            if (allowed(&r, j))
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
    row r = row_make(a, item, a->q.sizes[2], a->k.sizes[2]);
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
    const row of_any_head = row_make(a, item, t->sizes[2], t->sizes[3]);
    clear(mean, t->sizes[3]);
    for (int64_t h = 0; h < t->sizes[1]; h++) {
        row r = of_any_head;
        r.h = h;
        for (int64_t j = r.first; j < r.end; j++)
            if (allowed(&r, j))
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
    return a->out.sizes[0] * a->out.sizes[2];
}

static void mix_compute(const void *description, int64_t item, double *scratch) {
    const attend_attention *const a = description;
    const attend_tensor *const t = &a->weights;
    row r = row_make(a, item, t->sizes[2], t->sizes[3]);
    for (r.h = 0; r.h < a->out.sizes[1]; r.h++) {
        for (int64_t j = r.first; j < r.end; j++)
            scratch[j] = allowed(&r, j) ? load(t, at4(t, r.b, r.h, r.i, j)) : 0;
        write_out(&r, scratch, scratch + t->sizes[3]);
    }
}

const reference_operation attend__reference_mix = {"mix_f64__reference", mix_scratch, mix_items,
                                                   mix_compute};
