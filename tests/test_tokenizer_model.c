/* SPDX-License-Identifier: Apache-2.0
 *
 * The tokenizer of all-MiniLM-L6-v2 gives the ids and spans of Hugging Face's `tokenizers` on
 * sentences in many scripts and on strings of anything. Skipped without the model. */
#include "model_folder.h"
#include "tokenizer_cases.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void gives_the_ids_of_tokenizers(void **state) {
    (void)state;
    char path[1024];
    attend__tokenizer *tokenizer;
    assert_int_equal(
        attend__tokenizer_open(in_folder(path, model_folder(), "tokenizer.json"), &tokenizer),
        ATTEND_OK);
    json_t *const root = load_json(ATTEND_TEST_DATA "/tokenizer_model.json");
    assert_non_null(root);
    const json_t *const cases = json_object_get(root, "cases");
    assert_true(json_array_size(cases) >= 1000);
    assert_int_equal(failing_cases(tokenizer, cases), 0);
    json_decref(root);
    attend__tokenizer_close(tokenizer);
}

int main(void) {
    if (!have_model()) return SKIPPED;
    const struct CMUnitTest tests[] = {cmocka_unit_test(gives_the_ids_of_tokenizers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
