/* SPDX-License-Identifier: Apache-2.0
 *
 * What the projection's kernels share: reading weights, and what follows the sum of products.
 *
 * Each result is summed in one order whichever kernel does it: PARTIAL products along K by FMA from
 * 0, and these sums added to the total one after the other. So its bits depend neither on the rows
 * beside it nor on their number.
 *
 * Weights lie in panels [ceil(N / 32)][K][32], zero padded, in the type of the matrix. */
#ifndef ATTEND_CL_PROJECT_H
#define ATTEND_CL_PROJECT_H

#include "activation.h"

#ifndef WEIGHTS_TYPE
#define WEIGHTS_TYPE TYPE_F32
#endif

#if WEIGHTS_TYPE == TYPE_F32
typedef float weight;
#else
typedef ushort weight;
#endif

static float load_weight(__global const weight *panels, i64 at) {
    return load_element((__global const uchar *)panels, at, WEIGHTS_TYPE);
}

#ifdef X_TYPE
/* 4 neighbours at an address that suits them all. Written as one vector, since compilers make four
 * loads of vload4 and vload_half4, which promise no more than an element's alignment. */
static float4 load_quad(__global const uchar *memory, i64 quad, int type) {
    if (type == TYPE_F32) return ((__global const float4 *)memory)[quad];
    const ushort4 bits = ((__global const ushort4 *)memory)[quad];
    if (type == TYPE_F16) return vload_half4(0, (const half *)&bits);
    return as_float4(convert_uint4(bits) << 16);
}

/* Elements k .. k + 3 of a row of x, 0 from `depth` on. Memory of OpenCL begins at addresses that
 * suit any vector, so an element's number says whether a whole one does. */
static float4 load_x4(__global const uchar *x, i64 at, i64 step, i32 k, i32 depth) {
    if (step == 1 && k + 4 <= depth && (at + k) % 4 == 0) return load_quad(x, (at + k) / 4, X_TYPE);
    float v[4];
    for (int i = 0; i < 4; i++)
        v[i] = k + i < depth ? load_element(x, at + (k + i) * step, X_TYPE) : 0.0f;
    return vload4(0, v);
}
#endif

typedef struct project_tensors {
    __global const uchar *bias, *multiplier, *residual;
    __global uchar *out;
} project_tensors;

/* Where `column` of row `row` lies in the tensors. */
typedef struct project_place {
    i64 multiplier, residual, out;
} project_place;

static project_place place_of(const project_arguments *a, i32 row, i32 column) {
    return (project_place){row_start(&a->multiplier, a->sizes, row) + column * a->multiplier.step,
                           row_start(&a->residual, a->sizes, row) + column * a->residual.step,
                           row_start(&a->out, a->sizes, row) + column * a->out.step};
}

static lanes load_bias(const project_tensors *t, const project_arguments *a, i32 column,
                       int count) {
    if (a->bias_type == 0) return (lanes)(0.0f);
    return load_lanes(t->bias, a->bias_offset + column * a->bias_step, a->bias_step, a->bias_type,
                      count);
}

/* LANES results, `offset` columns beyond `place`. */
static void finish_lanes(const project_tensors *t, const project_arguments *a,
                         const project_place *place, i32 offset, int count, lanes total,
                         lanes bias) {
    lanes y = activated(a->activation, total + bias);
    if (a->multiplier.type != 0)
        y *= load_lanes(t->multiplier, place->multiplier + offset * a->multiplier.step,
                        a->multiplier.step, a->multiplier.type, count);
    if (a->residual.type != 0)
        y += load_lanes(t->residual, place->residual + offset * a->residual.step, a->residual.step,
                        a->residual.type, count);
    store_lanes(t->out, place->out + offset * a->out.step, a->out.step, a->out.type, count, y);
}

#endif
