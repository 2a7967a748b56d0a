/* SPDX-License-Identifier: Apache-2.0
 *
 * attend view: what the words of a sentence attend to in one head of a model. */
#include "cli.h"
#include "system.h"
#include "view/page.h"
#include "view/patterns_table.h"
#include "view/picture.h"
#include "view/weights_of.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEBIBYTE = 1 << 20, QUIET_MEBIBYTES = 64 };

typedef struct settings {
    view_wishes wishes;
    const char *color, *scale, *out, *sort, *format;
    bool per_row, fade_special, patterns;
} settings;

typedef enum view_target { TO_TERMINAL, TO_TABLE, TO_HTML, TO_SVG, TO_PNG } view_target;

typedef struct view {
    const settings *wish;
    view_target target;
    palette_mode mode;
    weight_style style;
    weight_set set;
} view;

/* ---- what is asked for -------------------------------------------------------------------------
 */

static bool choose_scale(const char *wish, weight_scale *scale) {
    static const char *const names[] = {
        [SCALE_LINEAR] = "linear", [SCALE_SQRT] = "sqrt", [SCALE_LOG] = "log"};
    *scale = SCALE_LINEAR;
    for (size_t i = 0; wish && i < sizeof names / sizeof names[0]; ++i)
        if (!strcmp(wish, names[i])) {
            *scale = (weight_scale)i;
            return true;
        }
    return !wish;
}

static bool choose_target(const char *out, view_target *target) {
    static const struct ending {
        const char *text;
        view_target target;
    } endings[] = {{".html", TO_HTML}, {".svg", TO_SVG}, {".png", TO_PNG}};
    const char *const end = out ? strrchr(out, '.') : NULL;
    *target = out ? TO_SVG : TO_TERMINAL; /* a device has no ending */
    for (size_t i = 0; end && i < sizeof endings / sizeof endings[0]; ++i)
        if (!strcmp(end, endings[i].text)) {
            *target = endings[i].target;
            return true;
        }
    return !out || !strncmp(out, "/dev/", 5);
}

static bool good_pair(const char *pair) {
    static const char *const pairs[] = {"all", "A-A", "A-B", "B-A", "B-B"};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; ++i)
        if (!strcmp(pair, pairs[i])) return true;
    return false;
}

/* A model and a text or two, or a file. */
static int check_sources(const view_wishes *w, int words) {
    if (w->model && w->weights)
        return cli_usage("view", "--model and --weights exclude each other");
    if (!w->model && !w->weights)
        return cli_usage("view", "--model DIR is missing, or --weights FILE");
    if (w->weights && words) return cli_usage("view", "--weights takes no TEXT");
    if (w->model && !words) return cli_usage("view", "an argument is missing: TEXT");
    if (w->model && (w->tensor || w->labels || w->row_labels || w->column_labels))
        return cli_usage("view", "--tensor and labels are for --weights");
    if (w->weights && w->pair) return cli_usage("view", "--pair needs two TEXTs");
    return CLI_OK;
}

static int check_table(view *v) {
    const settings *const s = v->wish;
    if (!s->patterns && (s->sort || s->format))
        return cli_usage("view", "--sort and --format are for --patterns");
    if (!s->patterns) return CLI_OK;
    if (s->out) return cli_usage("view", "--patterns prints a table; it takes no --out");
    if (s->sort && !patterns_can_sort(s->sort))
        return cli_usage("view", "--sort: '%s' is none of %s", s->sort, patterns_columns);
    if (s->format && strcmp(s->format, "table") != 0 && strcmp(s->format, "json") != 0)
        return cli_usage("view", "--format: '%s' is not table or json", s->format);
    v->target = TO_TABLE;
    return CLI_OK;
}

/* CLI_OK, or CLI_USAGE after a sentence. */
static int read_settings(view *v, const cli_call *call) {
    const settings *const s = call->settings;
    v->wish = s;
    const int words = check_sources(&s->wishes, call->word_count);
    if (words) return words;
    if (!palette_choose(s->color, &v->mode))
        return cli_usage("view", "--color: '%s' is not auto, always or never", s->color);
    if (!choose_scale(s->scale, &v->style.scale))
        return cli_usage("view", "--scale: '%s' is not linear, sqrt or log", s->scale);
    if (!choose_target(s->out, &v->target))
        return cli_usage("view", "--out: '%s' ends in none of .html, .svg, .png", s->out);
    if (s->wishes.pair && !good_pair(s->wishes.pair))
        return cli_usage("view", "--pair: '%s' is not A-A, A-B, B-A, B-B or all", s->wishes.pair);
    v->style.per_row = s->per_row;
    v->style.fade_special = s->fade_special;
    return check_table(v);
}

