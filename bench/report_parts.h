/* SPDX-License-Identifier: Apache-2.0
 *
 * What the formats of report.h are made of: columns, numbers as people read them, grids of cells,
 * and the lines above and below. */
#ifndef ATTEND_BENCH_REPORT_PARTS_H
#define ATTEND_BENCH_REPORT_PARTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* ---- values of a result; absent and null are "" and NaN ---- */

const char *report_string(const json_t *object, const char *key);
double report_number(const json_t *object, const char *key);
bool report_same_text(const json_t *a, const json_t *b, const char *key);
bool report_same_number(const json_t *a, const json_t *b, const char *key);

/* ---- numbers with four digits; "-" for NaN ---- */

enum { REPORT_NUMBER = 32 }; /* bytes, the end included */
void report_digits(double x, char text[REPORT_NUMBER]);
void report_time(double seconds, char text[REPORT_NUMBER]);
void report_percent(double share, char text[REPORT_NUMBER]);

/* ---- columns: one list for table, md and csv ---- */

/* `base_s` is the median of the case's first result that is ok. */
typedef void report_show(const json_t *value, const json_t *result, double base_s,
                         char text[REPORT_NUMBER]);

enum {
    COLUMN_WIDE = 1,  /* md has room for it, table has not */
    COLUMN_SPEED = 2, /* says nothing where the result is not ok */
    COLUMN_RARE = 4,  /* table and md have it where a result of the run has such a number */
};

typedef struct report_column {
    const char *key;   /* of a result, and csv's header; NULL: csv lacks it */
    const char *title; /* of table and md; NULL: they lack it */
    report_show *show; /* NULL: a text */
    unsigned flags;    /* COLUMN_.. */
} report_column;

extern const report_column report_columns[];
extern const size_t report_column_count;

/* The cell of table and md: a safe text, freed with free. */
char *report_cell(const report_column *column, const json_t *result, double base_s);
/* The median that ratios of this result are taken to: that of the first result of the same case
 * that is ok. NaN: none. */
double report_base(const json_t *results, const json_t *result);

/* ---- grids ---- */

typedef struct report_grid {
    size_t columns, rows, room;
    bool *right;  /* [columns] */
    char **cells; /* [rows][columns], row 0 holds the titles; NULL = "" */
} report_grid;

report_grid report_grid_create(size_t columns);
/* The new row's cells, to be filled with safe texts that become the grid's; valid until the next
 * row. */
char **report_grid_row(report_grid *grid);
/* Prints it padded; cells get Markdown's escapes where that is asked for, so only once. */
void report_grid_print(report_grid *grid, bool markdown, FILE *stream);
void report_grid_free(report_grid *grid);

/* ---- lines ---- */

char *report_copy(const char *text); /* safe; freed with free */
/* A safe text with its marks escaped, so that Markdown shows it as it is; freed with free. */
char *report_escape(const char *safe);
/* Lines of what was measured where, with an empty one at the end. */
void report_put_context(const json_t *document, bool markdown, FILE *stream);
/* Lines of what is wrong, the measured peaks, what was skipped, and warnings. */
void report_put_notes(const json_t *document, bool markdown, FILE *stream);

void report_put_duel(const json_t *document, FILE *stream);
void report_put_shares(const json_t *document, FILE *stream);

#endif
