/* SPDX-License-Identifier: Apache-2.0
 *
 * What attend explain reads out of a trace: names of the tokens, which keys a table shows, and how
 * the steps compare with the layer's own output. */
#ifndef ATTEND_CLI_EXPLAIN_NUMBERS_H
#define ATTEND_CLI_EXPLAIN_NUMBERS_H

#include "explain/explain.h"

enum {
    MOST_KEYS = 24, /* rows of a table: the keys with the largest weights */
    MOST_PARTS = 3, /* of the weighted sum */
};

/* A trace as it is told. */
typedef struct steps {
    const explanation *e;
    size_t count; /* tokens */
    int64_t model_size, head_size;
    char **names;         /* printable tokens */
    char **labels;        /* number and token */
    size_t label_columns; /* of any label */
    double *exps;         /* of the query's row: exp(s - largest) */
    double largest;
    size_t keys[MOST_KEYS], key_count; /* that tables show, in the order of the text */
    double left_out;                   /* the largest weight of the others */
} steps;

/* Freed by steps_free. Labels have at most `most_columns` columns. */
void steps_make(steps *s, const explanation *e, size_t most_columns);
void steps_free(steps *s);
/* A row of a step. */
const float *steps_row(const steps *s, attend_trace_step step, size_t row);
/* The keys with the largest weights, in falling order; how many there are. */
size_t steps_largest(const steps *s, size_t parts[MOST_PARTS]);

/* Weighted sums against the layer's output, over all tokens. */
typedef struct comparison {
    bool agrees;
    size_t token;             /* of `difference` */
    double difference, bound; /* the largest, or the first one beyond its bound */
} comparison;
comparison steps_compare(const steps *s);

#endif
