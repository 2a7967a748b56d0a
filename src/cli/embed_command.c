/* SPDX-License-Identifier: Apache-2.0
 *
 * attend embed: the vector of a text, or of each of its lines, or how alike two texts are. */
#include "attend/model.h"
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *model;
    bool lines;
} settings;

static attend_encode_options without_weights(void) {
    attend_encode_options options = attend_encode_options_default();
    options.layer = -2;
    return options;
}

/* NULL after a failure, which has been reported. */
static attend_encoding *encode(const attend_model *model, const char *word) {
    size_t bytes = 0;
    char *const text = cli_read_text(word, &bytes);
    if (!text) return NULL;
    const attend_encode_options options = without_weights();
    attend_encoding *encoding = NULL;
    if (attend_model_encode_with(model, text, bytes, &options, &encoding))
        cli_error("%s", attend_error_text());
    free(text);
    return encoding;
}

static bool print_vector(const attend_model *model, const attend_encoding *encoding) {
    attend_model_info info = {.size = sizeof info};
    if (attend_model_get_info(model, &info)) {
        cli_error("%s", attend_error_text());
        return false;
    }
    const float *const vector = attend_encoding_embedding(encoding);
    for (int64_t i = 0; i < info.model_size; ++i)
        printf("%s%.9g", i ? " " : "", (double)vector[i]);
    putchar('\n');
    return true;
}

/* ---- line by line ---------------------------------------------------------------------------- */

/* The lines of a text; a last line end begins no further line. */
typedef struct lines {
    size_t count;
    const char **texts;
    size_t *sizes;
    attend_encoding **encodings;
} lines;

static lines split_lines(const char *text, size_t bytes) {
    lines l = {0};
    const char *const end = text + bytes;
    size_t most = 1;
    for (const char *at = text; at < end; ++at)
        most += *at == '\n';
    l.texts = cli_allocate(most, sizeof *l.texts);
    l.sizes = cli_allocate(most, sizeof *l.sizes);
    l.encodings = cli_allocate(most, sizeof(attend_encoding *));
    for (const char *at = text; at < end;) {
        const char *const stop = memchr(at, '\n', (size_t)(end - at));
        l.texts[l.count] = at;
        l.sizes[l.count++] = (size_t)((stop ? stop : end) - at);
        at = stop ? stop + 1 : end;
    }
    return l;
}

static bool embed_lines(const attend_model *model, const char *word) {
    size_t bytes = 0;
    char *const text = cli_read_text(word, &bytes);
    if (!text) return false;
    lines l = split_lines(text, bytes);
    const attend_encode_options options = without_weights();
    bool done = !attend_model_encode_many(model, l.count, l.texts, l.sizes, &options, l.encodings);
    if (!done) cli_error("%s", attend_error_text());
    for (size_t i = 0; i < l.count && done; ++i)
        done = print_vector(model, l.encodings[i]);
    for (size_t i = 0; i < l.count; ++i)
        attend_encoding_release(l.encodings[i]);
    free((void *)l.texts);
    free(l.sizes);
    free((void *)l.encodings);
    free(text);
    return done;
}

/* ---- one or two texts ------------------------------------------------------------------------ */

static bool embed(const attend_model *model, const cli_call *call) {
    attend_encoding *const first = encode(model, call->words[0]);
    attend_encoding *const second =
        first && call->word_count == 2 ? encode(model, call->words[1]) : NULL;
    bool done = false;
    if (first && call->word_count == 1) {
        done = print_vector(model, first);
    } else if (second) {
        printf("%.4f\n", attend_encoding_similarity(first, second));
        done = true;
    }
    attend_encoding_release(first);
    attend_encoding_release(second);
    return done;
}

static int run(const cli_call *call) {
    const settings *const s = call->settings;
    if (!s->model) return cli_usage("embed", "--model DIR is missing");
    if (s->lines && call->word_count != 1) return cli_usage("embed", "--lines takes one text");
    attend_context *const context = cli_open(call->globals);
    attend_model *model = NULL;
    bool done = false;
    if (context && attend_model_open(context, s->model, &model))
        cli_error("%s", attend_error_text());
    else if (context)
        done = s->lines ? embed_lines(model, call->words[0]) : embed(model, call);
    attend_model_release(model);
    attend_close(context);
    return done ? CLI_OK : CLI_FAILED;
}

static const cli_option options[] = {
    {"model", "DIR", "the folder of the model", offsetof(settings, model), false},
    {"lines", NULL, "each line of TEXT is a text", offsetof(settings, lines), false},
};

const cli_command cli_embed = {
    .name = "embed",
    .words = "TEXT [TEXT]",
    .summary = "print the vector of a text or of its lines, or the similarity of two",
    .details =
        "One text: its vector, unit length, on one line. Two texts: their cosine similarity, -1 to "
        "1.\n"
        "With --lines the vector of each line, which is faster than a call for each.\n"
        "TEXT '-' reads standard input.\n\n"
        "  attend embed --model models/all-MiniLM-L6-v2 \"a cat sleeps\" \"a kitten naps\"\n"
        "  attend embed --model models/all-MiniLM-L6-v2 --lines - < sentences.txt\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(settings),
    .least_words = 1,
    .most_words = 2,
    .run = run,
};