/* What would fail only after the work. */
static bool can_write(const view *v) {
    if (v->target == TO_PNG && !picture_can_png()) {
        cli_error("%s: this program was built without libpng; .svg needs none", v->wish->out);
        return false;
    }
    if (!v->wish->out || system_can_replace(v->wish->out)) return true;
    cli_error("%s: %s", v->wish->out, strerror(errno));
    return false;
}

/* Backgrounds; there is no telling what a terminal's is. */
static const palette_color paper = {255, 255, 255}, middle = {128, 128, 128};

/* ---- what is shown -----------------------------------------------------------------------------
 */

static void print_focus(const head_picture *p) {
    const weight_set *const set = p->set;
    char title[WEIGHT_TITLE_BYTES];
    weight_set_title(set, p->layer, p->head, title);
    for (size_t i = set->focus; i < set->focus + set->focus_count; ++i) {
        printf("%s: what \"%s\" (token %zu) attends to\n", title, set->rows.safe[i],
               set->rows.numbers[i]);
        picture_print_row(p, i, cli_columns());
        putchar('\n');
    }
}

static void print_head(const view *v, size_t layer, size_t head) {
    head_picture picture;
    char title[WEIGHT_TITLE_BYTES];
    head_picture_make(&picture, &v->set, layer, head, v->style, middle);
    weight_set_title(&v->set, layer, head, title);
    print_focus(&picture);
    printf("%s: rows attend to columns\n", title);
    picture_print(&picture, v->mode, cli_columns());
}

static void print_all(const view *v) {
    for (size_t l = 0; l < v->set.layers; ++l)
        for (size_t h = 0; h < v->set.heads; ++h) {
            if (l + h > 0) putchar('\n');
            print_head(v, l, h);
        }
}

static bool draw_page(const view *v, FILE *stream) {
    const page_options options = {.scale = v->style.scale,
                                  .per_row = v->style.per_row,
                                  .special = v->wish->wishes.no_special ? PAGE_SPECIAL_HIDE
                                             : v->style.fade_special    ? PAGE_SPECIAL_FADE
                                                                        : PAGE_SPECIAL_SHOW};
    return page_write(stream, &v->set, &options);
}

static bool draw(const view *v, FILE *stream) {
    if (v->target == TO_HTML) return draw_page(v, stream);
    head_picture picture;
    head_picture_make(&picture, &v->set, 0, 0, v->style, paper);
    return v->target == TO_PNG ? picture_write_png(stream, &picture)
                               : picture_write_svg(stream, &picture);
}

static bool write_file(const view *v) {
    const char *const path = v->wish->out;
    char *content = NULL;
    size_t bytes = 0;
    FILE *const stream = open_memstream(&content, &bytes);
    bool done = stream && draw(v, stream);
    const bool failed = !stream || ferror(stream) != 0;
    if ((stream && fclose(stream)) || failed) {
        cli_error("%s: no memory for the picture", path);
        done = false;
    }
    if (done && bytes > (size_t)QUIET_MEBIBYTES * MEBIBYTE)
        cli_error("%s: %.1f MiB will be written", path, (double)bytes / MEBIBYTE);
    if (done && !system_replace_file(path, content, bytes)) {
        cli_error("%s: %s", path, strerror(errno));
        done = false;
    }
    free(content);
    return done;
}

static bool show(const view *v) {
    if (v->target == TO_TERMINAL) {
        print_all(v);
        return true;
    }
    if (v->target == TO_HTML) return write_file(v);
    if (v->target == TO_TABLE) {
        const char *const sort = v->wish->sort ? v->wish->sort : "layer";
        const bool json = v->wish->format && !strcmp(v->wish->format, "json");
        if (json) return patterns_print_json(&v->set, sort);
        patterns_print_table(&v->set, sort);
        return true;
    }
    head_picture picture;
    head_picture_make(&picture, &v->set, 0, 0, v->style, paper);
    print_focus(&picture);
    for (size_t i = 0; v->target == TO_PNG && i < v->set.notice_count; ++i)
        cli_error("%s: %s", v->wish->out, v->set.notices[i]); /* a PNG has no text */
    return write_file(v);
}

