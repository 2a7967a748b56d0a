/* SPDX-License-Identifier: Apache-2.0
 *
 * page.h: the data of the page. Its parts are named by page/data.js, which reads them. */
#include "view/page.h"

#include "attend/attend.h"
#include "palette.h"
#include "printable.h"
#include "view/base64.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- weights --------------------------------------------------------------------------------- */

/* Three codes are six bytes, low byte first, and eight characters: no padding in between. */
static void put_codes(FILE *stream, const uint16_t *codes, size_t count) {
    for (size_t i = 0; i < count; i += 3) {
        uint32_t x[3] = {0, 0, 0};
        for (size_t n = 0; n < 3 && i + n < count; ++n)
            x[n] = codes[i + n];
        char text[8];
        base64_group(text, (x[0] & 255) << 16 | (x[0] >> 8) << 8 | (x[1] & 255));
        base64_group(text + 4, (x[1] >> 8) << 16 | (x[2] & 255) << 8 | x[2] >> 8);
        fwrite(text, 1, sizeof text, stream);
    }
}

static void put_weights(FILE *stream, const weight_set *set) {
    for (size_t l = 0; l < set->layers; ++l)
        for (size_t h = 0; h < set->heads; ++h) {
            fprintf(stream, "<script type=\"text/plain\" id=\"w%zu-%zu\">", l, h);
            put_codes(stream, weight_set_head(set, l, h), set->rows.count * set->columns.count);
            fputs("</script>\n", stream);
        }
}

/* ---- what is known of them ------------------------------------------------------------------- */

static json_t *flags(const bool *values, size_t count) {
    json_t *const list = json_array();
    for (size_t i = 0; i < count; ++i)
        json_array_append_new(list, json_integer(values[i]));
    return list;
}

static json_t *axis(const token_axis *a) {
    json_t *const tokens = json_array(), *const numbers = json_array();
    for (size_t i = 0; i < a->count; ++i) {
        json_array_append_new(tokens, json_string(a->raw[i]));
        json_array_append_new(numbers, json_integer((json_int_t)a->numbers[i]));
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "tokens", tokens, "numbers", numbers, "special",
                     flags(a->special, a->count), "second", flags(a->second, a->count));
}

static json_t *numbers(const int *values, size_t count) {
    json_t *const list = json_array();
    for (size_t i = 0; i < count; ++i)
        json_array_append_new(list, json_integer(values ? values[i] : 1));
    return list;
}

/* JSON has no NaN: null says that a head has no such number. */
static json_t *number(double x) {
    return x == x ? json_real(x) : json_null();
}

static json_t *patterns(const weight_set *set) {
    json_t *const list = json_array();
    for (size_t i = 0; i < set->layers * set->heads; ++i) {
        const head_patterns *const p = &set->patterns[i];
        json_array_append_new(
            list, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "kind",
                            p->kind, "entropy", number(p->entropy), "distance", number(p->distance),
                            "local", number(p->local), "diagonal", number(p->diagonal), "previous",
                            number(p->previous), "next", number(p->next), "first", number(p->first),
                            "special", number(p->special), "block", number(p->block), "highest",
                            number(p->highest)));
    }
    return list;
}

static json_t *palette(void) {
    char text[256 * 6 + 1];
    for (int i = 0; i < 256; ++i) {
        const palette_color c = palette_at(i / 255.0);
        (void)snprintf(text + (size_t)i * 6, 7, "%02x%02x%02x", c.r, c.g, c.b);
    }
    return json_string(text);
}

static json_t *start(const weight_set *set, const page_options *options) {
    static const char *const scales[] = {"linear", "sqrt", "log"};
    static const char *const specials[] = {"show", "fade", "hide"};
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "scale", scales[options->scale], "rows",
                     options->per_row ? "own" : "head", "special", specials[options->special],
                     "layer", (json_int_t)options->layer, "head", (json_int_t)options->head, "row",
                     set->focus_count ? (json_int_t)set->focus : (json_int_t)-1);
}

static json_t *notices(const weight_set *set) {
    json_t *const list = json_array();
    for (size_t i = 0; i < set->notice_count; ++i)
        json_array_append_new(list, json_string(set->notices[i]));
    return list;
}

static json_t *describe(const weight_set *set, const page_options *options) {
    json_t *const d =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:s?, s:I, s:b, s:i, s:o, s:o, s:o, s:o}", "caption",
                  set->text ? set->text : set->caption, "rows", axis(&set->rows), "columns",
                  set->same_axes ? json_null() : axis(&set->columns), "layers",
                  numbers(set->layer_numbers, set->layers), "heads",
                  numbers(set->combined ? NULL : set->head_numbers, set->heads), "combined",
                  set->combined, "model_heads", (json_int_t)set->model_heads, "two_texts",
                  set->two_texts, "exponent", set->exponent, "patterns", patterns(set), "palette",
                  palette(), "notices", notices(set), "start", start(set, options));
    const uint32_t v = attend_version();
    const bool computed = set->backend && *set->backend;
    json_object_set_new(d, "source",
                        json_sprintf("%s: %zu rows attend to %zu columns", set->source,
                                     set->rows.count, set->columns.count));
    json_object_set_new(d, "origin",
                        json_sprintf("%s%s%s%s%s. Written by attend %u.%u.%u.", set->source,
                                     computed ? ", computed by " : "", computed ? set->backend : "",
                                     computed ? " on " : "", computed ? set->device : "",
                                     (unsigned)(v / 10000u), (unsigned)(v / 100u % 100u),
                                     (unsigned)(v % 100u)));
    return d;
}

/* A '<' could end the script that holds the JSON, or begin a comment in it. */
static bool put_json(FILE *stream, const json_t *document) {
    char *const text =
        document ? json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    if (!text) return false;
    for (const char *at = text; *at;) {
        const size_t plain = strcspn(at, "<");
        fwrite(at, 1, plain, stream);
        at += plain;
        if (!*at) break;
        fputs("\\u003c", stream);
        ++at;
    }
    free(text);
    return true;
}

/* ---- the file -------------------------------------------------------------------------------- */

static bool fits(const weight_set *set) {
    if (set->rows.count * set->columns.count <= PAGE_MOST_CELLS) return true;
    cli_error("%zu x %zu cells are too many for a browser, which takes %d: --query A-B and --key "
              "A-B choose a window",
              set->rows.count, set->columns.count, PAGE_MOST_CELLS);
    return false;
}

static bool put_data(FILE *stream, const weight_set *set, const page_options *options) {
    json_t *const document = describe(set, options);
    fputs("<script type=\"application/json\" id=\"attend-data\">", stream);
    const bool done = put_json(stream, document);
    json_decref(document);
    if (!done) cli_error("no memory for the page");
    fputs("</script>\n", stream);
    put_weights(stream, set);
    return done;
}

bool page_write(FILE *stream, const weight_set *set, const page_options *options) {
    if (!fits(set)) return false;
    static const char title_mark[] = "@TITLE@", data_mark[] = "<!-- @DATA@ -->";
    const char *const title = strstr(page_template, title_mark);
    const char *const data = strstr(page_template, data_mark);
    fwrite(page_template, 1, (size_t)(title - page_template), stream);
    printable_put_xml(stream, set->source);
    const char *const rest = title + sizeof title_mark - 1;
    fwrite(rest, 1, (size_t)(data - rest), stream);
    const bool done = put_data(stream, set, options);
    fputs(data + sizeof data_mark - 1, stream);
    return done && !ferror(stream);
}
