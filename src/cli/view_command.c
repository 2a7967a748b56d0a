/* SPDX-License-Identifier: Apache-2.0
 *
 * attend view: what the words of a sentence attend to in one head of a model. */
#include "cli.h"
#include "head_map.h"
#include "printable.h"
#include "system.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_COLUMNS = 80, LEAST_COLUMNS = 20, MOST_COLUMNS = 10000 };

typedef struct settings {
    const char *model, *layer, *head, *focus, *color, *out;
    bool no_special;
} settings;

typedef struct view {
    const settings *wish;
    palette_mode mode;
    const attend_model *model;
    int32_t layer, head; /* from 0; head -1 = the mean */
    int64_t heads;
    char *text;
    size_t text_bytes;
} view;

static size_t columns(void) {
    const char *const wish = getenv("COLUMNS");
    int64_t n = 0;
    if (!wish || !cli_read_integer(wish, 1, MOST_COLUMNS, &n)) n = system_terminal_columns();
    if (n < 1) n = USUAL_COLUMNS;
    return n < LEAST_COLUMNS ? LEAST_COLUMNS : (size_t)n;
}

static bool choose(const char *what, const char *wish, int64_t count, int32_t *index) {
    int64_t n = 0;
    if (!wish) return true;
    if (!cli_read_integer(wish, 1, count, &n)) {
        cli_error("--%s: '%s' is not one of the model's %ss, 1 to %lld", what, wish, what,
                  (long long)count);
        return false;
    }
    *index = (int32_t)(n - 1);
    return true;
}

static bool choose_head(view *v) {
    attend_model_info info = {.size = sizeof info};
    if (attend_model_get_info(v->model, &info)) {
        cli_error("%s", attend_error_text());
        return false;
    }
    v->layer = (int32_t)(info.layers - 1);
    v->head = -1;
    v->heads = info.heads;
    return choose("layer", v->wish->layer, info.layers, &v->layer) &&
           choose("head", v->wish->head, info.heads, &v->head);
}

static void report_missing_focus(const head_map *map, const char *word) {
    cli_error("--focus: '%s' is not a word of the text; its tokens are", word);
    for (size_t i = 0; i < map->count; ++i)
        fprintf(stderr, "%s%s", i ? " " : "  ", map->labels[i]);
    putc('\n', stderr);
}

/* The row of the map that shows the token; false if it is hidden. */
static bool row_of(const head_map *map, size_t token, size_t *row) {
    for (*row = 0; *row < map->count; ++*row)
        if (map->tokens[*row] == token) return true;
    return false;
}

static bool find_focus(const view *v, const attend_encoding *encoding, head_map *map) {
    size_t first = 0, count = 0, row = 0;
    if (!v->wish->focus) return true;
    if (!focus_find(v->model, encoding, v->text, v->wish->focus, &first, &count) ||
        !row_of(map, first, &row)) {
        report_missing_focus(map, v->wish->focus);
        return false;
    }
    map->focus = row;
    map->focus_count = count;
    return true;
}

static void print_focus(const head_map *map) {
    for (size_t i = map->focus; i < map->focus + map->focus_count && i < map->count; ++i) {
        printf("%s: what \"%s\" (token %zu) attends to\n", map->title, map->labels[i],
               map->tokens[i]);
        head_map_print_row(map, i, columns());
        putchar('\n');
    }
}

static bool write_picture(const view *v, const head_map *map) {
    size_t bytes = 0;
    char *const caption = printable_text(v->text, v->text_bytes);
    char *const content = head_map_svg(map, caption, &bytes);
    bool done = false;
    if (!content)
        cli_error("%s: no memory for the picture", v->wish->out);
    else if (!system_replace_file(v->wish->out, content, bytes))
        cli_error("%s: %s", v->wish->out, strerror(errno));
    else
        done = true;
    free(content);
    free(caption);
    return done;
}

static bool show(const view *v, const attend_encoding *encoding) {
    head_map map;
    head_map_make(&map, encoding, v->layer, v->head, v->heads);
    if (v->wish->no_special) head_map_hide_specials(&map, encoding);
    bool done = false;
    if (map.count == 0) {
        cli_error("the text has no token to show");
    } else if (find_focus(v, encoding, &map)) {
        print_focus(&map);
        printf("%s: rows attend to columns\n", map.title);
        head_map_print(&map, v->mode, columns());
        done = !v->wish->out || write_picture(v, &map);
    }
    head_map_free(&map);
    return done;
}

static bool encode_and_show(view *v) {
    if (!choose_head(v)) return false;
    attend_encode_options options;
    attend_encode_options_init(&options, sizeof options);
    options.layer = v->layer;
    options.head = v->head;
    attend_encoding *encoding = NULL;
    if (attend_model_encode_with(v->model, v->text, v->text_bytes, &options, &encoding)) {
        cli_error("%s", attend_error_text());
        return false;
    }
    const bool done = show(v, encoding);
    attend_encoding_release(encoding);
    return done;
}

static int run(const cli_call *call) {
    view v = {.wish = call->settings};
    if (!v.wish->model) return cli_usage("view", "--model DIR is missing");
    if (!palette_choose(v.wish->color, &v.mode))
        return cli_usage("view", "--color: '%s' is not auto, always or never", v.wish->color);
    const char *const end = v.wish->out ? strrchr(v.wish->out, '.') : NULL;
    if (v.wish->out && strncmp(v.wish->out, "/dev/", 5) && (!end || strcmp(end, ".svg")))
        return cli_usage("view", "--out: '%s' does not end in .svg, the one format there is",
                         v.wish->out);

    v.text = cli_read_text(call->words[0], &v.text_bytes);
    attend_context *const context = v.text ? cli_open(call->globals) : NULL;
    attend_model *model = NULL;
    bool done = false;
    if (context && attend_model_open(context, v.wish->model, &model)) {
        cli_error("%s", attend_error_text());
    } else if (context) {
        v.model = model;
        done = encode_and_show(&v);
    }
    attend_model_release(model);
    attend_close(context);
    free(v.text);
    return done ? CLI_OK : CLI_FAILED;
}

static const cli_option options[] = {
    {"model", "DIR", "the folder of the model", offsetof(settings, model), false},
    {"layer", "N", "which layer, from 1 (default: the last)", offsetof(settings, layer), false},
    {"head", "N", "which head, from 1 (default: the mean of the layer's heads)",
     offsetof(settings, head), false},
    {"focus", "WORD", "list the weights of this word; WORD:2 is its second occurrence",
     offsetof(settings, focus), false},
    {"no-special", NULL, "leave out [CLS] and [SEP]", offsetof(settings, no_special), false},
    {"color", "WHEN", "auto, always or never", offsetof(settings, color), false},
    {"out", "FILE.svg", "write the map as a picture instead of showing it", offsetof(settings, out),
     false},
};

const cli_command cli_view = {
    .name = "view",
    .words = "TEXT",
    .summary = "show what the words of a text attend to",
    .details =
        "Rows are the words that attend, columns what they attend to. TEXT '-' reads standard "
        "input.\n\n"
        "  attend view --model models/all-MiniLM-L6-v2 --layer 6 --head 12 --focus it \\\n"
        "      \"The animal didn't cross the street because it was too tired\"\n\n"
        "COLUMNS sets the width; NO_COLOR, or an output that is no terminal, turns colours off.\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(settings),
    .least_words = 1,
    .most_words = 1,
    .run = run,
};
