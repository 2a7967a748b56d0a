/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention with the options of a case, as the application would call it: a plan, tensors in
 * buffers of the device, small arrays in host memory. */
#ifndef ATTEND_BENCH_ATTENTION_CASE_H
#define ATTEND_BENCH_ATTENTION_CASE_H

#include "attend_inputs.h"

typedef struct attention_case {
    attend_inputs *inputs;
    const bench_case *c;
    attend_attention call;
    attend_plan *plan;
    attend_cache *cache;
    attend_buffer *q, *k, *v, *bias;                  /* of `inputs` */
    attend_buffer *mask, *out, *weights, *mean, *lse; /* own */
    int32_t *lengths;                                 /* [B], then [B + 1] from 0 on: cu_lengths */
    float *slopes;
} attention_case;

/* Fills *a, zeroed before; the case must outlive it. Released whatever the status. */
attend_status attention_case_make(attention_case *a, attend_inputs *inputs, const bench_case *c);
void attention_case_release(attention_case *a);

/* A row of the last run with its side outputs (bench_case_width). */
attend_status attention_case_row(const attention_case *a, int64_t row, float *values);

/* `count` elements from number `first` on, as float32. */
attend_status attend_read_floats(attend_buffer *buffer, attend_type type, int64_t first,
                                 size_t count, float *values);

#endif
