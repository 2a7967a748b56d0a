/* SPDX-License-Identifier: Apache-2.0
 *
 * Holds the outputs of a case that ran against the oracle, row by row. */
#include "gate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 64 };

const char *const gate_kind_text[GATE_KINDS] = {"out", "weights", "weights_mean", "scores", "lse"};

double gate_ratio(double got, double want, double bound, attend_type type) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : HUGE_VAL;
    if (isinf(want) || isinf(got)) return want == got ? 0 : HUGE_VAL;
    return fabs(got - want) / (bound + gate_half_unit(type, fabs(want) + bound));
}

/* What is compared, for the line of a failure. */
typedef struct judge {
    const gate_case *c;
    gate_worst *worst;
    uint64_t index;
    bool good;
} judge;

static void judge_value(judge *j, gate_kind kind, const attend_tensor *t, const int64_t *at,
                        const double want_and_bound[2]) {
    const double got = gate_load(t, at), want = want_and_bound[0];
    const double ratio = gate_ratio(got, want, want_and_bound[1], t->type);
    gate_worst *w = j->worst;
    const int narrow = t->type != ATTEND_F32;
    w->values++;
    if (ratio > w->ratio[kind][narrow]) {
        w->ratio[kind][narrow] = ratio;
        w->index[kind][narrow] = j->index;
    }
    if (ratio <= 1) return;
    if (j->good)
        snprintf(w->first_failure, sizeof w->first_failure,
                 "%s[%d,%d,%d,%d]: got %.9g, want %.9g, bound %.3g", gate_kind_text[kind],
                 (int)at[0], (int)at[1], (int)at[2], t->rank > 3 ? (int)at[3] : 0, got, want,
                 want_and_bound[1]);
    j->good = false;
}

static void check_output(judge *j, const gate_row *row, const int64_t at[3]) {
    const attend_attention *a = &j->c->a;
    int64_t to[4];
    if (!gate_case_row(j->c, at, to)) return;
    for (to[3] = 0; to[3] < j->c->E; to[3]++) {
        double pair[2];
        pair[0] = gate_row_output(row, &j->c->truth, at[0], at[1], to[3], &pair[1]);
        judge_value(j, GATE_KIND_OUT, &a->out, to, pair);
    }
    if (a->lse.type)
        judge_value(j, GATE_KIND_LSE, &a->lse, to, (const double[2]){row->lse, row->lse_bound});
}

static void check_row(judge *j, const gate_row *row, const int64_t at[3]) {
    const attend_attention *a = &j->c->a;
    const int64_t b = at[0], h = at[1], i = at[2];
    const bool packed = a->cu_query_lengths.type != ATTEND_NO_TYPE;
    check_output(j, row, at);
    for (int64_t s = 0; s < j->c->S; s++) {
        const int64_t key[4] = {b, h, i, s};
        /* an excluded key has weight 0 exactly */
        const double bound = row->allowed[s] ? row->weight_bound[s] : 0x1p-1000;
        if (a->weights.type)
            judge_value(j, GATE_KIND_WEIGHT, &a->weights, key,
                        (const double[2]){row->weight[s], bound});
        /* padding that no sample of a packed batch has */
        const bool padding = packed && (row->beyond || s >= row->keys);
        if (a->scores.type)
            judge_value(j, GATE_KIND_SCORE, &a->scores, key,
                        (const double[2]){padding ? 0 : row->stage[s],
                                          padding ? 0x1p-1000 : row->stage_bound[s]});
    }
}

/* The mean over the heads of row (b, i): the mean of their bounds, and one rounding a head. */
static bool check_mean(judge *j, gate_row *row, int64_t b, int64_t i) {
    const attend_attention *a = &j->c->a;
    double *const mean = calloc((size_t)j->c->S * 2, sizeof *mean);
    if (!mean) return false;
    for (int64_t h = 0; h < j->c->H; h++) {
        gate_row_compute(row, &j->c->truth, b, h, i);
        for (int64_t s = 0; s < j->c->S; s++) {
            mean[2 * s] += row->weight[s] / (double)j->c->H;
            mean[2 * s + 1] += (row->weight_bound[s] + row->weight[s] * (double)j->c->H * 0x1p-24) /
                               (double)j->c->H;
        }
    }
    for (int64_t s = 0; s < j->c->S; s++)
        judge_value(j, GATE_KIND_MEAN, &a->weights_mean, (const int64_t[3]){b, i, s}, mean + 2 * s);
    free(mean);
    return true;
}

bool gate_check(const gate_case *c, uint64_t seed, uint64_t index, gate_row *row,
                gate_worst *worst) {
    gate_random random = {seed ^ index * 0x9e3779b97f4a7c15u}, *r = &random;
    judge j = {.c = c, .worst = worst, .index = index, .good = true};
    worst->first_failure[0] = 0;
    const int64_t rows = c->B * c->H * c->L;
    for (int64_t n = 0; n < rows && n < ROWS; n++) {
        /* the first and the last always; all where there are few */
        int64_t at = rows <= ROWS ? n : n == 0 ? 0 : n == 1 ? rows - 1 : gate_range(r, 0, rows - 1);
        const int64_t place[3] = {at / c->L / c->H, at / c->L % c->H, at % c->L};
        gate_row_compute(row, &c->truth, place[0], place[1], place[2]);
        check_row(&j, row, place);
        if (c->a.weights_mean.type && n < 4 && !check_mean(&j, row, place[0], place[2]))
            return false;
    }
    return j.good;
}
