/* SPDX-License-Identifier: Apache-2.0
 *
 * The lower half of the picture: time over the sequence length, a field for each set of sizes that
 * are otherwise equal, a line for each series and type in it. A field needs a line of two lengths.
 */
#include "plot_parts.h"
#include "report_parts.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD_LEFT = 64, FIELD_TOP = 34, FIELD_HEIGHT = 240, FIELD_BOTTOM = 46, COLUMNS = 2 };
enum { CAP = 3, NEAREST = 30 /* pixels between labels of lengths */ };

/* No clock tells less; an axis of logarithms has to begin somewhere. */
static const double LEAST_S = 1e-12;

/* What grows along a field. */
typedef enum sweep {
    SWEEP_BOTH, /* L, and S with it where there is one: self-attention */
    SWEEP_KEYS,
    SWEEP_QUERIES,
    SWEEPS
} sweep;
static const char *const sweep_texts[SWEEPS] = {"sequence length L", "keys S", "queries L"};

typedef struct field {
    const plot *p;
    const json_t *like; /* its first result */
    sweep along;
    double left, top, width; /* of the plane */
    double short_x, long_x, low_y, high_y;
} field;

static double size_of(const json_t *result, const char *letter) {
    return report_number(json_object_get(result, "sizes"), letter);
}

static double length_of(const json_t *result, sweep along) {
    return size_of(result, along == SWEEP_KEYS ? "S" : "L");
}

static bool sweeps(const json_t *result, sweep along) {
    const double queries = size_of(result, "L"), keys = size_of(result, "S");
    const bool square = queries > 0 && (isnan(keys) || keys == queries);
    return along == SWEEP_BOTH ? square : queries > 0 && keys > 0;
}

static bool grows(const char *letter, sweep along) {
    return (!strcmp(letter, "L") && along != SWEEP_KEYS) ||
           (!strcmp(letter, "S") && along != SWEEP_QUERIES);
}

static bool same_field(const json_t *a, const json_t *b, sweep along) {
    json_t *const sizes = json_object_get(a, "sizes"), *const others = json_object_get(b, "sizes");
    if (!sweeps(a, along) || !sweeps(b, along) || !report_same_text(a, b, "op") ||
        json_object_size(sizes) != json_object_size(others))
        return false;
    const char *letter;
    json_t *value;
    json_object_foreach(sizes, letter, value) {
        json_t *const other = json_object_get(others, letter);
        if (!other || (!grows(letter, along) && !json_equal(value, other))) return false;
    }
    return true;
}

/* A point of the field: measured, right, and on logarithmic axes. */
static bool is_point(const field *f, size_t index) {
    const json_t *const result = json_array_get(f->p->results, index);
    return same_field(result, f->like, f->along) && plot_is_ok(result) &&
           report_number(result, "min_s") > LEAST_S && report_number(result, "median_s") > 0 &&
           report_number(result, "p95_s") > 0;
}

static bool same_line(const plot *p, size_t a, size_t b) {
    return p->series_of[a] == p->series_of[b] &&
           report_same_text(json_array_get(p->results, a), json_array_get(p->results, b), "dtype");
}

/* The line of this point has another, of another length, before it. */
static bool goes_on(const field *f, size_t index) {
    const json_t *const results = f->p->results;
    const double length = length_of(json_array_get(results, index), f->along);
    for (size_t i = 0; i < index; ++i)
        if (same_line(f->p, i, index) && is_point(f, i) &&
            length_of(json_array_get(results, i), f->along) != length)
            return true;
    return false;
}

static bool has_line(const field *f) {
    for (size_t i = 0; i < f->p->result_count; ++i)
        if (is_point(f, i) && goes_on(f, i)) return true;
    return false;
}

/* ---- axes ---- */

static double place_x(const field *f, double length) {
    return f->left + 12 + log(length / f->short_x) / log(f->long_x / f->short_x) * (f->width - 24);
}

static double place_y(const field *f, double seconds) {
    return f->top + log(f->high_y / seconds) / log(f->high_y / f->low_y) * FIELD_HEIGHT;
}

static void find_ranges(field *f) {
    f->short_x = f->low_y = DBL_MAX;
    f->long_x = f->high_y = 0;
    for (size_t i = 0; i < f->p->result_count; ++i) {
        if (!is_point(f, i)) continue;
        const json_t *const result = json_array_get(f->p->results, i);
        const double length = length_of(result, f->along);
        f->short_x = fmin(f->short_x, length);
        f->long_x = fmax(f->long_x, length);
        f->low_y = fmin(f->low_y, report_number(result, "min_s"));
        f->high_y = fmax(f->high_y, report_number(result, "p95_s"));
    }
    f->low_y = svg_round_down(f->low_y);
    f->high_y = svg_round_up(f->high_y);
    if (f->high_y <= f->low_y) f->high_y = 2 * f->low_y;
}

