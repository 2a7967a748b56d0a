/* SPDX-License-Identifier: Apache-2.0
 *
 * The steps of one head of all-MiniLM-L6-v2 on the built-in backends, or on those given as
 * arguments: the weights are those that the model's own run keeps, the output that of its layer,
 * and masks do what they say. Skipped without the model. */
#include "attend/model.h"
#include "model_folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

enum { LAYERS = 6, HEADS = 12, MODEL_SIZE = 384, HEAD_SIZE = 32, TOKENS = 15, IT = 10, ANIMAL = 2 };

static const char tired[] = "The animal didn't cross the street because it was too tired";

static attend_context *context;
static attend_model *model;

static attend_head_trace *trace_of(attend_trace_options options) {
    attend_head_trace *trace = NULL;
    if (attend_model_trace_head(model, tired, strlen(tired), &options, &trace))
        fail_msg("%s", attend_error_text());
    return trace;
}

static attend_trace_options last_head(void) {
    attend_trace_options options = attend_trace_options_default();
    options.layer = LAYERS - 1;
    options.head = HEADS - 1;
    return options;
}

static const float *values(const attend_head_trace *trace, attend_trace_step step, int64_t rows,
                           int64_t columns) {
    int64_t got_rows = -1, got_columns = -1;
    const float *const v = attend_head_trace_values(trace, step, &got_rows, &got_columns);
    assert_non_null(v);
    assert_int_equal(got_rows, rows);
    assert_int_equal(got_columns, columns);
    return v;
}

static void keeps_its_bound(const attend_head_trace *trace, int64_t rows) {
    const float *const mix = values(trace, ATTEND_TRACE_MIX, rows, HEAD_SIZE);
    const float *const output = values(trace, ATTEND_TRACE_OUTPUT, rows, HEAD_SIZE);
    const float *const bound = values(trace, ATTEND_TRACE_BOUND, rows, HEAD_SIZE);
    for (int64_t i = 0; i < rows * HEAD_SIZE; i++) {
        const double layers = 1e-4 + 1e-4 * fabs((double)mix[i]);
        assert_true(bound[i] > 0 && (double)bound[i] <= layers * (1 + 1e-6));
        assert_true(fabs((double)mix[i] - (double)output[i]) <= (double)bound[i]);
    }
}

/* The layer's tolerance of docs/numerics.md: other rounding on the way to the layer. */
static void near(double got, double want) {
    if (!(fabs(got - want) <= 5e-5 + 5e-5 * fabs(want))) fail_msg("got %.9g, want %.9g", got, want);
}

static void weights_are_those_of_the_model(void **state) {
    (void)state;
    attend_encoding *e;
    assert_int_equal(attend_model_encode(model, tired, strlen(tired), &e), ATTEND_OK);
    for (int32_t layer = 0; layer < LAYERS; layer++) {
        attend_trace_options options = attend_trace_options_default();
        options.layer = layer;
        options.head = layer == LAYERS - 1 ? HEADS - 1 : layer * 5 % HEADS;
        attend_head_trace *const trace = trace_of(options);
        const float *const w = values(trace, ATTEND_TRACE_WEIGHTS, TOKENS, TOKENS);
        const float *const kept = attend_encoding_weights(e, layer, options.head);
        values(trace, ATTEND_TRACE_INPUT, TOKENS, MODEL_SIZE);
        for (int i = 0; i < TOKENS * TOKENS; i++)
            near((double)w[i], (double)kept[i]);
        keeps_its_bound(trace, TOKENS);
        attend_head_trace_release(trace);
    }
    attend_encoding_release(e);
}

static void it_is_the_animal(void **state) {
    (void)state;
    attend_head_trace *const trace = trace_of(last_head());
    const attend_encoding *const tokens = attend_head_trace_encoding(trace);
    assert_string_equal(attend_encoding_token(tokens, IT), "it");
    assert_string_equal(attend_encoding_token(tokens, ANIMAL), "animal");
    const float *const w = values(trace, ATTEND_TRACE_WEIGHTS, TOKENS, TOKENS);
    assert_true(fabs((double)w[IT * TOKENS + ANIMAL] - 0.6466) < 0.00005);
    const float *const raw = values(trace, ATTEND_TRACE_SCORES, TOKENS, TOKENS);
    const float *const scaled = values(trace, ATTEND_TRACE_SCALED, TOKENS, TOKENS);
    for (int i = 0; i < TOKENS * TOKENS; i++)
        near((double)scaled[i] * sqrt(HEAD_SIZE), (double)raw[i]);
    attend_head_trace_release(trace);
}

