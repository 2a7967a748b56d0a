/* SPDX-License-Identifier: Apache-2.0
 *
 * What kind of head it is, in numbers: means over the rows that have a weight at all, of the
 * row's shares (weight by the row's sum), from the weights as they were computed (not from their
 * codes) over the whole text (whatever is left out of the pictures). A row that holds a number
 * that is not finite is left out. Definitions and thresholds: docs/view.md. */
#ifndef ATTEND_CLI_HEAD_PATTERNS_H
#define ATTEND_CLI_HEAD_PATTERNS_H

#include <stdbool.h>
#include <stddef.h>

/* What cannot be said is NaN: positions where rows and columns are not the same tokens, blocks of
 * a text of one sentence, everything where no row has a weight. */
typedef struct head_patterns {
    double entropy;  /* of a row, by the logarithm of its keys: 0 one key, 1 all alike */
    double distance; /* mean |query - key| that the weight goes over, in tokens */
    double local;    /* on keys at most 2 tokens away */
    double diagonal, previous, next; /* on the token itself, the one before, the one behind */
    double first;                    /* on the first key */
    double special;                  /* on special tokens */
    double block;     /* inside the row's own text of two, or own sentence: between two special
                         tokens or marks (. ! ?); rows of special tokens do not count */
    double highest;   /* mean of the rows' largest share */
    const char *kind; /* what stands out: "previous", "next", "diagonal", "special", "first",
                         "local", "block", "global", "mixed"; "none" where no row has a weight */
} head_patterns;

/* A number among them under its name, in the order of the table. */
typedef struct head_pattern_column {
    const char *name;
    size_t offset; /* of a double of head_patterns */
} head_pattern_column;
extern const head_pattern_column head_pattern_columns[];
extern const size_t head_pattern_column_count;
double head_pattern_at(const head_patterns *patterns, size_t column);

/* ---- computing them row by row ----------------------------------------------------------------
 */

struct token_axis;
typedef struct pattern_axes {
    size_t keys;
    bool same;             /* rows and columns are the same tokens */
    const bool *special;   /* [keys] */
    const size_t *numbers; /* [keys] */
    int *blocks;           /* [keys], -1 = none; NULL: there are no two of them */
    head_patterns even;    /* what equal weights would give */
} pattern_axes;

/* `columns` must outlive it. */
void pattern_axes_make(pattern_axes *axes, const struct token_axis *columns, size_t rows,
                       bool same_axes, bool two_texts);
void pattern_axes_free(pattern_axes *axes);

typedef struct pattern_sums {
    head_patterns sums;
    size_t rows, block_rows;
} pattern_sums;
void pattern_sums_add(pattern_sums *sums, const pattern_axes *axes, size_t row,
                      const double *weights);
head_patterns pattern_sums_end(const pattern_sums *sums, const pattern_axes *axes);

#endif