static void put_time(const field *f, double seconds) {
    static const struct {
        double seconds;
        const char *name;
    } units[] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}};
    int i = 0;
    while (i < 3 && seconds < 0.999 * units[i].seconds)
        ++i;
    const double y = place_y(f, seconds);
    char text[32];
    snprintf(text, sizeof text, "%.4g %s", seconds / units[i].seconds, units[i].name);
    svg_line(f->p->picture, (svg_point){f->left, y}, (svg_point){f->left + f->width, y},
             "rule grid");
    svg_text(f->p->picture, (svg_point){f->left - 6, y + 4}, SVG_END, "muted", text);
}

/* Powers of ten; where there are few, 2 and 5 of them as well. */
static void put_times(const field *f) {
    const bool few = f->high_y / f->low_y < 2e3;
    double y = f->low_y;
    while (y < f->high_y * 1.001) {
        const double power = log10(y);
        if (few || fabs(power - nearbyint(power)) < 1e-6) put_time(f, y);
        y = svg_round_up(y * 1.5);
    }
}

static int by_number(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The lengths that were measured, as far as their labels have room. */
static void put_lengths(const field *f) {
    svg *const picture = f->p->picture;
    const double bottom = f->top + FIELD_HEIGHT;
    double *const lengths = cli_allocate(f->p->result_count, sizeof *lengths);
    size_t count = 0;
    for (size_t i = 0; i < f->p->result_count; ++i)
        if (is_point(f, i))
            lengths[count++] = length_of(json_array_get(f->p->results, i), f->along);
    qsort(lengths, count, sizeof *lengths, by_number);
    double last = -NEAREST;
    for (size_t i = 0; i < count; ++i) {
        const double x = place_x(f, lengths[i]);
        if (x - last < NEAREST) continue;
        char text[32];
        snprintf(text, sizeof text, "%.0f", lengths[i]);
        svg_line(picture, (svg_point){x, bottom}, (svg_point){x, bottom + 4}, "rule muted");
        svg_text(picture, (svg_point){x, bottom + 16}, SVG_MIDDLE, "muted", text);
        last = x;
    }
    free(lengths);
    svg_line(picture, (svg_point){f->left, bottom}, (svg_point){f->left + f->width, bottom},
             "rule muted");
    svg_text(picture, (svg_point){f->left + f->width / 2, bottom + 32}, SVG_MIDDLE, "muted",
             sweep_texts[f->along]);
}

/* ---- lines ---- */

typedef struct point {
    size_t index;
    double length, median;
} point;

static int by_length(const void *a, const void *b) {
    const point *const p = a, *const q = b;
    if (p->length != q->length) return (p->length > q->length) - (p->length < q->length);
    return (p->index > q->index) - (p->index < q->index);
}

static const char *class_of_type(const char *type) {
    if (!strcmp(type, "f16")) return "run f16";
    return strcmp(type, "bf16") ? "run" : "run bf16";
}

static void put_path(const field *f, const point *points, size_t count, const char *type,
                     double shift) {
    FILE *const stream = f->p->picture->stream;
    fprintf(stream, "<path class=\"%s\" d=\"", class_of_type(type));
    for (size_t i = 0; i < count; ++i)
        fprintf(stream, "%s%.1f %.1f", i ? "L" : "M", place_x(f, points[i].length) + shift,
                place_y(f, points[i].median));
    fputs("\"/>", stream);
}

static void put_point(const field *f, const point *at, double shift) {
    const json_t *const result = json_array_get(f->p->results, at->index);
    svg *const picture = f->p->picture;
    const double x = place_x(f, at->length) + shift;
    const double low = place_y(f, report_number(result, "min_s"));
    const double high = place_y(f, report_number(result, "p95_s"));
    fputs("<g>", picture->stream);
    plot_tooltip(f->p, at->index);
    fprintf(picture->stream, "<path class=\"whisker\" d=\"M%.1f %.1fh%dm%d 0V%.1fm%d 0h%d\"/>",
            x - CAP, low, 2 * CAP, -CAP, high, -CAP, 2 * CAP);
    svg_marker(picture, (svg_point){x, place_y(f, at->median)}, f->p->series_of[at->index]);
    fputs("</g>", picture->stream);
}

static bool starts_line(const field *f, size_t index) {
    if (!is_point(f, index)) return false;
    size_t first = 0;
    while (first < index && !(same_line(f->p, first, index) && is_point(f, first)))
        ++first;
    return first == index;
}

/* Lines of one field are `shift` apart, so that their whiskers do not hide each other. */
static void put_line(const field *f, size_t first, double shift) {
    const json_t *const results = f->p->results;
    point *const points = cli_allocate(f->p->result_count, sizeof *points);
    size_t count = 0;
    for (size_t i = first; i < f->p->result_count; ++i) {
        const json_t *const result = json_array_get(results, i);
        if (is_point(f, i) && same_line(f->p, i, first))
            points[count++] =
                (point){i, length_of(result, f->along), report_number(result, "median_s")};
    }
    qsort(points, count, sizeof *points, by_length);
    svg_begin_mark(f->p->picture, f->p->series_of[first], "line");
    put_path(f, points, count, report_string(json_array_get(results, first), "dtype"), shift);
    for (size_t i = 0; i < count; ++i)
        put_point(f, &points[i], shift);
    svg_end_mark(f->p->picture);
    free(points);
}

static void put_lines(const field *f) {
    size_t count = 0, k = 0;
    for (size_t i = 0; i < f->p->result_count; ++i)
        count += starts_line(f, i);
    const double apart = fmin(4, 18.0 / (double)count);
    for (size_t i = 0; i < f->p->result_count; ++i)
        if (starts_line(f, i)) put_line(f, i, ((double)k++ - (double)(count - 1) / 2) * apart);
}

/* ---- fields ---- */

/* The sizes that stay. */
static char *name_field(const field *f) {
    char *name = plot_text("%s", report_string(f->like, "op"));
    const char *letter;
    json_t *value;
    json_object_foreach(json_object_get(f->like, "sizes"), letter, value) {
        if (grows(letter, f->along) || json_is_false(value)) continue;
        char *const longer = json_is_true(value)
                                 ? plot_text("%s %s", name, letter)
                                 : plot_text("%s %s%.0f", name, letter, json_number_value(value));
        free(name);
        name = longer;
    }
    if (f->along != SWEEP_BOTH || isnan(size_of(f->like, "S"))) return name;
    char *const longer = plot_text("%s, S = L", name);
    free(name);
    return longer;
}

static void put_field(field *f, size_t column) {
    svg *const picture = f->p->picture;
    const double whole = (double)(PLOT_WIDTH - 2 * PLOT_MARGIN) / COLUMNS;
    f->left = PLOT_MARGIN + (double)column * whole + FIELD_LEFT;
    f->top = picture->y + FIELD_TOP;
    f->width = whole - FIELD_LEFT - PLOT_MARGIN;
    char *const name = name_field(f);
    svg_text_fit(picture, (svg_point){f->left, f->top - 12}, "case", PLOT_LABEL, f->width, name);
    svg_text(picture, (svg_point){f->left - 6, f->top - 12}, SVG_END, "muted", "time");
    free(name);
    find_ranges(f);
    put_times(f);
    put_lengths(f);
    put_lines(f);
}

static void put_key(const plot *p, const char *type, double *x) {
    bool used = false;
    for (size_t i = 0; i < p->result_count && !used; ++i)
        used = !strcmp(report_string(json_array_get(p->results, i), "dtype"), type);
    if (!used) return;
    svg_line(p->picture, (svg_point){*x, p->picture->y - 4},
             (svg_point){*x + 36, p->picture->y - 4}, class_of_type(type));
    svg_text(p->picture, (svg_point){*x + 42, p->picture->y}, SVG_START, "ink", type);
    *x += 90;
}

static void put_head(const plot *p) {
    p->picture->y += 12;
    plot_line(p, "heading", PLOT_HEADING,
              plot_text("Time of a call over the sequence length, both logarithmic: lower is "
                        "better"));
    plot_line(p, "muted", PLOT_LABEL,
              plot_text("Marks are medians in the colours of the bars; whiskers reach from the "
                        "fastest call to the one that 95 %% do not exceed. Marks of one length "
                        "stand side by side."));
    p->picture->y += 20;
    double x = PLOT_MARGIN;
    put_key(p, "f32", &x);
    put_key(p, "f16", &x);
    put_key(p, "bf16", &x);
}

static bool starts_field(const plot *p, size_t index, sweep along) {
    const json_t *const result = json_array_get(p->results, index);
    size_t first = 0;
    while (first < index && !same_field(json_array_get(p->results, first), result, along))
        ++first;
    return first == index && sweeps(result, along);
}

void plot_lines(const plot *p) {
    size_t count = 0;
    for (int along = 0; along < SWEEPS; ++along)
        for (size_t i = 0; i < p->result_count; ++i) {
            field f = {.p = p, .like = json_array_get(p->results, i), .along = (sweep)along};
            if (!starts_field(p, i, f.along) || !has_line(&f)) continue;
            if (!count) put_head(p);
            put_field(&f, count % COLUMNS);
            if (++count % COLUMNS == 0) p->picture->y += FIELD_TOP + FIELD_HEIGHT + FIELD_BOTTOM;
        }
    if (count % COLUMNS) p->picture->y += FIELD_TOP + FIELD_HEIGHT + FIELD_BOTTOM;
}
