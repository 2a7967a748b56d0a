/* SPDX-License-Identifier: Apache-2.0
 *
 * Medians, ranks and corrections against SciPy 1.17.1; Holm's correction by hand. For example
 *   python3 -c "from scipy.stats import mannwhitneyu as u;
 *               print(u([i * .7 for i in range(20)], [i * .9 + 3.05 for i in range(20)],
 *                       method='exact').pvalue)"
 * with method='asymptotic' where there are ties or more than 20 values, and median_abs_deviation.
 */
#include "statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof(list)[0])

static void close_to(double got, double want) {
    if (!(fabs(got - want) <= 1e-12 * fabs(want))) {
        print_error("%.17g is not %.17g\n", got, want);
        fail();
    }
}

static void summaries(void **state) {
    static const double samples[] = {3.5, 1.25, 9, 4, 4.5, 2};
    double hundred[100];
    (void)state;
    const sample_summary s = summarize_samples(samples, COUNT(samples));
    close_to(s.median, 3.75);
    close_to(s.mad, 1.25);
    close_to(s.minimum, 1.25);
    close_to(s.p95, 9);
    for (int i = 0; i < 100; ++i)
        hundred[i] = (i * 37) % 100 + 1; /* 1..100 in some order */
    close_to(summarize_samples(hundred, 100).p95, 95);
    close_to(summarize_samples(hundred, 100).median, 50.5);
    const sample_summary one = summarize_samples(samples, 1);
    close_to(one.median, 3.5);
    close_to(one.p95, 3.5);
    assert_true(one.mad == 0);
    assert_true(isnan(summarize_samples(samples, 0).median));
}

static void rounds(void **state) {
    static const double samples[] = {1, 5, 3, 10, 20, 7};
    static const size_t sizes[] = {3, 0, 2, 1};
    double medians[4];
    (void)state;
    assert_int_equal(round_medians(samples, sizes, 4, medians), 3);
    close_to(medians[0], 3);
    close_to(medians[1], 15);
    close_to(medians[2], 7);
}

static void ranks(void **state) {
    static const double a[] = {1.1, 2.2, 3.3, 4.4, 5.5}, b[] = {2.5, 3.5, 4.5, 5.7, 6.1, 7.2};
    static const double c[] = {1, 2, 2, 3, 4}, d[] = {2, 3, 3, 5, 6, 7};
    static const double low[] = {1, 2, 3}, high[] = {4, 5, 6}, same[] = {2, 2, 2, 2};
    double e[20], f[20], g[25], h[22];
    (void)state;
    close_to(rank_sum_p(a, 5, b, 6), 0.12554112554112554);
    close_to(rank_sum_p(b, 6, a, 5), 0.12554112554112554);
    close_to(rank_sum_p(c, 5, d, 6), 0.11390314458853068); /* ties: the normal approximation */
    close_to(rank_sum_p(low, 3, high, 3), 0.1);
    close_to(rank_sum_p(low, 1, high, 1), 1);
    for (int i = 0; i < 20; ++i) {
        e[i] = i * 0.7;
        f[i] = i * 0.9 + 3.05;
    }
    close_to(rank_sum_p(e, 20, f, 20), 0.004681198543944589); /* the largest that is exact */
    for (int i = 0; i < 25; ++i)
        g[i] = i * 0.37 + 1;
    for (int i = 0; i < 22; ++i)
        h[i] = i * 0.41 + 3.003;
    close_to(rank_sum_p(g, 25, h, 22), 0.032139830983905306);
    close_to(rank_sum_p(same, 4, same, 4), 1);
    close_to(rank_sum_p(a, 5, b, 0), 1);
    close_to(rank_sum_p(a, 0, b, 6), 1);
}

static void corrections(void **state) {
    double p[] = {0.01, 0.04, 0.03, 0.005, 0.01}, one[] = {0.2}, large[] = {0.9, 0.8};
    static const double want[] = {0.04, 0.06, 0.06, 0.025, 0.04};
    (void)state;
    correct_for_count(p, COUNT(p));
    for (size_t i = 0; i < COUNT(p); ++i)
        close_to(p[i], want[i]);
    correct_for_count(one, 1);
    close_to(one[0], 0.2);
    correct_for_count(large, 2);
    close_to(large[0], 1);
    close_to(large[1], 1);
    correct_for_count(NULL, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summaries),
        cmocka_unit_test(rounds),
        cmocka_unit_test(ranks),
        cmocka_unit_test(corrections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
