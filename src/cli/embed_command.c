/* SPDX-License-Identifier: Apache-2.0
 *
 * attend embed: the vector of a text, or how alike two texts are. */
#include "attend/model.h"
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct settings {
    const char *model;
} settings;

/* NULL after a failure, which has been reported. */
static attend_encoding *encode(const attend_model *model, const char *word) {
    size_t bytes = 0;
    char *const text = cli_read_text(word, &bytes);
    if (!text) return NULL;
    attend_encode_options options;
    attend_encode_options_init(&options, sizeof options);
    options.layer = -2; /* no weights */
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
    attend_context *const context = cli_open(call->globals);
    attend_model *model = NULL;
    bool done = false;
    if (context && attend_model_open(context, s->model, &model))
        cli_error("%s", attend_error_text());
    else if (context)
        done = embed(model, call);
    attend_model_release(model);
    attend_close(context);
    return done ? CLI_OK : CLI_FAILED;
}

static const cli_option options[] = {
    {"model", "DIR", "the folder of the model", offsetof(settings, model), false},
};

const cli_command cli_embed = {
    .name = "embed",
    .words = "TEXT [TEXT]",
    .summary = "print the vector of a text, or the similarity of two",
    .details =
        "One text: its vector, unit length, on one line. Two texts: their cosine similarity, -1 to "
        "1.\n"
        "TEXT '-' reads standard input.\n\n"
        "  attend embed --model models/all-MiniLM-L6-v2 \"a cat sleeps\" \"a kitten naps\"\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(settings),
    .least_words = 1,
    .most_words = 2,
    .run = run,
};
