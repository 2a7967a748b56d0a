/* SPDX-License-Identifier: Apache-2.0
 *
 * Bad arguments of the operations of stage.h, run and enqueued: each line spoils one member of a
 * description that works. */
#include "arguments.h"

#include <math.h>
#include <string.h>

enum { B = 2, H = 3, L = 4, D = 6, K = 5, N = 7, M = 8, P = 9 };

static attend_weights *prepared, *foreign_weights;
static int64_t ids[B * L], bad_ids[B * L] = {0, 1, 2, P, 0}, negative_ids[B * L] = {0, -1};

/* ---- descriptions that work ------------------------------------------------------------------ */

static attend_projection valid_project(void) {
    attend_projection d = attend_projection_default();
    d.x = IN(F32, B, L, K);
    d.w = IN(F32, N, K);
    d.bias = IN(F32, N);
    d.multiplier = IN(F32, B, L, N);
    d.residual = IN(F32, B, L, N);
    d.out = OUT(F32, B, L, N);
    return d;
}

static attend_copy valid_copy(void) {
    attend_copy d = attend_copy_default();
    d.x = IN(F32, B, L, K);
    d.out = OUT(F16, B, L, K);
    return d;
}

static attend_copy valid_split(void) {
    attend_copy d = attend_copy_default();
    d.x = IN(F32, B, L, H * D);
    d.out = OUT(F32, B, H, L, D);
    return d;
}

static attend_copy valid_merge(void) {
    attend_copy d = attend_copy_default();
    d.x = IN(F32, B, H, L, D);
    d.out = OUT(F32, B, L, H * D);
    return d;
}

static attend_norm valid_norm(void) {
    attend_norm d = attend_norm_default();
    d.x = IN(F32, B, L, M);
    d.residual = IN(F32, B, L, M);
    d.weight = IN(F32, M);
    d.bias = IN(F32, M);
    d.out = OUT(F32, B, L, M);
    d.sum = OUT(F32, B, L, M);
    return d;
}

static attend_elementwise valid_activate(void) {
    attend_elementwise d = attend_elementwise_default();
    d.x = IN(F32, L, N);
    d.multiplier = IN(F32, L, N);
    d.residual = IN(F32, L, N);
    d.out = OUT(F32, L, N);
    d.activation = ATTEND_GELU;
    return d;
}

static attend_rope valid_rope(void) {
    attend_rope d = attend_rope_default();
    d.x = IN(F32, B, H, L, D);
    d.cos = IN(F32, P, 2);
    d.sin = IN(F32, P, 2);
    d.position_ids = attend_tensor_2d(ids, ATTEND_I64, B, L);
    d.out = OUT(F32, B, H, L, D);
    d.rotary_dim = 4;
    return d;
}

static attend_embedding valid_embed(void) {
    attend_embedding d = attend_embedding_default();
    d.table = IN(F32, P, M);
    d.ids = attend_tensor_2d(ids, ATTEND_I64, B, L);
    d.x = IN(F32, B, L, M);
    d.out = OUT(F32, B, L, M);
    return d;
}

static void with_offset(attend_rope *d, int64_t offset) {
    d->position_ids = arguments_none;
    d->position_offset = offset;
}

static void with_own_rows(attend_rope *d) {
    d->cos = IN(F32, B, L, 2);
    d->sin = IN(F32, B, L, 2);
    d->position_ids = arguments_none;
}

/* ---- what is spoilt -------------------------------------------------------------------------- */

