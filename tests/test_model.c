/* SPDX-License-Identifier: Apache-2.0
 *
 * all-MiniLM-L6-v2 on both built-in backends: tokens, hidden states, every weight and the embedding
 * against transformers in float64 (tests/data/minilm.safetensors, tolerances in the file), and what
 * an encoding keeps. Skipped without the model. */
#include "attend/model.h"
#include "model/safetensors.h"
#include "model_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

enum { LAYERS = 6, HEADS = 12, MODEL_SIZE = 384 };

static const char tired[] = "The animal didn't cross the street because it was too tired";

typedef struct fixture {
    attend_context *context;
    attend_model *model;
} fixture;

static int open_fixture(void **state, const char *backend) {
    static fixture f;
    attend_options options = attend_options_default();
    options.backend = backend;
    if (attend_open(&options, &f.context) ||
        attend_model_open(f.context, model_folder(), &f.model)) {
        fprintf(stderr, "%s\n", attend_error_text());
        return 1;
    }
    *state = &f;
    return 0;
}

static int open_cpu(void **state) {
    return open_fixture(state, "cpu");
}

static int open_reference(void **state) {
    return open_fixture(state, "reference");
}

static int close_fixture(void **state) {
    const fixture *const f = *state;
    attend_model_release(f->model);
    attend_close(f->context);
    return 0;
}

static attend_encoding *encode(void **state, const char *text,
                               const attend_encode_options *options) {
    attend_encoding *e = NULL;
    const fixture *const f = *state;
    if (attend_model_encode_with(f->model, text, strlen(text), options, &e))
        fail_msg("%s", attend_error_text());
    return e;
}

/* ---- against the case file ------------------------------------------------------------------- */

typedef struct tolerance {
    double absolute, relative;
} tolerance;

static const attend__stored_tensor *role(const attend__safetensors *file, const char *name,
                                         const char *what) {
    char full[200];
    snprintf(full, sizeof full, "%s/%s", name, what);
    const attend__stored_tensor *const t = attend__safetensors_find(file, full);
    assert_non_null(t);
    return t;
}

static void assert_close(const float *got, const attend__stored_tensor *wanted, tolerance t) {
    assert_non_null(got);
    assert_int_equal(wanted->type, ATTEND_F32);
    const float *const want = wanted->data;
    for (size_t i = 0; i < wanted->count; i++) {
        const double difference = fabs((double)got[i] - (double)want[i]);
        if (!(difference <= t.absolute + t.relative * fabs((double)want[i])))
            fail_msg("%s[%zu]: got %.9g, want %.9g", wanted->name, i, (double)got[i],
                     (double)want[i]);
    }
}

static void check_case(void **state, const attend__safetensors *file, const char *name,
                       const json_t *facts) {
    const json_t *const text = json_object_get(facts, "text");
    const tolerance t = {json_number_value(json_object_get(facts, "atol")),
                         json_number_value(json_object_get(facts, "rtol"))};
    assert_true(t.absolute > 0 && t.absolute < 1e-3 && t.relative < 1e-3);
    attend_encoding *const e = encode(state, json_string_value(text), NULL);

    const attend__stored_tensor *const ids = role(file, name, "ids");
    assert_int_equal(ids->type, ATTEND_I64);
    assert_int_equal(attend_encoding_length(e), ids->count);
    for (size_t i = 0; i < ids->count; i++) {
        assert_int_equal(attend_encoding_ids(e)[i], ((const int64_t *)ids->data)[i]);
        assert_string_equal(attend_encoding_token(e, i),
                            json_string_value(json_array_get(json_object_get(facts, "tokens"), i)));
    }
    assert_close(attend_encoding_hidden(e), role(file, name, "hidden"), t);
    assert_close(attend_encoding_embedding(e), role(file, name, "embedding"), t);
    const attend__stored_tensor *const weights = role(file, name, "attentions");
    assert_int_equal(weights->count, (size_t)LAYERS * HEADS * ids->count * ids->count);
    assert_close(attend_encoding_weights(e, 0, 0), weights, t);
    attend_encoding_release(e);
}

