/* SPDX-License-Identifier: Apache-2.0
 *
 * The steps of one head (attend_model_trace_head) on a model that the test writes itself, each
 * against double precision by the error bound of docs/numerics.md, with every mask; and what is
 * refused. On the built-in backends, or on those given as arguments. */
#include "tiny_double.h"
#include "tiny_folder.h"

static const double u = 0x1p-24;

/* A trace as the checks use it, its numbers in double as they were stored. */
typedef struct facts {
    attend_head_trace *trace;
    const attend_encoding *tokens;
    attend_trace_options options;
    int n;
    tiny_mask mask;
    double x[POSITIONS * M], q[POSITIONS * TINY_D], k[POSITIONS * TINY_D], v[POSITIONS * TINY_D];
} facts;

static const float *step(const facts *f, attend_trace_step which, int64_t columns) {
    int64_t rows = -1, got = -1;
    const float *const values = attend_head_trace_values(f->trace, which, &rows, &got);
    assert_non_null(values);
    assert_int_equal(rows, f->n);
    assert_int_equal(got, columns);
    return values;
}

static void assert_near(double got, double want, double bound, const char *what, int i, int j) {
    if (!(fabs(got - want) <= bound))
        fail_msg("%s[%d, %d]: got %.9g, want %.9g, bound %.3g", what, i, j, got, want, bound);
}

/* ---- each step out of the numbers of the step before ----------------------------------------- */

static void check_input(const facts *f) {
    double want[POSITIONS * M];
    const float *const x = step(f, ATTEND_TRACE_INPUT, M);
    tiny_states(attend_encoding_ids(f->tokens), attend_encoding_types(f->tokens), f->n,
                f->mask.keys, f->options.layer, want);
    for (int i = 0; i < f->n * M; i++)
        assert_near((double)x[i], want[i], 5e-5 + 5e-5 * fabs(want[i]), "input", i / M, i % M);
}

static void check_projection(const facts *f, attend_trace_step which, int weight, double *stored) {
    const float *const got = step(f, which, TINY_D);
    const double *const w = tiny_layer(f->options.layer, weight) + f->options.head * TINY_D * M;
    const double *const b = tiny_layer(f->options.layer, weight + 1) + f->options.head * TINY_D;
    double want[POSITIONS * TINY_D];
    tiny_project(f->x, f->n, f->options.layer, f->options.head, weight, want);
    for (int i = 0; i < f->n; i++)
        for (int d = 0; d < TINY_D; d++) {
            double sum = fabs(b[d]);
            for (int c = 0; c < M; c++)
                sum += fabs(w[d * M + c] * f->x[i * M + c]);
            const double y = want[i * TINY_D + d];
            assert_near((double)got[i * TINY_D + d], y,
                        u * (2 * sqrt(M) + 8) * sum + 8 * u * fabs(y) + 1e-37, "projection", i, d);
            stored[i * TINY_D + d] = (double)got[i * TINY_D + d];
        }
}

/* q.k and sum |q||k| of the stored numbers. */
static double dot(const facts *f, int i, int j, double *sizes) {
    double sum = 0;
    *sizes = 0;
    for (int d = 0; d < TINY_D; d++) {
        const double product = f->q[i * TINY_D + d] * f->k[j * TINY_D + d];
        sum += product;
        *sizes += fabs(product);
    }
    return sum;
}

static void check_scores(const facts *f) {
    const double scale = 1 / sqrt(TINY_D);
    const float *const raw = step(f, ATTEND_TRACE_SCORES, f->n);
    const float *const scaled = step(f, ATTEND_TRACE_SCALED, f->n);
    const float *const masked = step(f, ATTEND_TRACE_MASKED, f->n);
    for (int i = 0; i < f->n; i++)
        for (int j = 0; j < f->n; j++) {
            double sizes = 0;
            const double s = dot(f, i, j, &sizes);
            const double bound = u * ((2 * sqrt(TINY_D) + 8) * sizes + fabs(s)) + 1e-37;
            const int at = i * f->n + j;
            assert_near((double)raw[at], s, bound, "scores", i, j);
            assert_near((double)scaled[at], s * scale, bound * scale + 1e-37, "scaled", i, j);
            if (tiny_allowed(&f->mask, i, j))
                assert_near((double)masked[at], s * scale, bound * scale + 1e-37, "masked", i, j);
            else
                assert_true(isinf(masked[at]) && masked[at] < 0);
        }
}

