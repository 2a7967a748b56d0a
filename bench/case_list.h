/* SPDX-License-Identifier: Apache-2.0
 *
 * Which cases are measured: named ones of shapes.json, texts of shapes, or a matrix of lists and
 * ranges. */
#ifndef ATTEND_BENCH_CASE_LIST_H
#define ATTEND_BENCH_CASE_LIST_H

#include "bench_case.h"

enum { CASE_LIST_MOST = 10000, CASE_LIST_REASON = 400 };

typedef struct case_list {
    bench_case *items;
    size_t count;
} case_list;

/* "128,512", "1-4", "8-32*2" (8 16 32), "0-12+4" (0 4 8 12): whole numbers from `least` on, at most
 * CASE_LIST_MOST of them. The numbers are freed by the caller. */
bool number_list_read(const char *text, int64_t least, int64_t **numbers, size_t *count,
                      char *reason);

/* Adds it unless it is there: same name, type and number of threads. */
bool case_list_add(case_list *list, const bench_case *c, char *reason);

/* Adds what a list of names and texts asks for, each in the given types (a text that names its type
 * has that one). "all", "attention", "layer" and "project" stand for the shapes of shapes.json,
 * "default" for a few. NULL types: f32. */
bool case_list_add_named(case_list *list, const char *names, const char *types, char *reason);

/* NULL: the default that the comment names. */
typedef struct case_matrix {
    const char *ops;      /* "attention" */
    const char *batch;    /* "1" */
    const char *heads;    /* "12" */
    const char *kv_heads; /* as heads */
    const char *seq;      /* "512": queries */
    const char *keys;     /* as seq */
    const char *dim;      /* "64": head size; a layer's and a projection's width is heads * dim */
    const char *causal;   /* "0" */
    const char *types;    /* "f32" */
} case_matrix;

/* Adds every combination, each once (an operation leaves out what it does not have). */
bool case_list_add_matrix(case_list *list, const case_matrix *matrix, char *reason);

void case_list_release(case_list *list);

#endif
