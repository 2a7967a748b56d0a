/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention for GPUs, blocked in registers like a product of matrices: a work-group owns BQ
 * query rows of one key/value head and walks the keys in blocks of BK. A work-item has MQ rows x 4
 * keys of the scores and MQ rows x EC / (BK / 4) columns of the sums. Slices of 16 along the head
 * size and bands of values pass through local memory; queries stay there where there is room
 * (STAGED). Rows exchange their maximum once a block and their sum once a chunk, in registers where
 * neighbours are of one sub-group (subgroup.h); exponentials are computed once. Blocks that nobody
 * may see are passed over, those that all see have no test.
 *
 * Chunks of 256 keys are summed on their own and joined in the order of the keys, so that rows have
 * the same bits with and without split keys; a work-item's rows, BQ and STAGED do not matter to
 * them, BK does. Excluded keys weigh -0, and are left out of blocks with a NaN or an infinity.
 *
 * USE_HALF, for 16-bit values under precision FAST where the device has cl_khr_fp16: weights and
 * values pass through local memory as half, which rounds the weights and halves what is read.
 * MATRIX_TYPE, for queries, keys and values of that type: products by a matrix unit, see
 * tile_matrix.h; the tiles of 128 work-items alone.
 *
 * Registers by ptxas for compute capability 8.0. "No spills" says little: arrays that a loop
 * indexes at run time, or a call gets the address of, are no spills and lie in memory all the same.
 * The stack frame has them, and no loop over a slice or a band may load or store there; the frames
 * below hold what is touched once a block or a chunk.
 *
 *   BQ  BK  MQ  EC   work-items  local bytes       registers  stack frame, bytes
 *   64  64  8   64   128         29200, or 41488   162        384
 *   32  64  4   128  128         17168, or 31504   160        256
 *   32  64  4   256  128         17168             194        384
 *   32  64  8   128  64          17168             231        512   the driver allows no more items
 *   32  32  4   128  64          12048             191        384   16 KiB, or groups of 64
 *   by a matrix unit:
 *   64  64  8   64   128         32272             168        1056
 *   32  64  4   128  128         18704, or 24848   158        944
 *   32  64  4   256  128         22032             228        1104 */
#ifndef DP
#define DP 64 /* head size, padded */
#endif
#ifndef EC
#define EC 64 /* columns of values that a work-group sums, at most 256 */
#endif
#ifndef BQ
#define BQ 32 /* a multiple of 32 */
#endif
#ifndef BK
#define BK 32 /* 32 or 64 */
#endif
#ifndef MQ
#define MQ 4 /* rows of a work-item: 4 or 8 */
#endif
#ifndef STAGED
#define STAGED 0
#endif
#include "tile_block.h"

/* ---- chunks ---------------------------------------------------------------------------------- */

/* Sums of the rows from the shares of their work-items, in the order of subgroup.h. */
static void add_shares(const tile *t, __local float *work, mass m[MQ]) {
    __local float *const shares = SLICES(work);
#if !defined(USE_SUBGROUPS) || defined(SUBGROUP_EMULATED)
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
#ifdef USE_SUBGROUPS
    NEIGHBOUR_UNROLL
    for (int r = 0; r < MQ; r++)
        m[r].sum = neighbours_sum(m[r].sum, X, shares);
#else
    for (int r = 0; r < MQ; r++)
        shares[(t->y * MQ + r) * X + t->x] = m[r].sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int r = 0; r < MQ; r++) {
        __local const float *const of_row = shares + (t->y * MQ + r) * X;
        m[r].sum = X == 16 ? sum_16(vload16(0, of_row)) : sum_8(vload8(0, of_row));
    }
#endif
}

/* The chunk that begins at key j0, on its own. Its sums are copied out at the end: an array that
 * the caller indexes at run time lies in memory, where each step would then load and store them. A
 * matrix unit has sums of its own; what each block touches once may lie there. */
