/* SPDX-License-Identifier: Apache-2.0
 *
 * plot.h: the head and the foot of the picture, and who has which colour in all of it. */
#include "plot.h"

#include "plot_parts.h"
#include "report_parts.h"

#include "cli/printable.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

bool plot_is_ok(const json_t *result) {
    return json_is_true(json_object_get(result, "ok"));
}

char *plot_text(const char *format, ...) {
    va_list values, again;
    va_start(values, format);
    va_copy(again, values);
    const int length = vsnprintf(NULL, 0, format, values);
    const size_t bytes = length > 0 ? (size_t)length + 1 : 1;
    char *const text = cli_allocate(bytes, 1);
    vsnprintf(text, bytes, format, again);
    va_end(again);
    va_end(values);
    char *const safe = report_copy(text);
    free(text);
    return safe;
}

/* ---- series ---- */

static bool same_series(const json_t *a, const json_t *b) {
    return report_same_text(a, b, "backend") && report_same_text(a, b, "device") &&
           report_same_number(a, b, "threads");
}

static char *name_series(const json_t *result) {
    const double threads = report_number(result, "threads");
    if (isnan(threads))
        return plot_text("%s %s", report_string(result, "backend"),
                         report_string(result, "device"));
    return plot_text("%s %s, %.0f thread%s", report_string(result, "backend"),
                     report_string(result, "device"), threads, threads == 1 ? "" : "s");
}

static void find_series(plot *p) {
    p->series = cli_allocate(p->result_count, sizeof *p->series);
    p->series_of = cli_allocate(p->result_count, sizeof *p->series_of);
    for (size_t i = 0; i < p->result_count; ++i) {
        const json_t *const result = json_array_get(p->results, i);
        size_t k = 0;
        while (k < p->series_count && !same_series(p->series[k].first, result))
            ++k;
        if (k == p->series_count)
            p->series[p->series_count++] = (plot_series){result, name_series(result)};
        p->series_of[i] = k;
    }
}

static void release(plot *p) {
    for (size_t i = 0; i < p->series_count; ++i)
        free(p->series[i].label);
    free(p->series);
    free(p->series_of);
}

/* ---- shared parts ---- */

void plot_line(const plot *p, const char *class, double size, char *safe) {
    svg *const s = p->picture;
    s->y += size * 1.5;
    svg_text_fit(s, (svg_point){PLOT_MARGIN, s->y}, class, size, s->width - 2 * PLOT_MARGIN, safe);
    free(safe);
}

void plot_tooltip(const plot *p, size_t index) {
    const json_t *const result = json_array_get(p->results, index);
    static const char *const time_keys[] = {"median_s", "min_s", "p95_s"};
    static const char *const rate_keys[] = {"gflops", "gbps"};
    char times[3][REPORT_NUMBER], rates[2][REPORT_NUMBER];
    for (size_t i = 0; i < 3; ++i)
        report_time(report_number(result, time_keys[i]), times[i]);
    for (size_t i = 0; i < 2; ++i)
        report_digits(report_number(result, rate_keys[i]), rates[i]);
    char *const text = plot_text(
        "%s, %s, %s: median %s, fastest %s, 95 %% within %s, %s GFLOP/s, %s GB/s",
        report_string(result, "case"), report_string(result, "dtype"),
        p->series[p->series_of[index]].label, times[0], times[1], times[2], rates[0], rates[1]);
    fputs("<title>", p->picture->stream);
    printable_put_xml(p->picture->stream, text);
    fputs("</title>", p->picture->stream);
    free(text);
}

/* ---- head ---- */

static const char *known(const json_t *object, const char *key) {
    const char *const text = report_string(object, key);
    return *text ? text : "unknown";
}

static char *list_threads(const json_t *threads) {
    char *list = plot_text("%s", "");
    for (size_t i = 0; i < json_array_size(threads); ++i) {
        char *const longer = plot_text("%s%s %.0f", list, i ? "," : "",
                                       json_number_value(json_array_get(threads, i)));
        free(list);
        list = longer;
    }
    return list;
}

static char *name_picture(const json_t *context) {
    char *const threads = list_threads(json_object_get(context, "threads"));
    char *const name = plot_text("Processor %s, threads%s", known(context, "cpu"),
                                 *threads ? threads : " unknown");
    free(threads);
    return name;
}

static void put_head(const plot *p, const json_t *context) {
    const json_t *const attend = json_object_get(context, "attend");
    p->picture->y = PLOT_MARGIN - 8;
    plot_line(p, "title", PLOT_TITLE, name_picture(context));
    plot_line(p, "muted", PLOT_LABEL,
              plot_text("attend %s, commit %s, measured %s on %s", known(attend, "version"),
                        known(attend, "commit"), known(context, "date"), known(context, "os")));
}

/* Colour, pattern and shape of each series, in rows. */
static void put_legend(const plot *p) {
    enum { BAR = 22, SIGNS = BAR + 22, HEIGHT = 11, GAP = 18, LINE = 20 };
    svg *const s = p->picture;
    double x = PLOT_MARGIN;
    s->y += LINE;
    for (size_t i = 0; i < p->series_count; ++i) {
        const double width = SIGNS + svg_text_width(p->series[i].label, PLOT_LABEL);
        if (x > PLOT_MARGIN && x + width > s->width - PLOT_MARGIN) {
            x = PLOT_MARGIN;
            s->y += LINE;
        }
        svg_begin_mark(s, i, "key");
        svg_bar(s, (svg_point){x, s->y - HEIGHT + 2}, BAR, HEIGHT, i);
        svg_marker(s, (svg_point){x + BAR + 10, s->y - 4}, i);
        svg_end_mark(s);
        svg_text(s, (svg_point){x + SIGNS, s->y}, SVG_START, "ink", p->series[i].label);
        x += width + GAP;
    }
    s->y += 6;
}

/* ---- foot ---- */

static void put_foot(const plot *p, const json_t *document) {
    const size_t skipped = json_array_size(json_object_get(document, "skipped"));
    const size_t warnings = json_array_size(json_object_get(document, "warnings"));
    p->picture->y += 8;
    if (skipped || warnings)
        plot_line(p, "muted", PLOT_LABEL,
                  plot_text("%zu skipped, %zu warning%s: the tables and the JSON of this run name "
                            "the reasons.",
                            skipped, warnings, warnings == 1 ? "" : "s"));
    p->picture->y += PLOT_MARGIN;
}

char *plot_document(const json_t *document) {
    const json_t *const context = json_object_get(document, "context");
    svg picture;
    if (!svg_begin(&picture, PLOT_WIDTH)) return NULL;
    plot p = {.picture = &picture, .results = json_object_get(document, "results")};
    p.result_count = json_array_size(p.results);
    find_series(&p);
    put_head(&p, context);
    if (p.result_count) {
        put_legend(&p);
        plot_bars(&p);
        plot_lines(&p);
    } else {
        plot_line(&p, "heading", PLOT_HEADING, plot_text("No results: nothing was measured."));
    }
    put_foot(&p, document);
    release(&p);
    char *const title = name_picture(context);
    char *const content = svg_end(&picture, title);
    free(title);
    return content;
}
