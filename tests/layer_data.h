/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of layers share: sizes, random tensors and descriptions of layers, backends to run
 * on. */
#ifndef LAYER_DATA_H
#define LAYER_DATA_H

#include <attend/attend.h>

#include <stdbool.h>
#include <stddef.h>

/* W: width of the memory, F: hidden rows, P: rows of RoPE's tables. Few are a
 * multiple of a tile. */
enum { B = 2, H = 6, G = 2, L = 11, S = 9, D = 8, E = 5, M = 20, W = 14, F = 37, P = 16 };

/* Memory lives until give_back, the teardown of every test. */
int give_back(void **state);
size_t count_of(const attend_tensor *t);
size_t bytes_of(const attend_tensor *t);
attend_tensor empty_tensor(attend_type type, int32_t rank, const int64_t *sizes);
/* Values in -scale..scale, scale below 2. */
attend_tensor random_tensor(attend_type type, int32_t rank, const int64_t *sizes, float scale);
attend_tensor random_mask(int64_t n0, int64_t n1);
#define SIZES(...)                                                                                 \
    (int32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) {                   \
        __VA_ARGS__                                                                                \
    }
#define RANDOM(type, scale, ...) random_tensor(type, SIZES(__VA_ARGS__), scale)
#define EMPTY(type, ...) empty_tensor(type, SIZES(__VA_ARGS__))

void same_bits(const attend_tensor *a, const attend_tensor *b);
/* The same bits where a backend promises that of its layers, else what a layer may err (float32).
 */
void agree(attend_context *context, const attend_tensor *got, const attend_tensor *want);
/* `got` was computed a few tokens at a time. */
void agree_in_steps(attend_context *context, const attend_tensor *got, const attend_tensor *want);
/* Tokens at .. at + n - 1 of a tensor whose second dimension is theirs. */
attend_tensor tokens_of(attend_tensor t, int64_t at, int64_t n);
void succeeds(attend_status status);

attend_multihead_desc random_heads(attend_type type, int64_t width_k);
/* With RoPE, causal, a window, ALiBi, sinks and softcap. */
attend_multihead_desc rotated_heads(attend_type type, int64_t width_k);
attend_feedforward_desc random_feedforward(attend_type type);

typedef struct decoder {
    attend_multihead_desc self, cross;
    attend_feedforward_desc inner;
    attend_block_desc desc;
    attend_block_args args;
} decoder;
/* `desc` points into `d`. Norm first with RMS, norm last with layer norm. */
void fill_decoder(decoder *d, bool norm_first);

/* Runs the tests on every built-in backend, or on that of ATTEND_BACKEND alone. Their state is a
 * context. */
#define RUN_LAYER_TESTS(tests)                                                                     \
    (getenv("ATTEND_BACKEND") != NULL                                                              \
         ? cmocka_run_group_tests_name("ATTEND_BACKEND", tests, open_chosen, close_backend)        \
         : cmocka_run_group_tests_name("cpu", tests, open_cpu, close_backend) +                    \
               cmocka_run_group_tests_name("reference", tests, open_reference, close_backend))
int open_chosen(void **state);
int open_cpu(void **state);
int open_reference(void **state);
int close_backend(void **state);

#endif
