/* SPDX-License-Identifier: Apache-2.0
 *
 * statistics.h. */
#include "statistics.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *left, const void *right) {
    double a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

/* A sorted copy; NULL when there is nothing or no memory. */
static double *sorted(const double *values, size_t count) {
    double *const copy = count ? malloc(count * sizeof *copy) : NULL;
    if (!copy) return NULL;
    memcpy(copy, values, count * sizeof *copy);
    qsort(copy, count, sizeof *copy, ascending);
    return copy;
}

static double middle(const double *ordered, size_t count) {
    return count % 2 ? ordered[count / 2] : (ordered[count / 2 - 1] + ordered[count / 2]) / 2;
}

sample_summary summarize_samples(const double *samples, size_t count) {
    sample_summary s = {NAN, NAN, NAN, NAN};
    double *const ordered = sorted(samples, count);
    if (!ordered) return s;
    s.median = middle(ordered, count);
    s.minimum = ordered[0];
    s.p95 = ordered[(size_t)ceil(0.95 * (double)count) - 1]; /* nearest rank */
    for (size_t i = 0; i < count; ++i)
        ordered[i] = fabs(ordered[i] - s.median);
    qsort(ordered, count, sizeof *ordered, ascending);
    s.mad = middle(ordered, count);
    free(ordered);
    return s;
}

size_t round_medians(const double *samples, const size_t *round_sizes, size_t round_count,
                     double *medians) {
    size_t written = 0;
    for (size_t i = 0; i < round_count; ++i) {
        if (!round_sizes[i]) continue;
        medians[written++] = summarize_samples(samples, round_sizes[i]).median;
        samples += round_sizes[i];
    }
    return written;
}

/* ---- Mann-Whitney ---- */

typedef struct ranks {
    double u;    /* of a: pairs in which a is larger, half for equal ones */
    double ties; /* sum of t^3 - t over groups of t equal values */
} ranks;

static bool rank(const double *a, size_t m, const double *b, size_t n, ranks *r) {
    double *const all = malloc((m + n) * sizeof *all);
    if (!all) return false;
    memcpy(all, a, m * sizeof *all);
    memcpy(all + m, b, n * sizeof *all);
    qsort(all, m + n, sizeof *all, ascending);
    r->ties = 0;
    for (size_t i = 0, next; i < m + n; i = next) {
        for (next = i + 1; next < m + n && !(all[next] > all[i]);)
            ++next;
        const double t = (double)(next - i);
        r->ties += t * t * t - t;
    }
    free(all);
    r->u = 0;
    for (size_t i = 0; i < m; ++i)
        for (size_t j = 0; j < n; ++j)
            r->u += a[i] > b[j] ? 1 : a[i] < b[j] ? 0 : 0.5;
    return true;
}

enum { EXACT_MOST = 20 };

/* Orders of m and n values in which U is at most u, as a share of all: with c(m, n, u) ways,
 * c(m, n, u) = c(m - 1, n, u - n) + c(m, n - 1, u) (Mann & Whitney 1947). */
static double exact_tail(size_t m, size_t n, size_t u) {
    static const size_t width = EXACT_MOST * EXACT_MOST + 1;
    double *const ways = calloc((n + 1) * width, sizeof *ways);
    if (!ways) return NAN;
    for (size_t j = 0; j <= n; ++j)
        ways[j * width] = 1; /* m = 0 */
    for (size_t i = 1; i <= m; ++i)
        for (size_t j = 1; j <= n; ++j) /* row j still holds m = i - 1 */
            for (size_t v = width; v-- > 0;)
                ways[j * width + v] =
                    (v >= j ? ways[j * width + v - j] : 0) + ways[(j - 1) * width + v];
    double below = 0, all = 0;
    for (size_t v = 0; v < width; ++v) {
        all += ways[n * width + v];
        if (v <= u) below += ways[n * width + v];
    }
    free(ways);
    return below / all;
}

double rank_sum_p(const double *a, size_t m, const double *b, size_t n) {
    ranks r;
    if (!m || !n) return 1;
    if (!rank(a, m, b, n, &r)) return NAN;
    const double pairs = (double)m * (double)n, all = (double)(m + n);
    const double smaller = fmin(r.u, pairs - r.u);
    if (r.ties == 0 && m <= EXACT_MOST && n <= EXACT_MOST)
        return fmin(1, 2 * exact_tail(m, n, (size_t)smaller));
    const double variance = pairs / 12 * (all + 1 - r.ties / (all * (all - 1)));
    if (!(variance > 0)) return 1; /* all values are equal */
    const double z = (pairs / 2 - smaller - 0.5) / sqrt(variance);
    return z > 0 ? fmin(1, erfc(z / sqrt(2))) : 1;
}

/* ---- Holm ---- */

void correct_for_count(double *p, size_t count) {
    double floor = 0, last = -1;
    double *const ordered = sorted(p, count);
    if (!ordered) return;
    for (size_t i = 0; i < count; ++i) {
        if (ordered[i] == last) continue; /* equal values share the first one's factor */
        last = ordered[i];
        floor = fmax(floor, fmin(1, last * (double)(count - i)));
        for (size_t j = 0; j < count; ++j)
            if (p[j] == last) p[j] = -floor - 1; /* done: below every p */
    }
    for (size_t j = 0; j < count; ++j)
        p[j] = -p[j] - 1;
    free(ordered);
}
