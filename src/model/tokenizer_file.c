/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads tokenizer.json: what it asks for and this library does not do is refused by name, so that
 * no text is ever split in another way than the file says. The format is that of Hugging Face's
 * `tokenizers`, version "1.0". */
#include "base/checked.h"
#include "model/json_file.h"
#include "model/model_error.h"
#include "model/tokenizer_data.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

static char *copy_text(const char *text) {
    const size_t bytes = strlen(text) + 1;
    char *const copy = malloc(bytes);
    if (copy) memcpy(copy, text, bytes);
    return copy;
}

static void note_id(attend__tokenizer *t, int32_t id) {
    if (id > t->largest_id) t->largest_id = id;
}

/* ---- normalizer and model -------------------------------------------------------------------- */

static attend_status read_normalizer(attend__tokenizer *t, const char *path, const json_t *root) {
    const json_t *object;
    attend_status status =
        attend__json_expect_type(path, root, "normalizer", "BertNormalizer", &object);
    attend__bert_options *const o = &t->options;
    if (!status) status = attend__json_bool(path, object, "clean_text", &o->clean_text);
    if (!status)
        status = attend__json_bool(path, object, "handle_chinese_chars", &o->handle_chinese_chars);
    if (!status) status = attend__json_bool(path, object, "lowercase", &o->lowercase);
    if (status) return status;
    const json_t *const strip = json_object_get(object, "strip_accents");
    o->strip_accents = o->lowercase; /* as in BERT, where the file leaves it open */
    return !strip || json_is_null(strip)
               ? ATTEND_OK
               : attend__json_bool(path, object, "strip_accents", &o->strip_accents);
}

static attend_status read_words(attend__tokenizer *t, const char *path, json_t *words) {
    size_t bytes = 0;
    const char *text;
    json_t *id;
    json_object_foreach(words, text, id) {
        const json_int_t n = json_integer_value(id);
        if (!json_is_integer(id) || n < 0 || n > INT32_MAX)
            return attend__model_fail(ATTEND_FORMAT,
                                      "%s: model.vocab: the id of \"%.100s\" is none", path, text);
        if (!attend__add_size(bytes, strlen(text) + 1, &bytes))
            return attend__model_no_memory(path);
        note_id(t, (int32_t)n);
    }
    if (!attend__vocabulary_create(&t->vocabulary, json_object_size(words), bytes))
        return attend__model_no_memory(path);
    json_object_foreach(words, text, id) {
        attend__vocabulary_add(&t->vocabulary, text, strlen(text), (int32_t)json_integer_value(id));
    }
    return ATTEND_OK;
}

static const attend__word *find(const attend__tokenizer *t, const char *text) {
    return attend__vocabulary_find(&t->vocabulary, "", 0, text, strlen(text));
}

static attend_status read_model(attend__tokenizer *t, const char *path, const json_t *root) {
    const json_t *model;
    const char *unknown, *prefix;
    int64_t most = 0;
    attend_status status = attend__json_expect_type(path, root, "model", "WordPiece", &model);
    if (!status) status = attend__json_text(path, model, "unk_token", &unknown);
    if (!status) status = attend__json_text(path, model, "continuing_subword_prefix", &prefix);
    if (!status)
        status = attend__json_integer(path, model, "max_input_chars_per_word", 0, INT64_MAX, &most);
    if (status) return status;
    json_t *const words = json_object_get(model, "vocab");
    if (!json_is_object(words))
        return attend__model_fail(ATTEND_FORMAT, "%s: model.vocab is missing or no object", path);
    status = read_words(t, path, words);
    if (status) return status;
    t->unknown = find(t, unknown);
    if (!t->unknown)
        return attend__model_fail(ATTEND_FORMAT, "%s: unk_token \"%.100s\" is not in model.vocab",
                                  path, unknown);
    t->prefix = copy_text(prefix);
    t->prefix_bytes = strlen(prefix);
    t->max_characters = (uint64_t)most < SIZE_MAX ? (size_t)most : SIZE_MAX;
    return t->prefix ? ATTEND_OK : attend__model_no_memory(path);
}

/* ---- added tokens ---------------------------------------------------------------------------- */

