/* SPDX-License-Identifier: Apache-2.0
 *
 * Rotary positions, embeddings and copies of random sizes, types and strides against float64,
 * in place where that is allowed; each bound is the count of roundings that the float32 definition
 * needs, named where it is computed. Also: same bits on 1 and 3 threads. ATTEND_BACKEND chooses the
 * backend, ATTEND_TEST_SEED the seed. */
#include "stage/stage_trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const double u = 0x1p-24;

/* ---- rotary positions ---- */

static attend_status run_rope(attend_context *context, const void *description) {
    return attend_rope_run(context, description);
}

static int64_t rope_table_row(const attend_rope *rope, const stage_tensor *ids, int64_t b,
                              int64_t i) {
    const int64_t length = rope->x.sizes[2];
    if (rope->cos.rank == 3) return b * length + i;
    return ids != NULL ? (int64_t)ids->values[b * length + i] : i + rope->position_offset;
}

static void expect_rope(trial *t, const attend_rope *rope, const stage_tensor *const in[4]) {
    const int64_t heads = rope->x.sizes[1], length = rope->x.sizes[2], size = rope->x.sizes[3];
    const int64_t n = (rope->rotary_dim > 0 ? rope->rotary_dim : size) / 2;
    for (int64_t row = 0; row < in[0]->count / size; row++) {
        const int64_t table = rope_table_row(rope, in[3], row / length / heads, row % length);
        for (int64_t i = 0; i < size; i++)
            stage_expect(t, 0, row * size + i, in[0]->values[row * size + i], 0);
        for (int64_t r = 0; r < n; r++) {
            const int64_t first = row * size + (rope->interleaved ? 2 * r : r);
            const int64_t second = rope->interleaved ? first + 1 : first + n;
            const double c = in[1]->values[table * n + r], s = in[2]->values[table * n + r];
            const double x1 = in[0]->values[first], x2 = in[0]->values[second];
            /* two products and a sum, each rounded */
            stage_expect(t, 0, first, c * x1 - s * x2, 2 * u * (fabs(c * x1) + fabs(s * x2)));
            stage_expect(t, 0, second, s * x1 + c * x2, 2 * u * (fabs(s * x1) + fabs(c * x2)));
        }
    }
}

static void make_rope(trial *t) {
    static attend_rope rope;
    gate_random *const r = &t->c.random;
    const int64_t batch = gate_range(r, 1, 3), heads = gate_range(r, 1, 4),
                  length = gate_log_range(r, 1, 40);
    const int64_t size = gate_range(r, 1, 2) * 2 * gate_log_range(r, 1, 70),
                  sizes[4] = {batch, heads, length, size};
    const attend_type type = stage_float_type(r),
                      table_type = gate_chance(r, 0.5) ? ATTEND_F32 : type;
    rope = attend_rope_default();
    rope.interleaved = gate_chance(r, 0.5);
    rope.rotary_dim = gate_chance(r, 0.5) ? 0 : 2 * gate_range(r, 1, size / 2);
    const int64_t n = (rope.rotary_dim > 0 ? rope.rotary_dim : size) / 2;
    const bool own_rows = gate_chance(r, 0.3), with_ids = !own_rows && gate_chance(r, 0.5);
    const int64_t positions = length + gate_range(r, 0, 20);
    const int64_t own_sizes[3] = {batch, length, n}, shared_sizes[2] = {positions, n},
                  ids_sizes[2] = {batch, length};
    const stage_tensor *in[4] = {stage_input(&t->c, "x", type, 4, sizes, 1)};
    for (int i = 1; i < 3; i++)
        in[i] = stage_input(&t->c, i == 1 ? "cos" : "sin", table_type, own_rows ? 3 : 2,
                            own_rows ? own_sizes : shared_sizes, 0.7);
    if (with_ids) in[3] = stage_ids(&t->c, "position_ids", 2, ids_sizes, positions - 1);
    if (!own_rows && !with_ids) rope.position_offset = gate_range(r, 0, positions - length);
    stage_tensor *const out = gate_chance(r, 0.3) ? stage_in_place(&t->c, &t->c.tensors[0])
                                                  : stage_output(&t->c, "out", type, 4, sizes);
    rope.x = in[0]->view;
    rope.cos = in[1]->view;
    rope.sin = in[2]->view;
    if (with_ids) rope.position_ids = in[3]->view;
    rope.out = out->view;
    stage_give(t, 0, out);
    expect_rope(t, &rope, in);
    t->description = &rope;
    t->run = run_rope;
}

