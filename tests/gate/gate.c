/* SPDX-License-Identifier: Apache-2.0
 *
 *     attend-gate [--backend NAME] [--cases N] [--seed S] [--only INDEX] [--plans N]
 *                 [--length N] [--head-size N]
 *
 * Runs N generated cases of attention and holds each against float64 and the error bound. Prints
 * the worst ratio of error to bound for each kind of output, how often each option was used, and
 * for a failure the line that replays it. Exits 1 if a value was outside its bound, a write outside
 * its output, or (from 200 cases on) an option used in less than a tenth of the cases or a pair of
 * options never used together. */
#include "gate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *backend;
    uint64_t cases, seed, only;
    bool has_only;
    gate_limits limits;
} settings;

static bool parse(settings *s, int argc, char **argv) {
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) return false;
        const char *name = argv[i], *value = argv[i + 1];
        const unsigned long long number = strtoull(value, NULL, 0);
        if (!strcmp(name, "--backend"))
            s->backend = value;
        else if (!strcmp(name, "--cases"))
            s->cases = number;
        else if (!strcmp(name, "--seed"))
            s->seed = number;
        else if (!strcmp(name, "--plans"))
            s->limits.plans = number;
        else if (!strcmp(name, "--length") && number)
            s->limits.length = (int64_t)number;
        else if (!strcmp(name, "--head-size") && number)
            s->limits.head_size = (int64_t)number;
        else if (!strcmp(name, "--dense"))
            s->limits.dense = number != 0;
        else if (!strcmp(name, "--only")) {
            s->only = number;
            s->has_only = true;
        } else
            return false;
    }
    return true;
}

typedef struct coverage {
    uint64_t used[GATE_OPTION_COUNT], pairs[GATE_OPTION_COUNT][GATE_OPTION_COUNT];
} coverage;

static void count_options(coverage *v, uint32_t used) {
    for (int i = 0; i < GATE_OPTION_COUNT; i++)
        for (int j = 0; j < GATE_OPTION_COUNT; j++)
            if ((used >> i & 1) && (used >> j & 1)) v->pairs[i][j]++;
    for (int i = 0; i < GATE_OPTION_COUNT; i++)
        v->used[i] += used >> i & 1;
}

/* q is either 16-bit or float32 over 16-bit; a packed batch has lengths of its own. */
static bool exclude_each_other(int i, int j) {
    static const gate_option pairs[][2] = {
        {GATE_MIXED, GATE_HALF}, {GATE_INT8, GATE_MIXED}, {GATE_PACKED, GATE_QUERY_LENGTHS}};
    for (size_t n = 0; n < sizeof pairs / sizeof *pairs; n++)
        if (i == (int)pairs[n][0] && j == (int)pairs[n][1]) return true;
    return false;
}

/* true if each option came up often enough and each pair at all. */
static bool report_options(const coverage *v, uint64_t cases) {
    bool good = true;
    int rarest = 0;
    for (int i = 0; i < GATE_OPTION_COUNT; i++) {
        if (v->used[i] < v->used[rarest]) rarest = i;
        for (int j = 0; j < i; j++) {
            if (v->pairs[i][j] || exclude_each_other(i, j)) continue;
            printf("never together: %s and %s\n", gate_option_text[j], gate_option_text[i]);
            good = false;
        }
    }
    const double share = (double)v->used[rarest] / (double)cases;
    printf("rarest option: %s in %.1f %% of the cases; pairs of options: %s\n",
           gate_option_text[rarest], 100 * share, good ? "each used" : "some missing");
    return good && share >= 0.1;
}

static bool run_case(attend_context *context, const settings *s, uint64_t index, gate_worst *worst,
                     coverage *v) {
    gate_case c;
    gate_row row;
    if (!gate_case_make(&c, s->seed, index, s->limits) || !gate_row_make(&row, c.S)) {
        printf("case %llu: no memory\n", (unsigned long long)index);
        return false;
    }
    count_options(v, c.used);
    const attend_status status = attend_run(context, &c.a);
    const char *damage = status ? NULL : gate_case_damage(&c);
    const bool good = !status && !damage && gate_check(&c, s->seed, index, &row, worst);
    if (!good) {
        printf("FAILED case %llu: %s\n", (unsigned long long)index, c.text);
        printf("  %s%s\n",
               status   ? attend_error_text()
               : damage ? damage
                        : worst->first_failure,
               damage ? ": written outside of its elements" : "");
        printf(
            "  replay: attend-gate --backend %s --seed %llu --only %llu --plans %llu --length %d "
            "--head-size %d --dense %d\n",
            s->backend, (unsigned long long)s->seed, (unsigned long long)index,
            (unsigned long long)s->limits.plans, (int)s->limits.length, (int)s->limits.head_size,
            (int)s->limits.dense);
    } else if (s->has_only) {
        printf("case %llu: %s\n", (unsigned long long)index, c.text);
    }
    gate_row_free(&row);
    gate_case_free(&c);
    return good;
}

static void report_worst(const gate_worst *worst) {
    for (int kind = 0; kind < GATE_KINDS; kind++)
        printf("worst %-12s  f32 %.3f of the bound (case %llu)   16-bit %.3f (case %llu)\n",
               gate_kind_text[kind], worst->ratio[kind][0],
               (unsigned long long)worst->index[kind][0], worst->ratio[kind][1],
               (unsigned long long)worst->index[kind][1]);
}

int main(int argc, char **argv) {
    settings s = {.backend = "cpu", .cases = 200, .seed = 1, .limits = {700, 256, 0, false}};
    if (!parse(&s, argc, argv)) {
        fprintf(stderr, "usage: attend-gate [--backend NAME] [--cases N] [--seed S] [--only INDEX] "
                        "[--plans N] [--length N] [--head-size N] [--dense 0|1]\n");
        return 2;
    }
    attend_options options = attend_options_default();
    options.backend = s.backend;
    attend_context *context;
    if (attend_open(&options, &context)) {
        fprintf(stderr, "attend-gate: %s\n", attend_error_text());
        return 1;
    }
    gate_worst worst = {0};
    coverage v = {0};
    uint64_t failures = 0;
    const uint64_t first = s.has_only ? s.only : 0, end = s.has_only ? s.only + 1 : s.cases;
    for (uint64_t index = first; index < end; index++)
        if (!run_case(context, &s, index, &worst, &v)) failures++;
    printf("%s\nseed %llu: %llu cases, %llu values compared, %llu cases failed\n",
           attend_describe(context), (unsigned long long)s.seed, (unsigned long long)(end - first),
           (unsigned long long)worst.values, (unsigned long long)failures);
    report_worst(&worst);
    const bool covered = end - first < 200 || report_options(&v, end - first);
    attend_close(context);
    return failures || !covered;
}
