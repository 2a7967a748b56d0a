/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of float32 matrices by CLBlast. All calls of ours into CLBlast go through here, one at a
 * time in the whole process: its first call for a routine compiles, and its parameters and caches
 * are the process's (version 1.5.3).
 *
 * What is kept away from CLBlast:
 *   - In its "indirect" path the strided-batched product decides without a look at offset and
 *     stride that a packed operand of whole tiles needs no copy, and then reads or writes matrix i
 *     at i * rows * row length from the start of the buffer. Such operands are recognised
 *     (attend__clblast_safe) and go through one plain product each, which looks at the offset.
 *     tests/test_clblast_gemm.c shows both.
 *   - Its kernels count in int: operands that end at or beyond 2^31 elements are refused.
 *   - Sizes of 0, which it refuses. */
#ifndef ATTEND_CLBLAST_GEMM_H
#define ATTEND_CLBLAST_GEMM_H

#include "ocl.h"

/* Rows lie `pitch` elements apart, matrices of a batch `stride`. */
typedef struct clblast_matrix {
    cl_mem memory;
    int64_t offset, pitch, stride;
} clblast_matrix;

/* c[i] = a[i] b[i] (+ c[i] with `add`): a is [m, k], b [k, n] or transposed [n, k], c [m, n]. A
 * stride of 0 of a or b uses one matrix for all. */
typedef struct clblast_product {
    int64_t m, n, k;
    clblast_matrix a, b, c;
    bool transposed, add;
    bool batched; /* `count` products; off: one, by the routine for single products */
    int64_t count;
} clblast_product;

/* Whether CLBlast's batched routine addresses a matrix of `rows` rows of `columns` elements right
 * whichever path it takes. Independent of the count, so that one and several give the same bits. */
bool attend__clblast_safe(const clblast_matrix *x, int64_t rows, int64_t columns);

/* Enqueues; returns CLBlast's status code, 0 is success. */
int attend__clblast_gemm(cl_command_queue queue, const clblast_product *p);

/* As a part of a run, in its order; a failure sticks to the run with its sentence. */
void attend__clblast_multiply(ocl_run *run, const clblast_product *p);

/* Numbers of rows of products, up to `most`, which take different kernels of CLBlast: whether it
 * copies, pads or turns operands depends on whether sizes are whole tiles. Returns how many. */
enum { CLBLAST_WARM_UPS = 3 };
int attend__clblast_rows_to_warm_up(int64_t most, int64_t rows[CLBLAST_WARM_UPS]);

/* Enqueues the products of a plan's largest run once, on scratch memory, so that CLBlast compiles
 * now; `record` enqueues them. */
attend_status attend__clblast_warm_up(attend_device *device, attend_device_plan *plan,
                                      void (*record)(ocl_run *run, const void *description),
                                      const void *largest);

/* Around every call of ours into CLBlast. */
void attend__clblast_lock(void);
void attend__clblast_unlock(void);

/* Drops every program that CLBlast holds in this process. */
void attend__clblast_clear(void);

/* Products along K that CLBlast may sum one after the other: c terms of equal size are off by at
 * most c / 4 units, and the bound of docs/numerics.md is 2 sqrt(K) + 8. A multiple of 32. */
int64_t attend__clblast_partial(int64_t k);

#endif
