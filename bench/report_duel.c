/* SPDX-License-Identifier: Apache-2.0
 *
 * Ours against the peers: for each case, type and number of threads our best backend, the best peer
 * of the same type, and every peer. A table of Markdown, so that it can be pasted and still reads.
 */
#include "report_parts.h"

#include "cli/cli.h"
#include "goals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CASE, TYPE, OURS, BY, OUR_RATE, PEER, PEER_NAME, RATIO, MUST, AIM, SHARE, FIRST_PEER };
static const char *const titles[FIRST_PEER] = {"case",    "type",      "ours",     "by",
                                               "GFLOP/s", "best peer", "its name", "ratio",
                                               "must",    "aim",       "peak %"};
/* Calls shorter than this cost what it takes to make them: there times say more than rates. */
static const double SHORT_S = 50e-6;

/* Ratios of rows: how many, how many of them are no loss, and their logarithms' sum. */
typedef struct tally {
    size_t rows, wins;
    double log_ratios;
} tally;

typedef struct duel {
    const json_t *results, *goals;
    const char **peers; /* names in the order of results; column FIRST_PEER + i */
    size_t peer_count;
    tally all, attention; /* attention: the named shapes of attention alone */
    size_t goals_met, goal_count;
} duel;

static bool is_peer(const json_t *result) {
    return json_is_true(json_object_get(result, "peer"));
}

static bool is_ok(const json_t *result) {
    return json_is_true(json_object_get(result, "ok"));
}

/* Single kernels have no peers. */
static bool takes_part(const json_t *result) {
    return strcmp(report_string(result, "op"), "kernel") != 0;
}

static bool same_row(const json_t *a, const json_t *b) {
    return takes_part(a) && report_same_text(a, b, "case") && report_same_text(a, b, "dtype") &&
           report_same_number(a, b, "threads");
}

/* The fastest of ours or of the peers (of that name) in the row of `like`; one that is wrong only
 * where none is right; NULL: none. */
static const json_t *find_best(const duel *d, const json_t *like, bool peer, const char *name) {
    const json_t *best = NULL;
    for (size_t i = 0; i < json_array_size(d->results); ++i) {
        const json_t *const result = json_array_get(d->results, i);
        if (!same_row(result, like) || is_peer(result) != peer) continue;
        if (name && strcmp(report_string(result, "backend"), name) != 0) continue;
        const bool faster =
            is_ok(result) && (!best || !is_ok(best) ||
                              report_number(result, "median_s") < report_number(best, "median_s"));
        if (!best || faster) best = result;
    }
    return best;
}

static void find_peers(duel *d) {
    const size_t count = json_array_size(d->results);
    d->peers = cli_allocate(count + 1, sizeof *d->peers);
    for (size_t i = 0; i < count; ++i) {
        const json_t *const result = json_array_get(d->results, i);
        if (!is_peer(result) || !takes_part(result)) continue;
        const char *const name = report_string(result, "backend");
        size_t k = 0;
        while (k < d->peer_count && strcmp(d->peers[k], name) != 0)
            ++k;
        if (k == d->peer_count) d->peers[d->peer_count++] = name;
    }
}

/* ---- cells; a result may be NULL ---- */

static char *time_cell(const json_t *result) {
    if (result && !is_ok(result)) return report_copy("FAIL");
    char text[REPORT_NUMBER];
    report_time(report_number(result, "median_s"), text);
    return report_copy(text);
}

static char *rate_cell(const json_t *result) {
    if (result && !is_ok(result)) return report_copy("FAIL");
    char text[REPORT_NUMBER];
    report_digits(report_number(result, "gflops"), text);
    return report_copy(text);
}

static char *share_cell(const json_t *result) {
    char text[REPORT_NUMBER];
    report_percent(result && is_ok(result) ? report_number(result, "peak_fraction") : NAN, text);
    return report_copy(text);
}

static char *name_cell(const json_t *result) {
    const char *const name = report_string(result, "backend");
    return report_copy(*name ? name : "-");
}

static void count(tally *t, double ratio) {
    ++t->rows;
    t->wins += ratio >= 1;
    t->log_ratios += log(ratio);
}

static double mean_of(const tally *t) {
    return exp(t->log_ratios / (double)t->rows);
}

/* What the ratio must be (0), and should (1); NaN where goals.json says nothing. */
static double goal_of(const duel *d, const json_t *result, size_t which) {
    const json_t *const type = json_object_get(d->goals, report_string(result, "dtype")),
                        *const pair = json_object_get(type, report_string(result, "case")),
                        *const number = json_array_get(pair, which);
    return json_is_number(number) ? json_number_value(number) : NAN;
}

static char *goal_cell(const duel *d, const json_t *result, size_t which) {
    const double goal = goal_of(d, result, which);
    char text[REPORT_NUMBER];
    snprintf(text, sizeof text, "%.2f", goal);
    return report_copy(isnan(goal) ? "-" : text);
}

