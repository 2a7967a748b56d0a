/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention for GPUs: a work-group of 8 x 8 work-items owns 32 query rows of one key/value
 * head and walks the keys in blocks of 32. Each work-item keeps 4 rows x 4 keys of the scores and
 * 4 rows x EC / 8 columns of the sums in registers; slices of queries, keys and values pass through
 * local memory, less than 16 KiB of it in one array.
 *
 * Chunks of 256 keys are summed on their own and joined in the order of the keys, so that rows have
 * the same bits with and without split keys; excluded keys weigh -0 and are left out where a sum
 * over values is not finite (see attention_rows.cl). */
#ifndef DP
#define DP 64 /* head size, padded */
#endif
#ifndef EC
#define EC 64 /* columns of values that a work-group sums, at most 128 */
#endif
#include "attention_finish.h"

#define CHUNK 256
#define EXCLUDED 0x80000000u /* the bits of -0 */
#define ROWS 32
#define KEYS 32
#define SIDE 8
#define MINE 4          /* rows and keys of a work-item */
#define CN (EC / SIDE)  /* columns of a work-item: x, x + 8, .. */
#define SLICE 16        /* of the head size */
#define BAND 8          /* keys whose values are staged */
#define Q_PITCH (SLICE + 1)
#define K_PITCH (KEYS + 1)
#define P_PITCH (KEYS + 1)
/* Local memory: weights, then queries and keys or values, then maxima. */
#define P_AT 0
#define Q_AT (ROWS * P_PITCH)
#define K_AT (Q_AT + ROWS * Q_PITCH)
#define V_AT Q_AT
#define STAGE_FLOATS (ROWS * Q_PITCH + SLICE * K_PITCH)
#define BAND_FLOATS (BAND * EC)
#define M_AT (Q_AT + (STAGE_FLOATS > BAND_FLOATS ? STAGE_FLOATS : BAND_FLOATS))
#define LOCAL_FLOATS (M_AT + ROWS * SIDE)

/* What a work-item knows of its rows. */
typedef struct tile {
    __global const float *queries[MINE]; /* staged by this work-item: rows x + 8 n */
    __global const float *keys, *values;
    int x, y;
} tile;

/* Products of 4 rows and 4 keys of the block that begins at key j, in partials of 64. */
static void products(const tile *t, __local float *work, int j, float s[MINE][MINE]) {
    float part[MINE][MINE];
    for (int r = 0; r < MINE; r++)
        for (int c = 0; c < MINE; c++)
            s[r][c] = part[r][c] = 0.0f;
    const int item = t->y * SIDE + t->x;
    for (int d0 = 0; d0 < DP; d0 += SLICE) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int n = 0; n < MINE; n++)
            for (int k = 0; k < 2; k++)
                work[Q_AT + (t->y + SIDE * n) * Q_PITCH + t->x + SIDE * k] =
                    t->queries[n][d0 + t->x + SIDE * k];
        for (int n = item; n < SLICE * KEYS; n += SIDE * SIDE) {
            const int d = n / KEYS, key = n % KEYS;
            work[K_AT + d * K_PITCH + key] =
                t->keys[((i64)(j + key) / 16 * DP + d0 + d) * 16 + key % 16];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int d = 0; d < SLICE; d++)
            for (int r = 0; r < MINE; r++)
                for (int c = 0; c < MINE; c++)
                    part[r][c] = FMA(work[Q_AT + (t->y * MINE + r) * Q_PITCH + d],
                                     work[K_AT + d * K_PITCH + t->x + SIDE * c], part[r][c]);
        if ((d0 + SLICE) % 64 != 0 && d0 + SLICE < DP) continue;
        for (int r = 0; r < MINE; r++)
            for (int c = 0; c < MINE; c++) {
                s[r][c] += part[r][c];
                part[r][c] = 0.0f;
            }
    }
}

/* Scores become weights in local memory; maximum and sum of the chunk go on. Returns in `old` what
 * earlier sums are multiplied with. */
