/* SPDX-License-Identifier: Apache-2.0
 *
 * Colours are the property `color` of classes, which every mark takes as currentColor: the one kind
 * of variable that browsers, librsvg and Inkscape all know, so that a program without media queries
 * still draws the light picture.
 *
 * The colours of series are those of M. Okabe and K. Ito, "Color Universal Design" (2008), made to
 * be told apart with any colour vision; the eighth, yellow, is darkened on light ground, where it
 * could not be seen, and black turns to near white on dark ground. */
#include "svg.h"

#include "cli/printable.h"

#include <math.h>
#include <stdlib.h>

enum { COLORS = 8, PATTERNS = 3, SHAPES = 4, NAME_GAP = 10 };

static const struct {
    const char *class, *light, *dark;
} colors[] = {
    {"paper", "#ffffff", "#15181c"}, {"ink", "#1b1f24", "#e8eaed"},
    {"muted", "#59636e", "#a3adb8"}, {"grid", "#e1e4e8", "#30363d"},
    {"fail", "#b3261e", "#ff8a80"},  {"s0", "#0072b2", "#0072b2"},
    {"s1", "#e69f00", "#e69f00"},    {"s2", "#009e73", "#009e73"},
    {"s3", "#d55e00", "#d55e00"},    {"s4", "#56b4e9", "#56b4e9"},
    {"s5", "#cc79a7", "#cc79a7"},    {"s6", "#1b1f24", "#e8eaed"},
    {"s7", "#665000", "#f0e442"},
};

static const char rules[] =
    "text,tspan{fill:currentColor}\n"
    "text{font-family:system-ui,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;"
    "font-size:11px;font-variant-numeric:tabular-nums}\n"
    "text.title{font-size:18px;font-weight:600}\n"
    "text.heading{font-size:14px;font-weight:600}\n"
    ".case,.fail{font-weight:600}\n"
    ".bar,.marker,.ground{fill:currentColor}\n"
    ".marker{stroke:currentColor}\n"
    ".rule,.run,.whisker{stroke:currentColor;fill:none}\n"
    ".run{stroke-width:2;stroke-linejoin:round;stroke-linecap:round}\n"
    ".f16{stroke-dasharray:8 4}\n"
    ".bf16{stroke-dasharray:2 4}\n"
    ".whisker{stroke-width:1.2;stroke-opacity:.7}\n";

/* Lines of the ground's colour over a bar. */
static const char patterns[] =
    "<defs class=\"paper\">\n"
    "<pattern id=\"p1\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
    "patternTransform=\"rotate(45)\"><path d=\"M0 0V6\" stroke=\"currentColor\" "
    "stroke-width=\"2.4\"/></pattern>\n"
    "<pattern id=\"p2\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" "
    "patternTransform=\"rotate(-45)\"><path d=\"M0 0V6\" stroke=\"currentColor\" "
    "stroke-width=\"2.4\"/></pattern>\n"
    "<pattern id=\"p3\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\">"
    "<path d=\"M0 0V5\" stroke=\"currentColor\" stroke-width=\"2.4\"/></pattern>\n"
    "</defs>\n";

/* ---- the document ---- */

bool svg_begin(svg *s, double width) {
    *s = (svg){.width = width};
    s->stream = open_memstream(&s->body, &s->bytes);
    return s->stream != NULL;
}

static void put_colors(FILE *stream, bool dark) {
    for (size_t i = 0; i < sizeof colors / sizeof colors[0]; ++i)
        fprintf(stream, ".%s{color:%s}\n", colors[i].class,
                dark ? colors[i].dark : colors[i].light);
}

static void put_document(const svg *s, const char *title, FILE *stream) {
    fprintf(stream,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" "
            "class=\"ink\">\n<title>",
            s->width, s->y);
    printable_put_xml(stream, title);
    fputs("</title>\n<style>\n", stream);
    put_colors(stream, false);
    fputs(rules, stream);
    fputs("@media (prefers-color-scheme: dark){\n", stream);
    put_colors(stream, true);
    fputs("}\n</style>\n", stream);
    fputs(patterns, stream);
    fputs("<rect class=\"ground paper\" width=\"100%\" height=\"100%\"/>\n", stream);
    fwrite(s->body, 1, s->bytes, stream);
    fputs("</svg>\n", stream);
}

