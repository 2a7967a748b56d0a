/* SPDX-License-Identifier: Apache-2.0
 *
 * Every bad argument of attention in one call, planned and enqueued: each line spoils one member of
 * a description that works. The first column says where the spoilt thing exists: in host memory, in
 * buffers, or in both. */
#include "arguments.h"

#include <math.h>
#include <string.h>

enum { B = 2, H = 4, G = 2, L = 3, S = 5, D = 8, E = 6 };

static int32_t lengths[B], short_lengths[B] = {1, 2}, long_lengths[B] = {3, 6},
                           bad_lengths[B] = {0, -1};
static int64_t offsets[B] = {-1, 2}, far_offsets[B] = {0, INT64_MAX};

static attend_attention valid(void) {
    attend_attention a = attend_attention_default();
    for (int b = 0; b < B; b++)
        lengths[b] = L;
    a.q = IN(F32, B, H, L, D);
    a.k = IN(F32, B, G, S, D);
    a.v = IN(F32, B, G, S, E);
    a.out = OUT(F32, B, H, L, E);
    a.weights = OUT(F32, B, H, L, S);
    a.weights_mean = OUT(F32, B, L, S);
    a.scores = OUT(F32, B, H, L, S);
    a.lse = OUT(F32, B, H, L);
    a.causal = 1;
    a.window_left = 2;
    a.softcap = 3;
    a.position = ATTEND_AT_OFFSETS;
    a.query_offsets = attend_tensor_1d(offsets, ATTEND_I64, B);
    a.query_lengths = attend_tensor_1d(lengths, ATTEND_I32, B);
    a.key_lengths = attend_tensor_1d(lengths, ATTEND_I32, B);
    a.mask = IN(BOOL, L, S);
    a.bias = IN(F32, H, L, S);
    a.key_mask = IN(U8, B, S);
    a.alibi_slopes = IN(F32, H);
    a.sinks = IN(F32, H);
    return a;
}

static attend_tensor as_type(attend_tensor t, attend_type type) {
    t.type = type;
    return t;
}

static attend_tensor of_lengths(const void *values) {
    return attend_tensor_1d(values, ATTEND_I32, B);
}

static void no_positions(attend_attention *a) {
    a->position = ATTEND_POSITION_UNSET;
    a->query_offsets = arguments_none;
}