static void weigh(const attention_params *p, const memories *m, const row_info *rows, const tile *t,
                  __local float *work, int j, float s[MINE][MINE], float *maximum, float *sum,
                  float *old) {
    for (int r = 0; r < MINE; r++) {
        float top = -INFINITY;
        for (int c = 0; c < MINE; c++) {
            const int key = j + t->x + SIDE * c;
            s[r][c] = allowed_key(p, m, &rows[r], key)
                          ? advance_key(p, m, &rows[r], key, s[r][c], STAGE_RAW, STAGE_MASKED)
                          : -INFINITY;
            top = fmax(top, s[r][c]);
        }
        work[M_AT + (t->y * MINE + r) * SIDE + t->x] = top;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int r = 0; r < MINE; r++) {
        float top = maximum[r];
        for (int x = 0; x < SIDE; x++)
            top = fmax(top, work[M_AT + (t->y * MINE + r) * SIDE + x]);
        const float base = anchor(top);
        old[r] = exponential(maximum[r] - base);
        maximum[r] = top;
        for (int c = 0; c < MINE; c++)
            work[P_AT + (t->y * MINE + r) * P_PITCH + t->x + SIDE * c] =
                s[r][c] == -INFINITY ? -0.0f : exponential(s[r][c] - base);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int r = 0; r < MINE; r++) {
        float added = 0.0f;
        for (int key = 0; key < KEYS; key++)
            added += work[P_AT + (t->y * MINE + r) * P_PITCH + key];
        sum[r] = FMA(sum[r], old[r], added);
    }
}

/* One column of one row again, without the excluded keys. */
static float chosen(const attention_params *p, const tile *t, __local const float *work, int j,
                    int row, int column) {
    float a = 0.0f;
    for (int key = 0; key < KEYS; key++) {
        const float w = work[P_AT + row * P_PITCH + key];
        if (as_uint(w) != EXCLUDED) a = FMA(w, t->values[(i64)(j + key) * p->EP + column], a);
    }
    return a;
}

static void mix(const attention_params *p, const tile *t, __local float *work, int j,
                const float *old, float o[MINE][CN]) {
    float a[MINE][CN];
    for (int r = 0; r < MINE; r++)
        for (int c = 0; c < CN; c++)
            a[r][c] = 0.0f;
    for (int k0 = 0; k0 < KEYS; k0 += BAND) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int n = t->y * SIDE + t->x; n < BAND * EC; n += SIDE * SIDE)
            work[V_AT + n] = t->values[(i64)(j + k0 + n / EC) * p->EP + n % EC];
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int k = 0; k < BAND; k++)
            for (int r = 0; r < MINE; r++) {
                const float w = work[P_AT + (t->y * MINE + r) * P_PITCH + k0 + k];
                for (int c = 0; c < CN; c++)
                    a[r][c] = FMA(w, work[V_AT + k * EC + t->x + SIDE * c], a[r][c]);
            }
    }
    for (int r = 0; r < MINE; r++)
        for (int c = 0; c < CN; c++) {
            if (!isfinite(a[r][c]))
                a[r][c] = chosen(p, t, work, j, t->y * MINE + r, t->x + SIDE * c);
            o[r][c] = FMA(o[r][c], old[r], a[r][c]);
        }
}

/* The totals of earlier chunks lie in memory, those of this chunk are joined to them. */
static void join(__global float *total, float *maximum, float *sum, float top, float added,
                 float *o, int keep) {
    const float most = fmax(*maximum, top), base = anchor(most);
    const float old = exponential(*maximum - base), new = exponential(top - base);
    *maximum = most;
    *sum = FMA(*sum, old, added * new);
    for (int c = 0; c < CN; c++) {
        o[c] = FMA(total[SIDE * c], old, o[c] * new);
        if (keep) total[SIDE * c] = o[c];
    }
}

/* (block of 32 rows, piece of the keys, (sample and key/value head) x chunk of columns), in groups
 * of 8 x 8 x 1 */