static void chunk(const inputs *in, const tile *t, __local float *work, int j0, mass m[MQ],
                  columns out[MQ][VECTORS]) {
#ifdef MATRIX_TYPE
    columns(*const o)[VECTORS] = out;
    matrix_c sums[OUT];
#pragma unroll
    for (int i = 0; i < OUT; i++)
        sums[i] = (matrix_c)(0.0f);
#else
    columns o[MQ][VECTORS];
#endif
    float old[MQ];
    float4 s[MQ];
#pragma unroll
    for (int r = 0; r < MQ; r++) {
        m[r] = (mass){-INFINITY, 0.0f};
#pragma unroll
        for (int c = 0; c < VECTORS; c++)
            o[r][c] = (columns)(0.0f);
    }
    const int end = min(j0 + CHUNK, t->range.until);
    for (int j = next_block(t, max(j0, t->range.from / BK * BK), end); j < end;
         j = next_block(t, j + BK, end)) {
        products(t, work, j, s);
        const int open = class_of(t, j) == BLOCK_OPEN;
        if (open && only_scaled(in)) {
#pragma unroll
            for (int r = 0; r < MQ; r++)
                s[r] *= in->p->scale;
        } else {
            float4 each[MQ]; /* lies in memory, since a loop indexes it; so s does not */
#pragma unroll
            for (int r = 0; r < MQ; r++)
                each[r] = s[r];
#pragma unroll 1
            for (int r = 0; r < MQ; r++)
                each[r] = scores_of(in, t, work, j + t->x * TILE_KEYS, r, open, each[r]);
#pragma unroll
            for (int r = 0; r < MQ; r++)
                s[r] = each[r];
        }
        weigh(t, work, s, m, old);
#ifdef MATRIX_TYPE
        add_values(t, work, j, sums, o);
#else
        add_values(t, work, j, old, o);
#endif
    }
#ifdef MATRIX_TYPE
    spread_sums(t, work, sums, o);
#endif
    add_shares(t, work, m);
#ifndef MATRIX_TYPE
#pragma unroll
    for (int r = 0; r < MQ; r++)
#pragma unroll
        for (int c = 0; c < VECTORS; c++)
            out[r][c] = o[r][c];
#endif
}

/* The totals of earlier chunks lie in memory, those of this chunk are joined to them. */
static void join(const tile *t, __global float *total, mass *m, mass added, columns o[VECTORS],
                 int keep) {
    const float top = fmax(m->maximum, added.maximum), base = anchor(top);
    const float old = exponential(m->maximum - base), new = exponential(added.maximum - base);
    m->maximum = top;
    m->sum = FMA(m->sum, old, added.sum * new);
    for (int c = 0; c < VECTORS; c++) {
        __global float *const at = total + COLUMN(t, c);
        o[c] = FMA(LOAD(at), (columns)(old), o[c] * new);
        if (keep) STORE(o[c], at);
    }
}

/* Row r: to its piece, or to the caller. */
static void finish(const inputs *in, const tile *t, const results *to, int row, int column,
                   mass m, const columns *o) {
    const attention_params *const p = in->p;
    const row_info info = row_at(in, t->z, row);
    float mine[CN];
    for (int c = 0; c < VECTORS; c++)
        STORE(o[c], mine + c * WIDTH);
    if (p->pieces > 1) {
        const int piece = GROUP_DOWN;
        if (t->x == 0) {
            piece_head(p, to->scratch, info.number, piece)[0] = m.maximum;
            piece_head(p, to->scratch, info.number, piece)[1] = m.sum;
        }
        for (int c = 0; c < VECTORS; c++)
            STORE(o[c],
                  piece_values(p, to->scratch, info.number, piece) + column + COLUMN(t, c));
        return;
    }
    const float2 share = close_row(p, &info, to, column == 0 && t->x == 0, m);
    const i64 at = out_of(p, &info);
    for (int c = 0; c < CN; c++) {
        const int n = column + COLUMN(t, c / WIDTH) + c % WIDTH;
        if (n < p->E)
            store_element(to->out, at + n * p->out_strides[3], p->out_type,
                          mine[c] * share.x * share.y);
    }
}