/* where, name, status, words, what is spoilt */
#define CASES(X)                                                                                   \
    X(BOTH, size_0, INVALID, "size is 0", a->size = 0)                                             \
    X(BOTH, no_q, NULL_POINTER, "q: is required", a->q = arguments_none)                           \
    X(BOTH, no_k, NULL_POINTER, "k: is required", a->k = arguments_none)                           \
    X(BOTH, no_v, NULL_POINTER, "v: is required", a->v = arguments_none)                           \
    X(BOTH, no_out, NULL_POINTER, "out: is required", a->out = arguments_none)                     \
    X(BOTH, no_memory, NULL_POINTER, "v: has elements but neither", a->v.data = NULL)              \
    X(BOTH, no_type, TYPE, "k: has memory but no element type", a->k.type = ATTEND_NO_TYPE)        \
    X(BOTH, wild_type, TYPE, "k: 99 is no element type", a->k.type = (attend_type)99)              \
    X(BOTH, both_places, INVALID, "q: both data and buffer",                                       \
      a->q.buffer = arguments_in_buffer(a->q).buffer)                                              \
    X(BOTH, other_context, INVALID, "k: its buffer belongs to another",                            \
      a->k = arguments_foreign(a->k))                                                              \
    X(BUFFER, past_the_end, OUT_OF_RANGE, "q: reaches byte", a->q.offset = (1 << 14) - 1)          \
    X(HOST, unaligned, INVALID, "k: memory is not aligned", a->k.data = (char *)a->k.data + 2)     \
    X(HOST, unaligned_output, INVALID, "out: memory is not aligned",                               \
      a->out.data = (char *)a->out.data + 1)                                                       \
    X(BOTH, negative_offset, OUT_OF_RANGE, "v: offset -1 is negative", a->v.offset = -1)           \
    X(BOTH, reserved, UNSUPPORTED, "q: scales, zero_points and reserved", a->q.reserved[1] = 1)    \
    X(BOTH, scales, UNSUPPORTED, "k: scales, zero_points and reserved", a->k.scales = &a->q)       \
    X(BOTH, flags, INVALID, "reserved_flags: 4 is not 0", a->reserved_flags = 4)                   \
    X(BOTH, rank_0, SHAPE, "q: rank 0", a->q.rank = 0)                                             \
    X(BOTH, rank_7, SHAPE, "q: rank 7", a->q.rank = 7)                                             \
    X(BOTH, rank_3, SHAPE, "k: rank 3, but [B, G, S, D] has rank 4", a->k.rank = 3)                \
    X(BOTH, negative_size, SHAPE, "q: size -4 of dimension 1", a->q.sizes[1] = -4)                 \
    X(BOTH, batch, SHAPE, "k: batch 1 does not match q's 2", a->k.sizes[0] = 1)                    \
    X(BOTH, head_size, SHAPE, "k: head size 7 does not match q's 8", a->k.sizes[3] = 7)            \
    X(BOTH, key_length, SHAPE, "v: key length 4 does not match k's 5", a->v.sizes[2] = 4)          \
    X(BOTH, value_heads, SHAPE, "v: number of key/value heads 1 does not", a->v.sizes[1] = 1)      \
    X(BOTH, value_size, SHAPE, "out: value head size 5 does not match v's 6", a->out.sizes[3] = 5) \
    X(BOTH, out_length, SHAPE, "out: query length 2 does not match q's 3", a->out.sizes[2] = 2)    \
    X(BOTH, groups, SHAPE, "k: 3 key/value heads do not divide", a->k = IN(F32, B, 3, S, D);       \
      a->v = IN(F32, B, 3, S, E))                                                                  \
    X(BOTH, no_groups, SHAPE, "k: 0 key/value heads do not divide",                                \
      a->k.sizes[1] = a->v.sizes[1] = 0)                                                           \
    X(BOTH, weights_shape, SHAPE, "weights: key length 4", a->weights.sizes[3] = 4)                \
    X(BOTH, mean_shape, SHAPE, "weights_mean: query length 2", a->weights_mean.sizes[1] = 2)       \
    X(BOTH, scores_shape, SHAPE, "scores: number of heads 3", a->scores.sizes[1] = 3)              \
    X(BOTH, lse_shape, SHAPE, "lse: rank 2", a->lse.rank = 2)                                      \
    X(BOTH, mask_rank, SHAPE, "mask: rank 5 is above 4", a->mask = IN(BOOL, 1, 1, 1, 1, 1))        \
    X(BOTH, mask_rows, SHAPE, "mask: query length 2 does not match q's 3",                         \
      a->mask = IN(BOOL, 2, S))                                                                    \
    X(BOTH, mask_heads, SHAPE, "mask: number of heads 2", a->mask = IN(BOOL, 2, L, S))             \
    X(BOTH, mask_keys, SHAPE, "mask: key length 6 does not match k's 5", a->mask = IN(BOOL, L, 6)) \
    X(BOTH, bias_heads, SHAPE, "bias: number of heads 3", a->bias.sizes[0] = 3)                    \
    X(BOTH, key_mask_shape, SHAPE, "key_mask: batch 1", a->key_mask.sizes[0] = 1)                  \
    X(BOTH, slopes_shape, SHAPE, "alibi_slopes: number of heads 3", a->alibi_slopes.sizes[0] = 3)  \
    X(BOTH, slopes_rank, SHAPE, "alibi_slopes: rank 3", a->alibi_slopes = IN(F32, 1, B, H))        \
    X(BOTH, sinks_shape, SHAPE, "sinks: number of heads 5", a->sinks.sizes[0] = 5)                 \
    X(BOTH, lengths_shape, SHAPE, "key_lengths: batch 1", a->key_lengths.sizes[0] = 1)             \
    X(BOTH, lengths_rank, SHAPE, "query_lengths: rank 2", a->query_lengths = IN(I32, B, 1))        \
    X(BOTH, offsets_shape, SHAPE, "query_offsets: batch 1", a->query_offsets.sizes[0] = 1)         \
    X(BOTH, q_type, TYPE, "q: type i32 is not allowed", a->q.type = ATTEND_I32)                    \
    X(BOTH, k_type, TYPE, "k: type bf16 does not go with q's f16", a->q.type = ATTEND_F16;         \
      a->k.type = a->v.type = ATTEND_BF16)                                                         \
    X(BOTH, k_wider, TYPE, "k: type f32 does not go with q's f16", a->q.type = ATTEND_F16)         \
    X(BOTH, v_type, TYPE, "v: type f16 does not match k's f32", a->v.type = ATTEND_F16)            \
    X(BOTH, out_type, TYPE, "out: type f16 is neither", a->out.type = ATTEND_F16)                  \
    X(BOTH, weights_type, TYPE, "weights: type bf16 is neither", a->weights.type = ATTEND_BF16)    \
    X(BOTH, mean_type, TYPE, "weights_mean: type bf16", a->weights_mean.type = ATTEND_BF16)        \
    X(BOTH, scores_type, TYPE, "scores: type f16", a->scores.type = ATTEND_F16)                    \
    X(BOTH, lse_type, TYPE, "lse: type f16 is not allowed", a->lse.type = ATTEND_F16)              \
    X(BOTH, mask_type, TYPE, "mask: type f32 is not allowed", a->mask.type = ATTEND_F32)           \
    X(BOTH, bias_type, TYPE, "bias: type bool is not allowed", a->bias.type = ATTEND_BOOL)         \
    X(BOTH, key_mask_type, TYPE, "key_mask: type i32", a->key_mask.type = ATTEND_I32)              \
    X(BOTH, slopes_type, TYPE, "alibi_slopes: type f16", a->alibi_slopes.type = ATTEND_F16)        \
    X(BOTH, sinks_type, TYPE, "sinks: type f16", a->sinks.type = ATTEND_F16)                       \
    X(BOTH, lengths_type, TYPE, "key_lengths: type f32", a->key_lengths.type = ATTEND_F32)         \
    X(BOTH, offsets_type, TYPE, "query_offsets: type u8", a->query_offsets.type = ATTEND_U8)       \
    X(BOTH, negative_stride, STRIDE, "q: stride -8 of dimension 2", a->q.strides[2] = -8)          \
    X(BOTH, written_stride_0, STRIDE, "out: stride 0 of dimension 1", a->out.strides[1] = 0)       \
    X(BOTH, lse_stride_0, STRIDE, "lse: stride 0 of dimension 0", a->lse.strides[0] = 0)           \
    X(BOTH, written_twice, OVERLAP, "out: its strides let elements share", a->out.strides[1] = E)  \
    X(BOTH, element_count, OVERFLOW, "q: the number of elements", a->q.sizes[0] = INT64_MAX)       \
    X(BOTH, reach, OVERFLOW, "k: sizes and strides reach beyond", a->k.strides[0] = INT64_MAX / 2) \
    X(BOTH, offset_reach, OVERFLOW, "v: sizes and strides reach beyond",                           \
      a->v.offset = INT64_MAX - 4)                                                                 \
    X(BOTH, out_over_q, OVERLAP, "out: overlaps q", a->q = a->out; a->q.sizes[3] = D;              \
      a->q.strides[2] = 1)                                                                         \
    X(BOTH, out_over_bias, OVERLAP, "out: overlaps bias", a->bias = as_type(a->mask, ATTEND_F32);  \
      a->bias.data = a->out.data)                                                                  \
    X(BOTH, out_over_lse, OVERLAP, "lse: overlaps out", a->lse.data = a->out.data)                 \
    X(BOTH, weights_over_scores, OVERLAP, "scores: overlaps weights", a->scores = a->weights)      \
    X(BOTH, scale_nan, INVALID, "scale: ", a->has_scale = 1; a->scale = (double)NAN)               \
    X(BOTH, scale_infinite, INVALID, "scale: ", a->has_scale = 1; a->scale = -(double)INFINITY)    \
    X(BOTH, softcap_negative, INVALID, "softcap: ", a->softcap = -1)                               \
    X(BOTH, softcap_nan, INVALID, "softcap: ", a->softcap = (double)NAN)                           \
    X(BOTH, softcap_infinite, INVALID, "softcap: ", a->softcap = (double)INFINITY)                 \
    X(BOTH, left, INVALID, "window_left: -2", a->window_left = -2)                                 \
    X(BOTH, right, INVALID, "window_right: -9", a->window_right = -9)                              \
    X(BOTH, wild_position, INVALID, "position: 5 is no", a->position = (attend_position)5)         \
    X(BOTH, negative_position, INVALID, "position: -1 is no", a->position = (attend_position)-1)   \
    X(BOTH, wild_precision, INVALID, "precision: 2 is no", a->precision = (attend_precision)2)     \
    X(BOTH, stage_0, INVALID, "scores_stage: 0 is no", a->scores_stage = (attend_scores_stage)0)   \
    X(BOTH, stage_5, INVALID, "scores_stage: 5 is no", a->scores_stage = (attend_scores_stage)5)   \
    X(BOTH, after_cache, INVALID, "position: AFTER_CACHE needs a cache", no_positions(a);          \
      a->position = ATTEND_AFTER_CACHE)                                                            \
    X(BOTH, unset_position, INVALID, "position: must be set, as query length", no_positions(a))    \
    X(BOTH, unset_for_alibi, INVALID, "position: must be set", no_positions(a); a->causal = 0;     \
      a->window_left = -1)                                                                         \
    X(BOTH, unset_for_window, INVALID, "position: must be set", no_positions(a); a->causal = 0;    \
      a->alibi_slopes = arguments_none)                                                            \
    X(BOTH, unset_with_lengths, INVALID, "position: must be set, as lengths are given", square(a)) \
    X(BOTH, stray_offsets, INVALID, "query_offsets: needs", a->position = ATTEND_TOP_LEFT)         \
    X(BOTH, stray_offset, INVALID, "query_offset: needs", a->position = ATTEND_TOP_LEFT;           \
      a->query_offset = 1)                                                                         \
    X(BOTH, far_offset, OUT_OF_RANGE, "query_offset: ", a->query_offset = INT64_MIN)               \
    X(BOTH, far_offsets, OUT_OF_RANGE, "query_offsets: value",                                     \
      a->query_offsets.data = far_offsets)                                                         \
    X(BOTH, long_query, OUT_OF_RANGE, "query_lengths: value 6",                                    \
      a->query_lengths = of_lengths(long_lengths))                                                 \
    X(BOTH, long_keys, OUT_OF_RANGE, "key_lengths: value 6",                                       \
      a->key_lengths = of_lengths(long_lengths))                                                   \
    X(BOTH, negative_length, OUT_OF_RANGE, "key_lengths: value -1",                                \
      a->key_lengths = of_lengths(bad_lengths))                                                    \
    X(BOTH, packed_alone, INVALID, "cu_key_lengths: must be given with",                           \
      a->cu_key_lengths = of_lengths(short_lengths))                                               \
    X(BOTH, packed_and_lengths, INVALID, "cu_query_lengths: excludes",                             \
      a->cu_key_lengths = a->cu_query_lengths = of_lengths(short_lengths))                         \
    X(BOTH, workspace_type, TYPE, "workspace: type f32", a->workspace = OUT(F32, 16))              \
    X(BOTH, workspace_shape, SHAPE, "workspace: ", a->workspace = OUT(U8, 4, 64))                  \
    X(HOST, workspace_aligned, INVALID, "workspace: is not aligned", a->workspace = OUT(U8, 64);   \
      a->workspace.offset = 8; a->workspace.sizes[0] = 8)                                          \
    X(BOTH, workspace_over_out, OVERLAP, "workspace: overlaps out",                                \
      a->workspace = as_type(a->out, ATTEND_U8);                                                   \
      a->workspace.rank = 1; a->workspace.strides[0] = 1)

