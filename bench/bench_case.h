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
    BENCH_SCORES,
    BENCH_SOFTMAX,
    BENCH_MERGE,
    BENCH_KERNEL, /* one kernel of a worker of its own, by name */
    BENCH_OP_COUNT
} bench_op;

enum { BENCH_NAME = 192 }; /* bytes of a case's name or text, its end included */

/* What a bool mask keeps, and its sizes. */
typedef enum bench_mask {
    BENCH_MASK_NONE,
    BENCH_MASK_CAUSAL, /* [L, S]: keys up to the query */
    BENCH_MASK_RANDOM, /* [L, S]: about half of the keys, without a pattern, at least one a row */
    BENCH_MASK_KEYS,   /* [B, 1, 1, S]: the first mask_keys of the keys */
    BENCH_MASK_PAD,    /* [B, 1, L, S]: the same, written out for each query */
    BENCH_MASK_COUNT
} bench_mask;

typedef struct bench_case {
    char name[BENCH_NAME];
    bench_op op;
    attend_type type;                                         /* F32, F16 or BF16 */
    int64_t batch, heads, kv_heads, queries, keys, head_size; /* B H G L S D */
    int64_t model_size;                                       /* M */
    int64_t rows, out, in;
    int32_t threads; /* only workers with as many take part; 0: all */
    bool causal;
    /* What else attention may have; all zero: nothing. */
    bool at_end;             /* queries stand at the last keys, not at the first ones */
    bool window;             /* keys from window_left before the query to window_right */
    bool bias, alibi;        /* [H, L, S] on the scores; slopes 2^(-8 (h + 1) / H) */
    bool weights, mean, lse; /* side outputs */
    bool packed;             /* samples without padding; as many queries as keys */
    bool cache;              /* keys and values in a cache object */
    bool fast;               /* precision FAST */
    bench_mask mask;
    attend_type kv_type;               /* of keys and values, I8 too; 0: as `type` */
    int64_t window_left, window_right; /* right -1: no bound */
    int64_t mask_keys;
    int64_t len_low, len_high; /* lengths of samples lie between them; 0: no lengths are given */
    int64_t page;              /* tokens a page of the cache; 0: one block a sample */
    double softcap;            /* 0: off */
} bench_case;

const char *bench_op_text(bench_op op);
bool bench_op_find(const char *text, bench_op *op);
bool bench_type_find(const char *text, attend_type *type); /* of F32, F16, BF16 */

/* The sizes an operation has, by their letters in the order of texts: "BHGLSD"; "" for kernels.
 * R, N and K are rows, out and in. */
const char *bench_op_letters(bench_op op);
bool bench_op_has_causal(bench_op op);
attend_type bench_kv_type(const bench_case *c);
/* The size of that letter, for any letter of any operation. */
int64_t *bench_case_size(bench_case *c, char letter);

/* Sizes are at least 1, their products small enough to count in 62 bits, heads fit each other;
 * a sentence in reason[bytes] if not. */
bool bench_case_check(const bench_case *c, char *reason, size_t bytes);

/* "B1 H12 G12 L512 S512 D64 f32 causal", with the operation before it unless it is attention: the
 * text that attend_decision.shape starts with, and that --case takes. What follows the type are the
 * words of bench_words.h, in their order. Reading names the case by its text; of what the library
 * prints, words that do not say enough stand for something usual (a mask for a random one). */
void bench_case_text(const bench_case *c, char *text, size_t bytes);
bool bench_case_parse(const char *text, bench_case *c, char *reason, size_t bytes);

/* False, with a sentence in reason[bytes], when `object` is no case; unknown keys are refused. */
bool bench_case_read(const json_t *object, bench_case *c, char *reason, size_t bytes);
/* A new object as the protocol has it; its sizes and options alone. NULL without memory. */
json_t *bench_case_write(const bench_case *c);
json_t *bench_case_sizes(const bench_case *c);

/* ---- what a case costs (bench_cost.c) ---- */

/* Useful operations of a call and its inputs and outputs in bytes, each once; 0 for kernels, which
 * say it themselves. shapes.json gives the formulas: attention 4 B H L S D, half of it when causal;
 * layer 8 B L M M + 4 B L L M; project 2 rows out in; scores 2 B H L S D. Softmax counts 5 for a
 * key: scale, maximum, exp, sum, product. Where options leave keys out, only those that are kept
 * count: operations for each query with each of its keys, bytes for each key that any query has. */
double bench_case_flops(const bench_case *c);
double bench_case_bytes(const bench_case *c);
/* Those of keys and values alone. */
double bench_case_key_bytes(const bench_case *c);
/* Rows of the output and elements of one: with side outputs the row of `out`, then lse, weights and
 * mean, where they are asked for. */
int64_t bench_case_rows(const bench_case *c);
int64_t bench_case_width(const bench_case *c);

#endif