/* e_j of a row, their mean by weight and u t. */
static void row_errors(const facts *f, int i, const double *w, double *e, double *rest) {
    double highest = -INFINITY, sum = 0, sizes = 0;
    for (int j = 0; j < f->n; j++)
        if (tiny_allowed(&f->mask, i, j)) highest = fmax(highest, dot(f, i, j, &sizes) / 2);
    for (int j = 0; j < f->n; j++)
        if (tiny_allowed(&f->mask, i, j)) sum += exp(dot(f, i, j, &sizes) / 2 - highest);
    *rest = u * (64 + 8);
    for (int j = 0; j < f->n; j++) {
        const double s = dot(f, i, j, &sizes) / 2;
        e[j] = u * ((2 * sqrt(TINY_D) + 8) * sizes / 2 + fabs(s) + fabs(highest + log(sum)));
        *rest += w[j] * e[j];
    }
}

static void check_weights_and_mix(const facts *f) {
    const float *const weights = step(f, ATTEND_TRACE_WEIGHTS, f->n);
    const float *const mix = step(f, ATTEND_TRACE_MIX, TINY_D);
    double w[POSITIONS], e[POSITIONS], rest;
    for (int i = 0; i < f->n; i++) {
        tiny_weights(f->q, f->k, f->n, i, &f->mask, w);
        row_errors(f, i, w, e, &rest);
        for (int j = 0; j < f->n; j++)
            assert_near((double)weights[i * f->n + j], w[j], w[j] * (e[j] + rest) + 1e-37,
                        "weights", i, j);
        for (int d = 0; d < TINY_D; d++) {
            double want = 0, bound = 1e-37;
            for (int j = 0; j < f->n; j++) {
                want += w[j] * f->v[j * TINY_D + d];
                bound += w[j] * fabs(f->v[j * TINY_D + d]) * (e[j] + rest);
            }
            assert_near((double)mix[i * TINY_D + d], want, bound, "mix", i, d);
        }
    }
}

/* The layer's own output and the steps: within the bound of each other and of the formula, and the
 * bound is one that a wrong head would break. */
static void check_output(const facts *f) {
    double want[POSITIONS * TINY_D], other[POSITIONS * TINY_D];
    tiny_head(f->x, f->n, f->options.layer, f->options.head, &f->mask, want);
    tiny_head(f->x, f->n, f->options.layer, 1 - f->options.head, &f->mask, other);
    const float *const mix = step(f, ATTEND_TRACE_MIX, TINY_D);
    const float *const output = step(f, ATTEND_TRACE_OUTPUT, TINY_D);
    const float *const bound = step(f, ATTEND_TRACE_BOUND, TINY_D);
    for (int at = 0; at < f->n * TINY_D; at++) {
        const double b = (double)bound[at];
        assert_true(b > 0 && b < 1e-3);
        assert_true(fabs((double)mix[at] - other[at]) > b);
        assert_near((double)mix[at], want[at], b, "mix", at / TINY_D, at % TINY_D);
        assert_near((double)output[at], want[at], b, "output", at / TINY_D, at % TINY_D);
        assert_near((double)output[at], (double)mix[at], b, "both", at / TINY_D, at % TINY_D);
    }
}

static const char first[] = "the unbelievable a-b solo c d e", second[] = "f g unable";

