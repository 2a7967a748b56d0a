/* SPDX-License-Identifier: Apache-2.0
 *
 * attend tokenize: the tokens a model makes of a text. */
#include "attend/model.h"
#include "cli.h"
#include "printable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *model;
} settings;

static void print_tokens(const attend_encoding *encoding) {
    const int32_t *const ids = attend_encoding_ids(encoding);
    for (size_t i = 0; i < attend_encoding_length(encoding); ++i) {
        const char *const token = attend_encoding_token(encoding, i);
        char *const safe = printable_text(token, strlen(token));
        printf("%d\t%s\n", (int)ids[i], safe);
        free(safe);
    }
}

static int run(const cli_call *call) {
    const settings *const s = call->settings;
    if (!s->model) return cli_usage("tokenize", "--model DIR is missing");
    size_t bytes = 0;
    char *const text = cli_read_text(call->words[0], &bytes);
    attend_context *const context = text ? cli_open(call->globals) : NULL;
    attend_model *model = NULL;
    attend_encoding *encoding = NULL;
    int status = CLI_FAILED;
    if (context) {
        if (attend_model_open(context, s->model, &model) ||
            attend_model_tokenize(model, text, bytes, &encoding)) {
            cli_error("%s", attend_error_text());
        } else {
            print_tokens(encoding);
            status = CLI_OK;
        }
    }
    attend_encoding_release(encoding);
    attend_model_release(model);
    attend_close(context);
    free(text);
    return status;
}

static const cli_option options[] = {
    {"model", "DIR", "the folder of the model", offsetof(settings, model), false},
};

const cli_command cli_tokenize = {
    .name = "tokenize",
    .words = "TEXT",
    .summary = "print the tokens of a text and their ids",
    .details = "One line a token: its id, a tab, the token. TEXT '-' reads standard input.\n\n"
               "  attend tokenize --model models/all-MiniLM-L6-v2 \"A man is eating food.\"\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(settings),
    .least_words = 1,
    .most_words = 1,
    .run = run,
};
