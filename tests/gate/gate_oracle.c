/* SPDX-License-Identifier: Apache-2.0
 *
 * One row of attention in float64 by the formula of attend/attention.h, with the bound of
 * docs/numerics.md beside each value. Reads the description as a caller wrote it (masks of any
 * rank), not as a backend gets it. */
#include "gate.h"

#include <math.h>
#include <stdlib.h>

static const double u = 0x1p-24;
static const double least = 1e-37;

bool gate_row_make(gate_row *r, int64_t keys) {
    const size_t n = keys ? (size_t)keys : 1;
    *r = (gate_row){0};
    r->allowed = malloc(n * sizeof *r->allowed);
    double **const arrays[] = {&r->score,  &r->stage,        &r->stage_bound,
                               &r->weight, &r->weight_bound, &r->error};
    bool enough = r->allowed != NULL;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i] = malloc(n * sizeof(double));
        enough = enough && *arrays[i];
    }
    if (!enough) gate_row_free(r);
    return enough;
}

void gate_row_free(gate_row *r) {
    free(r->allowed);
    free(r->score);
    free(r->stage);
    free(r->stage_bound);
    free(r->weight);
    free(r->weight_bound);
    free(r->error);
    *r = (gate_row){0};
}

static int64_t length(const attend_tensor *lengths, int64_t b, int64_t all) {
    return lengths->type ? (int64_t)gate_load(lengths, &b) : all;
}

/* Element [b, h, i, j] of a right-aligned mask; false where its last dimension does not reach j. */
static bool aligned(const attend_tensor *mask, const int64_t index[4], int64_t keys,
                    double *value) {
    int64_t at[4] = {0};
    for (int32_t d = 0; d < mask->rank; d++) {
        const int64_t wanted = index[4 - mask->rank + d], size = mask->sizes[d];
        const bool is_last = d == mask->rank - 1;
        at[d] = size == 1 && !(is_last && keys == 1) ? 0 : wanted;
        if (is_last && size != 1 && wanted >= size) return false;
    }
    *value = gate_load(mask, at);
    return true;
}

static int64_t position(const attend_attention *a, int64_t b, int64_t i, const int64_t lengths[2]) {
    if (a->position == ATTEND_BOTTOM_RIGHT) return i + lengths[1] - lengths[0];
    if (a->position != ATTEND_AT_OFFSETS) return i;
    return i + a->query_offset + length(&a->query_offsets, b, 0);
}

/* Below the key length and in the range of keys: what is not has no score at any stage. */
static bool takes_part(const attend_attention *a, int64_t j, int64_t keys) {
    return j < keys && j >= a->key_begin && (a->key_end == 0 || j < a->key_end);
}

static bool allowed(const attend_attention *a, const int64_t at[4], int64_t p, int64_t keys,
                    double *bias) {
    const int64_t j = at[3], all = a->k.sizes[2];
    double value;
    *bias = 0;
    if (!takes_part(a, j, keys)) return false;
    if (a->causal && j > p) return false;
    if (a->window_left >= 0 && p - j > a->window_left) return false;
    if (a->window_right >= 0 && j - p > a->window_right) return false;
    if (a->mask.type && (!aligned(&a->mask, at, all, &value) || value == 0)) return false;
    if (a->key_mask.type && gate_load(&a->key_mask, (const int64_t[2]){at[0], j}) == 0)
        return false;
    if (!a->bias.type) return true;
    if (!aligned(&a->bias, at, all, bias)) return false;
    return *bias != -HUGE_VAL;
}

/* Scores of key j at every stage; returns sum |q||k|. */
static double scores(const attend_attention *a, const int64_t at[4], double bias, double distance,
                     double stage[4]) {
    const int64_t b = at[0], h = at[1], g = h / (a->q.sizes[1] / a->k.sizes[1]), D = a->q.sizes[3];
    double sum = 0, size = 0;
    for (int64_t d = 0; d < D; d++) {
        const double product = gate_load(&a->q, (const int64_t[4]){b, h, at[2], d}) *
                               gate_load(&a->k, (const int64_t[4]){b, g, at[3], d});
        sum += product;
        size += fabs(product);
    }
    const double scale = a->has_scale ? a->scale : D ? 1 / sqrt((double)D) : 1;
    stage[0] = sum;
    stage[1] = scale * sum;
    stage[2] = a->softcap > 0 ? a->softcap * tanh(stage[1] / a->softcap) : stage[1];
    stage[3] = stage[2] + bias - distance;
    return size;
}