char *svg_end(svg *s, const char *title) {
    bool failed = ferror(s->stream) != 0;
    failed |= fclose(s->stream) != 0;
    char *content = NULL;
    size_t bytes = 0;
    FILE *const stream = failed ? NULL : open_memstream(&content, &bytes);
    if (stream) {
        put_document(s, title, stream);
        failed = ferror(stream) != 0;
        failed |= fclose(stream) != 0;
    }
    free(s->body);
    if (!failed) return content;
    free(content);
    return NULL;
}

/* ---- texts ---- */

double svg_text_width(const char *safe, double size) {
    return (double)printable_width(safe) * size * 0.58;
}

static const char *const anchors[] = {"start", "middle", "end"};

void svg_text(svg *s, svg_point at, svg_anchor anchor, const char *class, const char *safe) {
    fprintf(s->stream, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", at.x, at.y,
            anchors[anchor], class);
    printable_put_xml(s->stream, safe);
    fputs("</text>\n", s->stream);
}

void svg_text_fit(svg *s, svg_point at, const char *class, double size, double room,
                  const char *safe) {
    const double width = svg_text_width(safe, size);
    fprintf(s->stream, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" style=\"font-size:%.1fpx\">", at.x,
            at.y, class, width > room ? size * room / width : size);
    printable_put_xml(s->stream, safe);
    fputs("</text>\n", s->stream);
}

void svg_name(svg *s, svg_point at, double size, double room, const char *name, const char *rest) {
    const double width = svg_text_width(name, size) + svg_text_width(rest, size) + NAME_GAP;
    fprintf(s->stream,
            "<text x=\"%.1f\" y=\"%.1f\" style=\"font-size:%.1fpx\"><tspan class=\"case\">", at.x,
            at.y, width > room ? size * room / width : size);
    printable_put_xml(s->stream, name);
    fprintf(s->stream, "</tspan><tspan class=\"muted\" dx=\"%d\">", NAME_GAP);
    printable_put_xml(s->stream, rest);
    fputs("</tspan></text>\n", s->stream);
}

/* ---- marks ---- */

void svg_line(svg *s, svg_point from, svg_point to, const char *class) {
    fprintf(s->stream, "<path class=\"%s\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", class, from.x, from.y,
            to.x, to.y);
}

void svg_begin_mark(svg *s, size_t series, const char *class) {
    fprintf(s->stream, "<g class=\"%s s%zu\">", class, series % COLORS);
}

void svg_end_mark(svg *s) {
    fputs("</g>\n", s->stream);
}

void svg_bar(svg *s, svg_point at, double width, double height, size_t series) {
    fprintf(s->stream, "<rect class=\"bar\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
            at.x, at.y, width, height);
    if (series / COLORS)
        fprintf(s->stream,
                "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"url(#p%zu)\"/>",
                at.x, at.y, width, height, (series / COLORS - 1) % PATTERNS + 1);
}

/* Colour and shape together repeat after 32 series. */
void svg_marker(svg *s, svg_point at, size_t series) {
    static const char *const shapes[SHAPES] = {"m-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z",
                                               "m-3 -3h6v6h-6z", "m0 -4l4 7h-8z",
                                               "m0 -4l4 4l-4 4l-4 -4z"};
    fprintf(s->stream, "<path class=\"marker\" d=\"M%.1f %.1f%s\"/>", at.x, at.y,
            shapes[(series + series / COLORS) % SHAPES]);
}

/* ---- axes ---- */

static const double round_steps[] = {1, 2, 5, 10};
enum { STEPS = sizeof round_steps / sizeof round_steps[0] };

/* Powers of ten are not exact: a number counts as the round one it all but is. */
static const double slack = 1 + 1e-9;

double svg_round_up(double x) {
    const double power = pow(10, floor(log10(x)));
    int i = 0;
    while (i + 1 < STEPS && round_steps[i] * power * slack < x)
        ++i;
    return round_steps[i] * power;
}

double svg_round_down(double x) {
    const double power = pow(10, floor(log10(x)));
    int i = STEPS - 1;
    while (i > 0 && round_steps[i] * power > x * slack)
        --i;
    return round_steps[i] * power;
}

double svg_step(double span, int most) {
    return svg_round_up(span / most);
}
