/* SPDX-License-Identifier: Apache-2.0
 *
 * Encodings and their getters; see encoding.h and attend/model.h. */
#include "model/encoding.h"

#include "base/checked.h"
#include "model/model_error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool copy_texts(attend_encoding *e) {
    size_t bytes = 1;
    for (size_t i = 0; i < e->length; i++)
        if (!attend__add_size(bytes, strlen(e->tokens[i].text) + 1, &bytes)) return false;
    e->texts = malloc(bytes);
    if (!e->texts) return false;
    char *at = e->texts;
    for (size_t i = 0; i < e->length; i++) {
        const size_t size = strlen(e->tokens[i].text) + 1;
        memcpy(at, e->tokens[i].text, size);
        e->tokens[i].text = at;
        at += size;
    }
    return true;
}

static bool copy_tokens(attend_encoding *e, const attend__tokens *tokens) {
    const size_t room = tokens->count ? tokens->count : 1;
    e->ids = calloc(room, sizeof *e->ids);
    e->types = calloc(room, sizeof *e->types);
    e->tokens = calloc(room, sizeof *e->tokens);
    if (!e->ids || !e->types || !e->tokens) return false;
    e->length = tokens->count;
    for (size_t i = 0; i < e->length; i++) {
        e->tokens[i] = tokens->items[i];
        e->ids[i] = tokens->items[i].id;
        e->types[i] = tokens->items[i].type;
    }
    return copy_texts(e);
}

attend_status attend__encoding_create(const attend__tokens *tokens, attend_encoding **encoding) {
    attend_encoding *const e = calloc(1, sizeof *e);
    if (e && copy_tokens(e, tokens)) {
        *encoding = e;
        return ATTEND_OK;
    }
    attend_encoding_release(e);
    return attend__model_fail(ATTEND_OUT_OF_MEMORY, "text: not enough memory for %zu tokens",
                              tokens->count);
}

float *attend__allocate_floats(size_t a, size_t b, size_t c) {
    size_t count, bytes;
    if (!attend__mul_size(a, b, &count) || !attend__mul_size(count, c, &count) ||
        !attend__mul_size(count, sizeof(float), &bytes))
        return NULL;
    return malloc(bytes ? bytes : 1);
}

bool attend__encoding_make_room(attend_encoding *e, int64_t model_size) {
    e->model_size = model_size;
    free(e->hidden); /* of a run that was given up */
    free(e->embedding);
    e->hidden = attend__allocate_floats(e->length, (size_t)model_size, 1);
    e->embedding = attend__allocate_floats((size_t)model_size, 1, 1);
    return e->hidden && e->embedding;
}

enum { POOLED_COLUMNS = 64 };

/* The means of columns `first` .. `first + count - 1`, row after row as they lie in memory. */
static double pool_columns(attend_encoding *encoding, size_t first, size_t count) {
    const size_t M = (size_t)encoding->model_size;
    double sums[POOLED_COLUMNS] = {0}, squares = 0;
    for (size_t r = 0; r < encoding->length; r++)
        for (size_t c = 0; c < count; c++)
            sums[c] += (double)encoding->hidden[r * M + first + c];
    for (size_t c = 0; c < count; c++) {
        const double mean = encoding->length ? sums[c] / (double)encoding->length : 0;
        encoding->embedding[first + c] = (float)mean;
        squares += mean * mean;
    }
    return squares;
}

void attend__encoding_pool(attend_encoding *encoding) {
    const size_t M = (size_t)encoding->model_size;
    double squares = 0;
    for (size_t c = 0; c < M; c += POOLED_COLUMNS)
        squares += pool_columns(encoding, c, M - c < POOLED_COLUMNS ? M - c : POOLED_COLUMNS);
    /* The bound is that of torch.nn.functional.normalize: a zero vector stays zero. */
    const double norm = fmax(sqrt(squares), 1e-12);
    for (size_t c = 0; c < M; c++)
        encoding->embedding[c] = (float)((double)encoding->embedding[c] / norm);
}

void attend_encoding_release(attend_encoding *encoding) {
    if (!encoding) return;
    free(encoding->ids);
    free(encoding->types);
    free(encoding->tokens);
    free(encoding->texts);
    free(encoding->hidden);
    free(encoding->embedding);
    free(encoding->weights);
    free(encoding);
}

/* ---- getters --------------------------------------------------------------------------------- */

size_t attend_encoding_length(const attend_encoding *encoding) {
    return encoding ? encoding->length : 0;
}

const int32_t *attend_encoding_ids(const attend_encoding *encoding) {
    return encoding ? encoding->ids : NULL;
}

const char *attend_encoding_token(const attend_encoding *encoding, size_t token) {
    return encoding && token < encoding->length ? encoding->tokens[token].text : NULL;
}

attend_status attend_encoding_span(const attend_encoding *encoding, size_t token, size_t *begin,
                                   size_t *end) {
    if (!encoding || !begin || !end)
        return attend__model_fail(ATTEND_NULL_POINTER, "%s: missing",
                                  !encoding ? "encoding"
                                  : !begin  ? "begin"
                                            : "end");
    if (token >= encoding->length)
        return attend__model_fail(ATTEND_OUT_OF_RANGE, "token: %zu of an encoding with %zu", token,
                                  encoding->length);
    *begin = encoding->tokens[token].begin;
    *end = encoding->tokens[token].end;
    return ATTEND_OK;
}

int32_t attend_encoding_text(const attend_encoding *encoding, size_t token) {
    return encoding && token < encoding->length ? encoding->tokens[token].source : -1;
}

const int32_t *attend_encoding_types(const attend_encoding *encoding) {
    return encoding ? encoding->types : NULL;
}

const float *attend_encoding_hidden(const attend_encoding *encoding) {
    return encoding ? encoding->hidden : NULL;
}

const float *attend_encoding_embedding(const attend_encoding *encoding) {
    return encoding ? encoding->embedding : NULL;
}

const float *attend_encoding_weights(const attend_encoding *encoding, int32_t layer, int32_t head) {
    if (!encoding || !encoding->weights || layer < encoding->first_layer ||
        head < encoding->first_head)
        return NULL;
    const int32_t l = layer - encoding->first_layer, h = head - encoding->first_head;
    if (l >= encoding->layers || h >= encoding->heads) return NULL;
    const size_t index = (size_t)l * (size_t)encoding->heads + (size_t)h;
    return encoding->weights + index * encoding->length * encoding->length;
}

float attend_encoding_weight(const attend_encoding *encoding, int32_t layer, int32_t head,
                             size_t query, size_t key) {
    const float *const weights = attend_encoding_weights(encoding, layer, head);
    if (!weights || query >= encoding->length || key >= encoding->length) return NAN;
    return weights[query * encoding->length + key];
}

double attend_encoding_similarity(const attend_encoding *a, const attend_encoding *b) {
    if (!a || !b || !a->embedding || !b->embedding || a->model_size != b->model_size)
        return (double)NAN;
    double product = 0, a_squares = 0, b_squares = 0;
    for (int64_t i = 0; i < a->model_size; i++) {
        const double x = (double)a->embedding[i], y = (double)b->embedding[i];
        product += x * y;
        a_squares += x * x;
        b_squares += y * y;
    }
    return product / sqrt(a_squares * b_squares);
}