/* L == S, where UNSET would stand for TOP_LEFT if there were no lengths. */
static void square(attend_attention *a) {
    no_positions(a);
    a->k = IN(F32, B, G, L, D);
    a->v = IN(F32, B, G, L, E);
    a->mask = a->bias = a->key_mask = arguments_none;
    a->weights = a->weights_mean = a->scores = arguments_none;
}

enum { HOST = 1, BUFFER = 2, BOTH = 3 };

#define X(where, name, status, words, statement)                                                   \
    static void spoil_##name(attend_attention *a) {                                                \
        statement;                                                                                 \
    }
CASES(X)
#undef X

static const struct {
    int where;
    const char *name;
    attend_status status;
    const char *words;
    void (*spoil)(attend_attention *a);
} cases[] = {
#define X(where, name, status, words, statement)                                                   \
    {where, #name, ATTEND_##status, words, spoil_##name},
    CASES(X)
#undef X
};

static void into_buffers(attend_attention *a) {
    attend_tensor *const large[] = {
        &a->q,   &a->k,    &a->v,    &a->out,      &a->weights,  &a->scores, &a->weights_mean,
        &a->lse, &a->mask, &a->bias, &a->key_mask, &a->workspace};
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        *large[i] = large[i]->buffer == NULL ? arguments_in_buffer(*large[i]) : *large[i];
}

static attend_status run(const attend_attention *a) {
    return attend_run(arguments_context, a);
}

static attend_plan *plan;
static attend_status run_plan(const attend_attention *a) {
    return attend_plan_run(plan, a);
}

static attend_status enqueue(const attend_attention *a) {
    attend_event *done = (attend_event *)(void *)&plan; /* must become NULL */
    attend_attention moved = *a;
    into_buffers(&moved);
    const attend_status status = attend_enqueue(arguments_context, &moved, 0, NULL, &done);
    if (status != ATTEND_OK) {
        assert_null(done);
    } else {
        assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
        attend_event_release(done);
    }
    return status;
}

static void refuse_all(int where, attend_status (*call)(const attend_attention *a)) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if ((cases[i].where & where) == 0) continue;
        arguments_reset();
        attend_attention a = valid();
        assert_int_equal(call(&a), ATTEND_OK); /* the description works before it is spoilt */
        arguments_reset();
        a = valid();
        cases[i].spoil(&a);
        arguments_refused(cases[i].name, call(&a), cases[i].status, cases[i].words);
    }
}

