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
    char *text;
    size_t text_bytes;
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
    token_axis_make(axis, count);
    for (size_t i = 0; i < count; ++i) {
        size_t begin = 0, end = 0;
        const char *const token = attend_encoding_token(encoding, i);
        token_axis_put(axis, i, token, strlen(token));
        axis->special[i] =
            attend_encoding_span(encoding, i, &begin, &end) == ATTEND_OK && begin == end;
    }
}

/* The name of the folder, without what leads to it. */
static char *last_part(const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        --end;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        --begin;
    return printable_text(path + begin, end - begin);
}

static void describe(const run *r) {
    attend_decision decision = {.size = sizeof decision};
    const bool known = attend_context_decision(r->context, &decision) == ATTEND_OK;
    const char *const backend = known ? decision.backend : "";
    const char *const device = known ? decision.device : "";
    r->set->backend = printable_text(backend, strlen(backend));
    r->set->device = printable_text(device, strlen(device));
    r->set->source = last_part(r->wishes->model);
    r->set->caption = printable_text(r->text, r->text_bytes);
    r->set->text = cli_allocate(r->text_bytes + 1, 1);
    memcpy(r->set->text, r->text, r->text_bytes);
}

static bool find_focus(const run *r) {
    const char *const word = r->wishes->focus;
    size_t first = 0, count = 0;
    if (!word) return true;
    if (focus_find(r->model, r->encoding, r->text, word, &first, &count) &&
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
                            .read_row = read_row,
                            .data = r->encoding};
    read_tokens(&source.rows, r->encoding);
    read_tokens(&source.columns, r->encoding);
    const bool done =
        view_choose_tokens(choice, r->wishes, &source) && weight_set_fill(r->set, &source, choice);
    weight_source_free(&source);
    return done;
}

/* Only what was chosen is kept; a range is one of all. */
static int32_t kept(number_range range) {
    return range.count == 1 ? (int32_t)range.first : -1;
}

static bool encode(run *r) {
    attend_model_info info = {.size = sizeof info};
    if (attend_model_get_info(r->model, &info)) return report();
    const view_sizes sizes = {.layers = (size_t)info.layers, .heads = (size_t)info.heads};
    view_choice choice = {0};
    if (!view_choose_heads(&choice, r->wishes, &sizes)) return false;
    attend_encode_options options = attend_encode_options_default();
    options.layer = kept(choice.layers);
    options.head = choice.combined ? -1 : kept(choice.heads);
    if (attend_model_encode_with(r->model, r->text, r->text_bytes, &options, &r->encoding))
        return report();
    describe(r);
    return fill(r, &choice, &info) && find_focus(r);
}

bool weights_of_model(weight_set *set, const view_wishes *wishes, const cli_call *call) {
    run r = {.set = set, .wishes = wishes};
    r.text = cli_read_text(call->words[0], &r.text_bytes);
    r.context = r.text ? cli_open(call->globals) : NULL;
    bool done = r.context != NULL;
    if (done && attend_model_open(r.context, wishes->model, &r.model)) done = report();
    done = done && encode(&r);
    attend_encoding_release(r.encoding);
    attend_model_release(r.model);
    attend_close(r.context);
    free(r.text);
    return done;
}
