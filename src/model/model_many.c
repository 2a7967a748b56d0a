/* SPDX-License-Identifier: Apache-2.0
 *
 * Several texts at once: their tokens run one after another in packed batches, so that nothing is
 * spent on padding and few rows of one text share the weights with those of others. */
#include "attend/model.h"

#include "base/checked.h"
#include "model/model_error.h"
#include "model/model_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one run: enough rows for the best speed of the products, few enough for their intermediate
 * results (1536 floats a row in MiniLM) to stay in the caches. A longer text runs alone. */
enum { ROWS_AT_ONCE = 1024 };

/* ---- one run --------------------------------------------------------------------------------- */

typedef struct batch {
    int32_t *ids, *types, *positions, *starts;
    float *hidden;
    size_t rows, texts;
} batch;

static void free_batch(batch *b) {
    free(b->ids);
    free(b->hidden);
}

/* One block for the four lists. */
static bool make_batch(batch *b, size_t rows, size_t texts, size_t model_size) {
    size_t count;
    if (!attend__mul_size(rows, 3, &count) || !attend__add_size(count, texts + 1, &count))
        return false;
    b->ids = calloc(count, sizeof *b->ids);
    b->hidden = attend__allocate_floats(rows, model_size, 1);
    if (!b->ids || !b->hidden) return false;
    b->types = b->ids + rows;
    b->positions = b->types + rows;
    b->starts = b->positions + rows;
    return true;
}

static void add_text(batch *b, const attend_encoding *e) {
    memcpy(b->ids + b->rows, e->ids, e->length * sizeof *e->ids);
    memcpy(b->types + b->rows, e->types, e->length * sizeof *e->types);
    for (size_t i = 0; i < e->length; i++)
        b->positions[b->rows + i] = (int32_t)i;
    b->rows += e->length;
    b->starts[++b->texts] = (int32_t)b->rows;
}

static attend_status run_batch(const attend_model *model, attend_encoding **encodings, size_t count,
                               batch *b) {
    for (size_t i = 0; i < count; i++)
        add_text(b, encodings[i]);
    const attend__bert_call call = {.ids = b->ids,
                                    .types = b->types,
                                    .positions = b->positions,
                                    .starts = b->starts,
                                    .rows = (int64_t)b->rows,
                                    .texts = (int64_t)b->texts,
                                    .hidden = b->hidden};
    const attend_status status = attend__bert_run(model->bert, &call);
    if (status) return status;
    const size_t M = (size_t)model->config.model_size;
    for (size_t i = 0; i < count; i++) {
        attend_encoding *const e = encodings[i];
        memcpy(e->hidden, b->hidden + (size_t)b->starts[i] * M, e->length * M * sizeof(float));
        attend__encoding_pool(e);
    }
    return ATTEND_OK;
}

/* ---- all texts ------------------------------------------------------------------------------- */

/* "texts[3]: " before the sentence of a failure that lies in one text. */
static attend_status name_text(attend_status status, size_t text) {
    char sentence[1024];
    snprintf(sentence, sizeof sentence, "%s", attend_error_text());
    return attend__model_fail(status, "texts[%zu]: %s", text, sentence);
}

static attend_status run_one(const attend_model *model, const attend_encode_options *options,
                             attend_encoding *encoding, size_t text) {
    const attend_status status = attend__encoding_run(model, options, encoding);
    return status ? name_text(status, text) : ATTEND_OK;
}

/* The texts from `first` on that run together: at least one, as many as have few rows. */
static size_t texts_together(attend_encoding *const *encodings, size_t count, size_t *rows) {
    size_t texts = 0;
    *rows = 0;
    while (texts < count && (texts == 0 || *rows + encodings[texts]->length <= ROWS_AT_ONCE))
        *rows += encodings[texts++]->length;
    return texts;
}

static attend_status run_together(const attend_model *model, attend_encoding **encodings,
                                  size_t texts, size_t rows) {
    const size_t M = (size_t)model->config.model_size;
    batch b = {0};
    bool room = make_batch(&b, rows, texts, M);
    for (size_t i = 0; i < texts && room; i++)
        room = attend__encoding_make_room(encodings[i], model->config.model_size);
    const attend_status status =
        room ? run_batch(model, encodings, texts, &b)
             : attend__model_fail(ATTEND_OUT_OF_MEMORY,
                                  "texts: not enough memory for the results of %zu tokens", rows);
    free_batch(&b);
    return status;
}

static attend_status run_all(const attend_model *model, const attend_encode_options *options,
                             size_t count, attend_encoding **encodings) {
    attend_status status = ATTEND_OK;
    bool packed = options->layer == -2;
    for (size_t i = 0; i < count && !status;) {
        size_t rows = 0, texts = 1;
        if (packed) texts = texts_together(encodings + i, count - i, &rows);
        if (texts > 1) status = run_together(model, encodings + i, texts, rows);
        if (texts > 1 && status == ATTEND_UNSUPPORTED) { /* a plugin without packed batches */
            packed = false;
            status = ATTEND_OK;
            continue;
        }
        if (texts == 1) status = run_one(model, options, encodings[i], i);
        i += texts;
    }
    return status;
}

static attend_status tokenize_all(const attend_model *model, size_t count, const char *const *texts,
                                  const size_t *sizes, attend_encoding **encodings) {
    attend_status status = ATTEND_OK;
    for (size_t i = 0; i < count && !status; i++) {
        const size_t size = sizes ? sizes[i] : texts[i] ? strlen(texts[i]) : 0;
        if (!texts[i] && !sizes) status = attend__model_fail(ATTEND_NULL_POINTER, "text: missing");
        if (!status) status = attend_model_tokenize(model, texts[i], size, &encodings[i]);
        if (!status) status = attend__encoding_fits(model, encodings[i]);
        if (status) status = name_text(status, i);
    }
    return status;
}

attend_status attend_model_encode_many(const attend_model *model, size_t count,
                                       const char *const *texts, const size_t *sizes,
                                       const attend_encode_options *options,
                                       attend_encoding **encodings) {
    if (!encodings && count) return attend__model_fail(ATTEND_NULL_POINTER, "encodings: missing");
    for (size_t i = 0; i < count; i++)
        encodings[i] = NULL;
    if (!model) return attend__model_fail(ATTEND_NULL_POINTER, "model: missing");
    if (!texts && count) return attend__model_fail(ATTEND_NULL_POINTER, "texts: missing");
    attend_encode_options checked;
    attend_status status = attend__encode_options_check(model, options, &checked);
    if (!status && checked.second_text)
        status = attend__model_fail(ATTEND_INVALID,
                                    "second_text: not for many texts, encode each pair alone");
    if (!status) status = tokenize_all(model, count, texts, sizes, encodings);
    if (!status) status = run_all(model, &checked, count, encodings);
    for (size_t i = 0; i < count && status; i++) {
        attend_encoding_release(encodings[i]);
        encodings[i] = NULL;
    }
    return status;
}
