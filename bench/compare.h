/* SPDX-License-Identifier: Apache-2.0
 *
 * Two documents of schema attend-bench/1, before and after: which results belong together, and
 * which differ by more than the machine's noise. */
#ifndef ATTEND_BENCH_COMPARE_H
#define ATTEND_BENCH_COMPARE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum compare_verdict {
    COMPARE_SAME,   /* no significant change */
    COMPARE_FASTER, /* the second is */
    COMPARE_SLOWER,
    COMPARE_BROKEN,  /* ok in the first, not in the second */
    COMPARE_MENDED,  /* the other way round */
    COMPARE_NEITHER, /* ok in none */
    COMPARE_UNCLEAR  /* far apart, in so few rounds that no test could tell */
} compare_verdict;

typedef struct compare_pair {
    const json_t *a, *b; /* results; borrowed from the documents */
    double ratio;        /* median of b by median of a; NaN unless both are ok */
    double p;            /* corrected for the number of pairs */
    compare_verdict verdict;
} compare_pair;

typedef struct comparison {
    compare_pair *pairs;
    size_t count;
    const json_t **alone; /* results without a partner: [alone_in_a] of the first, then the rest */
    size_t alone_in_a, alone_count;
} comparison;

/* Whether it is a document that can be compared; a sentence in reason[bytes] if not. */
bool compare_check(const json_t *document, char *reason, size_t bytes);

/* Pairs by case, operation, type, backend, device and threads; what is left then without threads,
 * then without the device, where that leaves no choice. A difference counts when the Mann-Whitney
 * test on the medians of the rounds (of the samples where there are no rounds) gives p < 0.05 after
 * Holm's correction, the medians differ by more than 3 %, and by more than three times the larger
 * MAD. Where the last two hold and p would be too large however far the rounds lie apart, the pair
 * is unclear. False without memory. */
bool compare_documents(const json_t *a, const json_t *b, comparison *c);
void compare_release(comparison *c);

/* An array of {"key", "a", "b"}: what of the contexts differs and matters. NULL without memory. */
json_t *compare_contexts(const json_t *a, const json_t *b);

#endif