static double slope(const attend_attention *a, int64_t b, int64_t h) {
    if (!a->alibi_slopes.type) return 0;
    const int64_t at[2] = {b, h};
    return gate_load(&a->alibi_slopes, a->alibi_slopes.rank == 2 ? at : at + 1);
}

/* lse, weights and the errors of a row whose scores and e_j (in `error`) are there. */
static void normalise(gate_row *r, double sink, int64_t S) {
    double top = sink, sum = 0;
    for (int64_t j = 0; j < S; j++)
        if (r->allowed[j] && r->score[j] > top) top = r->score[j];
    if (sink > -HUGE_VAL) sum = exp(sink - top);
    for (int64_t j = 0; j < S; j++)
        if (r->allowed[j]) sum += exp(r->score[j] - top);
    r->lse = top == -HUGE_VAL ? top : top + log(sum);
    const double lse = r->lse == -HUGE_VAL ? 0 : fabs(r->lse);
    const double t = fmax(sqrt((double)S), 64) + 8;
    double m = 0;
    for (int64_t j = 0; j < S; j++) {
        r->weight[j] = r->allowed[j] ? exp(r->score[j] - r->lse) : 0;
        if (r->allowed[j]) r->error[j] += u * lse;
        m += r->weight[j] * r->error[j];
    }
    for (int64_t j = 0; j < S; j++) {
        r->error[j] += m + u * t;
        r->weight_bound[j] = r->weight[j] * r->error[j] + least;
    }
    r->lse_bound = m + u * t + u * lse + least;
}

void gate_row_compute(gate_row *r, const attend_attention *a, int64_t b, int64_t h, int64_t i) {
    const int64_t S = a->k.sizes[2], D = a->q.sizes[3];
    const int64_t lengths[2] = {length(&a->query_lengths, b, a->q.sizes[2]),
                                length(&a->key_lengths, b, S)};
    const int64_t p = position(a, b, i, lengths);
    const double scale = a->has_scale ? a->scale : D ? 1 / sqrt((double)D) : 1;
    r->beyond = i >= lengths[0];
    r->keys = lengths[1];
    for (int64_t j = 0; j < S; j++) {
        const int64_t at[4] = {b, h, i, j};
        const double distance = slope(a, b, h) * fabs((double)(p - j));
        double bias, stage[4];
        r->allowed[j] = allowed(a, at, p, lengths[1], &bias) && !r->beyond;
        const double size = scores(a, at, bias, distance, stage);
        const double raw = (2 * sqrt((double)D) + 8) * size;
        const double magnitude = fabs(scale) * size + fabs(bias) + fabs(distance);
        r->score[j] = r->allowed[j] ? stage[3] : -HUGE_VAL;
        r->error[j] =
            r->allowed[j] ? u * ((2 * sqrt((double)D) + 8) * magnitude + fabs(stage[3])) : 0;
        const int reached = (int)a->scores_stage - 1;
        const bool shown =
            reached == 3 ? r->allowed[j] : !r->beyond && takes_part(a, j, lengths[1]);
        r->stage[j] = shown ? stage[reached] : -HUGE_VAL;
        r->stage_bound[j] =
            u * ((reached == 0 ? raw : fabs(scale) * raw) + fabs(stage[reached])) + least;
        if (reached == 3) r->stage_bound[j] = r->error[j] + least;
    }
    const double sink = a->sinks.type && !r->beyond ? gate_load(&a->sinks, &h) : -HUGE_VAL;
    normalise(r, sink, S);
}

double gate_row_output(const gate_row *r, const attend_attention *a, int64_t b, int64_t h,
                       int64_t e, double *bound) {
    const int64_t S = a->k.sizes[2], g = h / (a->q.sizes[1] / a->v.sizes[1]);
    double sum = 0;
    *bound = least;
    for (int64_t j = 0; j < S; j++) {
        if (!r->allowed[j]) continue;
        const double v = gate_load(&a->v, (const int64_t[4]){b, g, j, e});
        sum += r->weight[j] * v;
        *bound += r->weight[j] * fabs(v) * r->error[j];
    }
    return sum;
}