static void check_trace(const attend_model *model, const attend_trace_options *options) {
    static facts f;
    f.options = *options;
    if (attend_model_trace_head(model, first, strlen(first), options, &f.trace))
        fail_msg("%s", attend_error_text());
    f.tokens = attend_head_trace_encoding(f.trace);
    f.n = (int)attend_encoding_length(f.tokens);
    f.mask = (tiny_mask){options->causal, f.n - options->padding};
    for (int i = f.mask.keys; i < f.n; i++)
        assert_string_equal(attend_encoding_token(f.tokens, (size_t)i), "[PAD]");
    const float *const x = step(&f, ATTEND_TRACE_INPUT, M);
    for (int i = 0; i < f.n * M; i++)
        f.x[i] = (double)x[i];
    check_input(&f);
    check_projection(&f, ATTEND_TRACE_QUERIES, TINY_Q, f.q);
    check_projection(&f, ATTEND_TRACE_KEYS, TINY_K, f.k);
    check_projection(&f, ATTEND_TRACE_VALUES, TINY_V, f.v);
    check_scores(&f);
    check_weights_and_mix(&f);
    check_output(&f);
    attend_head_trace_release(f.trace);
}

static void every_step_is_right(void **state) {
    (void)state;
    static const form forms[] = {{"", "F32", -1, -1, -1}, {"bert.", "F16", -1, -1, -1}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        write_weights(&forms[i]);
        attend_model *const model = open_good();
        for (int variant = 0; variant < 32; variant++) {
            attend_trace_options options = attend_trace_options_default();
            options.layer = variant & 1;
            options.head = variant >> 1 & 1;
            options.causal = variant >> 2 & 1;
            options.padding = variant & 8 ? 3 : 0;
            if (variant & 16) {
                options.second_text = second;
                options.second_text_bytes = strlen(second);
            }
            check_trace(model, &options);
        }
        attend_model_release(model);
    }
}

/* The head that a trace shows is the one whose weights an encoding keeps. */
static void weights_are_those_of_the_encoding(void **state) {
    (void)state;
    attend_model *const model = open_good();
    attend_encoding *e;
    assert_int_equal(attend_model_encode(model, first, strlen(first), &e), ATTEND_OK);
    for (int32_t layer = 0; layer < LAYERS; layer++)
        for (int32_t head = 0; head < TINY_HEADS; head++) {
            attend_trace_options options = attend_trace_options_default();
            options.layer = layer;
            options.head = head;
            facts f = {.n = (int)attend_encoding_length(e)};
            assert_int_equal(
                attend_model_trace_head(model, first, strlen(first), &options, &f.trace),
                ATTEND_OK);
            const float *const w = step(&f, ATTEND_TRACE_WEIGHTS, f.n);
            for (int i = 0; i < f.n; i++)
                for (int j = 0; j < f.n; j++)
                    assert_near(
                        (double)w[i * f.n + j],
                        (double)attend_encoding_weight(e, layer, head, (size_t)i, (size_t)j), 1e-5,
                        "weights", i, j);
            attend_head_trace_release(f.trace);
        }
    attend_encoding_release(e);
    attend_model_release(model);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refuses(const attend_model *model, const char *text,
                    const attend_trace_options *options, attend_status status, const char *said) {
    attend_head_trace *trace = (attend_head_trace *)&model;
    const attend_status got = attend_model_trace_head(model, text, strlen(text), options, &trace);
    assert_null(trace);
    if (got != status || !strstr(attend_error_text(), said))
        fail_msg("wanted %s with \"%s\", got %s: \"%s\"", attend_status_name(status), said,
                 attend_status_name(got), attend_error_text());
}

static void options_are_checked(void **state) {
    (void)state;
    static const struct {
        int32_t layer, head, causal, padding;
        attend_status status;
        const char *said;
    } bad[] = {
        {-1, 0, 0, 0, ATTEND_OUT_OF_RANGE, "layer: -1"},
        {LAYERS, 0, 0, 0, ATTEND_OUT_OF_RANGE, "layer: 2 of a model with 2"},
        {0, -1, 0, 0, ATTEND_OUT_OF_RANGE, "head: -1"},
        {0, TINY_HEADS, 0, 0, ATTEND_OUT_OF_RANGE, "head: 2"},
        {0, 0, 2, 0, ATTEND_INVALID, "causal: 2"},
        {0, 0, 0, -1, ATTEND_OUT_OF_RANGE, "padding: -1"},
        {0, 0, 0, INT32_MAX, ATTEND_OUT_OF_RANGE, "padding"},
        {0, 0, 0, POSITIONS - 2, ATTEND_OUT_OF_RANGE, "41 tokens"},
    };
    attend_model *const model = open_good();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        attend_trace_options options = attend_trace_options_default();
        options.layer = bad[i].layer;
        options.head = bad[i].head;
        options.causal = bad[i].causal;
        options.padding = bad[i].padding;
        refuses(model, "a", &options, bad[i].status, bad[i].said);
    }
    attend_trace_options options = attend_trace_options_default();
    refuses(NULL, "a", &options, ATTEND_NULL_POINTER, "model");
    refuses(model, "a\xff", &options, ATTEND_FORMAT, "byte 1");
    options.second_text_bytes = 1;
    refuses(model, "a", &options, ATTEND_NULL_POINTER, "second_text");
    options.size = 0;
    refuses(model, "a", &options, ATTEND_INVALID, "size");
    assert_int_equal(attend_model_trace_head(model, "a", 1, NULL, NULL), ATTEND_NULL_POINTER);
    attend_head_trace *trace;
    assert_int_equal(attend_model_trace_head(model, NULL, 1, NULL, &trace), ATTEND_NULL_POINTER);

    options = attend_trace_options_default();
    options.padding = POSITIONS - 3;
    assert_int_equal(attend_model_trace_head(model, "a", 1, &options, &trace), ATTEND_OK);
    assert_null(attend_head_trace_values(trace, (attend_trace_step)0, NULL, NULL));
    int64_t rows = -1;
    assert_null(
        attend_head_trace_values(trace, (attend_trace_step)(ATTEND_TRACE_BOUND + 1), &rows, NULL));
    assert_int_equal(rows, 0);
    assert_null(attend_head_trace_values(NULL, ATTEND_TRACE_MIX, NULL, NULL));
    assert_null(attend_head_trace_encoding(NULL));
    attend_head_trace_release(trace);
    attend_head_trace_release(NULL);
    attend_model_release(model);
}

