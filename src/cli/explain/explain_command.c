/* SPDX-License-Identifier: Apache-2.0
 *
 * attend explain: the computation of one head on a text, step by step, for people who learn
 * attention. Chooses language, head and word; explain_steps.c tells. */
#include "cli.h"
#include "explain/explain.h"
#include "printable.h"
#include "view/focus.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

enum { MOST_PADDING = 64 };

typedef struct settings {
    const char *model, *layer, *head, *query, *padding, *language;
    bool causal;
} settings;

/* State of one call. */
typedef struct choice {
    const settings *wish;
    const attend_model *model;
    const attend_encoding *encoding; /* with the weights of all heads if one is to be chosen */
    char *texts[2];
    size_t bytes[2];
    explanation told;
} choice;

/* ---- language -------------------------------------------------------------------------------- */

/* The value of the first of LC_ALL, LC_MESSAGES and LANG that is set, as gettext does. */
static const char *message_locale(void) {
    static const char *const names[] = {"LC_ALL", "LC_MESSAGES", "LANG"};
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        const char *const value = getenv(names[i]);
        if (value && *value) return value;
    }
    return "C";
}

/* Chinese in UTF-8, the encoding of everything the program prints: "zh", "zh_CN.UTF-8". */
static bool locale_is_chinese(const char *locale) {
    if (strncmp(locale, "zh", 2) || (locale[2] && !strchr("_.@-", locale[2]))) return false;
    const char *const dot = strchr(locale, '.');
    return !dot || !strncasecmp(dot, ".utf-8", 6) || !strncasecmp(dot, ".utf8", 5);
}

static bool choose_language(const char *wish, bool *chinese) {
    *chinese = wish ? !strcmp(wish, "zh") : locale_is_chinese(message_locale());
    return !wish || *chinese || !strcmp(wish, "en");
}

/* ---- layer, word and head -------------------------------------------------------------------- */

static bool choose_number(const char *what, const char *wish, int64_t count, int32_t *index) {
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

static bool failed(void) {
    cli_error("%s", attend_error_text());
    return false;
}

static bool choose_layer_and_head(choice *c) {
    attend_model_info info = {.size = sizeof info};
    if (attend_model_get_info(c->model, &info)) return failed();
    explanation *const told = &c->told;
    told->layer = (int32_t)(info.layers - 1);
    told->heads = (int32_t)info.heads;
    told->head_chosen = !c->wish->head;
    return choose_number("layer", c->wish->layer, info.layers, &told->layer) &&
           choose_number("head", c->wish->head, info.heads, &told->head);
}

static bool is_word(const attend_encoding *encoding, size_t token) {
    if (attend_encoding_text(encoding, token) < 0) return false;
    utf8proc_int32_t code = -1;
    const char *const text = attend_encoding_token(encoding, token);
    utf8proc_iterate((const utf8proc_uint8_t *)text, -1, &code);
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return !strncmp(text, "##", 2);
    default:
        return true;
    }
}

static bool continues_word(const attend_encoding *encoding, size_t token) {
    return token > 0 && !strncmp(attend_encoding_token(encoding, token), "##", 2);
}

/* The last word of the text, else the first token. */
static void choose_last_word(const attend_encoding *encoding, size_t *first, size_t *count) {
    *first = 0;
    *count = 1;
    for (size_t i = attend_encoding_length(encoding); i > 0; --i) {
        if (!is_word(encoding, i - 1)) continue;
        *first = i - 1;
        while (continues_word(encoding, *first)) {
            --*first;
            ++*count;
        }
        return;
    }
}

static bool choose_query(choice *c) {
    explanation *const told = &c->told;
    const size_t length = attend_encoding_length(c->encoding);
    if (length == 0) {
        cli_error("the text has no token");
        return false;
    }
    if (!c->wish->query) {
        choose_last_word(c->encoding, &told->query, &told->query_count);
        return true;
    }
    if (focus_find(c->model, c->encoding, (const char *const[2]){c->texts[0], c->texts[1]},
                   c->wish->query, &told->query, &told->query_count))
        return true;
    cli_error("--query: '%s' is not a word of the text; its tokens are", c->wish->query);
    for (size_t i = 0; i < length; ++i) {
        const char *const token = attend_encoding_token(c->encoding, i);
        char *const safe = printable_text(token, strlen(token));
        fprintf(stderr, "%s%s", i ? " " : "  ", safe);
        free(safe);
    }
    putc('\n', stderr);
    return false;
}

/* The head in which the query gives another word the largest weight; heads that look at [SEP] or at
 * the word itself have larger ones, and teach less. With a causal mask only words before it count.
 */
