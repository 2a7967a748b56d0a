/* SPDX-License-Identifier: Apache-2.0
 *
 * The upper half of the picture: for each case and type a group of bars, one for each result. They
 * lie, because names of cases are long and cases are many; each says whose it is and its number, so
 * that nobody has to tell colours apart. */
#include "plot_parts.h"
#include "report_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROW = 15,
    BAR = 11,
    CASE_LINE = 19,
    GAP = 7,
    AXIS = 22,
    INDENT = 8,
    MOST_STEPS = 8,
    NUMBER_ROOM = 64
};

/* What a case does, and so what its bars can be: a rate of it, or the time where it is nothing that
 * is counted (a barrier). */
typedef enum work { ARITHMETIC, TRAFFIC, NOTHING } work;

typedef struct section {
    const plot *p;
    work of;
    const char *key, *unit;                           /* of what is shown */
    void (*show)(double x, char text[REPORT_NUMBER]); /* at a bar's end */
    double left, right, step;
    int steps;
} section;

static bool same_group(const json_t *a, const json_t *b) {
    return report_same_text(a, b, "case") && report_same_text(a, b, "dtype");
}

/* Where a group begins, at its first result. */
static size_t first_of_group(const plot *p, size_t index) {
    size_t first = 0;
    while (!same_group(json_array_get(p->results, first), json_array_get(p->results, index)))
        ++first;
    return first;
}

/* One that failed may not know its work: any of the group tells. */
static bool any_has(const plot *p, size_t index, const char *key) {
    const json_t *const like = json_array_get(p->results, index);
    for (size_t i = 0; i < p->result_count; ++i) {
        const json_t *const result = json_array_get(p->results, i);
        if (report_number(result, key) > 0 && same_group(result, like)) return true;
    }
    return false;
}

static bool belongs(const section *s, size_t index) {
    if (any_has(s->p, index, "flops")) return s->of == ARITHMETIC;
    return s->of == (any_has(s->p, index, "bytes") ? TRAFFIC : NOTHING);
}

static double place(const section *s, double rate) {
    return s->left + rate / (s->steps * s->step) * (s->right - s->left);
}

static void put_axis(const section *s) {
    svg *const picture = s->p->picture;
    for (int i = 0; i <= s->steps; ++i) {
        char text[REPORT_NUMBER];
        if (s->of == NOTHING)
            s->show(i * s->step, text);
        else
            snprintf(text, sizeof text, "%g", i * s->step);
        svg_text(picture, (svg_point){place(s, i * s->step), picture->y}, SVG_MIDDLE, "muted",
                 text);
    }
    svg_text(picture, (svg_point){s->right + 16, picture->y}, SVG_START, "muted", s->unit);
}

/* Under the rows of one group: names of cases are not struck through. */
static void put_grid(const section *s, size_t rows) {
    svg *const picture = s->p->picture;
    const double bottom = picture->y + (double)rows * ROW - ROW + BAR + 2;
    for (int i = 0; i <= s->steps; ++i) {
        const double x = place(s, i * s->step);
        svg_line(picture, (svg_point){x, picture->y - 2}, (svg_point){x, bottom},
                 i ? "rule grid" : "rule muted");
    }
}

static void put_row(const section *s, size_t index) {
    svg *const picture = s->p->picture;
    const json_t *const result = json_array_get(s->p->results, index);
    const size_t series = s->p->series_of[index];
    const double base = picture->y + BAR - 2;
    svg_text_fit(picture, (svg_point){PLOT_MARGIN + INDENT, base}, "muted", PLOT_LABEL,
                 s->left - PLOT_MARGIN - INDENT - 6, s->p->series[series].label);
    if (plot_is_ok(result)) {
        const double rate = report_number(result, s->key);
        const double end = rate > 0 ? place(s, rate) : s->left;
        char text[REPORT_NUMBER];
        s->show(rate, text);
        svg_begin_mark(picture, series, "result");
        plot_tooltip(s->p, index);
        svg_bar(picture, (svg_point){s->left, picture->y}, end - s->left, BAR, series);
        svg_end_mark(picture);
        svg_text(picture, (svg_point){end + 5, base}, SVG_START, "ink", text);
    } else {
        svg_text(picture, (svg_point){s->left + 5, base}, SVG_START, "fail", "FAIL");
    }
    picture->y += ROW;
}

/* The name, then what it does not say itself. */
static void put_case(const section *s, const json_t *result) {
    svg *const picture = s->p->picture;
    const char *const name = report_string(result, "case"), *const type =
                                                                report_string(result, "dtype");
    const char *rest = report_string(result, "shape");
    if (!strcmp(rest, name)) rest = strstr(name, type) ? "" : type;
    char *const shown = report_copy(name), *const more = report_copy(rest);
    picture->y += CASE_LINE - 6;
    svg_name(picture, (svg_point){PLOT_MARGIN, picture->y}, PLOT_LABEL, s->right - PLOT_MARGIN,
             shown, more);
    picture->y += 6;
    free(more);
    free(shown);
}

static void put_group(const section *s, size_t first) {
    const plot *const p = s->p;
    const json_t *const like = json_array_get(p->results, first);
    put_case(s, like);
    size_t rows = 0;
    for (size_t i = first; i < p->result_count; ++i)
        rows += same_group(json_array_get(p->results, i), like);
    put_grid(s, rows);
    for (size_t i = first; i < p->result_count; ++i)
        if (same_group(json_array_get(p->results, i), like)) put_row(s, i);
    p->picture->y += GAP;
}

/* One scale for all cases; false: no result belongs. */
static bool measure(section *s) {
    double labels = 0, highest = 0;
    size_t rows = 0;
    for (size_t i = 0; i < s->p->result_count; ++i) {
        const json_t *const result = json_array_get(s->p->results, i);
        if (!belongs(s, i)) continue;
        ++rows;
        labels = fmax(labels, svg_text_width(s->p->series[s->p->series_of[i]].label, PLOT_LABEL));
        if (plot_is_ok(result)) highest = fmax(highest, report_number(result, s->key));
    }
    if (!(highest > 0)) highest = 1;
    s->left = PLOT_MARGIN + INDENT + 8 + fmin(labels, PLOT_WIDTH * 0.33);
    s->right = PLOT_WIDTH - PLOT_MARGIN - NUMBER_ROOM;
    s->step = svg_step(highest, MOST_STEPS);
    s->steps = (int)ceil(highest / s->step * (1 - 1e-9));
    return rows > 0;
}

static void put_section(section s, const char *heading) {
    svg *const picture = s.p->picture;
    if (!measure(&s)) return;
    picture->y += 12;
    plot_line(s.p, "heading", PLOT_HEADING, plot_text("%s", heading));
    picture->y += AXIS;
    put_axis(&s);
    picture->y += 4;
    for (size_t i = 0; i < s.p->result_count; ++i)
        if (belongs(&s, i) && first_of_group(s.p, i) == i) put_group(&s, i);
    picture->y += 8;
    put_axis(&s);
    picture->y += 10;
}

void plot_bars(const plot *p) {
    put_section((section){p, ARITHMETIC, "gflops", "GFLOP/s", report_digits, 0, 0, 0, 0},
                "Useful operations a second: GFLOP/s at the median, longer is better");
    put_section((section){p, TRAFFIC, "gbps", "GB/s", report_digits, 0, 0, 0, 0},
                "Operations without arithmetic: GB/s read and written at the median, longer is "
                "better");
    put_section((section){p, NOTHING, "median_s", "", report_time, 0, 0, 0, 0},
                "Neither arithmetic nor memory: the median time of a call, shorter is better");
}