static char *ratio_cell(duel *d, const json_t *ours, const json_t *peer) {
    if (!ours || !peer || !is_ok(ours) || !is_ok(peer)) return report_copy("-");
    const double ratio = report_number(peer, "median_s") / report_number(ours, "median_s");
    if (!(ratio > 0) || isinf(ratio)) return report_copy("-");
    count(&d->all, ratio);
    const double must = goal_of(d, ours, 0);
    if (!isnan(must) && !strcmp(report_string(ours, "op"), "attention"))
        count(&d->attention, ratio);
    d->goal_count += !isnan(must);
    d->goals_met += ratio >= must;
    char text[REPORT_NUMBER];
    snprintf(text, sizeof text, "%.2f", ratio);
    return report_copy(text);
}

/* ---- rows ---- */

static bool is_short(const json_t *result) {
    const double seconds = result && is_ok(result) ? report_number(result, "median_s") : NAN;
    return seconds < SHORT_S;
}

static void add_row(duel *d, report_grid *grid, const json_t *like) {
    const json_t *const ours = find_best(d, like, false, NULL), *const best =
                                                                    find_best(d, like, true, NULL);
    char **const row = report_grid_row(grid);
    row[CASE] = report_copy(report_string(like, "case"));
    row[TYPE] = report_copy(report_string(like, "dtype"));
    row[OURS] = time_cell(ours);
    row[BY] = name_cell(ours);
    row[OUR_RATE] = rate_cell(ours);
    row[PEER] = time_cell(best);
    row[PEER_NAME] = name_cell(best && is_ok(best) ? best : NULL);
    row[RATIO] = ratio_cell(d, ours, best);
    row[MUST] = goal_cell(d, like, 0);
    row[AIM] = goal_cell(d, like, 1);
    row[SHARE] = share_cell(ours);
    /* an operation without useful work (merge) has times only */
    const bool times = is_short(ours) || is_short(best) || !(report_number(like, "flops") > 0);
    for (size_t i = 0; i < d->peer_count; ++i) {
        const json_t *const peer = find_best(d, like, true, d->peers[i]);
        row[FIRST_PEER + i] = times ? time_cell(peer) : rate_cell(peer);
    }
}

static report_grid new_grid(const duel *d) {
    report_grid grid = report_grid_create(FIRST_PEER + d->peer_count);
    char **const row = report_grid_row(&grid);
    for (size_t i = 0; i < FIRST_PEER; ++i) {
        row[i] = report_copy(titles[i]);
        grid.right[i] = i != CASE && i != TYPE && i != BY && i != PEER_NAME;
    }
    for (size_t i = 0; i < d->peer_count; ++i) {
        row[FIRST_PEER + i] = report_copy(d->peers[i]);
        grid.right[FIRST_PEER + i] = true;
    }
    return grid;
}

/* `result` is the first of its row. */
static bool starts_row(const duel *d, size_t index) {
    const json_t *const result = json_array_get(d->results, index);
    size_t first = 0;
    while (first < index && !same_row(json_array_get(d->results, first), result))
        ++first;
    return takes_part(result) && first == index;
}

static void put_sums(const duel *d, FILE *stream) {
    if (d->all.rows)
        fprintf(stream,
                "\nAs fast as the best peer or faster in %zu of %zu; ours is %.2f times as fast in "
                "the geometric mean.\n",
                d->all.wins, d->all.rows, mean_of(&d->all));
    const json_t *const goals = json_object_get(d->goals, "mean");
    if (d->goal_count)
        fprintf(stream, "The ratio is what it must be in %zu of %zu.\n", d->goals_met,
                d->goal_count);
    if (d->attention.rows)
        fprintf(stream, "Geometric mean over %zu shapes of attention: %.2f; must %.2f, aim %.2f.\n",
                d->attention.rows, mean_of(&d->attention),
                json_number_value(json_array_get(goals, 0)),
                json_number_value(json_array_get(goals, 1)));
}

static void put_threads(duel *d, double threads, FILE *stream) {
    report_grid grid = new_grid(d);
    d->all = d->attention = (tally){0, 0, 0};
    d->goals_met = d->goal_count = 0;
    for (size_t i = 0; i < json_array_size(d->results); ++i) {
        const json_t *const result = json_array_get(d->results, i);
        if (report_number(result, "threads") == threads && starts_row(d, i))
            add_row(d, &grid, result);
    }
    fprintf(
        stream,
        "With %.0f thread%s; ratio: how many times as fast ours is; peers' columns: GFLOP/s, or "
        "times of short calls\n\n",
        threads, threads == 1 ? "" : "s");
    report_grid_print(&grid, true, stream);
    report_grid_free(&grid);
    put_sums(d, stream);
}

void report_put_duel(const json_t *document, FILE *stream) {
    json_t *const goals = goals_load();
    duel d = {.results = json_object_get(document, "results"),
              .goals = json_object_get(goals, "duel")};
    find_peers(&d);
    bool more = false;
    for (double last = 0;;) { /* numbers of threads in rising order */
        double next = INFINITY;
        for (size_t i = 0; i < json_array_size(d.results); ++i) {
            const json_t *const result = json_array_get(d.results, i);
            const double threads = report_number(result, "threads");
            if (takes_part(result) && threads > last && threads < next) next = threads;
        }
        if (isinf(next)) break;
        if (more) putc('\n', stream);
        put_threads(&d, next, stream);
        last = next;
        more = true;
    }
    free(d.peers);
    json_decref(goals);
}