static void choose_head(choice *c) {
    explanation *const told = &c->told;
    const size_t length = attend_encoding_length(c->encoding), q = told->query;
    float largest = -1;
    for (int32_t h = 0; h < told->heads && told->head_chosen; ++h)
        for (size_t j = 0; j < (told->causal ? q : length); ++j) {
            const bool other = j < q || j >= q + told->query_count;
            const float w = attend_encoding_weight(c->encoding, told->layer, h, q, j);
            if (!other || !is_word(c->encoding, j) || !(w > largest)) continue;
            largest = w;
            told->head = h;
        }
    told->head_chosen = largest >= 0;
}

/* ---- together -------------------------------------------------------------------------------- */

static bool explain(choice *c) {
    if (!choose_query(c)) return false;
    choose_head(c);
    attend_trace_options options = attend_trace_options_default();
    options.layer = c->told.layer;
    options.head = c->told.head;
    options.causal = c->told.causal;
    options.padding = c->told.padding;
    options.second_text = c->texts[1];
    options.second_text_bytes = c->bytes[1];
    attend_head_trace *trace = NULL;
    if (attend_model_trace_head(c->model, c->texts[0], c->bytes[0], &options, &trace))
        return failed();
    c->told.trace = trace;
    c->told.tokens = attend_head_trace_encoding(trace);
    const bool agrees = explain_print(&c->told);
    attend_head_trace_release(trace);
    return agrees;
}

static bool encode_and_explain(choice *c) {
    if (!choose_layer_and_head(c)) return false;
    attend_encode_options options = attend_encode_options_default();
    options.layer = c->told.head_chosen ? c->told.layer : -2;
    options.second_text = c->texts[1];
    options.second_text_bytes = c->bytes[1];
    attend_encoding *encoding = NULL;
    if (attend_model_encode_with(c->model, c->texts[0], c->bytes[0], &options, &encoding))
        return failed();
    c->encoding = encoding;
    const bool done = explain(c);
    attend_encoding_release(encoding);
    return done;
}

static bool open_and_explain(choice *c, const cli_call *call) {
    for (int i = 0; i < call->word_count; ++i) {
        c->texts[i] = cli_read_text(call->words[i], &c->bytes[i]);
        if (!c->texts[i]) return false;
    }
    attend_context *const context = cli_open(call->globals);
    attend_model *model = NULL;
    bool done = false;
    if (context && attend_model_open(context, c->wish->model, &model)) {
        failed();
    } else if (context) {
        c->model = model;
        done = encode_and_explain(c);
    }
    attend_model_release(model);
    attend_close(context);
    return done;
}

static int run(const cli_call *call) {
    choice c = {.wish = call->settings};
    int64_t padding = 0;
    if (!c.wish->model) return cli_usage("explain", "--model DIR is missing");
    if (!choose_language(c.wish->language, &c.told.chinese))
        return cli_usage("explain", "--language: '%s' is not en or zh", c.wish->language);
    if (c.wish->padding && !cli_read_integer(c.wish->padding, 0, MOST_PADDING, &padding))
        return cli_usage("explain", "--padding: '%s' is not a number from 0 to %d", c.wish->padding,
                         (int)MOST_PADDING);
    c.told.padding = (int32_t)padding;
    c.told.causal = c.wish->causal;
    c.told.columns = cli_columns();
    const bool done = open_and_explain(&c, call);
    free(c.texts[0]);
    free(c.texts[1]);
    return done ? CLI_OK : CLI_FAILED;
}

static const cli_option options[] = {
    {"model", "DIR", "the folder of the model", offsetof(settings, model), false},
    {"layer", "N", "which layer, from 1 (default: the last)", offsetof(settings, layer), false},
    {"head", "N", "which head, from 1 (default: where WORD looks most at another word)",
     offsetof(settings, head), false},
    {"query", "WORD", "whose attention (default: the last word); WORD:2 is its second occurrence",
     offsetof(settings, query), false},
    {"causal", NULL, "mask what stands behind each token", offsetof(settings, causal), false},
    {"padding", "N", "put N [PAD] behind the text, and mask them", offsetof(settings, padding),
     false},
    {"language", "LANGUAGE", "en or zh (default: LC_ALL, LC_MESSAGES or LANG, else en)",
     offsetof(settings, language), false},
};

const cli_command cli_explain = {
    .name = "explain",
    .words = "TEXT [TEXT]",
    .summary = "tell how one head attends, step by step, on real numbers",
    .details =
        "Tokens, queries, keys and values, scores, scaled, masked, softmax, weighted sum, and "
        "whether that\nis what the model's layer computes (exit status 1 if not). TEXT '-' reads "
        "standard input.\n\n"
        "  attend explain --model models/all-MiniLM-L6-v2 --layer 6 --head 12 --query it \\\n"
        "      \"The animal didn't cross the street because it was too tired\"\n\n"
        "COLUMNS sets the width.\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(settings),
    .least_words = 1,
    .most_words = 2,
    .run = run,
};
