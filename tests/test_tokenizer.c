/* SPDX-License-Identifier: Apache-2.0
 *
 * The tokenizer on a small vocabulary: every option and every flag of added tokens against Hugging
 * Face's `tokenizers`; texts that are not UTF-8; tokenizer.json files that are damaged or ask for
 * something else. */
#include "model_folder.h"
#include "tokenizer_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char small_path[] = ATTEND_TEST_DATA "/tokenizer_small.json";
static char scratch_path[1024];

/* Opens what `root` says, through a file as everyone does. */
static attend_status open_json(const json_t *root, attend__tokenizer **tokenizer) {
    assert_int_equal(json_dump_file(root, scratch_path, JSON_COMPACT), 0);
    return attend__tokenizer_open(scratch_path, tokenizer);
}

static void variants_give_the_ids_of_tokenizers(void **state) {
    (void)state;
    json_t *const small = load_json(small_path);
    json_t *const cases = load_json(ATTEND_TEST_DATA "/tokenizer_small_cases.json");
    assert_true(small && cases);
    const json_t *const variants = json_object_get(cases, "variants");
    assert_int_equal(json_array_size(variants), 24);
    size_t index;
    json_t *variant;
    json_array_foreach(variants, index, variant) {
        json_object_update(json_object_get(small, "normalizer"),
                           json_object_get(variant, "normalizer"));
        attend__tokenizer *tokenizer;
        assert_int_equal(open_json(small, &tokenizer), ATTEND_OK);
        assert_true(json_array_size(json_object_get(variant, "cases")) >= 60);
        assert_int_equal(failing_cases(tokenizer, json_object_get(variant, "cases")), 0);
        attend__tokenizer_close(tokenizer);
    }
    json_decref(cases);
    json_decref(small);
}

static void says_where_text_is_not_utf8(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
        const char *said;
    } cases[] = {
        {"ab\xff", 3, "byte 2"},
        {"\x80", 1, "byte 0"},
        {"a\xc3", 2, "byte 1"},
        {"a\xe4\xbd", 3, "byte 1"},
        {"\xf0\x9f\x98", 3, "byte 0"},
        {"\xed\xa0\x80", 3, "byte 0"}, /* a surrogate */
        {"\xc0\x80", 2, "byte 0"},
        {"\xe0\x80\x80", 3, "byte 0"},     /* overlong */
        {"\xf4\x90\x80\x80", 4, "byte 0"}, /* beyond U+10FFFF */
        {"abc\0\xfe", 5, "byte 4"},
    };
    attend__tokenizer *tokenizer;
    assert_int_equal(attend__tokenizer_open(small_path, &tokenizer), ATTEND_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        attend__tokens tokens = {0};
        assert_int_equal(attend__tokenizer_run(tokenizer, cases[i].text, cases[i].bytes, &tokens),
                         ATTEND_FORMAT);
        assert_non_null(strstr(attend_error_text(), cases[i].said));
        assert_null(tokens.items);
    }
    attend__tokenizer_close(tokenizer);
}

static void gives_types_of_the_template(void **state) {
    (void)state;
    attend__tokenizer *tokenizer;
    attend__tokens tokens = {0};
    assert_int_equal(attend__tokenizer_open(small_path, &tokenizer), ATTEND_OK);
    assert_int_equal(attend__tokenizer_largest_type(tokenizer), 1);
    assert_int_equal(attend__tokenizer_run(tokenizer, "the", 3, &tokens), ATTEND_OK);
    assert_int_equal(tokens.count, 3);
    assert_int_equal(tokens.items[0].type, 0);
    assert_int_equal(tokens.items[1].type, 1);
    assert_int_equal(tokens.items[2].type, 0);
    assert_string_equal(tokens.items[1].text, "the");
    attend__tokens_free(&tokens);
    attend__tokenizer_close(tokenizer);
}

/* Many marks to be put into order must not take quadratic time; ten million steps would be a
 * minute. */
static void orders_many_marks_in_linear_time(void **state) {
    (void)state;
    enum { PAIRS = 200000 };
    static const char pair[] =
        "\xf0\x9d\x85\xad\xf0\x9d\x85\xa5"; /* U+1D16D class 226, U+1D165 class 216 */
    char *const text = malloc(PAIRS * 8);
    assert_non_null(text);
    for (size_t i = 0; i < PAIRS; i++)
        memcpy(text + i * 8, pair, 8);
    attend__tokenizer *tokenizer;
    attend__tokens tokens = {0};
    assert_int_equal(attend__tokenizer_open(small_path, &tokenizer), ATTEND_OK);
    assert_int_equal(attend__tokenizer_run(tokenizer, text, PAIRS * 8, &tokens), ATTEND_OK);
    assert_int_equal(tokens.count, 3);
    attend__tokens_free(&tokens);
    attend__tokenizer_close(tokenizer);
    free(text);
}