static void equals_transformers(void **state) {
    attend__safetensors *file;
    assert_int_equal(attend__safetensors_open(ATTEND_TEST_DATA "/minilm.safetensors", &file),
                     ATTEND_OK);
    int cases = 0;
    for (size_t i = 0; i < attend__safetensors_metadata_count(file); i++) {
        const char *const name = attend__safetensors_metadata_key(file, i);
        if (strcmp(name, "format") == 0) continue;
        json_t *const facts = json_loads(attend__safetensors_metadata_find(file, name), 0, NULL);
        assert_non_null(facts);
        check_case(state, file, name, facts);
        json_decref(facts);
        cases++;
    }
    assert_int_equal(cases, 5);
    attend__safetensors_close(file);
}

/* The well-known picture: in layer 6, head 12 (counted from 1) "it" looks at "animal". */
static void it_is_the_animal(void **state) {
    attend_encoding *const e = encode(state, tired, NULL);
    size_t it = 0, animal = 0, begin, end;
    for (size_t i = 0; i < attend_encoding_length(e); i++) {
        if (strcmp(attend_encoding_token(e, i), "it") == 0) it = i;
        if (strcmp(attend_encoding_token(e, i), "animal") == 0) animal = i;
    }
    assert_true(it > 0 && animal > 0);
    assert_true(fabs((double)attend_encoding_weight(e, 5, 11, it, animal) - 0.6466) < 0.00005);
    assert_int_equal(attend_encoding_span(e, it, &begin, &end), ATTEND_OK);
    assert_int_equal(end - begin, 2);
    assert_memory_equal(tired + begin, "it", 2);
    assert_int_equal(attend_encoding_span(e, 0, &begin, &end), ATTEND_OK);
    assert_true(begin == 0 && end == 0);
    attend_encoding_release(e);
}

static void similar_sentences_are_close(void **state) {
    attend_encoding *const a = encode(state, "A man is eating food.", NULL);
    attend_encoding *const b = encode(state, "Someone has a meal.", NULL);
    attend_encoding *const c = encode(state, "The stock market fell sharply.", NULL);
    assert_true(attend_encoding_similarity(a, b) > attend_encoding_similarity(a, c) + 0.2);
    assert_true(fabs(attend_encoding_similarity(a, a) - 1) < 1e-6);
    assert_true(isnan(attend_encoding_similarity(a, NULL)));
    attend_encoding_release(a);
    attend_encoding_release(b);
    attend_encoding_release(c);
}

/* ---- what is kept ---------------------------------------------------------------------------- */

static void keeps_what_was_asked_for(void **state) {
    attend_encoding *const all = encode(state, tired, NULL);
    const size_t n = attend_encoding_length(all), square_bytes = n * n * sizeof(float);
    attend_encode_options options = attend_encode_options_default();
    assert_true(options.layer == -1 && options.head == -1);
    for (int32_t layer = -2; layer < LAYERS; layer += 3)
        for (int32_t head = -1; head < HEADS; head += 6) {
            options.layer = layer;
            options.head = head;
            attend_encoding *const e = encode(state, tired, &options);
            assert_memory_equal(attend_encoding_hidden(e), attend_encoding_hidden(all),
                                n * MODEL_SIZE * sizeof(float));
            for (int32_t l = -1; l <= LAYERS; l++)
                for (int32_t h = -1; h <= HEADS; h++) {
                    const int inside = l >= 0 && l < LAYERS && h >= 0 && h < HEADS;
                    const int kept = inside && layer != -2 && (layer == -1 || layer == l) &&
                                     (head == -1 || head == h);
                    const float *const weights = attend_encoding_weights(e, l, h);
                    assert_int_equal(weights != NULL, kept);
                    assert_int_equal(isnan(attend_encoding_weight(e, l, h, 0, 0)), !kept);
                    if (kept)
                        assert_memory_equal(weights, attend_encoding_weights(all, l, h),
                                            square_bytes);
                }
            attend_encoding_release(e);
        }
    assert_true(isnan(attend_encoding_weight(all, 0, 0, n, 0)));
    assert_true(isnan(attend_encoding_weight(all, 0, 0, 0, n)));
    attend_encoding_release(all);
}