static int run_view(const cli_call *call) {
    view v = {0};
    const int fault = read_settings(&v, call);
    if (fault) return fault;
    if (!can_write(&v)) return CLI_FAILED;
    view_wishes wishes = v.wish->wishes;
    wishes.one_head = v.target == TO_SVG || v.target == TO_PNG;
    wishes.everything = v.target == TO_TABLE || v.target == TO_HTML;
    if (v.target == TO_HTML)
        wishes.no_special = false; /* the page can leave them out and back in */
    const bool filled =
        wishes.weights ? weights_of_file(&v.set, &wishes) : weights_of_model(&v.set, &wishes, call);
    const bool done = filled && show(&v);
    weight_set_free(&v.set);
    return done ? CLI_OK : CLI_FAILED;
}

#define WISH(name, field, value, help)                                                             \
    { name, value, help, offsetof(settings, field), false }
static const cli_option options[] = {
    WISH("model", wishes.model, "DIR", "the folder of the model"),
    WISH("weights", wishes.weights, "FILE",
         "instead of a model: weights [layers, heads, queries, keys] of a .npy or .safetensors"),
    WISH("tensor", wishes.tensor, "NAME", "which tensor of the .safetensors"),
    WISH("labels", wishes.labels, "FILE", "labels of its rows and columns, one a line"),
    WISH("row-labels", wishes.row_labels, "FILE", "labels of its rows only"),
    WISH("column-labels", wishes.column_labels, "FILE", "labels of its columns only"),
    WISH("layer", wishes.layer, "N|A-B|all", "which layers, from 1 (default: the last)"),
    WISH("head", wishes.head, "N|A-B|all", "which heads, from 1, or mean or max of all (mean)"),
    WISH("query", wishes.query, "A-B", "which tokens as rows, from 0 (default: all)"),
    WISH("key", wishes.key, "A-B", "which tokens as columns, from 0 (default: all)"),
    WISH("pair", wishes.pair, "A-B", "of two TEXTs: A-A, A-B, B-A, B-B or all (all)"),
    WISH("focus", wishes.focus, "WORD",
         "list the weights of this word; WORD:2 is its second occurrence"),
    WISH("no-special", wishes.no_special, NULL, "leave out [CLS] and [SEP]"),
    WISH("fade-special", fade_special, NULL, "fade them, and let them not set the scale"),
    WISH("scale", scale, "SCALE", "of the colours: linear, sqrt or log (linear)"),
    WISH("per-row", per_row, NULL, "each row by its own maximum"),
    WISH("patterns", patterns, NULL, "a table of what kind each head is of, instead of a picture"),
    WISH("sort", sort, "COLUMN", "of the table: layer, head, kind or one of its numbers (layer)"),
    WISH("format", format, "FORMAT", "of the table: table or json (table)"),
    WISH("color", color, "WHEN", "auto, always or never"),
    WISH("out", out, "FILE", "write a picture instead of showing it: .html, .svg, .png"),
};

const cli_command cli_view = {
    .name = "view",
    .words = "[TEXT [TEXT]]",
    .summary = "show what the words of a text attend to",
    .details =
        "Rows are the words that attend, columns what they attend to. TEXT '-' reads standard "
        "input.\nTwo TEXTs go through the model together.\n\n"
        "  attend view --model models/all-MiniLM-L6-v2 --layer 6 --head 12 --focus it \\\n"
        "      \"The animal didn't cross the street because it was too tired\"\n"
        "  attend view --model models/all-MiniLM-L6-v2 --out it.html \"The animal ..\"\n"
        "  attend view --weights run.npy --labels tokens.txt --layer 3 --head 2\n\n"
        "COLUMNS sets the width; NO_COLOR, or an output that is no terminal, turns colours off.\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(settings),
    .least_words = 0,
    .most_words = 2,
    .run = run_view,
};