static tile tile_make(const inputs *in, __local float *work, int column,
                      __global const float *queries, __global const float *values,
                      __global const float *scratch) {
    const attention_params *const p = in->p;
    const int blocks = get_num_groups(0), z = (int)get_global_id(2) / (p->EP / EC);
    tile t = {.item = neighbour_item(), .z = z, .queries = queries};
    /* rows that see most keys first, so that the last groups to start are short */
    const int block = p->causal ? blocks - 1 - (int)get_group_id(0) : (int)get_group_id(0);
    t.x = t.item % X;
    t.y = t.item / X;
    t.first = BQ * block;
    lines_make(in, z, t.first, t.item, ITEMS, LINES);
    barrier(CLK_LOCAL_MEM_FENCE);
    t.range = range_of(LINES);
    t.keys = (__global const float4 *)(scratch + panels_of(in, z / p->G, z % p->G));
    t.values = values + values_of(in, z / p->G, z % p->G) + column;
    t.pitch = p->value_strides[2];
    t.key_mask_at = p->key_mask_at + z / p->G * p->key_mask_strides[0];
    t.classes = 0;
    if (p->classes_at >= 0)
        t.classes = (__global const uchar *)(scratch + p->classes_at) +
                    z / p->G * p->class_strides[0] + z % p->G * p->class_strides[1] +
                    block * p->class_strides[2];
    return t;
}

#ifndef MATRIX_KERNEL
#define MATRIX_KERNEL
#endif

/* (block of BQ rows, piece of the keys, (sample and key/value head) x chunk of columns), in groups
 * of ITEMS x 1 x 1 */
__kernel MATRIX_KERNEL void
attention_tile(const attention_params p, __global const uchar *mask, __global const uchar *bias,
               __global const uchar *key_mask, __global const float *slopes,
               __global const float *queries, __global const float *values,
               __global const float *sinks, __global uchar *out, __global float *lse,
               __global float *scratch, __local float4 *local_memory) {
    const inputs in = inputs_make(&p, mask, bias, key_mask, slopes, scratch);
    const results to = {sinks, out, lse, scratch};
    const int column = (int)get_global_id(2) % (p.EP / EC) * EC;
    __local float *const work = (__local float *)local_memory;
    const tile t = tile_make(&in, work, column, queries, values, scratch);
    const int b = t.z / p.G, here = t.first + t.y * MQ;
    const int count = is_mine(&in, b) ? p.R * rows_of(&in, b) : 0;
    const chunk_range keys = chunks_of(&p, t.range.from, count > 0 ? t.range.until : 0);
    if (STAGED && keys.first < keys.last) stage_queries(&t, work, 0);
    columns o[MQ][VECTORS];
    mass m[MQ], one[MQ];
    for (int r = 0; r < MQ; r++) {
        m[r] = (mass){-INFINITY, 0.0f};
        for (int c = 0; c < VECTORS; c++)
            o[r][c] = (columns)(0.0f);
    }
    for (int j0 = keys.first; j0 < keys.last; j0 += CHUNK) {
        chunk(&in, &t, work, j0, one, o);
        const int keep = j0 + CHUNK < keys.last;
        for (int r = 0; r < MQ; r++) {
            if (here + r >= count) continue;
            __global float *const total =
                scratch + p.totals_at + LINES[t.y * MQ + r].number * p.EP + column;
            if (j0 > keys.first) {
                join(&t, total, &m[r], one[r], o[r], keep);
                continue;
            }
            m[r] = one[r];
            if (!keep) continue;
            for (int c = 0; c < VECTORS; c++)
                STORE(o[r][c], total + COLUMN(&t, c));
        }
    }
    for (int r = 0; r < MQ; r++)
        if (here + r < count) finish(&in, &t, &to, here + r, column, m[r], o[r]);
}
