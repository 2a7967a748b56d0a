/* SPDX-License-Identifier: Apache-2.0
 *
 * The entry points of libattend-model; see attend/model.h. */
#include "attend/model.h"

#include "base/checked.h"
#include "model/encoding.h"
#include "model/model_error.h"
#include "model/model_file.h"
#include "model/model_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- open ------------------------------------------------------------------------------------ */

typedef attend_status read_part(attend_model *model, attend_context *context, const char *path);

static attend_status read_config(attend_model *model, attend_context *context, const char *path) {
    (void)context;
    return attend__bert_config_open(path, &model->config);
}

static attend_status read_tokenizer(attend_model *model, attend_context *context,
                                    const char *path) {
    (void)context;
    const attend_status status = attend__tokenizer_open(path, &model->tokenizer);
    if (status) return status;
    const int32_t id = attend__tokenizer_largest_id(model->tokenizer);
    const int32_t type = attend__tokenizer_largest_type(model->tokenizer);
    if (id >= model->config.words)
        return attend__model_fail(ATTEND_FORMAT, "%s: id %d, but config.json's vocab_size is %lld",
                                  path, (int)id, (long long)model->config.words);
    if (type >= model->config.types)
        return attend__model_fail(ATTEND_FORMAT,
                                  "%s: type_id %d, but config.json's type_vocab_size is %lld", path,
                                  (int)type, (long long)model->config.types);
    return ATTEND_OK;
}

static attend_status read_weights(attend_model *model, attend_context *context, const char *path) {
    attend__safetensors *file;
    attend_status status = attend__safetensors_open(path, &file);
    if (status) return status;
    model->context = context;
    status = attend__bert_create(context, &model->config, file, &model->bert);
    attend__safetensors_close(file);
    return status;
}

static attend_status read_folder(attend_model *model, attend_context *context, const char *folder) {
    static const struct {
        const char *name;
        read_part *read;
    } parts[] = {{"config.json", read_config},
                 {"tokenizer.json", read_tokenizer},
                 {"model.safetensors", read_weights}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *const path = attend__model_path(folder, parts[i].name);
        if (!path) return attend__model_no_memory(folder);
        const attend_status status = parts[i].read(model, context, path);
        free(model->weights_path); /* the last one stays */
        model->weights_path = path;
        if (status) return status;
    }
    return ATTEND_OK;
}

attend_status attend_model_open(attend_context *context, const char *folder, attend_model **model) {
    if (!model) return attend__model_fail(ATTEND_NULL_POINTER, "model: missing");
    *model = NULL;
    if (!context) return attend__model_fail(ATTEND_NULL_POINTER, "context: missing");
    if (!folder) return attend__model_fail(ATTEND_NULL_POINTER, "folder: missing");
    attend_model *const m = calloc(1, sizeof *m);
    if (!m) return attend__model_no_memory(folder);
    const attend_status status = read_folder(m, context, folder);
    if (status)
        attend_model_release(m);
    else
        *model = m;
    return status;
}

void attend_model_release(attend_model *model) {
    if (!model) return;
    attend__bert_release(model->bert);
    attend__tokenizer_close(model->tokenizer);
    free(model->weights_path);
    free(model);
}

/* Writes as much of the caller's structure as both sides know. */
static void copy_out(void *to, size_t to_size, const void *from, size_t from_size) {
    const size_t head = sizeof(size_t); /* `size` stays the caller's */
    const size_t end = to_size < from_size ? to_size : from_size;
    if (end > head) memcpy((char *)to + head, (const char *)from + head, end - head);
}

attend_status attend_model_get_info(const attend_model *model, attend_model_info *info) {
    if (!model || !info)
        return attend__model_fail(ATTEND_NULL_POINTER, "%s: missing", model ? "info" : "model");
    if (info->size < sizeof(size_t))
        return attend__model_fail(ATTEND_INVALID, "info: its size is not set");
    const attend_model_info known = {sizeof known,        model->config.layers,
                                     model->config.heads, model->config.model_size,
                                     model->config.words, model->config.positions};
    copy_out(info, info->size, &known, sizeof known);
    return ATTEND_OK;
}

/* ---- encode ---------------------------------------------------------------------------------- */

