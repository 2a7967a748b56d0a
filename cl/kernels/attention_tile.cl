/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention for GPUs: a work-group of 8 x 8 work-items owns 32 query rows of one key/value
 * head and walks the keys in blocks of 32. Each work-item keeps 4 rows x 4 keys of the scores and
 * 4 rows x EC / 8 columns of the sums in registers; slices of queries, keys and values pass through
 * local memory, less than 16 KiB of it in one array.
 *
 * Chunks of 256 keys are summed on their own and joined in the order of the keys, so that rows have
 * the same bits with and without split keys; excluded keys weigh -0 and are left out where a sum
 * over values is not finite (see attention_rows.cl).
 *
 * DIRECT, for few rows over a cache: keys and values are read where the caller has them.
 *
 * USE_HALF, for 16-bit values under precision FAST where the device has cl_khr_fp16: weights and
 * values pass through local memory as half, which rounds the weights and halves what is read. */
#ifndef DP
#define DP 64 /* head size, padded */
#endif
#ifndef EC
#define EC 64 /* columns of values that a work-group sums, at most 128 */
#endif
#include "attention_finish.h"
#include "attention_tile.h"
#include "operand.h"

#ifdef USE_HALF
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
typedef half narrow;
#else
typedef float narrow;
#endif

#ifndef CHUNK
#define CHUNK 256 /* keys that are summed on their own */
#endif
#define MINE 4         /* rows and keys of a work-item */
#define CN (EC / SIDE) /* columns of a work-item: x, x + 8, .. */

/* What a work-item knows of its rows. */
typedef struct tile {
    row_info rows[MINE];                 /* 4 y, .. */
    __global const float *queries[MINE]; /* that it stages: rows y + 8 n */
    int x, y;
    int from, until; /* keys that any row of the group may see: the same for all work-items */
#ifdef DIRECT
    operand_source k, v;
    operand_memory k_memory, v_memory;
    operand_head head;
    int column;
#else
    __global const float *keys, *values;
    i64 pitch;
#endif
} tile;

/* ---- keys and values where they lie ---------------------------------------------------------- */

/* Key j, for the elements that follow; value (j, column), of a key that some row may see. */
#ifdef DIRECT
typedef operand_row key_place;
static key_place key_at(const tile *t, int j) {
    return operand_find(&t->k, &t->k_memory, &t->head, clamp(j, t->from, t->until - 1));
}
static float key_element(const tile *t, const key_place *key, int d) {
    return d < t->k.size ? operand_element(&t->k, &t->k_memory, key, d) : 0.0f;
}
static float value_at(const tile *t, int j, int column) {
    if (t->column + column >= t->v.size) return 0.0f;
    const operand_row row = operand_find(&t->v, &t->v_memory, &t->head, j);
    return operand_element(&t->v, &t->v_memory, &row, t->column + column);
}
#else
typedef __global const float *key_place;
static key_place key_at(const tile *t, int j) {
    return t->keys + (i64)(j / 16) * DP * 16 + j % 16;
}
static float key_element(const tile *t, const key_place *key, int d) {
    return (*key)[d * 16];
}
static float value_at(const tile *t, int j, int column) {
    return t->values[j * t->pitch + column];
}
#endif

/* ---- one block ------------------------------------------------------------------------------- */

/* Products of 4 rows and 4 keys of the block that begins at key j, in partials of a slice. */
static void products(const tile *t, __local float *work, int j, float s[MINE][MINE]) {
    float part[MINE][MINE];
    for (int r = 0; r < MINE; r++)
        for (int c = 0; c < MINE; c++)
            s[r][c] = part[r][c] = 0.0f;
    const int item = t->y * SIDE + t->x;
    const key_place staged = key_at(t, j + item % KEYS); /* a work-item stages one key */
    for (int d0 = 0; d0 < DP; d0 += SLICE) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int n = 0; n < MINE; n++)
            for (int k = 0; k < 2; k++)
                work[Q_AT + (t->y + SIDE * n) * Q_PITCH + t->x + SIDE * k] =
                    t->queries[n][d0 + t->x + SIDE * k];
        for (int n = item; n < SLICE * KEYS; n += SIDE * SIDE) {
            const int d = n / KEYS;
            work[K_AT + d * K_PITCH + n % KEYS] = key_element(t, &staged, d0 + d);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int d = 0; d < SLICE; d++)
            for (int r = 0; r < MINE; r++)
                for (int c = 0; c < MINE; c++)
                    part[r][c] = FMA(work[Q_AT + (t->y * MINE + r) * Q_PITCH + d],
                                     work[K_AT + d * K_PITCH + t->x + SIDE * c], part[r][c]);
        for (int r = 0; r < MINE; r++)
            for (int c = 0; c < MINE; c++) {
                s[r][c] += part[r][c];
                part[r][c] = 0.0f;
            }
    }
}

