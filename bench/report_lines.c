/* SPDX-License-Identifier: Apache-2.0
 *
 * report_parts.h: the lines above and below the rows. In Markdown each is an item of a list. */
#include "report_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A line under way: parts with ", " between them. */
typedef struct line {
    FILE *stream;
    bool markdown, begun;
} line;

static void put(const line *l, const char *text) {
    char *const safe = report_copy(text);
    char *const shown = l->markdown ? report_escape(safe) : report_copy(safe);
    fputs(shown, l->stream);
    free(shown);
    free(safe);
}

static void begin(line *l) {
    if (!l->begun && l->markdown) fputs("- ", l->stream);
    l->begun = true;
}

static void add(line *l, const char *before, const char *text, const char *after) {
    if (!*text) return;
    if (l->begun) fputs(", ", l->stream);
    begin(l);
    fputs(before, l->stream);
    put(l, text);
    fputs(after, l->stream);
}

static void add_number(line *l, const char *before, double x, const char *after) {
    if (isnan(x)) return;
    char text[REPORT_NUMBER];
    snprintf(text, sizeof text, "%.4g", x);
    add(l, before, text, after);
}

static void end(line *l) {
    if (l->begun) putc('\n', l->stream);
    l->begun = false;
}

/* ---- above ---- */

static void put_build(line *l, const json_t *context) {
    const json_t *const attend = json_object_get(context, "attend");
    add(l, "attend ", report_string(attend, "version"), "");
    add(l, "commit ", report_string(attend, "commit"), "");
    add(l, "", report_string(context, "compiler"), "");
    add(l, "", report_string(context, "build_type"), "");
    add(l, "", report_string(context, "date"), "");
    end(l);
}

static void put_machine(line *l, const json_t *context) {
    add(l, "", report_string(context, "cpu"), "");
    add_number(l, "", report_number(context, "processors"), " processors");
    const json_t *const threads = json_object_get(context, "threads");
    for (size_t i = 0; i < json_array_size(threads); ++i)
        add_number(l, i ? "" : "threads asked for: ", json_number_value(json_array_get(threads, i)),
                   "");
    end(l);
    add(l, "", report_string(context, "os"), "");
    add(l, "governor ", report_string(context, "governor"), "");
    add_number(l, "load ", report_number(context, "load"), " before");
    end(l);
}

void report_put_context(const json_t *document, bool markdown, FILE *stream) {
    const json_t *const context = json_object_get(document, "context");
    line l = {stream, markdown, false};
    put_build(&l, context);
    put_machine(&l, context);
    putc('\n', stream);
}

/* ---- below ---- */

static const char *thread_word(double threads) {
    return threads == 1 ? " thread" : " threads";
}

static void put_failures(line *l, const json_t *results) {
    for (size_t i = 0; i < json_array_size(results); ++i) {
        const json_t *const result = json_array_get(results, i);
        if (json_is_true(json_object_get(result, "ok"))) continue;
        const double threads = report_number(result, "threads");
        add(l, "FAIL ", report_string(result, "case"), "");
        add(l, "", report_string(result, "dtype"), "");
        add(l, "", report_string(result, "backend"), "");
        add(l, "", report_string(result, "device"), "");
        add_number(l, "", threads, thread_word(threads));
        fputs(": ", l->stream);
        put(l, report_string(result, "reason"));
        end(l);
    }
}

static void put_peaks(line *l, const json_t *peaks) {
    for (size_t i = 0; i < json_array_size(peaks); ++i) {
        const json_t *const peak = json_array_get(peaks, i);
        const double threads = report_number(peak, "threads");
        add(l, "peak measured on ", report_string(peak, "device"), "");
        add_number(l, "", threads, thread_word(threads));
        add_number(l, "", report_number(peak, "gflops"), " GFLOP/s");
        add_number(l, "", report_number(peak, "gbps"), " GB/s");
        end(l);
    }
}

static bool same_skip(const json_t *a, const json_t *b) {
    return report_same_text(a, b, "backend") && report_same_number(a, b, "threads") &&
           report_same_text(a, b, "reason");
}

/* The cases that one worker skipped for one reason are one line. */
static void put_skipped(line *l, const json_t *skipped) {
    const size_t count = json_array_size(skipped);
    for (size_t i = 0; i < count; ++i) {
        const json_t *const item = json_array_get(skipped, i);
        size_t first = 0;
        while (!same_skip(json_array_get(skipped, first), item))
            ++first;
        if (first < i) continue;
        const double threads = report_number(item, "threads");
        add(l, "skipped: ", report_string(item, "backend"), "");
        add_number(l, "", threads, thread_word(threads));
        for (size_t k = i; k < count; ++k)
            if (same_skip(json_array_get(skipped, k), item))
                add(l, "", report_string(json_array_get(skipped, k), "case"), "");
        fputs(": ", l->stream);
        put(l, report_string(item, "reason"));
        end(l);
    }
}

static void put_warnings(line *l, const json_t *warnings) {
    for (size_t i = 0; i < json_array_size(warnings); ++i) {
        const char *const text = json_string_value(json_array_get(warnings, i));
        add(l, "warning: ", text ? text : "", "");
        end(l);
    }
}

void report_put_notes(const json_t *document, bool markdown, FILE *stream) {
    line l = {stream, markdown, false};
    putc('\n', stream);
    put_failures(&l, json_object_get(document, "results"));
    put_peaks(&l, json_object_get(json_object_get(document, "context"), "peaks"));
    put_skipped(&l, json_object_get(document, "skipped"));
    put_warnings(&l, json_object_get(document, "warnings"));
}
