/* SPDX-License-Identifier: Apache-2.0
 *
 * report.h: the formats for machines, and the choice among all. */
#include "report.h"

#include "report_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *suffix;
} formats[REPORT_FORMAT_COUNT] = {
    [REPORT_TABLE] = {"table", "txt"},      [REPORT_MD] = {"md", "md"},
    [REPORT_CSV] = {"csv", "csv"},          [REPORT_JSON] = {"json", "json"},
    [REPORT_JSONL] = {"jsonl", "jsonl"},    [REPORT_DUEL] = {"duel", "duel"},
    [REPORT_SHARES] = {"shares", "shares"},
};

bool report_format_find(const char *name, report_format *format) {
    const char *const dot = strrchr(name, '.');
    for (int i = 0; i < REPORT_FORMAT_COUNT; ++i)
        if (!strcmp(dot ? dot + 1 : name, dot ? formats[i].suffix : formats[i].name)) {
            *format = (report_format)i;
            return true;
        }
    return false;
}

/* ---- json ---- */

/* 17 digits give the same double when they are read; ASCII alone, so that no name steers the
 * terminal. */
enum {
    EXACT = JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(17),
    DEEPEST = 3 /* values at this depth are on one line: samples, workers */
};

static bool put_value(const json_t *value, FILE *stream) {
    return json_dumpf(value, stream, EXACT) == 0;
}

static bool put_key(const char *key, FILE *stream) {
    json_t *const name = json_string(key);
    const bool whole = put_value(name, stream);
    json_decref(name);
    fputs(": ", stream);
    return whole;
}

static void put_line_end(bool comma, int depth, FILE *stream) {
    fprintf(stream, "%s\n%*s", comma ? "," : "", depth, "");
}

/* As json_dumpf with an indent of 1, but only down to DEEPEST. */
static bool put_json(const json_t *value, int depth, FILE *stream) {
    const size_t count = json_is_array(value) ? json_array_size(value) : json_object_size(value);
    if (depth == DEEPEST || count == 0) return put_value(value, stream);
    bool whole = true, comma = false;
    putc(json_is_array(value) ? '[' : '{', stream);
    for (size_t i = 0; json_is_array(value) && i < count; ++i, comma = true) {
        put_line_end(comma, depth + 1, stream);
        whole &= put_json(json_array_get(value, i), depth + 1, stream);
    }
    const char *key;
    json_t *item;
    json_t *object;
    memcpy(&object, &value, sizeof object); /* the iterator takes no const, and changes nothing */
    json_object_foreach(object, key, item) {
        put_line_end(comma, depth + 1, stream);
        whole &= put_key(key, stream) && put_json(item, depth + 1, stream);
        comma = true;
    }
    put_line_end(false, depth, stream);
    putc(json_is_array(value) ? ']' : '}', stream);
    return whole;
}

static bool put_jsonl(const json_t *document, FILE *stream) {
    json_t *const head = json_object();
    static const char *const keys[] = {"schema", "context", "warnings", "skipped"};
    bool whole = head != NULL;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; ++i) {
        json_t *const value = json_object_get(document, keys[i]);
        if (value) whole &= json_object_set(head, keys[i], value) == 0;
    }
    whole = whole && put_value(head, stream);
    putc('\n', stream);
    json_decref(head);
    const json_t *const results = json_object_get(document, "results");
    for (size_t i = 0; i < json_array_size(results); ++i) {
        whole &= put_value(json_array_get(results, i), stream);
        putc('\n', stream);
    }
    return whole;
}

/* ---- csv: RFC 4180, with the line ends of this system ---- */

static void put_field(const char *text, FILE *stream) {
    const bool quote = strpbrk(text, "\",\n\r") || text[0] == ' ';
    if (quote) putc('"', stream);
    for (; *text; ++text) {
        if (*text == '"') putc('"', stream);
        putc(*text, stream);
    }
    if (quote) putc('"', stream);
}

static bool put_csv_value(const json_t *value, FILE *stream) {
    if (!value || json_is_null(value)) return true;
    if (json_is_array(value)) {
        bool whole = true;
        for (size_t i = 0; i < json_array_size(value); ++i) {
            if (i) putc(';', stream);
            whole &= put_value(json_array_get(value, i), stream);
        }
        return whole;
    }
    char *const text =
        json_is_string(value) ? report_copy(json_string_value(value)) : json_dumps(value, EXACT);
    if (text) put_field(text, stream);
    free(text);
    return text != NULL;
}

static bool put_csv(const json_t *document, FILE *stream) {
    const json_t *const results = json_object_get(document, "results");
    bool whole = true;
    for (size_t row = 0; row <= json_array_size(results); ++row) {
        bool comma = false;
        for (size_t i = 0; i < report_column_count; ++i) {
            const char *const key = report_columns[i].key;
            if (!key) continue;
            if (comma) putc(',', stream);
            comma = true;
            if (row == 0)
                fputs(key, stream);
            else
                whole &=
                    put_csv_value(json_object_get(json_array_get(results, row - 1), key), stream);
        }
        putc('\n', stream);
    }
    return whole;
}

/* ---- table and md ---- */

static bool is_shown(const report_column *column, const json_t *results, bool markdown) {
    if (!column->title || ((column->flags & COLUMN_WIDE) && !markdown)) return false;
    bool shown = !(column->flags & COLUMN_RARE);
    for (size_t i = 0; i < json_array_size(results); ++i)
        shown |= isfinite(report_number(json_array_get(results, i), column->key));
    return shown;
}

static void put_rows(const json_t *document, bool markdown, FILE *stream) {
    const json_t *const results = json_object_get(document, "results");
    const report_column *chosen[64];
    size_t count = 0;
    for (size_t i = 0; i < report_column_count; ++i)
        if (is_shown(&report_columns[i], results, markdown)) chosen[count++] = &report_columns[i];
    report_grid grid = report_grid_create(count);
    char **row = report_grid_row(&grid);
    for (size_t i = 0; i < count; ++i) {
        row[i] = report_copy(chosen[i]->title);
        grid.right[i] = chosen[i]->show != NULL;
    }
    for (size_t r = 0; r < json_array_size(results); ++r) {
        const json_t *const result = json_array_get(results, r);
        const double base = report_base(results, result);
        row = report_grid_row(&grid);
        for (size_t i = 0; i < count; ++i)
            row[i] = report_cell(chosen[i], result, base);
    }
    report_grid_print(&grid, markdown, stream);
    report_grid_free(&grid);
}

static bool put_all(const json_t *document, report_format format, FILE *stream) {
    switch (format) {
    case REPORT_JSON: {
        const bool whole = put_json(document, 0, stream);
        putc('\n', stream);
        return whole;
    }
    case REPORT_JSONL:
        return put_jsonl(document, stream);
    case REPORT_CSV:
        return put_csv(document, stream);
    default: {
        const bool markdown = format != REPORT_TABLE;
        report_put_context(document, markdown, stream);
        if (format == REPORT_DUEL)
            report_put_duel(document, stream);
        else if (format == REPORT_SHARES)
            report_put_shares(document, stream);
        else
            put_rows(document, markdown, stream);
        report_put_notes(document, markdown, stream);
        return true;
    }
    }
}

char *report_text(const json_t *document, report_format format) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *const stream = open_memstream(&text, &bytes);
    if (!stream) return NULL;
    const bool whole = put_all(document, format, stream) && !ferror(stream);
    if (fclose(stream) == 0 && whole) return text;
    free(text);
    return NULL;
}