__kernel void attention_tile(const attention_params p, __global const uchar *mask,
                             __global const uchar *bias, __global const uchar *key_mask,
                             __global const float *slopes, __global const float *sinks,
                             __global uchar *out, __global float *lse, __global float *scratch) {
    __local float work[LOCAL_FLOATS];
    const memories m = {mask, bias, key_mask, slopes};
    const int chunks = p.EP / EC, z = (int)get_group_id(2) / chunks;
    const int column = (int)get_group_id(2) % chunks * EC, piece = get_group_id(1);
    const int b = z / p.G, g = z % p.G, count = p.R * p.L, first = ROWS * (int)get_group_id(0);
    __global const i64 *const table =
        p.table_at < 0 ? 0 : (__global const i64 *)scratch + p.table_at;
    tile t = {.x = get_local_id(0), .y = get_local_id(1)};
    t.keys = scratch + p.keys_at + (i64)z * p.SP * DP;
    t.values = scratch + p.values_at + (i64)z * p.SP * p.EP + column;
    row_info rows[MINE];
    for (int r = 0; r < MINE; r++) {
        const int row = min(first + t.y * MINE + r, count - 1);
        rows[r] = row_make(&p, &m, table, b, g * p.R + row / p.L, row % p.L);
        const int staged = min(first + t.y + SIDE * r, count - 1);
        t.queries[r] = scratch + p.queries_at +
                       (((i64)b * p.H + g * p.R + staged / p.L) * p.L + staged % p.L) * DP;
    }
    int from = 0x7fffffff, until = 0; /* the same for all work-items: barriers are inside */
    for (int n = 0; n < ROWS; n++) {
        const int row = min(first + n, count - 1);
        const row_info any = row_make(&p, &m, table, b, g * p.R + row / p.L, row % p.L);
        if (any.first >= any.end) continue;
        from = min(from, any.first);
        until = max(until, any.end);
    }
    float o[MINE][CN], maximum[MINE], sum[MINE];
    for (int r = 0; r < MINE; r++) {
        maximum[r] = -INFINITY;
        sum[r] = 0.0f;
        for (int c = 0; c < CN; c++)
            o[r][c] = 0.0f;
    }
    const int start = from / CHUNK * CHUNK;
    for (int j0 = start; j0 < until; j0 += CHUNK) {
        if (p.pieces > 1 && j0 / CHUNK != piece) continue;
        float top[MINE], added[MINE], old[MINE], s[MINE][MINE];
        for (int r = 0; r < MINE; r++) {
            top[r] = -INFINITY;
            added[r] = 0.0f;
            for (int c = 0; c < CN; c++)
                o[r][c] = 0.0f;
        }
        for (int j = max(j0, from / KEYS * KEYS); j < min(j0 + CHUNK, until); j += KEYS) {
            products(&t, work, j, s);
            weigh(&p, &m, rows, &t, work, j, s, top, added, old);
            mix(&p, &t, work, j, old, o);
        }
        const int alone = p.pieces > 1 || j0 == start, last = j0 + CHUNK >= until;
        for (int r = 0; r < MINE; r++) {
            __global float *const total = scratch + p.totals_at + column + t.x +
                                          ((i64)z * count + min(first + t.y * MINE + r, count - 1)) *
                                              p.EP;
            const int keep = !last && p.pieces == 1;
            if (first + t.y * MINE + r >= count) continue;
            if (alone) {
                maximum[r] = top[r];
                sum[r] = added[r];
                for (int c = 0; c < CN && keep; c++)
                    total[SIDE * c] = o[r][c];
            } else {
                join(total, &maximum[r], &sum[r], top[r], added[r], o[r], keep);
            }
        }
    }
    for (int r = 0; r < MINE && first + t.y * MINE + r < count; r++) {
        const i64 row = (i64)z * count + first + t.y * MINE + r;
        if (p.pieces > 1) {
            if (t.x == 0) {
                piece_head(&p, scratch, row, piece)[0] = maximum[r];
                piece_head(&p, scratch, row, piece)[1] = sum[r];
            }
            for (int c = 0; c < CN; c++)
                piece_values(&p, scratch, row, piece)[column + t.x + SIDE * c] = o[r][c];
            continue;
        }
        const float share = close_row(&p, &rows[r], sinks, lse, scratch, column == 0 && t.x == 0,
                                      maximum[r], sum[r]);
        for (int c = 0; c < CN; c++)
            if (column + t.x + SIDE * c < p.E)
                store_element(out, out_of(&p, &rows[r]) + (column + t.x + SIDE * c) * p.out_strides[3],
                              p.out_type, o[r][c] * share);
    }
}