static void test_rope(void **state) {
    (void)state;
    stage_run_trials(make_rope, "rope");
}

/* ---- embeddings ---- */

static attend_status run_embed(attend_context *context, const void *description) {
    return attend_embed(context, description);
}

static void make_embedding(trial *t) {
    static attend_embedding e;
    gate_random *const r = &t->c.random;
    int64_t sizes[4], rows = stage_size(r, 60);
    const int64_t columns = stage_size(r, 1100), entries = gate_range(r, 60, 90),
                  table_sizes[2] = {entries, columns};
    const attend_type table_type = stage_float_type(r),
                      type = gate_chance(r, 0.3) ? ATTEND_F32 : table_type;
    int32_t rank = stage_rows(r, &rows, columns, sizes);
    if (rank == 1) { /* ids have a rank of at least 1 */
        sizes[0] = 1;
        sizes[1] = columns;
        rank = 2;
    }
    e = attend_embedding_default();
    e.scale = gate_chance(r, 0.5) ? 1 : gate_normal(r);
    stage_tensor *const table = stage_input(&t->c, "table", table_type, 2, table_sizes, 1);
    stage_tensor *const ids =
        gate_chance(r, 0.7) ? stage_ids(&t->c, "ids", rank - 1, sizes, entries - 1) : NULL;
    stage_tensor *const x =
        gate_chance(r, 0.5) ? stage_input(&t->c, "x", type, rank, sizes, 1) : NULL;
    if (ids == NULL) e.id_offset = gate_range(r, 0, entries - sizes[rank - 2]);
    stage_tensor *const out = x != NULL && gate_chance(r, 0.5)
                                  ? stage_in_place(&t->c, x)
                                  : stage_output(&t->c, "out", type, rank, sizes);
    stage_give(t, 0, out);
    for (int64_t i = 0; i < out->count; i++) {
        const int64_t row = i / columns;
        const int64_t id =
            ids != NULL ? (int64_t)ids->values[row] : row % sizes[rank - 2] + e.id_offset;
        const double a = table->values[id * columns + i % columns] * e.scale,
                     y = a + (x != NULL ? x->values[i] : 0);
        stage_expect(t, 0, i, y,
                     2 * u * fabs(a) +
                         u * fabs(y)); /* scale is rounded, then the product, then the sum */
    }
    e.table = table->view;
    if (ids != NULL) e.ids = ids->view;
    if (x != NULL) e.x = x->view;
    e.out = out->view;
    t->description = &e;
    t->run = run_embed;
}

static void test_embedding(void **state) {
    (void)state;
    stage_run_trials(make_embedding, "embedding");
}

/* ---- copies ---- */

static attend_status run_copy(attend_context *context, const void *description) {
    return attend_copy_run(context, description);
}

static void make_copy(trial *t) {
    static attend_copy copy;
    gate_random *const r = &t->c.random;
    int64_t sizes[ATTEND_MAX_RANK], left = 4000;
    const int32_t rank = (int32_t)gate_range(r, 1, ATTEND_MAX_RANK);
    for (int32_t d = 0; d < rank; d++) {
        sizes[d] = gate_log_range(r, 1, left < 1500 ? left : 1500);
        left /= sizes[d];
        if (left < 1) left = 1;
    }
    const bool whole_numbers = gate_chance(r, 0.2);
    copy = attend_copy_default();
    stage_tensor *const x = whole_numbers
                                ? stage_ids(&t->c, "x", rank, sizes, 1000)
                                : stage_input(&t->c, "x", stage_float_type(r), rank, sizes, 10);
    stage_tensor *const out =
        stage_output(&t->c, "out", whole_numbers ? x->view.type : stage_float_type(r), rank, sizes);
    stage_give(t, 0, out);
    for (int64_t i = 0; i < out->count; i++) {
        stage_expect(t, 0, i, x->values[i], 0);
        if (x->view.type == out->view.type) t->bound[0][i] = 1e-300; /* no rounding at all */
    }
    copy.x = x->view;
    copy.out = out->view;
    t->description = &copy;
    t->run = run_copy;
}

static void test_copy(void **state) {
    (void)state;
    stage_run_trials(make_copy, "copy");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rope),
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