/* operation, type, name, status, words, statement */
#define CASES(X)                                                                                   \
    X(project, attend_projection, no_x, NULL_POINTER, "x: is required", d->x = arguments_none)     \
    X(project, attend_projection, no_w, NULL_POINTER, "w: neither w nor weights",                  \
      d->w = arguments_none)                                                                       \
    X(project, attend_projection, no_out, NULL_POINTER, "out: is required",                        \
      d->out = arguments_none)                                                                     \
    X(project, attend_projection, two_w, INVALID, "w: given together with weights",                \
      d->weights = prepared)                                                                       \
    X(project, attend_projection, foreign, INVALID, "weights: belong to another",                  \
      d->w = arguments_none;                                                                       \
      d->weights = foreign_weights)                                                                \
    X(project, attend_projection, columns, SHAPE, "w: number of inputs 4", d->w.sizes[1] = 4)      \
    X(project, attend_projection, prepared_columns, SHAPE,                                         \
      "x: number of inputs 4 does not match weights's 5", d->w = arguments_none;                   \
      d->weights = prepared; d->x.sizes[2] = 4)                                                    \
    X(project, attend_projection, bias_size, SHAPE, "bias: number of outputs 6",                   \
      d->bias.sizes[0] = 6)                                                                        \
    X(project, attend_projection, out_size, SHAPE, "out: number of outputs 6",                     \
      d->out.sizes[2] = 6)                                                                         \
    X(project, attend_projection, out_rows, SHAPE, "out: size 3 of dimension 1",                   \
      d->out.sizes[1] = 3)                                                                         \
    X(project, attend_projection, out_rank, SHAPE, "out: rank 2 does not match x's",               \
      d->out.rank = 2)                                                                             \
    X(project, attend_projection, x_rank, SHAPE, "x: rank 5", d->x = IN(F32, 1, 1, B, L, K))       \
    X(project, attend_projection, w_type, TYPE, "w: type int8", d->w.type = ATTEND_I8)             \
    X(project, attend_projection, w_wider, TYPE, "w: type f32 does not go with x's f16",           \
      d->x.type = ATTEND_F16)                                                                      \
    X(project, attend_projection, bias_type, TYPE, "bias: type f16", d->bias.type = ATTEND_F16)    \
    X(project, attend_projection, out_type, TYPE, "out: type bf16", d->out.type = ATTEND_BF16)     \
    X(project, attend_projection, activation, INVALID, "activation: 7",                            \
      d->activation = (attend_activation)7)                                                        \
    X(project, attend_projection, flags, INVALID, "reserved_flags", d->reserved_flags = 1)         \
    X(project, attend_projection, in_place_x, OVERLAP, "out: overlaps x", d->x.data = d->out.data) \
    X(project, attend_projection, shifted, OVERLAP, "out: overlaps residual",                      \
      d->residual = d->out;                                                                        \
      d->residual.offset = 1; d->residual.sizes[0] = 1; d->out.sizes[0] = 1; d->x.sizes[0] = 1;    \
      d->multiplier.sizes[0] = 1)                                                                  \
    X(copy, attend_copy, no_x, NULL_POINTER, "x: is required", d->x = arguments_none)              \
    X(copy, attend_copy, no_out, NULL_POINTER, "out: is required", d->out = arguments_none)        \
    X(copy, attend_copy, rank, SHAPE, "out: rank 2 does not match x's", d->out.rank = 2)           \
    X(copy, attend_copy, sizes, SHAPE, "out: size 3 of dimension 1 does not match x's 4",          \
      d->out.sizes[1] = 3)                                                                         \
    X(copy, attend_copy, types, TYPE, "out: type i32 cannot hold x's f32",                         \
      d->out = OUT(I32, B, L, K))                                                                  \
    X(copy, attend_copy, in_place, OVERLAP, "out: overlaps x", d->x = d->out)                      \
    X(copy, attend_copy, stride_0, STRIDE, "out: stride 0", d->out.strides[1] = 0)                 \
    X(split_heads, attend_copy, no_x, NULL_POINTER, "x: is required", d->x = arguments_none)       \
    X(split_heads, attend_copy, x_rank, SHAPE, "x: rank 4, but [B, L, H * D]", d->x.rank = 4)      \
    X(split_heads, attend_copy, out_rank, SHAPE, "out: rank 3, but [B, H, L, D]", d->out.rank = 3) \
    X(split_heads, attend_copy, columns, SHAPE, "x: 17 columns are not out's 3 heads of 6",        \
      d->x.sizes[2] = 17)                                                                          \
    X(split_heads, attend_copy, length, SHAPE, "out: size 3 of dimension 2", d->out.sizes[2] = 3)  \
    X(split_heads, attend_copy, stride, STRIDE, "x: stride -1", d->x.strides[2] = -1)              \
    X(split_heads, attend_copy, far, OVERFLOW, "x: stride", d->x.strides[2] = INT64_MAX)           \
    X(merge_heads, attend_copy, no_out, NULL_POINTER, "out: is required", d->out = arguments_none) \
    X(merge_heads, attend_copy, out_rank, SHAPE, "out: rank 4, but [B, L, H * D]",                 \
      d->out.rank = 4)                                                                             \
    X(merge_heads, attend_copy, columns, SHAPE, "out: 16 columns are not x's 3 heads of 6",        \
      d->out.sizes[2] = 16)                                                                        \
    X(merge_heads, attend_copy, batch, SHAPE, "out: size 1 of dimension 0", d->out.sizes[0] = 1)   \
    X(norm, attend_norm, no_x, NULL_POINTER, "x: is required", d->x = arguments_none)              \
    X(norm, attend_norm, weight_size, SHAPE, "weight: row size 7", d->weight.sizes[0] = 7)         \
    X(norm, attend_norm, out_size, SHAPE, "out: row size 7", d->out.sizes[2] = 7)                  \
    X(norm, attend_norm, sum_rows, SHAPE, "sum: size 1 of dimension 0", d->sum.sizes[0] = 1)       \
    X(norm, attend_norm, bias_type, TYPE, "bias: type f16", d->bias.type = ATTEND_F16)             \
    X(norm, attend_norm, x_type, TYPE, "x: type u8", d->x.type = ATTEND_U8)                        \
    X(norm, attend_norm, kind, INVALID, "kind: 3", d->kind = (attend_norm_kind)3)                  \
    X(norm, attend_norm, eps, INVALID, "eps: ", d->eps = -1e-9)                                    \
    X(norm, attend_norm, eps_nan, INVALID, "eps: ", d->eps = (double)NAN)                          \
    X(norm, attend_norm, flags, INVALID, "reserved_flags", d->reserved_flags = -1)                 \
    X(norm, attend_norm, two_outputs, OVERLAP, "sum: overlaps out", d->sum = d->out)               \
    X(norm, attend_norm, over_weight, OVERLAP, "out: overlaps weight",                             \
      d->weight.data = d->out.data)                                                                \
    X(activate, attend_elementwise, no_out, NULL_POINTER, "out: is required",                      \
      d->out = arguments_none)                                                                     \
    X(activate, attend_elementwise, shape, SHAPE, "multiplier: number of outputs 6",               \
      d->multiplier.sizes[1] = 6)                                                                  \
    X(activate, attend_elementwise, type, TYPE, "out: type f16", d->out.type = ATTEND_F16)         \
    X(activate, attend_elementwise, activation, INVALID, "activation: -1",                         \
      d->activation = (attend_activation)-1)                                                       \
    X(activate, attend_elementwise, flags, INVALID, "reserved_flags", d->reserved_flags = 2)       \
    X(activate, attend_elementwise, overlap, OVERLAP, "out: overlaps x", d->x = d->out;            \
      d->x.strides[0] = 1; d->x.strides[1] = L)                                                    \
    X(rope, attend_rope, no_cos, NULL_POINTER, "cos: is required", d->cos = arguments_none)        \
    X(rope, attend_rope, out_shape, SHAPE, "out: query length 3", d->out.sizes[2] = 3)             \
    X(rope, attend_rope, cos_rank, SHAPE, "cos: rank 1", d->cos.rank = 1)                          \
    X(rope, attend_rope, cos_columns, SHAPE, "cos: 3 columns do not match",                        \
      d->cos = IN(F32, P, 3))                                                                      \
    X(rope, attend_rope, sin_columns, SHAPE, "sin: 1 columns do not match", d->sin.sizes[1] = 1)   \
    X(rope, attend_rope, sin_rows, SHAPE, "sin: shape does not match cos's",                       \
      d->sin.sizes[0] = P - 1)                                                                     \
    X(rope, attend_rope, own_rows, SHAPE, "cos: batch and length", with_own_rows(d);               \
      d->cos.sizes[1] = 3)                                                                         \
    X(rope, attend_rope, ids_shape, SHAPE, "position_ids: batch 1", d->position_ids.sizes[0] = 1)  \
    X(rope, attend_rope, ids_and_rows, INVALID, "position_ids: given, but cos has rank 3",         \
      with_own_rows(d);                                                                            \
      d->position_ids = IN(I64, B, L))                                                             \
    X(rope, attend_rope, x_type, TYPE, "x: type i64", d->x.type = ATTEND_I64)                      \
    X(rope, attend_rope, out_type, TYPE, "out: type f16", d->out.type = ATTEND_F16)                \
    X(rope, attend_rope, cos_type, TYPE, "cos: type bf16", d->cos.type = ATTEND_BF16)              \
    X(rope, attend_rope, sin_type, TYPE, "sin: type f16",                                          \
      d->x.type = d->sin.type = d->out.type = ATTEND_F16)                                          \
    X(rope, attend_rope, odd, INVALID, "rotary_dim: 3", d->rotary_dim = 3)                         \
    X(rope, attend_rope, wide, INVALID, "rotary_dim: 8", d->rotary_dim = 8)                        \
    X(rope, attend_rope, offset, OUT_OF_RANGE, "position_offset: 6 + 4", with_offset(d, 6))        \
    X(rope, attend_rope, far_offset, OUT_OF_RANGE, "position_offset: ", with_offset(d, INT64_MAX)) \
    X(rope, attend_rope, negative, INVALID, "position_offset: -1", with_offset(d, -1))             \
    X(rope, attend_rope, offset_and_ids, INVALID, "position_offset: only without",                 \
      d->position_offset = 1)                                                                      \
    X(rope, attend_rope, flags, INVALID, "reserved_flags", d->reserved_flags = 1)                  \
    X(rope, attend_rope, overlap, OVERLAP, "out: overlaps x", d->x = d->out; d->x.offset = 1)      \
    X(embed, attend_embedding, no_table, NULL_POINTER, "table: is required",                       \
      d->table = arguments_none)                                                                   \
    X(embed, attend_embedding, row_size, SHAPE, "out: row size 7 does not match table's 8",        \
      d->out.sizes[2] = 7)                                                                         \
    X(embed, attend_embedding, ids_rank, SHAPE, "ids: rank 1 does not match out's",                \
      d->ids = IN(I64, B * L))                                                                     \
    X(embed, attend_embedding, ids_size, SHAPE, "ids: size 3 of dimension 1", d->ids.sizes[1] = 3) \
    X(embed, attend_embedding, ids_type, TYPE, "ids: type f32", d->ids = IN(F32, B, L))            \
    X(embed, attend_embedding, x_type, TYPE, "x: type f16", d->x.type = ATTEND_F16)                \
    X(embed, attend_embedding, table_type, TYPE, "table: type f32 does not go",                    \
      d->out.type = ATTEND_F16)                                                                    \
    X(embed, attend_embedding, scale, INVALID, "scale: ", d->scale = (double)INFINITY)             \
    X(embed, attend_embedding, offset_and_ids, INVALID, "id_offset: only without ids",             \
      d->id_offset = 1)                                                                            \
    X(embed, attend_embedding, negative, INVALID, "id_offset: -2", d->ids = arguments_none;        \
      d->id_offset = -2)                                                                           \
    X(embed, attend_embedding, offset, OUT_OF_RANGE, "id_offset: 6 + 4", d->ids = arguments_none;  \
      d->id_offset = 6)                                                                            \
    X(embed, attend_embedding, one_row, SHAPE, "out: rank 1", d->ids = d->x = arguments_none;      \
      d->out = OUT(F32, M))                                                                        \
    X(embed, attend_embedding, overlap, OVERLAP, "out: overlaps table", d->table.data = d->out.data)

