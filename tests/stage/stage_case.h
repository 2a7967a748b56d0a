/* SPDX-License-Identifier: Apache-2.0
 *
 * Random tensors for the tests of the stages around attention: any strides, gaps and surroundings
 * that are watched, and their values as float64 in plain order. Public headers only. */
#ifndef STAGE_CASE_H
#define STAGE_CASE_H

#include "gate/gate.h"

enum { STAGE_MAX_TENSORS = 10 };

typedef struct stage_tensor {
    attend_tensor view;
    const char *name;
    int64_t count;
    double *values; /* row-major: what an input holds; of an output, what was read back */
    unsigned char *bytes, *element; /* the memory; 1 for each byte that belongs to an element */
    size_t size;
    bool output;
} stage_tensor;

typedef struct stage_case {
    gate_random random;
    stage_tensor tensors[STAGE_MAX_TENSORS];
    int count;
    bool out_of_memory;
} stage_case;

stage_case stage_begin(uint64_t seed, uint64_t index);
void stage_end(stage_case *c);

/* Random values about `size` large; strides in any order, gaps, and sometimes 0. Never NULL. */
stage_tensor *stage_input(stage_case *c, const char *name, attend_type type, int32_t rank,
                          const int64_t *sizes, double size);
/* Filled with a pattern that stage_read then expects in all gaps. */
stage_tensor *stage_output(stage_case *c, const char *name, attend_type type, int32_t rank,
                           const int64_t *sizes);
/* From here on also an output: its values stay what was put in. */
stage_tensor *stage_in_place(stage_case *c, stage_tensor *input);
/* Integers low .. high as I32 or I64. */
stage_tensor *stage_ids(stage_case *c, const char *name, int32_t rank, const int64_t *sizes,
                        int64_t high);

/* The values of an output now. false if bytes around its elements were changed. */
bool stage_read(stage_tensor *t, double *values);
double *stage_numbers(int64_t count);

attend_type stage_float_type(gate_random *r);
/* A size from 1 to high: often small, often beside a multiple of a vector or a tile. */
int64_t stage_size(gate_random *r, int64_t high);
/* Leading sizes whose product is `rows`, then `columns`; returns the rank, 1 to 4. */
int32_t stage_rows(gate_random *r, int64_t *rows, int64_t columns, int64_t *sizes);

double stage_activation(attend_activation activation, double x);

/* |got - want| / bound, where NaN must meet NaN and an infinity itself. */
double stage_ratio(double got, double want, double bound);

/* Opens the backend of ATTEND_BACKEND, `cpu` without; isa NULL: the best. Ends the program with 77
 * or 1. */
attend_context *stage_open(const char *isa, int threads);
/* The instruction sets to test on this backend, ended by NULL; the backend's own choice is listed
 * as "". */
const char *const *stage_isas(void);

#endif
