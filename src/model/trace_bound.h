/* SPDX-License-Identifier: Apache-2.0
 *
 * How far two computations of one head may lie apart: the error bound of docs/numerics.md with the
 * numbers of the head itself, so that a comparison needs no tolerance of its own. */
#ifndef ATTEND_MODEL_TRACE_BOUND_H
#define ATTEND_MODEL_TRACE_BOUND_H

#include <stdbool.h>
#include <stddef.h>

/* L tokens, model size M, head size D. w, b and projected: of queries, keys and values. */
typedef struct attend__traced_head {
    size_t length, model_size, head_size;
    const float *x;            /* [L, M] */
    const float *w[3];         /* [D, M] */
    const float *b[3];         /* [D] */
    const float *projected[3]; /* [L, D] */
    const float *masked;       /* [L, L] scores, -inf where excluded */
    const float *weights;      /* [L, L] */
    const float *mix;          /* [L, D] */
} attend__traced_head;

/* bound [L, D]: of two outputs that each keep the bound, from projections that each keep theirs, to
 * first order; or that of two layers where it is smaller, as it is behind long sums. False without
 * memory. */
bool attend__trace_bound(const attend__traced_head *head, float *bound);

#endif