static void keeps_ranges(void **state) {
    attend_encoding *const all = encode(state, tired, NULL);
    const size_t n = attend_encoding_length(all), square_bytes = n * n * sizeof(float);
    static const int32_t ranges[][4] = {{1, 3, 4, 5}, {0, 6, 11, 1}, {5, 0, 0, 12}, {2, 1, -1, 0}};
    for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
        attend_encode_options options = attend_encode_options_default();
        options.layer = ranges[r][0];
        options.layer_count = ranges[r][1];
        options.head = ranges[r][2];
        options.head_count = ranges[r][3];
        attend_encoding *const e = encode(state, tired, &options);
        const int32_t layers = options.layer_count ? options.layer_count : 1;
        for (int32_t l = 0; l < LAYERS; l++)
            for (int32_t h = 0; h < HEADS; h++) {
                const int kept = l >= options.layer && l < options.layer + layers &&
                                 (options.head == -1 ||
                                  (h >= options.head && h < options.head + options.head_count));
                const float *const weights = attend_encoding_weights(e, l, h);
                assert_int_equal(weights != NULL, kept);
                if (kept)
                    assert_memory_equal(weights, attend_encoding_weights(all, l, h), square_bytes);
            }
        attend_encoding_release(e);
    }
    attend_encoding_release(all);
}

/* Two texts are the tokens of both, and the second one's types. */
static void pairs_are_both_texts(void **state) {
    static const char second[] = "It sat down";
    attend_encode_options options = attend_encode_options_default();
    options.layer = -2;
    attend_encoding *const a = encode(state, tired, &options);
    attend_encoding *const b = encode(state, second, &options);
    options.layer = -1;
    options.second_text = second;
    options.second_text_bytes = strlen(second);
    attend_encoding *const e = encode(state, tired, &options);
    const size_t n = attend_encoding_length(a), m = attend_encoding_length(b) - 1;
    assert_int_equal(attend_encoding_length(e), n + m);
    assert_memory_equal(attend_encoding_ids(e), attend_encoding_ids(a), n * sizeof(int32_t));
    assert_memory_equal(attend_encoding_ids(e) + n, attend_encoding_ids(b) + 1,
                        m * sizeof(int32_t));
    for (size_t i = 0; i < n + m; i++) {
        assert_int_equal(attend_encoding_types(e)[i], i >= n);
        const int32_t text = i == 0 || i == n - 1 || i == n + m - 1 ? -1 : i >= n;
        assert_int_equal(attend_encoding_text(e, i), text);
    }
    double sum = 0;
    for (size_t i = 0; i < n + m; i++)
        sum += (double)attend_encoding_weight(e, 5, 11, n, i);
    assert_true(fabs(sum - 1) < 1e-5);
    attend_encoding_release(a);
    attend_encoding_release(b);
    attend_encoding_release(e);
}

/* ---- several texts --------------------------------------------------------------------------- */

/* Enough for several packed runs, the third with what is longer than one of them holds; texts of no
 * byte among them. */
static void many_texts_are_as_alone(void **state) {
    const fixture *const f = *state;
    enum { COUNT = 24, WORDS = 500 };
    static char room[COUNT][2 * WORDS + 1];
    const char *texts[COUNT];
    size_t sizes[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        const size_t words = i % 4 == 3 ? i / 4 * 80 : i * 7 % 13;
        for (size_t w = 0; w < words; w++) {
            room[i][2 * w] = (char)('a' + (w * 5 + i) % 26);
            room[i][2 * w + 1] = ' ';
        }
        texts[i] = room[i];
        sizes[i] = 2 * words;
    }
    attend_encode_options options = attend_encode_options_default();
    options.layer = -2;
    attend_encoding *many[COUNT];
    if (attend_model_encode_many(f->model, COUNT, texts, sizes, &options, many))
        fail_msg("%s", attend_error_text());
    for (size_t i = 0; i < COUNT; i++) {
        attend_encoding *const alone = encode(state, texts[i], &options);
        const size_t n = attend_encoding_length(alone);
        assert_int_equal(attend_encoding_length(many[i]), n);
        assert_memory_equal(attend_encoding_hidden(many[i]), attend_encoding_hidden(alone),
                            n * MODEL_SIZE * sizeof(float));
        assert_memory_equal(attend_encoding_embedding(many[i]), attend_encoding_embedding(alone),
                            MODEL_SIZE * sizeof(float));
        assert_null(attend_encoding_weights(many[i], 0, 0));
        attend_encoding_release(alone);
        attend_encoding_release(many[i]);
    }
}