/* Scores become weights in local memory, `m` goes on. Returns in `old` what earlier sums are
 * multiplied with. */
static void weigh(const inputs *in, const tile *t, __local float *work, int j,
                  float s[MINE][MINE], mass *m, float *old) {
    for (int r = 0; r < MINE; r++) {
        float top = -INFINITY;
        for (int c = 0; c < MINE; c++) {
            const int key = j + t->x + SIDE * c;
            s[r][c] = allowed_key(in, &t->rows[r], key)
                          ? advance_key(in, &t->rows[r], key, s[r][c], STAGE_RAW, STAGE_MASKED)
                          : -INFINITY;
            top = fmax(top, s[r][c]);
        }
        work[M_AT(EC) + (t->y * MINE + r) * SIDE + t->x] = top;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    __local narrow *const weights = (__local narrow *)(work + P_AT);
    for (int r = 0; r < MINE; r++) {
        float top = m[r].maximum;
        for (int x = 0; x < SIDE; x++)
            top = fmax(top, work[M_AT(EC) + (t->y * MINE + r) * SIDE + x]);
        const float base = anchor(top);
        old[r] = exponential(m[r].maximum - base);
        m[r].maximum = top;
        for (int c = 0; c < MINE; c++)
            weights[(t->y * MINE + r) * P_PITCH + t->x + SIDE * c] =
                (narrow)(s[r][c] == -INFINITY ? -0.0f : exponential(s[r][c] - base));
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int r = 0; r < MINE; r++) {
        float added = 0.0f;
        for (int key = 0; key < KEYS; key++)
            added += (float)weights[(t->y * MINE + r) * P_PITCH + key];
        m[r].sum = FMA(m[r].sum, old[r], added);
    }
}

/* One column of one row again, without the excluded keys. */
static float chosen(const tile *t, __local const float *work, int j, int row, int column) {
    __local const narrow *const weights = (__local const narrow *)(work + P_AT);
    float a = 0.0f;
    for (int key = 0; key < KEYS; key++) {
        const float w = (float)weights[row * P_PITCH + key];
        if (as_uint(w) != EXCLUDED) a = FMA(w, value_at(t, j + key, column), a);
    }
    return a;
}

static void add_values(const tile *t, __local float *work, int j, const float *old,
                       float o[MINE][CN]) {
    __local const narrow *const weights = (__local const narrow *)(work + P_AT);
    __local narrow *const values = (__local narrow *)(work + V_AT);
    float a[MINE][CN];
    for (int r = 0; r < MINE; r++)
        for (int c = 0; c < CN; c++)
            a[r][c] = 0.0f;
    for (int k0 = 0; k0 < KEYS; k0 += BAND) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int n = t->y * SIDE + t->x; n < BAND * EC; n += SIDE * SIDE)
            values[n] =
                (narrow)value_at(t, clamp(j + k0 + n / EC, t->from, t->until - 1), n % EC);
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int k = 0; k < BAND; k++)
            for (int r = 0; r < MINE; r++) {
                const float w = (float)weights[(t->y * MINE + r) * P_PITCH + k0 + k];
                for (int c = 0; c < CN; c++)
                    a[r][c] = FMA(w, (float)values[k * EC + t->x + SIDE * c], a[r][c]);
            }
    }
    for (int r = 0; r < MINE; r++)
        for (int c = 0; c < CN; c++) {
            if (!isfinite(a[r][c]))
                a[r][c] = chosen(t, work, j, t->y * MINE + r, t->x + SIDE * c);
            o[r][c] = FMA(o[r][c], old[r], a[r][c]);
        }
}

/* The totals of earlier chunks lie in memory, those of this chunk are joined to them. */
static void join(__global float *total, mass *m, mass added, float *o, int keep) {
    const float top = fmax(m->maximum, added.maximum), base = anchor(top);
    const float old = exponential(m->maximum - base), new = exponential(added.maximum - base);
    m->maximum = top;
    m->sum = FMA(m->sum, old, added.sum * new);
    for (int c = 0; c < CN; c++) {
        o[c] = FMA(total[SIDE * c], old, o[c] * new);
        if (keep) total[SIDE * c] = o[c];
    }
}

static tile tile_make(const inputs *in, __global const float *queries, int z, int first) {
    const attention_params *const p = in->p;
    const int b = z / p->G, g = z % p->G, length = max(rows_of(in, b), 1);
    const int count = p->R * length;
    tile t = {.x = get_local_id(0), .y = get_local_id(1), .from = 0x7fffffff, .until = 0};
    for (int r = 0; r < MINE; r++) {
        const int row = min(first + t.y * MINE + r, count - 1);
        t.rows[r] = row_make(in, b, g * p->R + row / length, row % length);
        const int staged = min(first + t.y + SIDE * r, count - 1);
        t.queries[r] = queries + query_of(in, b, g * p->R + staged / length, staged % length);
    }
    for (int n = 0; n < ROWS && first + n < count; n++) {
        const int row = first + n;
        const row_info any = row_make(in, b, g * p->R + row / length, row % length);
        if (any.first >= any.end) continue;
        t.from = min(t.from, any.first);
        t.until = max(t.until, any.end);
    }
    return t;
}