#define X(operation, type, name, status, words, statement)                                         \
    static void spoil_##operation##_##name(type *d) {                                              \
        statement;                                                                                 \
    }
CASES(X)
#undef X

/* ---- calling --------------------------------------------------------------------------------- */

static attend_status ended(attend_status status, attend_event *done) {
    assert_true((status == ATTEND_OK) == (done != NULL));
    if (done != NULL) assert_int_equal(attend_event_wait(done, -1), ATTEND_OK);
    attend_event_release(done);
    return status;
}

/* The enqueued call with every tensor of `list` in a buffer instead. */
#define FORMS(operation, type, run_form, enqueue_form, make, ...)                                  \
    static attend_status run_##operation(void (*spoil)(type * d), bool enqueued) {                 \
        arguments_reset();                                                                         \
        type description = make(), *d = &description;                                              \
        if (spoil != NULL) spoil(d);                                                               \
        if (!enqueued) return run_form(arguments_context, d);                                      \
        attend_tensor *const list[] = {__VA_ARGS__};                                               \
        for (size_t i = 0; i < sizeof list / sizeof *list; i++)                                    \
            *list[i] = arguments_in_buffer(*list[i]);                                              \
        attend_event *done = NULL;                                                                 \
        const attend_status status = enqueue_form(arguments_context, d, 0, NULL, &done);           \
        return ended(status, done);                                                                \
    }

