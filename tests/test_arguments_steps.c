/* SPDX-License-Identifier: Apache-2.0
 *
 * Bad arguments of the three steps of attention: what they share with attention in one call is
 * tested there; here is what each reads and writes, and that tensors which a step does not use are
 * ignored. */
#include "arguments.h"

#include <math.h>

enum { B = 2, H = 4, G = 2, L = 3, S = 5, D = 8, E = 6 };

static int32_t long_lengths[B] = {S, S + 1};

static attend_attention valid(void) {
    attend_attention a = attend_attention_default();
    a.q = IN(F32, B, H, L, D);
    a.k = IN(F32, B, G, S, D);
    a.v = IN(F32, B, G, S, E);
    a.scores = OUT(F32, B, H, L, S);
    a.weights = OUT(F32, B, H, L, S);
    a.weights_mean = OUT(F32, B, L, S);
    a.out = OUT(F32, B, H, L, E);
    a.lse = OUT(F32, B, H, L);
    a.mask = IN(BOOL, L, S);
    a.causal = 1;
    a.position = ATTEND_BOTTOM_RIGHT;
    return a;
}

static void raw_without_q(attend_attention *a) {
    a->q = arguments_none;
    a->scores_stage = ATTEND_SCORES_RAW;
}

/* step, name, status, words, what is spoilt */
#define CASES(X)                                                                                   \
    X(scores, no_q, NULL_POINTER, "q: is required", a->q = arguments_none)                         \
    X(scores, no_k, NULL_POINTER, "k: is required", a->k = arguments_none)                         \
    X(scores, no_scores, NULL_POINTER, "scores: is required", a->scores = arguments_none)          \
    X(scores, head_size, SHAPE, "k: head size 7 does not match q's 8", a->k.sizes[3] = 7)          \
    X(scores, key_length, SHAPE, "scores: key length 4", a->scores.sizes[3] = 4)                   \
    X(scores, heads, SHAPE, "k: 3 key/value heads", a->k = IN(F32, B, 3, S, D))                    \
    X(scores, type, TYPE, "scores: type f16", a->scores.type = ATTEND_F16)                         \
    X(scores, stride, STRIDE, "scores: stride 0", a->scores.strides[0] = 0)                        \
    X(scores, overlap, OVERLAP, "scores: overlaps mask", a->mask.data = a->scores.data)            \
    X(scores, scale, INVALID, "scale", a->has_scale = 1; a->scale = (double)INFINITY)              \
    X(scores, position, INVALID, "position: must be set", a->position = ATTEND_POSITION_UNSET)     \
    X(softmax, no_scores, NULL_POINTER, "scores: is required", a->scores = arguments_none)         \
    X(softmax, no_weights, NULL_POINTER, "weights: is required", a->weights = arguments_none)      \
    X(softmax, weights_shape, SHAPE, "weights: query length 2", a->weights.sizes[2] = 2)           \
    X(softmax, mean_shape, SHAPE, "weights_mean: batch 1", a->weights_mean.sizes[0] = 1)           \
    X(softmax, lse_type, TYPE, "lse: type f16", a->lse.type = ATTEND_F16)                          \
    X(softmax, weights_type, TYPE, "weights: type bf16", a->weights.type = ATTEND_BF16)            \
    X(softmax, scores_type, TYPE, "scores: type i32", a->scores.type = ATTEND_I32)                 \
    X(softmax, overlap, OVERLAP, "weights: overlaps scores", a->weights = a->scores)               \
    X(softmax, mean_overlap, OVERLAP, "weights_mean: overlaps weights",                            \
      a->weights_mean.data = a->weights.data)                                                      \
    X(softmax, raw_without_q, INVALID, "has_scale: must be set", raw_without_q(a))                 \
    X(softmax, softcap, INVALID, "softcap", a->softcap = -0.5)                                     \
    X(softmax, lengths, OUT_OF_RANGE, "key_lengths: value 6",                                      \
      a->key_lengths = attend_tensor_1d(long_lengths, ATTEND_I32, B))                              \
    X(mix, no_weights, NULL_POINTER, "weights: is required", a->weights = arguments_none)          \
    X(mix, no_v, NULL_POINTER, "v: is required", a->v = arguments_none)                            \
    X(mix, no_out, NULL_POINTER, "out: is required", a->out = arguments_none)                      \
    X(mix, key_length, SHAPE, "v: key length 4 does not match weights's 5", a->v.sizes[2] = 4)     \
    X(mix, value_size, SHAPE, "out: value head size 5", a->out.sizes[3] = 5)                       \
    X(mix, groups, SHAPE, "v: 3 key/value heads", a->v = IN(F32, B, 3, S, E))                      \
    X(mix, out_type, TYPE, "out: type f16", a->out.type = ATTEND_F16)                              \
    X(mix, out_overlap, OVERLAP, "out: overlaps weights", a->out.data = a->weights.data)           \
    X(mix, out_twice, OVERLAP, "out: its strides", a->out.strides[2] = 1)                          \
    X(mix, mask_keys, SHAPE, "mask: key length 9", a->mask = IN(BOOL, L, 9))