static attend_status make_pattern(const attend__tokenizer *t, const char *path,
                                  attend__added_token *token) {
    attend__text text = {0};
    attend_status status = attend__text_decode(&text, path, token->text, strlen(token->text));
    if (!status && token->normalized) {
        status = attend__bert_normalize(&t->options, text.items, text.count, &token->pattern);
        attend__text_free(&text);
        return status;
    }
    token->pattern = text;
    return status;
}

static attend_status read_added(attend__tokenizer *t, const char *path, const json_t *object) {
    const char *content;
    int64_t id = 0;
    attend__added_token *const token = &t->added[t->added_count++];
    attend_status status = attend__json_text(path, object, "content", &content);
    if (!status) status = attend__json_integer(path, object, "id", 0, INT32_MAX, &id);
    if (!status) status = attend__json_bool(path, object, "single_word", &token->single_word);
    if (!status) status = attend__json_bool(path, object, "lstrip", &token->lstrip);
    if (!status) status = attend__json_bool(path, object, "rstrip", &token->rstrip);
    if (!status) status = attend__json_bool(path, object, "normalized", &token->normalized);
    if (status) return status;
    const attend__word *const word = find(t, content);
    if (word && word->id != id)
        return attend__model_fail(ATTEND_FORMAT,
                                  "%s: added token \"%.100s\" has id %lld, in model.vocab %d", path,
                                  content, (long long)id, (int)word->id);
    token->id = (int32_t)id;
    note_id(t, token->id);
    token->text = copy_text(content);
    return token->text ? make_pattern(t, path, token) : attend__model_no_memory(path);
}

static attend_status read_all_added(attend__tokenizer *t, const char *path, const json_t *root) {
    const json_t *const list = json_object_get(root, "added_tokens");
    if (!json_is_array(list))
        return attend__model_fail(ATTEND_FORMAT, "%s: added_tokens is missing or no list", path);
    const size_t count = json_array_size(list);
    if (count == 0) return ATTEND_OK;
    t->added = calloc(count, sizeof *t->added);
    if (!t->added) return attend__model_no_memory(path);
    for (size_t i = 0; i < count; i++) {
        const attend_status status = read_added(t, path, json_array_get(list, i));
        if (status) return status;
    }
    return ATTEND_OK;
}

/* ---- template -------------------------------------------------------------------------------- */

static const attend__added_token *find_added(const attend__tokenizer *t, const char *text) {
    for (size_t i = 0; i < t->added_count; i++)
        if (strcmp(t->added[i].text, text) == 0) return &t->added[i];
    return NULL;
}

/* A special token of the template: its "special_tokens" entry must stand for the one token of that
 * name. */
static attend_status read_special(const attend__tokenizer *t, const char *path,
                                  const json_t *processor, const char *name, attend__token *part) {
    const json_t *const entry = json_object_get(json_object_get(processor, "special_tokens"), name);
    const json_t *const ids = json_object_get(entry, "ids");
    const attend__word *const word = find(t, name);
    const attend__added_token *const added = find_added(t, name);
    if (json_array_size(ids) != 1 || (!word && !added))
        return attend__model_fail(
            ATTEND_UNSUPPORTED,
            "%s: post_processor: \"%.100s\" does not stand for the token of that name", path, name);
    part->text = word ? word->text : added->text;
    part->id = word ? word->id : added->id;
    if (json_integer_value(json_array_get(ids, 0)) != part->id)
        return attend__model_fail(ATTEND_FORMAT,
                                  "%s: post_processor: the id of \"%.100s\" is not %d", path, name,
                                  (int)part->id);
    return ATTEND_OK;
}

/* `texts` of the form are 1 or 2: sequence "A", or "A" and "B". */
static attend_status read_part(const attend__tokenizer *t, const char *path,
                               const json_t *processor, const json_t *object, int texts,
                               attend__token *part) {
    const json_t *const special = json_object_get(object, "SpecialToken");
    const json_t *const sequence = json_object_get(object, "Sequence");
    const json_t *const inner = special ? special : sequence;
    const char *name;
    int64_t type = 0;
    attend_status status = attend__json_text(path, inner, "id", &name);
    if (!status) status = attend__json_integer(path, inner, "type_id", 0, INT32_MAX, &type);
    if (status) return status;
    part->type = (int32_t)type;
    part->source = -1;
    if (special) return read_special(t, path, processor, name, part);
    part->source = strcmp(name, "B") == 0;
    if (strcmp(name, "A") == 0 || (part->source == 1 && texts == 2)) return ATTEND_OK;
    return attend__model_fail(ATTEND_FORMAT,
                              "%s: post_processor: sequence \"%.100s\" in the form for %s", path,
                              name, texts == 1 ? "one text" : "two texts");
}