/* A change to the small file, what it must be answered with, and a word of the sentence. */
static const struct change {
    const char *where; /* members, '/' between */
    const char *value; /* JSON; NULL = the member is removed */
    attend_status status;
    const char *said;
} changes[] = {
    {"normalizer/type", "\"NFC\"", ATTEND_UNSUPPORTED, "NFC"},
    {"normalizer", "null", ATTEND_UNSUPPORTED, "normalizer"},
    {"normalizer/clean_text", "1", ATTEND_FORMAT, "clean_text"},
    {"normalizer/strip_accents", "\"yes\"", ATTEND_FORMAT, "strip_accents"},
    {"pre_tokenizer/type", "\"ByteLevel\"", ATTEND_UNSUPPORTED, "ByteLevel"},
    {"pre_tokenizer", NULL, ATTEND_UNSUPPORTED, "pre_tokenizer"},
    {"model/type", "\"BPE\"", ATTEND_UNSUPPORTED, "BPE"},
    {"model/unk_token", "\"[NONE]\"", ATTEND_FORMAT, "unk_token"},
    {"model/vocab", "[1, 2]", ATTEND_FORMAT, "vocab"},
    {"model/vocab/the", "-1", ATTEND_FORMAT, "\"the\""},
    {"model/vocab/the", "2147483648", ATTEND_FORMAT, "\"the\""},
    {"model/vocab/the", "1.5", ATTEND_FORMAT, "\"the\""},
    {"model/vocab/solo", "90", ATTEND_FORMAT, "solo"},
    {"model/max_input_chars_per_word", "-5", ATTEND_FORMAT, "max_input_chars_per_word"},
    {"model/continuing_subword_prefix", NULL, ATTEND_FORMAT, "continuing_subword_prefix"},
    {"added_tokens", "{}", ATTEND_FORMAT, "added_tokens"},
    {"added_tokens", "[{\"id\": 0}]", ATTEND_FORMAT, "content"},
    {"added_tokens", "[7]", ATTEND_FORMAT, "content"},
    {"post_processor", "null", ATTEND_UNSUPPORTED, "post_processor"},
    {"post_processor/type", "\"ByteLevel\"", ATTEND_UNSUPPORTED, "ByteLevel"},
    {"post_processor/single", "[]", ATTEND_FORMAT, "single"},
    {"post_processor/single", "[{\"Sequence\": {\"id\": \"B\", \"type_id\": 0}}]", ATTEND_FORMAT,
     "\"B\""},
    {"post_processor/single", "[{\"SpecialToken\": {\"id\": \"[X]\", \"type_id\": 0}}]",
     ATTEND_UNSUPPORTED, "[X]"},
    {"post_processor/single", "[{\"Sequence\": {\"id\": \"A\", \"type_id\": -1}}]", ATTEND_FORMAT,
     "type_id"},
    {"post_processor/special_tokens", NULL, ATTEND_UNSUPPORTED, "[CLS]"},
};

static void apply(json_t *root, const struct change *change) {
    char where[128], *rest = where;
    snprintf(where, sizeof where, "%s", change->where);
    json_t *at = root;
    for (char *slash; (slash = strchr(rest, '/')); rest = slash + 1) {
        *slash = '\0';
        at = json_object_get(at, rest);
        assert_non_null(at);
    }
    if (!change->value)
        assert_int_equal(json_object_del(at, rest), 0);
    else
        assert_int_equal(
            json_object_set_new(at, rest, json_loads(change->value, JSON_DECODE_ANY, NULL)), 0);
}

static void refuses_what_it_does_not_do(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        json_t *const root = load_json(small_path);
        apply(root, &changes[i]);
        attend__tokenizer *tokenizer;
        const attend_status status = open_json(root, &tokenizer);
        if (status != changes[i].status || !strstr(attend_error_text(), changes[i].said))
            fail_msg("%s: %s, \"%s\"", changes[i].where, attend_status_name(status),
                     attend_error_text());
        assert_null(tokenizer);
        assert_non_null(strstr(attend_error_text(), scratch_path));
        json_decref(root);
    }
}

/* Cut anywhere, the file is no JSON any more. */
static void refuses_cut_files(void **state) {
    (void)state;
    json_t *const root = load_json(small_path);
    char *const text = json_dumps(root, JSON_COMPACT);
    for (size_t size = 0; size < strlen(text); size += 7) {
        FILE *const file = fopen(scratch_path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(text, 1, size, file), size);
        assert_int_equal(fclose(file), 0);
        attend__tokenizer *tokenizer;
        assert_int_equal(attend__tokenizer_open(scratch_path, &tokenizer), ATTEND_FORMAT);
        assert_null(tokenizer);
    }
    free(text);
    json_decref(root);
}

int main(void) {
    snprintf(scratch_path, sizeof scratch_path, "%s/test_tokenizer.json", ATTEND_TEST_SCRATCH);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variants_give_the_ids_of_tokenizers),
        cmocka_unit_test(says_where_text_is_not_utf8),
        cmocka_unit_test(gives_types_of_the_template),
        cmocka_unit_test(orders_many_marks_in_linear_time),
        cmocka_unit_test(refuses_what_it_does_not_do),
        cmocka_unit_test(refuses_cut_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