static void causal_rows_see_nothing_behind(void **state) {
    (void)state;
    attend_trace_options options = last_head();
    attend_head_trace *const plain = trace_of(options);
    options.causal = 1;
    attend_head_trace *const trace = trace_of(options);
    const float *const all = values(plain, ATTEND_TRACE_SCALED, TOKENS, TOKENS);
    const float *const masked = values(trace, ATTEND_TRACE_MASKED, TOKENS, TOKENS);
    const float *const w = values(trace, ATTEND_TRACE_WEIGHTS, TOKENS, TOKENS);
    for (int i = 0; i < TOKENS; i++) {
        double sum = 0, exponentials = 0;
        for (int j = 0; j <= i; j++)
            exponentials += exp((double)all[i * TOKENS + j]);
        for (int j = 0; j < TOKENS; j++) {
            const int at = i * TOKENS + j;
            sum += (double)w[at];
            assert_true(j <= i ? masked[at] == all[at] : isinf(masked[at]) && masked[at] < 0);
            near((double)w[at], j <= i ? exp((double)all[at]) / exponentials : 0);
        }
        near(sum, 1);
    }
    assert_true(w[0] == 1.0f);
    keeps_its_bound(trace, TOKENS);
    attend_head_trace_release(trace);
    attend_head_trace_release(plain);
}

/* As in a batch with a longer text: what the words get is as without the padding. */
static void padding_changes_nothing(void **state) {
    (void)state;
    enum { PADDING = 4, ALL = TOKENS + PADDING };
    attend_trace_options options = last_head();
    attend_head_trace *const plain = trace_of(options);
    options.padding = PADDING;
    attend_head_trace *const trace = trace_of(options);
    const float *const w = values(trace, ATTEND_TRACE_WEIGHTS, ALL, ALL);
    const float *const scores = values(trace, ATTEND_TRACE_SCORES, ALL, ALL);
    const float *const want = values(plain, ATTEND_TRACE_WEIGHTS, TOKENS, TOKENS);
    for (int i = 0; i < ALL; i++)
        for (int j = 0; j < ALL; j++) {
            assert_true(isfinite(scores[i * ALL + j])); /* also those that are masked later */
            if (j >= TOKENS)
                assert_true(w[i * ALL + j] == 0);
            else if (i < TOKENS)
                near((double)w[i * ALL + j], (double)want[i * TOKENS + j]);
        }
    const float *const mix = values(trace, ATTEND_TRACE_MIX, ALL, HEAD_SIZE);
    const float *const plain_mix = values(plain, ATTEND_TRACE_MIX, TOKENS, HEAD_SIZE);
    for (int i = 0; i < TOKENS * HEAD_SIZE; i++)
        near((double)mix[i], (double)plain_mix[i]);
    keeps_its_bound(trace, ALL);
    attend_head_trace_release(trace);
    attend_head_trace_release(plain);
}

static int run_on(const char *backend) {
    attend_options options = attend_options_default();
    options.backend = backend;
    if (attend_open(&options, &context) || attend_model_open(context, model_folder(), &model)) {
        fprintf(stderr, "%s\n", attend_error_text());
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_those_of_the_model),
        cmocka_unit_test(it_is_the_animal),
        cmocka_unit_test(causal_rows_see_nothing_behind),
        cmocka_unit_test(padding_changes_nothing),
    };
    const int failures = cmocka_run_group_tests_name(backend, tests, NULL, NULL);
    attend_model_release(model);
    attend_close(context);
    return failures;
}

int main(int argc, char **argv) {
    if (!have_model()) return SKIPPED;
    if (argc < 2) return run_on("cpu") + run_on("reference");
    int failures = 0;
    for (int i = 1; i < argc; i++)
        failures += run_on(argv[i]);
    return failures;
}
