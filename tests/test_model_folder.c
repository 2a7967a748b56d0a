/* SPDX-License-Identifier: Apache-2.0
 *
 * Model folders, good and bad, with a model of one layer that the test writes itself: names with
 * and without "bert.", weights in 16 bits, tensors that are missing or of another shape,
 * configurations that do not fit, files that are not there; arguments that are wrong; many threads
 * on one model. */
#include "tiny_folder.h"

#include <pthread.h>

/* ---- tests ----------------------------------------------------------------------------------- */

static const char text[] = "the \xe5\xa4\xa9 unbelievable a-b [MASK]";

static void same_model_in_every_form(void **state) {
    (void)state;
    static const form forms[] = {
        {"", "F32", -1, -1, -1},
        {"bert.", "F32", -1, -1, -1},
        {"", "F16", -1, -1, -1},
        {"bert.", "BF16", -1, -1, -1},
    };
    attend_encoding *first = NULL;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        write_weights(&forms[i]);
        attend_model *const model = open_good();
        attend_encoding *e;
        assert_int_equal(attend_model_encode(model, text, strlen(text), &e), ATTEND_OK);
        attend_model_release(model); /* an encoding outlives its model */
        const size_t n = attend_encoding_length(e);
        assert_string_equal(attend_encoding_token(e, 1), "the");
        assert_null(attend_encoding_token(e, n));
        if (first) {
            assert_memory_equal(attend_encoding_hidden(e), attend_encoding_hidden(first),
                                n * M * sizeof(float));
            assert_memory_equal(attend_encoding_weights(e, 0, 0),
                                attend_encoding_weights(first, 0, 0),
                                LAYERS * 2 * n * n * sizeof(float));
            attend_encoding_release(e);
        } else
            first = e;
    }
    attend_encoding_release(first);
}

static void every_tensor_is_checked(void **state) {
    (void)state;
    for (int i = 0; i < TENSORS; i++) {
        char name[128];
        tensor_shape(i, name);
        form how = plain;
        how.missing = i;
        write_weights(&how);
        assert_refused(ATTEND_FORMAT, name);
        how = plain;
        how.misshapen = i;
        write_weights(&how);
        assert_refused(ATTEND_FORMAT, name);
        how = plain;
        how.mistyped = i;
        write_weights(&how);
        assert_refused(ATTEND_FORMAT, name);
    }
}

static const struct change {
    const char *key, *value; /* NULL = removed */
    attend_status status;
} changes[] = {
    {"model_type", "\"gpt2\"", ATTEND_UNSUPPORTED},
    {"model_type", NULL, ATTEND_FORMAT},
    {"position_embedding_type", "\"relative_key\"", ATTEND_UNSUPPORTED},
    {"is_decoder", "true", ATTEND_UNSUPPORTED},
    {"hidden_act", "\"mish\"", ATTEND_UNSUPPORTED},
    {"hidden_act", "7", ATTEND_FORMAT},
    {"hidden_size", "0", ATTEND_FORMAT},
    {"hidden_size", "9", ATTEND_FORMAT},
    {"hidden_size", "10", ATTEND_FORMAT}, /* the weights have 8 */
    {"hidden_size", "8.0", ATTEND_FORMAT},
    {"hidden_size", "4294967304", ATTEND_FORMAT},
    {"num_attention_heads", "3", ATTEND_FORMAT},
    {"num_attention_heads", "-2", ATTEND_FORMAT},
    {"num_hidden_layers", "3", ATTEND_FORMAT},
    {"num_hidden_layers", "2000000000", ATTEND_FORMAT},
    {"num_hidden_layers", NULL, ATTEND_FORMAT},
    {"intermediate_size", "11", ATTEND_FORMAT},
    {"max_position_embeddings", "39", ATTEND_FORMAT},
    {"type_vocab_size", "1", ATTEND_FORMAT},
    {"type_vocab_size", "3", ATTEND_FORMAT},
    {"vocab_size", "20", ATTEND_FORMAT},
    {"vocab_size", "201", ATTEND_FORMAT},
    {"layer_norm_eps", "-1e-5", ATTEND_FORMAT},
    {"layer_norm_eps", "\"small\"", ATTEND_FORMAT},
};

static void configurations_are_checked(void **state) {
    (void)state;
    attend_model_release(open_good()); /* so that each refusal below comes from its change */
    char path[1024];
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        json_t *const root = json_loads(config, 0, NULL);
        if (changes[i].value)
            json_object_set_new(root, changes[i].key,
                                json_loads(changes[i].value, JSON_DECODE_ANY, NULL));
        else
            json_object_del(root, changes[i].key);
        assert_int_equal(json_dump_file(root, in_folder(path, folder, "config.json"), 0), 0);
        json_decref(root);
        assert_refused(changes[i].status, "config.json");
    }
}