FORMS(project, attend_projection, attend_project, attend_project_enqueue, valid_project, &d->x,
      &d->w, &d->bias, &d->multiplier, &d->residual, &d->out)
FORMS(copy, attend_copy, attend_copy_run, attend_copy_enqueue, valid_copy, &d->x, &d->out)
FORMS(split_heads, attend_copy, attend_split_heads, attend_split_heads_enqueue, valid_split, &d->x,
      &d->out)
FORMS(merge_heads, attend_copy, attend_merge_heads, attend_merge_heads_enqueue, valid_merge, &d->x,
      &d->out)
FORMS(norm, attend_norm, attend_norm_run, attend_norm_enqueue, valid_norm, &d->x, &d->residual,
      &d->weight, &d->bias, &d->out, &d->sum)
FORMS(activate, attend_elementwise, attend_activate, attend_activate_enqueue, valid_activate, &d->x,
      &d->multiplier, &d->residual, &d->out)
FORMS(rope, attend_rope, attend_rope_run, attend_rope_enqueue, valid_rope, &d->x, &d->cos, &d->sin,
      &d->position_ids, &d->out)
FORMS(embed, attend_embedding, attend_embed, attend_embed_enqueue, valid_embed, &d->table, &d->ids,
      &d->x, &d->out)

static void test_refused(void **state) {
    (void)state;
#define X(operation, type, name, status, words, statement)                                         \
    assert_int_equal(run_##operation(NULL, false), ATTEND_OK);                                     \
    assert_int_equal(run_##operation(NULL, true), ATTEND_OK);                                      \
    arguments_refused(#operation " " #name, run_##operation(spoil_##operation##_##name, false),    \
                      ATTEND_##status, words);                                                     \
    arguments_refused(#operation " " #name " enqueued",                                            \
                      run_##operation(spoil_##operation##_##name, true), ATTEND_##status, words);
    CASES(X)
#undef X
}

/* Values of indices are read where they lie in host memory. */
static void test_indices(void **state) {
    (void)state;
    arguments_reset();
    attend_rope r = valid_rope();
    r.position_ids.data = bad_ids;
    arguments_refused("ids", attend_rope_run(arguments_context, &r), ATTEND_OUT_OF_RANGE,
                      "position_ids: value 9 of element 3 is not in 0..8");
    attend_embedding e = valid_embed();
    e.ids.data = negative_ids;
    arguments_refused("ids", attend_embed(arguments_context, &e), ATTEND_OUT_OF_RANGE,
                      "ids: value -1 of element 1");
}

/* "In place" is one and the same view. */
static void test_in_place(void **state) {
    (void)state;
    arguments_reset();
    attend_norm n = valid_norm();
    n.x = n.sum;
    n.residual = n.out;
    assert_int_equal(attend_norm_run(arguments_context, &n), ATTEND_OK);
    attend_elementwise e = valid_activate();
    e.x = e.multiplier = e.residual = e.out;
    assert_int_equal(attend_activate(arguments_context, &e), ATTEND_OK);
    attend_projection p = valid_project();
    p.residual = p.out;
    assert_int_equal(attend_project(arguments_context, &p), ATTEND_OK);
    attend_rope r = valid_rope();
    r.x = r.out;
    assert_int_equal(attend_rope_run(arguments_context, &r), ATTEND_OK);
    attend_embedding t = valid_embed();
    t.x = t.out;
    assert_int_equal(attend_embed(arguments_context, &t), ATTEND_OK);
    arguments_reset();
}

static void test_weights(void **state) {
    (void)state;
    attend_weights *made = (attend_weights *)(void *)&made;
    const attend_tensor w = IN(F32, N, K), deep = IN(F32, N, K, 1), whole = IN(I32, N, K);
    attend_tensor far = w;
    far.strides[0] = INT64_MAX / 2;
    arguments_refused("context", attend_weights_create(NULL, &w, &made), ATTEND_NULL_POINTER,
                      "context");
    arguments_refused("w", attend_weights_create(arguments_context, NULL, &made),
                      ATTEND_NULL_POINTER, "w: is NULL");
    assert_null(made);
    arguments_refused("none", attend_weights_create(arguments_context, &arguments_none, &made),
                      ATTEND_NULL_POINTER, "w: is required");
    arguments_refused("rank", attend_weights_create(arguments_context, &deep, &made), ATTEND_SHAPE,
                      "w: rank 3");
    arguments_refused("type", attend_weights_create(arguments_context, &whole, &made), ATTEND_TYPE,
                      "w: type i32");
    arguments_refused("reach", attend_weights_create(arguments_context, &far, &made),
                      ATTEND_OVERFLOW, "w: ");
    arguments_refused("result", attend_weights_create(arguments_context, &w, NULL),
                      ATTEND_NULL_POINTER, "weights");
    assert_null(made);
    attend_weights_release(NULL);
}

static int open_weights(void **state) {
    if (arguments_open(state) != 0) return -1;
    const attend_tensor w = IN(F32, N, K);
    return attend_weights_create(arguments_context, &w, &prepared) == ATTEND_OK &&
                   attend_weights_create(arguments_other, &w, &foreign_weights) == ATTEND_OK
               ? 0
               : -1;
}

static int close_weights(void **state) {
    attend_weights_release(prepared);
    attend_weights_release(foreign_weights);
    return arguments_close(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_indices),
        cmocka_unit_test(test_in_place), cmocka_unit_test(test_weights)};
    return cmocka_run_group_tests(tests, open_weights, close_weights);
}
