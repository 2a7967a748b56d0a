/* SPDX-License-Identifier: Apache-2.0
 *
 * What kind of head it is, in numbers: means over the rows that have a weight at all, from the
 * weights as they were computed (not from their codes). Positions are those of the text. */
#ifndef ATTEND_CLI_HEAD_PATTERNS_H
#define ATTEND_CLI_HEAD_PATTERNS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct head_patterns {
    double entropy;  /* of a row, by the logarithm of its keys: 0 one key, 1 all alike */
    double distance; /* mean |query - key| that the weight goes over, in tokens; same axes only */
    double local;    /* weight on keys at most 2 tokens away; same axes only */
    double diagonal, previous,
        next;       /* weight on the token itself, before, behind; same axes only */
    double first;   /* weight on the first key */
    double special; /* weight on special tokens */
    double block;   /* weight inside the row's own text of two, or own sentence: between two special
                       tokens or marks (. ! ?) */
    double highest; /* mean of the rows' largest weight */
    const char *kind; /* what stands out: "previous", "next", "diagonal", "special", "first",
                         "local", "block", "global", "mixed" */
} head_patterns;

#endif