/* The weights are read when a trace asks for them, so the file can be gone or another one. */
static void file_is_read_again(void **state) {
    (void)state;
    char path[1024];
    attend_model *const model = open_good();
    form other = plain;
    other.missing = TABLE_SHAPES; /* the first layer's queries */
    write_weights(&other);
    refuses(model, "a", NULL, ATTEND_FORMAT, "attention.self.query.weight");
    write_file("model.safetensors", "none", 4);
    refuses(model, "a", NULL, ATTEND_FORMAT, "model.safetensors");
    assert_int_equal(remove(in_folder(path, folder, "model.safetensors")), 0);
    refuses(model, "a", NULL, ATTEND_IO, "model.safetensors");
    attend_model_release(model);
}

static void padding_needs_its_token(void **state) {
    (void)state;
    char path[1024];
    in_folder(path, folder, "tokenizer.json");
    json_t *const root = json_load_file(path, 0, NULL);
    json_object_del(json_object_get(json_object_get(root, "model"), "vocab"), "[PAD]");
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
    attend_model *const model = open_good();
    attend_trace_options options = attend_trace_options_default();
    attend_head_trace *trace;
    assert_int_equal(attend_model_trace_head(model, "a", 1, &options, &trace), ATTEND_OK);
    attend_head_trace_release(trace);
    options.padding = 1;
    refuses(model, "a", &options, ATTEND_UNSUPPORTED, "[PAD]");
    attend_model_release(model);
}

static int run_on(const char *backend) {
    if (!open_scratch("tiny_head_trace", backend)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_step_is_right, write_folder),
        cmocka_unit_test_setup(weights_are_those_of_the_encoding, write_folder),
        cmocka_unit_test_setup(options_are_checked, write_folder),
        cmocka_unit_test_setup(file_is_read_again, write_folder),
        cmocka_unit_test_setup(padding_needs_its_token, write_folder),
    };
    const int failures = cmocka_run_group_tests_name(backend, tests, NULL, NULL);
    close_scratch();
    return failures;
}

int main(int argc, char **argv) {
    if (argc < 2) return run_on("cpu") + run_on("reference");
    int failures = 0;
    for (int i = 1; i < argc; i++)
        failures += run_on(argv[i]);
    return failures;
}