static void test_run(void **state) {
    (void)state;
    refuse_all(HOST, run);
}

static void test_plan_run(void **state) {
    (void)state;
    arguments_reset();
    const attend_attention a = valid();
    assert_int_equal(attend_plan_create(arguments_context, &a, &plan), ATTEND_OK);
    refuse_all(HOST, run_plan);
    attend_plan_release(plan);
}

static void test_enqueue(void **state) {
    (void)state;
    refuse_all(BUFFER, enqueue);
}

/* What a plan needs no memory for, it refuses as a run does. */
static void test_plan_create(void **state) {
    (void)state;
    static const char *const of_memory[] = {
        "no_memory",    "unaligned",           "unaligned_output",   "past_the_end",
        "reach",        "offset_reach",        "out_over_q",         "out_over_bias",
        "out_over_lse", "weights_over_scores", "workspace_over_out", "far_offsets",
        "long_query",   "long_keys",           "negative_length",    "written_stride_0",
        "lse_stride_0", "written_twice"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool memory = false;
        for (size_t k = 0; k < sizeof of_memory / sizeof *of_memory; k++)
            memory = memory || strcmp(of_memory[k], cases[i].name) == 0;
        if (memory || (cases[i].where & HOST) == 0) continue;
        arguments_reset();
        attend_attention a = valid();
        cases[i].spoil(&a);
        attend_plan *made = (attend_plan *)(void *)&a;
        arguments_refused(cases[i].name, attend_plan_create(arguments_context, &a, &made),
                          cases[i].status, cases[i].words);
        assert_null(made);
    }
}

