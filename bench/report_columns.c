/* SPDX-License-Identifier: Apache-2.0
 *
 * report_parts.h: the list of columns, and numbers as people read them. */
#include "report_parts.h"

#include <math.h>
#include <string.h>

/* ---- values ---- */

const char *report_string(const json_t *object, const char *key) {
    const char *const text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

double report_number(const json_t *object, const char *key) {
    const json_t *const value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

bool report_same_text(const json_t *a, const json_t *b, const char *key) {
    return !strcmp(report_string(a, key), report_string(b, key));
}

bool report_same_number(const json_t *a, const json_t *b, const char *key) {
    const double x = report_number(a, key), y = report_number(b, key);
    return x == y || (isnan(x) && isnan(y));
}

/* ---- numbers ---- */

/* The bounds are where rounding would give one digit more. */
static int decimals(double x) {
    return x >= 999.95 ? 0 : x >= 99.995 ? 1 : x >= 9.9995 ? 2 : 3;
}

void report_digits(double x, char text[REPORT_NUMBER]) {
    if (!isfinite(x))
        snprintf(text, REPORT_NUMBER, "-");
    else if (x == 0)
        snprintf(text, REPORT_NUMBER, "0");
    else if (x < 0.99995 || x >= 1e7)
        snprintf(text, REPORT_NUMBER, "%#.4g", x);
    else
        snprintf(text, REPORT_NUMBER, "%.*f", decimals(x), x);
}

void report_time(double seconds, char text[REPORT_NUMBER]) {
    static const struct {
        double seconds;
        const char *name;
    } units[] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}};
    enum { LAST = sizeof units / sizeof units[0] - 1 };
    report_digits(seconds, text);
    if (!isfinite(seconds)) return;
    int i = 0;
    while (i < LAST && seconds < 0.99995 * units[i].seconds)
        ++i;
    report_digits(seconds / units[i].seconds, text);
    const size_t used = strlen(text);
    snprintf(text + used, REPORT_NUMBER - used, " %s", units[i].name);
}

void report_percent(double share, char text[REPORT_NUMBER]) {
    if (isfinite(share))
        snprintf(text, REPORT_NUMBER, "%.1f", 100 * share);
    else
        snprintf(text, REPORT_NUMBER, "-");
}

/* ---- how cells are shown ---- */

static double as_number(const json_t *value) {
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static void show_count(const json_t *value, const json_t *result, double base_s,
                       char text[REPORT_NUMBER]) {
    (void)result;
    (void)base_s;
    if (json_is_number(value))
        snprintf(text, REPORT_NUMBER, "%.0f", json_number_value(value));
    else
        snprintf(text, REPORT_NUMBER, "-");
}

static void show_time(const json_t *value, const json_t *result, double base_s,
                      char text[REPORT_NUMBER]) {
    (void)result;
    (void)base_s;
    report_time(as_number(value), text);
}

static void show_spread(const json_t *value, const json_t *result, double base_s,
                        char text[REPORT_NUMBER]) {
    (void)base_s;
    report_percent(as_number(value) / report_number(result, "median_s"), text);
}

static void show_rate(const json_t *value, const json_t *result, double base_s,
                      char text[REPORT_NUMBER]) {
    (void)result;
    (void)base_s;
    report_digits(as_number(value), text);
}

static void show_bytes(const json_t *value, const json_t *result, double base_s,
                       char text[REPORT_NUMBER]) {
    (void)result;
    (void)base_s;
    report_digits(as_number(value) * 0x1p-20, text);
}

static void show_share(const json_t *value, const json_t *result, double base_s,
                       char text[REPORT_NUMBER]) {
    (void)result;
    (void)base_s;
    report_percent(as_number(value), text);
}

static void show_ratio(const json_t *value, const json_t *result, double base_s,
                       char text[REPORT_NUMBER]) {
    (void)value;
    const double ratio = base_s / report_number(result, "median_s");
    if (isfinite(ratio))
        snprintf(text, REPORT_NUMBER, "%.2f", ratio);
    else
        snprintf(text, REPORT_NUMBER, "-");
}

static void show_error(const json_t *value, const json_t *result, double base_s,
                       char text[REPORT_NUMBER]) {
    (void)result;
    (void)base_s;
    if (json_is_number(value))
        snprintf(text, REPORT_NUMBER, "%.2e", json_number_value(value));
    else
        snprintf(text, REPORT_NUMBER, "-");
}

/* ---- the list ---- */

static const char median_key[] = "median_s";

const report_column report_columns[] = {
    {"case", "case", NULL, 0},
    {"op", NULL, NULL, 0},
    {"shape", NULL, NULL, 0},
    {"sizes", NULL, NULL, 0},
    {"backend", "backend", NULL, 0},
    {"peer", NULL, NULL, 0},
    {"device", "device", NULL, 0},
    {"kernel", "kernel", NULL, COLUMN_WIDE},
    {"dtype", "type", NULL, 0},
    {"threads", "threads", show_count, 0},
    {"ok", NULL, NULL, 0},
    {"reason", NULL, NULL, 0},
    {median_key, "median", show_time, COLUMN_SPEED},
    {"mad_s", "+- %", show_spread, COLUMN_SPEED},
    {"min_s", "min", show_time, COLUMN_SPEED},
    {"p95_s", "p95", show_time, COLUMN_SPEED},
    {"gflops", "GFLOP/s", show_rate, COLUMN_SPEED},
    {"gbps", "GB/s", show_rate, COLUMN_SPEED},
    {"peak_fraction", "peak %", show_share, COLUMN_SPEED},
    {"peak_limit", NULL, NULL, 0},
    {NULL, "ratio", show_ratio, COLUMN_SPEED},
    {"max_error", "error", show_error, 0},
    {"error_ratio", NULL, NULL, 0},
    {"rows_checked", NULL, NULL, 0},
    {"first_s", "first call", show_time, COLUMN_SPEED},
    {"open_s", NULL, NULL, 0},
    {"flops", NULL, NULL, 0},
    {"bytes", NULL, NULL, 0},
    {"copied_bytes", "copied MiB", show_bytes, COLUMN_RARE},
    {"in_place_bytes", "in place MiB", show_bytes, COLUMN_RARE},
    {"round_sizes", NULL, NULL, 0},
    {"samples_s", NULL, NULL, 0},
};
const size_t report_column_count = sizeof report_columns / sizeof report_columns[0];

char *report_cell(const report_column *column, const json_t *result, double base_s) {
    const json_t *const value = column->key ? json_object_get(result, column->key) : NULL;
    if ((column->flags & COLUMN_SPEED) && !json_is_true(json_object_get(result, "ok")))
        return report_copy(column->key == median_key ? "FAIL" : "-");
    if (!column->show) {
        const char *const text = json_string_value(value);
        return report_copy(text && *text ? text : "-");
    }
    char text[REPORT_NUMBER];
    column->show(value, result, base_s, text);
    return report_copy(text);
}

double report_base(const json_t *results, const json_t *result) {
    for (size_t i = 0; i < json_array_size(results); ++i) {
        const json_t *const other = json_array_get(results, i);
        if (json_is_true(json_object_get(other, "ok")) && report_same_text(other, result, "case") &&
            report_same_text(other, result, "dtype"))
            return report_number(other, median_key);
    }
    return NAN;
}