static attend_status read_form(const attend__tokenizer *t, const char *path,
                               const json_t *processor, int texts, attend__template *form) {
    const json_t *const parts = json_object_get(processor, texts == 1 ? "single" : "pair");
    const size_t count = json_array_size(parts);
    if (count == 0) return ATTEND_OK;
    form->parts = calloc(count, sizeof *form->parts);
    if (!form->parts) return attend__model_no_memory(path);
    form->count = count;
    for (size_t i = 0; i < count; i++) {
        attend__token *const part = &form->parts[i];
        const attend_status status =
            read_part(t, path, processor, json_array_get(parts, i), texts, part);
        if (status) return status;
        if (part->type > form->largest_type) form->largest_type = part->type;
    }
    return ATTEND_OK;
}

static bool has_text(const attend__template *form, int32_t source) {
    for (size_t i = 0; i < form->count; i++)
        if (form->parts[i].source == source) return true;
    return false;
}

static attend_status read_template(attend__tokenizer *t, const char *path, const json_t *root) {
    const json_t *processor;
    attend_status status =
        attend__json_expect_type(path, root, "post_processor", "TemplateProcessing", &processor);
    if (!status) status = read_form(t, path, processor, 1, &t->single);
    if (!status) status = read_form(t, path, processor, 2, &t->pair);
    if (status) return status;
    if (t->single.count == 0)
        return attend__model_fail(ATTEND_FORMAT, "%s: post_processor: single is missing or empty",
                                  path);
    if (t->pair.count && !(has_text(&t->pair, 0) && has_text(&t->pair, 1)))
        return attend__model_fail(
            ATTEND_FORMAT, "%s: post_processor: pair does not have both sequences A and B", path);
    return ATTEND_OK;
}

/* ---- open and close -------------------------------------------------------------------------- */

static attend_status read_all(attend__tokenizer *t, const char *path, const json_t *root) {
    const json_t *splitter;
    attend_status status =
        attend__json_expect_type(path, root, "pre_tokenizer", "BertPreTokenizer", &splitter);
    if (!status) status = read_normalizer(t, path, root);
    if (!status) status = read_model(t, path, root);
    if (!status) status = read_all_added(t, path, root);
    if (!status) status = read_template(t, path, root);
    return status;
}

attend_status attend__tokenizer_open(const char *path, attend__tokenizer **tokenizer) {
    *tokenizer = NULL;
    json_t *root;
    attend_status status = attend__json_open(path, &root);
    if (status) return status;
    attend__tokenizer *const t = calloc(1, sizeof *t);
    status = t ? read_all(t, path, root) : attend__model_no_memory(path);
    json_decref(root);
    if (status)
        attend__tokenizer_close(t);
    else
        *tokenizer = t;
    return status;
}

void attend__tokenizer_close(attend__tokenizer *tokenizer) {
    if (!tokenizer) return;
    for (size_t i = 0; i < tokenizer->added_count; i++) {
        free(tokenizer->added[i].text);
        attend__text_free(&tokenizer->added[i].pattern);
    }
    free(tokenizer->added);
    free(tokenizer->prefix);
    free(tokenizer->single.parts);
    free(tokenizer->pair.parts);
    attend__vocabulary_free(&tokenizer->vocabulary);
    free(tokenizer);
}

int32_t attend__tokenizer_largest_id(const attend__tokenizer *tokenizer) {
    return tokenizer->largest_id;
}

int32_t attend__tokenizer_largest_type(const attend__tokenizer *tokenizer) {
    return tokenizer->single.largest_type;
}

int32_t attend__tokenizer_largest_pair_type(const attend__tokenizer *tokenizer) {
    return tokenizer->pair.count ? tokenizer->pair.largest_type : -1;
}