void attend_encode_options_init(void *options, size_t size) {
    const attend_encode_options defaults = {.size = size, .layer = -1, .head = -1};
    if (!options) return;
    memset(options, 0, size);
    memcpy(options, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

/* `count` layers or heads from `first` on, of `most`; `first` below 0 names none. */
static attend_status check_range(const char *what, int32_t first, int32_t lowest, int32_t count,
                                 int64_t most) {
    if (first < lowest || first >= most)
        return attend__model_fail(ATTEND_OUT_OF_RANGE, "%s: %d of a model with %lld %ss", what,
                                  (int)first, (long long)most, what);
    if (first < 0 && count != 0)
        return attend__model_fail(ATTEND_INVALID, "%s_count: %d without a first %s", what,
                                  (int)count, what);
    if (count < 0 || (first >= 0 && count > most - first))
        return attend__model_fail(ATTEND_OUT_OF_RANGE,
                                  "%s_count: %d from %s %d on of a model with %lld", what,
                                  (int)count, what, (int)first, (long long)most);
    return ATTEND_OK;
}

attend_status attend__model_options_copy(void *options, size_t known, const void *given) {
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size < sizeof size)
        return attend__model_fail(ATTEND_INVALID, "options: its size is not set");
    for (size_t i = known; i < size; i++)
        if (((const char *)given)[i] != 0)
            return attend__model_fail(ATTEND_INVALID,
                                      "options: a member that this version does not know is set");
    copy_out(options, known, given, size);
    return ATTEND_OK;
}

attend_status attend__encode_options_check(const attend_model *model,
                                           const attend_encode_options *given,
                                           attend_encode_options *options) {
    *options = attend_encode_options_default();
    if (!given) return ATTEND_OK;
    attend_status status = attend__model_options_copy(options, sizeof *options, given);
    if (!status)
        status =
            check_range("layer", options->layer, -2, options->layer_count, model->config.layers);
    if (!status)
        status = check_range("head", options->head, -1, options->head_count, model->config.heads);
    return status;
}

static attend_status check_pair(const attend_model *model) {
    const int32_t type = attend__tokenizer_largest_pair_type(model->tokenizer);
    if (type < 0)
        return attend__model_fail(ATTEND_UNSUPPORTED,
                                  "second_text: tokenizer.json has no form for two texts");
    if (type < model->config.types) return ATTEND_OK;
    return attend__model_fail(ATTEND_UNSUPPORTED,
                              "second_text: type_id %d of tokenizer.json's form for two texts, but "
                              "config.json's type_vocab_size is %lld",
                              (int)type, (long long)model->config.types);
}

attend_status attend__model_tokens(const attend_model *model, const attend__model_text *text,
                                   attend_encoding **encoding) {
    for (int i = 0; i < 2; i++)
        if (!text->texts[i] && text->bytes[i])
            return attend__model_fail(ATTEND_NULL_POINTER, "%s: missing",
                                      i ? "second_text" : "text");
    attend__tokens tokens = {0};
    attend_status status = text->texts[1] ? check_pair(model) : ATTEND_OK;
    if (!status && text->texts[1])
        status = attend__tokenizer_run_pair(model->tokenizer, text->texts, text->bytes, &tokens);
    else if (!status)
        status = attend__tokenizer_run(model->tokenizer, text->texts[0], text->bytes[0], &tokens);
    for (int32_t i = 0; i < text->padding && !status; i++)
        status = attend__tokenizer_pad(model->tokenizer, &tokens);
    if (!status) status = attend__encoding_create(&tokens, encoding);
    attend__tokens_free(&tokens);
    return status;
}

attend_status attend_model_tokenize(const attend_model *model, const char *text, size_t text_bytes,
                                    attend_encoding **encoding) {
    if (!encoding) return attend__model_fail(ATTEND_NULL_POINTER, "encoding: missing");
    *encoding = NULL;
    if (!model) return attend__model_fail(ATTEND_NULL_POINTER, "model: missing");
    const attend__model_text one = {.texts = {text}, .bytes = {text_bytes}};
    return attend__model_tokens(model, &one, encoding);
}

/* Where each layer's weights go. Where not all heads are wanted, those of one layer after another
 * go to `all_heads` first. */
typedef struct targets {
    attend_encoding *encoding;
    float **layers;
    float *all_heads;
} targets;

static int32_t kept_count(int32_t first, int32_t count, int64_t all) {
    if (first < 0) return (int32_t)all;
    return count == 0 ? 1 : count;
}

static bool make_targets(const attend_model *model, const attend_encode_options *options,
                         attend_encoding *e, targets *t) {
    const size_t n = e->length, heads = (size_t)model->config.heads;
    t->encoding = e;
    t->layers = calloc((size_t)model->config.layers, sizeof *t->layers);
    if (!t->layers || !attend__encoding_make_room(e, model->config.model_size)) return false;
    if (options->layer == -2) return true;

    e->first_layer = options->layer < 0 ? 0 : options->layer;
    e->layers = kept_count(options->layer, options->layer_count, model->config.layers);
    e->first_head = options->head < 0 ? 0 : options->head;
    e->heads = kept_count(options->head, options->head_count, model->config.heads);
    size_t square;
    if (!attend__mul_size(n, n, &square)) return false;
    e->weights = attend__allocate_floats((size_t)e->layers, (size_t)e->heads, square);
    if (!e->weights) return false;
    if ((size_t)e->heads < heads) {
        t->all_heads = attend__allocate_floats(heads, square, 1);
        if (!t->all_heads) return false;
    }
    for (int32_t i = 0; i < e->layers; i++)
        t->layers[e->first_layer + i] =
            t->all_heads ? t->all_heads : e->weights + (size_t)i * heads * square;
    return true;
}

static void keep_heads(void *user, int64_t layer) {
    const targets *const t = user;
    const attend_encoding *const e = t->encoding;
    const size_t square = e->length * e->length, kept = (size_t)e->heads * square;
    memcpy(e->weights + (size_t)(layer - e->first_layer) * kept,
           t->all_heads + (size_t)e->first_head * square, kept * sizeof(float));
}

attend_status attend__encoding_fits(const attend_model *model, const attend_encoding *e) {
    if (e->length <= (size_t)model->config.positions) return ATTEND_OK;
    bool pair = false;
    for (size_t i = 0; i < e->length && !pair; i++)
        pair = e->tokens[i].source == 1;
    return attend__model_fail(ATTEND_OUT_OF_RANGE, "%s: %zu tokens, the model takes at most %lld",
                              pair ? "text and second_text" : "text", e->length,
                              (long long)model->config.positions);
}

attend_status attend__encoding_run(const attend_model *model, const attend_encode_options *options,
                                   attend_encoding *e) {
    attend_status status = attend__encoding_fits(model, e);
    if (status) return status;
    targets t = {0};
    if (!make_targets(model, options, e, &t))
        status =
            attend__model_fail(ATTEND_OUT_OF_MEMORY,
                               "text: not enough memory for the results of %zu tokens", e->length);
    const attend__bert_call call = {.ids = e->ids,
                                    .types = e->types,
                                    .rows = (int64_t)e->length,
                                    .texts = 1,
                                    .hidden = e->hidden,
                                    .weights = t.layers,
                                    .on_weights = t.all_heads ? keep_heads : NULL,
                                    .user = &t};
    if (!status && e->length) status = attend__bert_run(model->bert, &call);
    if (!status) attend__encoding_pool(e);
    free(t.layers);
    free(t.all_heads);
    return status;
}

attend_status attend_model_encode_with(const attend_model *model, const char *text,
                                       size_t text_bytes, const attend_encode_options *options,
                                       attend_encoding **encoding) {
    if (!encoding) return attend__model_fail(ATTEND_NULL_POINTER, "encoding: missing");
    *encoding = NULL;
    if (!model) return attend__model_fail(ATTEND_NULL_POINTER, "model: missing");
    attend_encode_options checked;
    attend_status status = attend__encode_options_check(model, options, &checked);
    attend_encoding *e = NULL;
    const attend__model_text texts = {.texts = {text, checked.second_text},
                                      .bytes = {text_bytes, checked.second_text_bytes}};
    if (!status) status = attend__model_tokens(model, &texts, &e);
    if (!status) status = attend__encoding_run(model, &checked, e);
    if (status)
        attend_encoding_release(e);
    else
        *encoding = e;
    return status;
}

attend_status attend_model_encode(const attend_model *model, const char *text, size_t text_bytes,
                                  attend_encoding **encoding) {
    return attend_model_encode_with(model, text, text_bytes, NULL, encoding);
}