/* The chunk that begins at key j0, on its own. */
static void chunk(const inputs *in, const tile *t, __local float *work, int j0, mass *m,
                  float o[MINE][CN]) {
    float old[MINE], s[MINE][MINE];
    for (int r = 0; r < MINE; r++) {
        m[r] = (mass){-INFINITY, 0.0f};
        for (int c = 0; c < CN; c++)
            o[r][c] = 0.0f;
    }
    for (int j = max(j0, t->from / KEYS * KEYS); j < min(j0 + CHUNK, t->until); j += KEYS) {
        products(t, work, j, s);
        weigh(in, t, work, j, s, m, old);
        add_values(t, work, j, old, o);
    }
}

/* Row r: to its piece, or to the caller. */
static void finish(const attention_params *p, const tile *t, const results *to, int r, mass m,
                   const float *o) {
    const int chunks = p->EP / EC, piece = get_group_id(1);
    const i64 row = t->rows[r].number;
    const int column = (int)get_global_id(2) % chunks * EC + t->x;
    if (p->pieces > 1) {
        if (t->x == 0) {
            piece_head(p, to->scratch, row, piece)[0] = m.maximum;
            piece_head(p, to->scratch, row, piece)[1] = m.sum;
        }
        for (int c = 0; c < CN; c++)
            piece_values(p, to->scratch, row, piece)[column + SIDE * c] = o[c];
        return;
    }
    const float share = close_row(p, &t->rows[r], to, column == 0, m);
    const i64 at = out_of(p, &t->rows[r]);
    for (int c = 0; c < CN; c++)
        if (column + SIDE * c < p->E)
            store_element(to->out, at + (column + SIDE * c) * p->out_strides[3], p->out_type,
                          o[c] * share);
}

/* (block of 32 rows, piece of the keys, (sample and key/value head) x chunk of columns), in groups
 * of 8 x 8 x 1 */
__kernel void attention_tile(const attention_params p, __global const uchar *mask,
                             __global const uchar *bias, __global const uchar *key_mask,
                             __global const float *slopes, __global const float *queries,
                             __global const float *values, __global const float *sinks,
                             __global uchar *out, __global float *lse, __global float *scratch,
                             __local float *work DIRECT_ARGUMENTS) {
    const inputs in = inputs_make(&p, mask, bias, key_mask, slopes, scratch);
    const results to = {sinks, out, lse, scratch};
    const int chunks = p.EP / EC, z = (int)get_global_id(2) / chunks;
    const int column = (int)get_global_id(2) % chunks * EC, piece = get_group_id(1);
    const int count = p.R * rows_of(&in, z / p.G), first = ROWS * (int)get_group_id(0);
    tile t = tile_make(&in, queries, z, first);
#ifdef DIRECT
    t.k = d.k;
    t.v = d.v;
    t.k_memory = (operand_memory){k, k_scales, pages};
    t.v_memory = (operand_memory){v, v_scales, pages};
    t.head = (operand_head){sample_of(&in, z / p.G), z / p.G, z % p.G};
    t.column = column;
#else
    t.keys = scratch + panels_of(&in, z / p.G, z % p.G);
    t.values = values + values_of(&in, z / p.G, z % p.G) + column;
    t.pitch = p.value_strides[2];
#endif
    const int here = first + t.y * MINE, start = t.from / CHUNK * CHUNK;
    float o[MINE][CN];
    mass m[MINE], one[MINE];
    for (int r = 0; r < MINE; r++) {
        m[r] = (mass){-INFINITY, 0.0f};
        for (int c = 0; c < CN; c++)
            o[r][c] = 0.0f;
    }
    for (int j0 = start; j0 < t.until; j0 += CHUNK) {
        if (p.pieces > 1 && j0 / CHUNK != piece) continue;
        chunk(&in, &t, work, j0, one, o);
        const int alone = p.pieces > 1 || j0 == start;
        const int keep = p.pieces == 1 && j0 + CHUNK < t.until;
        for (int r = 0; r < MINE && here + r < count; r++) {
            __global float *const total =
                scratch + p.totals_at + t.rows[r].number * p.EP + column + t.x;
            if (!alone) {
                join(total, &m[r], one[r], o[r], keep);
                continue;
            }
            m[r] = one[r];
            for (int c = 0; c < CN && keep; c++)
                total[SIDE * c] = o[r][c];
        }
    }
    for (int r = 0; r < MINE && here + r < count; r++)
        finish(&p, &t, &to, r, m[r], o[r]);
}
