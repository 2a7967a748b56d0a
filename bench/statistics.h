/* SPDX-License-Identifier: Apache-2.0
 *
 * Statistics of samples that are not normal: medians, ranks, no means. */
#ifndef ATTEND_BENCH_STATISTICS_H
#define ATTEND_BENCH_STATISTICS_H

#include <stddef.h>

typedef struct sample_summary {
    double median, mad; /* mad: median of |x - median|, not scaled */
    double minimum, p95; /* p95 by nearest rank */
} sample_summary;

/* Of count >= 1 samples in any order; they are not changed. All fields NaN when there is no sample
 * or no memory. */
sample_summary summarize_samples(const double *samples, size_t count);

/* Median of each round of samples: round_sizes as in schema.md; rounds of 0 are left out. Returns
 * how many medians were written (at most round_count). */
size_t round_medians(const double *samples, const size_t *round_sizes, size_t round_count,
                     double *medians);

/* Two-sided p of the Mann-Whitney test that a and b come from one distribution (Mann & Whitney
 * 1947): exact where neither has ties nor more than 20 values, else the normal approximation with
 * correction for ties and continuity. 1 when either is empty. */
double rank_sum_p(const double *a, size_t a_count, const double *b, size_t b_count);

/* Holm's correction (Holm 1979) of `count` p values in place, order kept. */
void correct_for_count(double *p, size_t count);

#endif