static void says_which_file_is_wrong(void **state) {
    static const char *const names[] = {"config.json", "tokenizer.json", "model.safetensors"};
    char path[1024];
    for (size_t i = 0; i < 3; i++) {
        in_folder(path, folder, names[i]);
        assert_int_equal(remove(path), 0);
        assert_refused(ATTEND_IO, names[i]);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_refused(ATTEND_IO, "not a file");
        assert_int_equal(remove(path), 0);
        write_file(names[i], "", 0);
        assert_refused(ATTEND_FORMAT, names[i]);
        write_file(names[i], "\xff\xfe\x00{", 4);
        assert_refused(ATTEND_FORMAT, names[i]);
        write_folder(state);
    }
    attend_model *model;
    assert_int_equal(attend_model_open(context, "no such folder", &model), ATTEND_IO);
    assert_non_null(strstr(attend_error_text(), "no such folder"));
    assert_int_equal(attend_model_open(context, in_folder(path, folder, "config.json"), &model),
                     ATTEND_IO);
    assert_null(model);
}

static void arguments_are_checked(void **state) {
    (void)state;
    attend_model *model;
    assert_int_equal(attend_model_open(NULL, folder, &model), ATTEND_NULL_POINTER);
    assert_int_equal(attend_model_open(context, NULL, &model), ATTEND_NULL_POINTER);
    assert_int_equal(attend_model_open(context, folder, NULL), ATTEND_NULL_POINTER);
    model = open_good();
    attend_encoding *e = (attend_encoding *)&model;
    attend_encode_options options = attend_encode_options_default();
    assert_int_equal(attend_model_encode(NULL, "a", 1, &e), ATTEND_NULL_POINTER);
    assert_null(e);
    assert_int_equal(attend_model_encode(model, NULL, 1, &e), ATTEND_NULL_POINTER);
    assert_int_equal(attend_model_encode(model, "a", 1, NULL), ATTEND_NULL_POINTER);
    assert_int_equal(attend_model_tokenize(model, NULL, 1, &e), ATTEND_NULL_POINTER);
    assert_int_equal(attend_model_encode(model, "a\xff", 2, &e), ATTEND_FORMAT);
    assert_non_null(strstr(attend_error_text(), "byte 1"));
    static const int32_t bad[][2] = {{-3, -1}, {LAYERS, -1},   {-1, -2},
                                     {-1, 2},  {INT32_MIN, 0}, {0, INT32_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        options.layer = bad[i][0];
        options.head = bad[i][1];
        assert_int_equal(attend_model_encode_with(model, "a", 1, &options, &e),
                         ATTEND_OUT_OF_RANGE);
        assert_null(e);
    }
    options = attend_encode_options_default();
    options.size = 0;
    assert_int_equal(attend_model_encode_with(model, "a", 1, &options, &e), ATTEND_INVALID);

    assert_int_equal(attend_model_encode(model, NULL, 0, &e), ATTEND_OK); /* no text is a text */
    assert_int_equal(attend_encoding_length(e), 2);
    size_t begin, end;
    assert_int_equal(attend_encoding_span(e, 2, &begin, &end), ATTEND_OUT_OF_RANGE);
    assert_int_equal(attend_encoding_span(e, 0, NULL, &end), ATTEND_NULL_POINTER);
    attend_encoding_release(e);
    assert_int_equal(attend_model_encode(model, "a\0b", 3, &e), ATTEND_OK); /* NUL is a character */
    assert_int_equal(attend_encoding_length(e), 4);
    attend_encoding_release(e);
    attend_encoding_release(NULL);
    attend_model_release(model);
    attend_model_release(NULL);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 8, ROUNDS = 20 };

typedef struct worker {
    const attend_model *model;
    const attend_encoding *wanted;
    int failures;
} worker;

static void *encode_often(void *argument) {
    worker *const w = argument;
    for (int i = 0; i < ROUNDS; i++) {
        attend_encoding *e;
        if (attend_model_encode(w->model, text, strlen(text), &e)) {
            w->failures++;
            continue;
        }
        w->failures += memcmp(attend_encoding_hidden(e), attend_encoding_hidden(w->wanted),
                              attend_encoding_length(e) * M * sizeof(float)) != 0;
        attend_encoding_release(e);
    }
    return NULL;
}

static void threads_share_a_model(void **state) {
    (void)state;
    attend_model *const model = open_good();
    attend_encoding *wanted;
    assert_int_equal(attend_model_encode(model, text, strlen(text), &wanted), ATTEND_OK);
    pthread_t threads[THREADS];
    worker workers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){model, wanted, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, encode_often, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].failures, 0);
    }
    attend_encoding_release(wanted);
    attend_model_release(model);
}

int main(void) {
    if (!open_scratch("tiny_model", "cpu")) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(same_model_in_every_form, write_folder),
        cmocka_unit_test_setup(every_tensor_is_checked, write_folder),
        cmocka_unit_test_setup(configurations_are_checked, write_folder),
        cmocka_unit_test_setup(says_which_file_is_wrong, write_folder),
        cmocka_unit_test_setup(arguments_are_checked, write_folder),
        cmocka_unit_test_setup(threads_share_a_model, write_folder),
    };
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    close_scratch();
    return failures;
}
