/* SPDX-License-Identifier: Apache-2.0
 *
 * Options of encoding on a model that the test writes itself: ranges of layers and heads that do
 * not fit, two texts in the form that tokenizer.json gives, and what is refused. */
#include "tiny_folder.h"

/* ---- ranges ---------------------------------------------------------------------------------- */

static void ranges_are_checked(void **state) {
    (void)state;
    attend_model *const model = open_good();
    attend_encoding *e;
    attend_encode_options options = attend_encode_options_default();
    static const struct {
        int32_t layer, layer_count, head, head_count;
        attend_status status;
        const char *said;
    } ranges[] = {
        {0, LAYERS + 1, -1, 0, ATTEND_OUT_OF_RANGE, "layer_count"},
        {1, LAYERS, -1, 0, ATTEND_OUT_OF_RANGE, "layer_count"},
        {1, INT32_MAX, -1, 0, ATTEND_OUT_OF_RANGE, "layer_count"},
        {0, -1, -1, 0, ATTEND_OUT_OF_RANGE, "layer_count"},
        {-1, 1, -1, 0, ATTEND_INVALID, "layer_count"},
        {-2, 1, -1, 0, ATTEND_INVALID, "layer_count"},
        {0, 0, 0, 3, ATTEND_OUT_OF_RANGE, "head_count"},
        {0, 0, 0, -2, ATTEND_OUT_OF_RANGE, "head_count"},
        {0, 0, -1, 2, ATTEND_INVALID, "head_count"},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        options.layer = ranges[i].layer;
        options.layer_count = ranges[i].layer_count;
        options.head = ranges[i].head;
        options.head_count = ranges[i].head_count;
        assert_int_equal(attend_model_encode_with(model, "a", 1, &options, &e), ranges[i].status);
        assert_non_null(strstr(attend_error_text(), ranges[i].said));
        assert_null(e);
    }
    attend_model_release(model);
}

/* A program that was built before the counts and the second text knew of a shorter structure. */
static void older_options_are_understood(void **state) {
    (void)state;
    struct {
        size_t size;
        int32_t layer, head;
    } old = {sizeof old, 1, 0};
    attend_model *const model = open_good();
    attend_encoding *e;
    const attend_encode_options *const options = (const void *)&old;
    assert_int_equal(attend_model_encode_with(model, "a b", 3, options, &e), ATTEND_OK);
    assert_non_null(attend_encoding_weights(e, 1, 0));
    assert_null(attend_encoding_weights(e, 1, 1));
    assert_null(attend_encoding_weights(e, 0, 0));
    attend_encoding_release(e);
    attend_model_release(model);
}

/* ---- two texts ------------------------------------------------------------------------------- */

static void set_pair(const char *pair) {
    char path[1024];
    in_folder(path, folder, "tokenizer.json");
    json_t *const root = json_load_file(path, 0, NULL);
    json_t *const processor = json_object_get(root, "post_processor");
    if (pair)
        json_object_set_new(processor, "pair", json_loads(pair, 0, NULL));
    else
        json_object_del(processor, "pair");
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
}

#define PART(kind, id, type) "{\"" kind "\":{\"id\":\"" id "\",\"type_id\":" type "}}"
static const char bert_pair[] =
    "[" PART("SpecialToken", "[CLS]", "0") "," PART("Sequence", "A", "0") "," PART(
        "SpecialToken", "[SEP]", "0") "," PART("Sequence", "B", "1") "," PART("SpecialToken",
                                                                              "[SEP]", "1") "]";

static attend_status encode_pair(const attend_model *model, const char *a, const char *b,
                                 attend_encoding **e) {
    attend_encode_options options = attend_encode_options_default();
    options.second_text = b;
    options.second_text_bytes = strlen(b);
    return attend_model_encode_with(model, a, strlen(a), &options, e);
}