static void many_texts_keep_weights_and_name_the_bad_one(void **state) {
    const fixture *const f = *state;
    const char *texts[] = {tired, "a b", "c"};
    attend_encoding *many[3];
    assert_int_equal(attend_model_encode_many(f->model, 2, texts, NULL, NULL, many), ATTEND_OK);
    assert_non_null(attend_encoding_weights(many[1], 5, 11));
    attend_encoding_release(many[0]);
    attend_encoding_release(many[1]);
    texts[1] = "bad \xff";
    assert_int_equal(attend_model_encode_many(f->model, 3, texts, NULL, NULL, many), ATTEND_FORMAT);
    assert_true(strncmp(attend_error_text(), "texts[1]: ", 10) == 0);
    assert_true(many[0] == NULL && many[1] == NULL && many[2] == NULL);
    texts[1] = NULL;
    assert_int_equal(attend_model_encode_many(f->model, 3, texts, NULL, NULL, many),
                     ATTEND_NULL_POINTER);
    assert_string_equal(attend_error_text(), "texts[1]: text: missing");
    assert_int_equal(attend_model_encode_many(f->model, 0, NULL, NULL, NULL, NULL), ATTEND_OK);
    assert_int_equal(attend_model_encode_many(f->model, 1, texts, NULL, NULL, NULL),
                     ATTEND_NULL_POINTER);
}

static void gives_the_model_sizes(void **state) {
    const fixture *const f = *state;
    attend_model_info info = {.size = sizeof info};
    assert_int_equal(attend_model_get_info(f->model, &info), ATTEND_OK);
    assert_int_equal(info.layers, LAYERS);
    assert_int_equal(info.heads, HEADS);
    assert_int_equal(info.model_size, MODEL_SIZE);
    assert_int_equal(info.vocabulary_size, 30522);
    assert_int_equal(info.max_tokens, 512);
}

/* 512 tokens are taken, 513 are not, and tokenizing has no limit. */
static void takes_as_many_tokens_as_it_has_positions(void **state) {
    const fixture *const f = *state;
    char text[2 * 511 + 1];
    for (size_t i = 0; i < sizeof text - 1; i++)
        text[i] = i % 2 ? ' ' : 'a';
    attend_encode_options options = attend_encode_options_default();
    options.layer = 0;
    options.head = 0;
    attend_encoding *e;
    assert_int_equal(attend_model_encode_with(f->model, text, 2 * 510, &options, &e), ATTEND_OK);
    assert_int_equal(attend_encoding_length(e), 512);
    attend_encoding_release(e);
    assert_int_equal(attend_model_encode_with(f->model, text, 2 * 511, &options, &e),
                     ATTEND_OUT_OF_RANGE);
    assert_null(e);
    assert_non_null(strstr(attend_error_text(), "513"));
    assert_int_equal(attend_model_tokenize(f->model, text, 2 * 511, &e), ATTEND_OK);
    assert_int_equal(attend_encoding_length(e), 513);
    assert_null(attend_encoding_hidden(e));
    assert_null(attend_encoding_embedding(e));
    assert_null(attend_encoding_weights(e, 0, 0));
    attend_encoding_release(e);
}

#define ON(backend, test) cmocka_unit_test_setup_teardown(test, open_##backend, close_fixture)

int main(void) {
    if (!have_model()) return SKIPPED;
    const struct CMUnitTest tests[] = {
        ON(cpu, equals_transformers),
        ON(reference, equals_transformers),
        ON(cpu, it_is_the_animal),
        ON(reference, it_is_the_animal),
        ON(cpu, similar_sentences_are_close),
        ON(cpu, keeps_what_was_asked_for),
        ON(cpu, keeps_ranges),
        ON(reference, keeps_ranges),
        ON(cpu, pairs_are_both_texts),
        ON(cpu, many_texts_are_as_alone),
        ON(reference, many_texts_are_as_alone),
        ON(cpu, many_texts_keep_weights_and_name_the_bad_one),
        ON(cpu, gives_the_model_sizes),
        ON(cpu, takes_as_many_tokens_as_it_has_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