#define X(step, name, status, words, statement)                                                    \
    static void spoil_##step##_##name(attend_attention *a) {                                       \
        statement;                                                                                 \
    }
CASES(X)
#undef X

typedef attend_status run_form(attend_context *context, const attend_attention *attention);
typedef attend_status enqueue_form(attend_context *context, const attend_attention *attention,
                                   size_t wait_count, attend_event *const *waits,
                                   attend_event **done);

static const struct {
    run_form *run;
    enqueue_form *enqueue;
    const char *name;
    attend_status status;
    const char *words;
    void (*spoil)(attend_attention *a);
} cases[] = {
#define X(step, name, status, words, statement)                                                    \
    {attend_##step, attend_##step##_enqueue, #step "_" #name, ATTEND_##status,                     \
     words,         spoil_##step##_##name},
    CASES(X)
#undef X
};

static attend_status enqueue(enqueue_form *form, attend_attention a) {
    attend_tensor *const large[] = {
        &a.q, &a.k, &a.v, &a.out, &a.weights, &a.scores, &a.weights_mean, &a.lse, &a.mask};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        *large[i] = arguments_in_buffer(*large[i]);
    attend_event *done = NULL;
    const attend_status status = form(arguments_context, &a, 0, NULL, &done);
    assert_true((status == ATTEND_OK) == (done != NULL));
    if (done != NULL) assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    attend_event_release(done);
    return status;
}

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        arguments_reset();
        attend_attention a = valid();
        assert_int_equal(cases[i].run(arguments_context, &a), ATTEND_OK);
        assert_int_equal(enqueue(cases[i].enqueue, a), ATTEND_OK);
        arguments_reset();
        a = valid();
        cases[i].spoil(&a);
        arguments_refused(cases[i].name, cases[i].run(arguments_context, &a), cases[i].status,
                          cases[i].words);
        arguments_refused(cases[i].name, enqueue(cases[i].enqueue, a), cases[i].status,
                          cases[i].words);
    }
}

/* Tensors that a step has no use for may be anything. */
static void test_ignored(void **state) {
    (void)state;
    static double anything;
    const attend_tensor wild = {.data = &anything, .type = (attend_type)77, .rank = -3};
    arguments_reset();
    attend_attention a = valid();
    a.v = a.out = a.weights = a.weights_mean = a.lse = a.sinks = wild;
    assert_int_equal(attend_scores(arguments_context, &a), ATTEND_OK);
    a = valid();
    a.k = a.v = a.out = wild;
    assert_int_equal(attend_softmax(arguments_context, &a), ATTEND_OK);
    a.q = arguments_none;
    assert_int_equal(attend_softmax(arguments_context, &a), ATTEND_OK);
    a = valid();
    a.q = a.k = a.scores = a.weights_mean = a.lse = a.sinks = a.alibi_slopes = wild;
    assert_int_equal(attend_mix(arguments_context, &a), ATTEND_OK);
    arguments_reset();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_ignored)};
    return cmocka_run_group_tests(tests, arguments_open, arguments_close);
}