static void pairs_follow_the_template(void **state) {
    (void)state;
    set_pair(bert_pair);
    attend_model *const model = open_good();
    attend_encoding *e, *same;
    assert_int_equal(encode_pair(model, "the unable", " a<b>", &e), ATTEND_OK);
    static const struct {
        const char *token;
        int32_t type, text;
        size_t begin, end;
    } wanted[] = {
        {"[CLS]", 0, -1, 0, 0}, {"the", 0, 0, 0, 3}, {"un", 0, 0, 4, 6},  {"##able", 0, 0, 6, 10},
        {"[SEP]", 0, -1, 0, 0}, {"a", 1, 1, 1, 2},   {"<b>", 1, 1, 2, 5}, {"[SEP]", 1, -1, 0, 0},
    };
    const size_t n = sizeof wanted / sizeof *wanted;
    assert_int_equal(attend_encoding_length(e), n);
    for (size_t i = 0; i < n; i++) {
        size_t begin, end;
        assert_string_equal(attend_encoding_token(e, i), wanted[i].token);
        assert_int_equal(attend_encoding_types(e)[i], wanted[i].type);
        assert_int_equal(attend_encoding_text(e, i), wanted[i].text);
        assert_int_equal(attend_encoding_span(e, i, &begin, &end), ATTEND_OK);
        assert_true(begin == wanted[i].begin && end == wanted[i].end);
    }
    assert_int_equal(attend_encoding_text(e, n), -1);
    assert_int_equal(attend_encoding_text(NULL, 0), -1);
    assert_null(attend_encoding_types(NULL));
    /* The types reach the model: the same tokens as one text give other states. */
    assert_int_equal(attend_model_encode(model, "the unable[SEP]a<b>", 19, &same), ATTEND_OK);
    assert_memory_equal(attend_encoding_ids(e), attend_encoding_ids(same), n * sizeof(int32_t));
    assert_memory_not_equal(attend_encoding_hidden(e), attend_encoding_hidden(same),
                            n * M * sizeof(float));
    attend_encoding_release(same);
    attend_encoding_release(e);
    assert_int_equal(encode_pair(model, "", "", &e), ATTEND_OK);
    assert_int_equal(attend_encoding_length(e), 3);
    attend_encoding_release(e);
    attend_model_release(model);
}

static void pairs_are_checked(void **state) {
    (void)state;
    set_pair(bert_pair);
    attend_model *model = open_good();
    attend_encoding *e;
    assert_int_equal(encode_pair(model, "a", "b\xff", &e), ATTEND_FORMAT);
    assert_null(e);
    assert_non_null(strstr(attend_error_text(), "second_text"));
    static char longer[2 * POSITIONS];
    memset(longer, 0, sizeof longer);
    for (size_t i = 0; i + 1 < 2 * (POSITIONS - 4); i += 2)
        memcpy(longer + i, "a ", 2);
    assert_int_equal(encode_pair(model, "b", longer, &e), ATTEND_OK);
    assert_int_equal(attend_encoding_length(e), POSITIONS);
    attend_encoding_release(e);
    assert_int_equal(encode_pair(model, "b c", longer, &e), ATTEND_OUT_OF_RANGE);
    assert_non_null(strstr(attend_error_text(), "second_text: 41 tokens"));

    attend_encode_options options = attend_encode_options_default();
    options.second_text_bytes = 1;
    assert_int_equal(attend_model_encode_with(model, "a", 1, &options, &e), ATTEND_NULL_POINTER);
    options.second_text = "b";
    const char *const texts[] = {"a"};
    assert_int_equal(attend_model_encode_many(model, 1, texts, NULL, &options, &e), ATTEND_INVALID);
    attend_model_release(model);

    set_pair(NULL);
    model = open_good();
    assert_int_equal(encode_pair(model, "a", "b", &e), ATTEND_UNSUPPORTED);
    attend_model_release(model);
    set_pair("[" PART("Sequence", "A", "0") "," PART("Sequence", "B", "2") "]");
    model = open_good();
    assert_int_equal(encode_pair(model, "a", "b", &e), ATTEND_UNSUPPORTED);
    assert_non_null(strstr(attend_error_text(), "type_id 2"));
    attend_model_release(model);
    set_pair("[" PART("Sequence", "A", "0") "," PART("Sequence", "C", "1") "]");
    assert_refused(ATTEND_FORMAT, "\"C\"");
    set_pair("[" PART("Sequence", "B", "0") "]");
    assert_refused(ATTEND_FORMAT, "pair");
    set_pair("[" PART("SpecialToken", "[X]", "0") "]");
    assert_refused(ATTEND_UNSUPPORTED, "[X]");
}

int main(void) {
    if (!open_scratch("tiny_model_options", "cpu")) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(ranges_are_checked, write_folder),
        cmocka_unit_test_setup(older_options_are_understood, write_folder),
        cmocka_unit_test_setup(pairs_follow_the_template, write_folder),
        cmocka_unit_test_setup(pairs_are_checked, write_folder),
    };
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    close_scratch();
    return failures;
}
