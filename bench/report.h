/* SPDX-License-Identifier: Apache-2.0
 *
 * A document of schema attend-bench/1 as text. All formats hold the same numbers: csv and json
 * every digit, table, md and duel rounded. Texts of others (names, reasons) are made safe for
 * terminals in each of them. */
#ifndef ATTEND_BENCH_REPORT_H
#define ATTEND_BENCH_REPORT_H

#include <jansson.h>
#include <stdbool.h>

typedef enum report_format {
    REPORT_TABLE,
    REPORT_MD,
    REPORT_CSV,    /* a line a result; its samples are one field, parted by ';' */
    REPORT_JSON,   /* the document */
    REPORT_JSONL,  /* what is not a result on the first line, then a result a line */
    REPORT_DUEL,   /* ours against the peers: a row for each case, type and number of threads */
    REPORT_SHARES, /* the figures of goals.json whose cases were measured */
    REPORT_FORMAT_COUNT
} report_format;

/* By its name ("md"), or by the suffix of a file's name ("run.md"; .txt is a table). */
bool report_format_find(const char *name, report_format *format);

/* Freed with free; NULL without memory. */
char *report_text(const json_t *document, report_format format);

#endif
