/* SPDX-License-Identifier: Apache-2.0
 *
 * A model's run as a source of weights. */
#include "attend/model.h"
#include "printable.h"
#include "view/focus.h"
#include "view/view_choice.h"

#include <stdlib.h>
#include <string.h>

typedef struct run {
    weight_set *set;
    const view_wishes *wishes;
    attend_context *context;
    attend_model *model;
    attend_encoding *encoding;
    char *texts[2]; /* the second may be NULL */
    size_t bytes[2];
} run;

static bool report(void) {
    cli_error("%s", attend_error_text());
    return false;
}

static void read_row(const weight_source *source, size_t layer, size_t head, size_t query,
                     double *weights) {
    const attend_encoding *const encoding = source->data;
    const size_t count = source->columns.count;
    const float *const row =
        attend_encoding_weights(encoding, (int32_t)layer, (int32_t)head) + query * count;
    for (size_t k = 0; k < count; ++k)
        weights[k] = (double)row[k];
}

static void read_tokens(token_axis *axis, const attend_encoding *encoding) {
    const size_t count = attend_encoding_length(encoding);
    const int32_t *const types = attend_encoding_types(encoding);
    token_axis_make(axis, count);
    for (size_t i = 0; i < count; ++i) {
        const char *const token = attend_encoding_token(encoding, i);
        token_axis_put(axis, i, token, strlen(token));
        axis->special[i] = attend_encoding_text(encoding, i) < 0;
        axis->second[i] = types[i] == 1;
    }
}

/* Both texts, with a bar between them. */
static char *whole_text(const run *r, size_t *bytes) {
    static const char bar[] = " | ";
    const size_t between = r->texts[1] ? sizeof bar - 1 : 0, a = r->bytes[0], b = r->bytes[1];
    char *const text = cli_allocate(a + between + b + 1, 1);
    memcpy(text, r->texts[0], a);
    memcpy(text + a, bar, between);
    if (b) memcpy(text + a + between, r->texts[1], b);
    *bytes = a + between + b;
    return text;
}

static void describe(const run *r) {
    attend_decision decision = {.size = sizeof decision};
    const bool known = attend_context_decision(r->context, &decision) == ATTEND_OK;
    const char *const backend = known ? decision.backend : "";
    const char *const device = known ? decision.device : "";
    r->set->backend = printable_text(backend, strlen(backend));
    r->set->device = printable_text(device, strlen(device));
    r->set->source = view_last_part(r->wishes->model);
    size_t bytes = 0;
    r->set->text = whole_text(r, &bytes);
    r->set->caption = printable_text(r->set->text, bytes);
}

static bool find_focus(const run *r) {
    const char *const word = r->wishes->focus;
    size_t first = 0, count = 0;
    if (!word) return true;
    const char *const texts[2] = {r->texts[0], r->texts[1]};
    if (focus_find(r->model, r->encoding, texts, word, &first, &count) &&
        view_set_focus(r->set, first, count))
        return true;
    view_report_focus(r->set, word);
    return false;
}

static bool fill(const run *r, view_choice *choice, const attend_model_info *info) {
    weight_source source = {.name = r->wishes->model,
                            .layers = (size_t)info->layers,
                            .heads = (size_t)info->heads,
                            .same_axes = true,
                            .two_texts = r->texts[1] != NULL,
                            .read_row = read_row,
                            .data = r->encoding};
    read_tokens(&source.rows, r->encoding);
    read_tokens(&source.columns, r->encoding);
    const bool done =
        view_choose_tokens(choice, r->wishes, &source) && weight_set_fill(r->set, &source, choice);
    weight_source_free(&source);
    return done;
}

/* Only what is chosen is kept. */
static attend_encode_options encode_options(const run *r, const view_choice *choice) {
    attend_encode_options options = attend_encode_options_default();
    options.layer = (int32_t)choice->layers.first;
    options.layer_count = (int32_t)choice->layers.count;
    if (!choice->combined) {
        options.head = (int32_t)choice->heads.first;
        options.head_count = (int32_t)choice->heads.count;
    }
    options.second_text = r->texts[1];
    options.second_text_bytes = r->bytes[1];
    return options;
}

static bool encode(run *r) {
    attend_model_info info = {.size = sizeof info};
    if (attend_model_get_info(r->model, &info)) return report();
    view_choice choice = {0};
    if (!view_choose_heads(&choice, r->wishes, (size_t)info.layers, (size_t)info.heads))
        return false;
    const attend_encode_options options = encode_options(r, &choice);
    if (attend_model_encode_with(r->model, r->texts[0], r->bytes[0], &options, &r->encoding))
        return report();
    describe(r);
    return fill(r, &choice, &info) && find_focus(r);
}

static bool read_texts(run *r, const cli_call *call) {
    for (int i = 0; i < call->word_count; ++i) {
        r->texts[i] = cli_read_text(call->words[i], &r->bytes[i]);
        if (!r->texts[i]) return false;
    }
    return true;
}

bool weights_of_model(weight_set *set, const view_wishes *wishes, const cli_call *call) {
    run r = {.set = set, .wishes = wishes};
    if (read_texts(&r, call)) r.context = cli_open(call->globals);
    bool done = r.context != NULL;
    if (done && attend_model_open(r.context, wishes->model, &r.model)) done = report();
    done = done && encode(&r);
    attend_encoding_release(r.encoding);
    attend_model_release(r.model);
    attend_close(r.context);
    free(r.texts[0]);
    free(r.texts[1]);
    return done;
}
