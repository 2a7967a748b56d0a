/* SPDX-License-Identifier: Apache-2.0
 *
 * What is measured: one operation of one size and type. Fields that an operation does not have are 0. */
#ifndef ATTEND_BENCH_CASE_H
#define ATTEND_BENCH_CASE_H

#include "attend/core.h"

#include <jansson.h>
#include <stdbool.h>

/* Name, the sizes it has as letters of the protocol, in their order. */
#define BENCH_OP_LIST(X)                                                                           \
    X(ATTENTION, "attention")                                                                      \
    X(LAYER, "layer")                                                                              \
    X(PROJECT, "project")                                                                          \
    X(SOFTMAX, "softmax")                                                                          \
    X(MERGE, "merge")                                                                              \
    X(KERNEL, "kernel")

typedef enum bench_op {
#define BENCH_X(name, text) BENCH_##name,
    BENCH_OP_LIST(BENCH_X)
#undef BENCH_X
        BENCH_OP_COUNT
} bench_op;

enum { BENCH_NAME = 96 }; /* bytes of a case's name, its end included */

typedef struct bench_case {
    char name[BENCH_NAME];
    bench_op op;
    attend_type type; /* F32, F16 or BF16 */
    int64_t batch, heads, kv_heads, queries, keys, head_size; /* B H G L S D */
    int64_t model_size;                                       /* M */
    int64_t rows, out, in;
    bool causal;
} bench_case;

const char *bench_op_text(bench_op op);

/* False, with a sentence in reason[bytes], when `object` is no case; unknown keys are refused. */
bool bench_case_read(const json_t *object, bench_case *c, char *reason, size_t bytes);
/* A new object as the protocol has it. NULL without memory. */
json_t *bench_case_write(const bench_case *c);

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