static void test_pointers(void **state) {
    (void)state;
    arguments_reset();
    const attend_attention a = valid();
    attend_event *const waits[1] = {NULL};
    arguments_refused("context", attend_run(NULL, &a), ATTEND_NULL_POINTER, "context");
    arguments_refused("description", attend_run(arguments_context, NULL), ATTEND_NULL_POINTER,
                      "description: is NULL");
    arguments_refused("plan", attend_plan_run(NULL, &a), ATTEND_NULL_POINTER, "plan: is NULL");
    arguments_refused("plan", attend_plan_create(arguments_context, &a, NULL), ATTEND_NULL_POINTER,
                      "plan: is NULL");
    arguments_refused("plan", attend_plan_decision(NULL, NULL), ATTEND_NULL_POINTER,
                      "plan: is NULL");
    attend_attention moved = a;
    into_buffers(&moved);
    arguments_refused("waits", attend_enqueue(arguments_context, &moved, 1, NULL, NULL),
                      ATTEND_NULL_POINTER, "waits");
    arguments_refused("waits", attend_enqueue(arguments_context, &moved, 1, waits, NULL),
                      ATTEND_NULL_POINTER, "waits");
    attend_event *foreign[1];
    assert_int_equal(attend_user_event_create(arguments_other, foreign), ATTEND_OK);
    arguments_refused("waits", attend_enqueue(arguments_context, &moved, 1, foreign, NULL),
                      ATTEND_INVALID, "waits");
    attend_event_release(foreign[0]);
    arguments_refused("host memory", attend_enqueue(arguments_context, &a, 0, NULL, NULL),
                      ATTEND_INVALID, "q: lies in host memory");
    attend_plan_release(NULL);
    assert_int_equal(attend_plan_workspace_bytes(NULL), 0);
}

/* A caller built against a newer header: members unknown here are allowed while they are 0. */
static void test_newer_description(void **state) {
    (void)state;
    struct {
        attend_attention known;
        char later[24];
    } newer;
    arguments_reset();
    memset(&newer, 0x77, sizeof newer);
    attend_attention_init(&newer, sizeof newer);
    assert_int_equal(newer.later[23], 0);
    newer.known = valid();
    newer.known.size = sizeof newer;
    assert_int_equal(attend_run(arguments_context, &newer.known), ATTEND_OK);
    arguments_reset();
    newer.later[17] = 1;
    arguments_refused("newer", attend_run(arguments_context, &newer.known), ATTEND_INVALID,
                      "does not know");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run),      cmocka_unit_test(test_plan_run),
        cmocka_unit_test(test_enqueue),  cmocka_unit_test(test_plan_create),
        cmocka_unit_test(test_pointers), cmocka_unit_test(test_newer_description),
    };
    return cmocka_run_group_tests(tests, arguments_open, arguments_close);
}
