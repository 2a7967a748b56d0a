/* SPDX-License-Identifier: Apache-2.0
 *
 * What is measured: one operation of one size and type. Fields that an operation does not have are
 * 0. */
#ifndef ATTEND_BENCH_CASE_H
#define ATTEND_BENCH_CASE_H

#include "attend/core.h"

#include <jansson.h>
#include <stdbool.h>

typedef enum bench_op {
    BENCH_ATTENTION,
    BENCH_LAYER,
    BENCH_PROJECT,
    BENCH_SOFTMAX,
    BENCH_MERGE,
    BENCH_KERNEL, /* one kernel of a worker of its own, by name */
    BENCH_OP_COUNT
} bench_op;

enum { BENCH_NAME = 96 }; /* bytes of a case's name, its end included */

typedef struct bench_case {
    char name[BENCH_NAME];
    bench_op op;
    attend_type type;                                         /* F32, F16 or BF16 */
    int64_t batch, heads, kv_heads, queries, keys, head_size; /* B H G L S D */
    int64_t model_size;                                       /* M */
    int64_t rows, out, in;
    bool causal;
} bench_case;

const char *bench_op_text(bench_op op);
bool bench_op_find(const char *text, bench_op *op);
bool bench_type_find(const char *text, attend_type *type); /* of F32, F16, BF16 */

/* The sizes an operation has, by their letters in the order of texts: "BHGLSD"; "" for kernels.
 * R, N and K are rows, out and in. */
const char *bench_op_letters(bench_op op);
bool bench_op_has_causal(bench_op op);
/* The size of that letter, for any letter of any operation. */
int64_t *bench_case_size(bench_case *c, char letter);

/* Sizes are at least 1, their products small enough to count in 62 bits, heads fit each other;
 * a sentence in reason[bytes] if not. */
bool bench_case_check(const bench_case *c, char *reason, size_t bytes);

/* "B1 H12 G12 L512 S512 D64 f32 causal", with the operation before it unless it is attention: the
 * text that attend_decision.shape starts with, and that --case takes. Reading names the case by its
 * text. */
void bench_case_text(const bench_case *c, char *text, size_t bytes);
bool bench_case_parse(const char *text, bench_case *c, char *reason, size_t bytes);

/* False, with a sentence in reason[bytes], when `object` is no case; unknown keys are refused. */
bool bench_case_read(const json_t *object, bench_case *c, char *reason, size_t bytes);
/* A new object as the protocol has it; its sizes and `causal` alone. NULL without memory. */
json_t *bench_case_write(const bench_case *c);
json_t *bench_case_sizes(const bench_case *c);

/* Useful operations of a call and its inputs and outputs in bytes, each once; 0 for kernels, which
 * say it themselves. shapes.json gives the formulas: attention 4 B H L S D, half of it when causal;
 * layer 8 B L M M + 4 B L L M; project 2 rows out in. Softmax counts 5 for a key: scale, maximum,
 * exp, sum, product. */
double bench_case_flops(const bench_case *c);
double bench_case_bytes(const bench_case *c);
/* Rows of the output and elements of one. */
int64_t bench_case_rows(const bench_case *c);
int64_t bench_case_width(const bench_case *c);

#endif
