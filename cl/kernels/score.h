/* SPDX-License-Identifier: Apache-2.0
 *
 * From the product of a query and a key to a masked score, and who may take part: the definitions
 * of attend/attention.h, for one key and for 16 neighbours with the same bits. */
#ifndef ATTEND_CL_SCORE_H
#define ATTEND_CL_SCORE_H

#include "attention_params.h"
#include "exponential.h"

/* A query row: where it stands and which keys position and length allow, [first, end). */
typedef struct row_info {
    i64 place;
    i64 mask_at, bias_at, key_mask_at;
    i64 number; /* of what scratch keeps for each row */
    i64 row;    /* of out and lse */
    int first, end;
    int begin, keys; /* keys of the key range and the key length */
    int length;      /* the key length */
    int queries;     /* the query length */
    int b, h, i;
    int live; /* below the query length */
    float slope;
} row_info;

/* What every row of a call shares. */
typedef struct inputs {
    const attention_params *p;
    __global const uchar *mask, *bias, *key_mask;
    __global const float *slopes;
    __global const i64 *table; /* of samples; NULL where all are alike */
} inputs;

static inputs inputs_make(const attention_params *p, __global const uchar *mask,
                          __global const uchar *bias, __global const uchar *key_mask,
                          __global const float *slopes, __global const float *scratch) {
    inputs in = {p, mask, bias, key_mask, slopes, 0};
    if (p->table_at >= 0) in.table = (__global const i64 *)scratch + p->table_at;
    return in;
}

/* The sample's row of the table. */
static __global const i64 *sample_of(const inputs *in, int b) {
    return in->table ? in->table + TABLE_COLUMNS * b : 0;
}

static i64 table_of(const inputs *in, int b, int column) {
    return in->table ? in->table[TABLE_COLUMNS * b + column] : 0;
}

/* Query rows of sample b that there are: packed queries have no rows beyond the length. */
static int rows_of(const inputs *in, int b) {
    return in->p->packed ? (int)table_of(in, b, TABLE_QUERIES) : in->p->L;
}

/* Whether there is a sample b, and the kernel takes it: by its own number of rows, so that a sample
 * has the same bits alone and beside others. */
static int is_mine(const inputs *in, int b) {
    const attention_params *const p = in->p;
    const int rows = p->R * (in->table ? (int)table_of(in, b, TABLE_QUERIES) : p->L);
    return b < p->B && rows >= p->least && rows <= p->most;
}

/* Where query i of head h, the panels and the values of head g of sample b begin. */
static i64 query_of(const inputs *in, int b, int h, int i) {
    const attention_params *const p = in->p;
    return p->queries_at + b * p->query_strides[0] + h * p->query_strides[1] +
           (i + table_of(in, b, TABLE_QUERY_ROW)) * p->query_strides[2];
}
static i64 panels_of(const inputs *in, int b, int g) {
    const attention_params *const p = in->p;
    return p->keys_at + b * p->key_strides[0] + g * p->key_strides[1] +
           table_of(in, b, TABLE_PANELS);
}
static i64 values_of(const inputs *in, int b, int g) {
    const attention_params *const p = in->p;
    return p->values_at + b * p->value_strides[0] + g * p->value_strides[1] +
           table_of(in, b, TABLE_KEY_ROW) * p->value_strides[2];
}

/* What depends on the row's place. */
static void row_limit(const attention_params *p, row_info *r) {
    r->live = r->i < r->queries;
    const i64 keys = r->keys;
    i64 end = r->live ? keys : 0, first = p->key_begin;
    if (p->causal && r->place + 1 < end) end = r->place + 1;
    if (p->window_right >= 0 && p->window_right < end - r->place)
        end = r->place + p->window_right + 1;
    if (p->window_left >= 0 && r->place - p->window_left > first) first = r->place - p->window_left;
    if (first > keys) first = keys;
    r->first = (int)first;
    r->end = end < first ? r->first : (int)end;
}

/* Row i of head h of sample b. */
static row_info row_make(const inputs *in, int b, int h, int i) {
    const attention_params *const p = in->p;
    row_info r;
    i64 queries = p->L, keys = p->S, offset = p->offset;
    if (in->table) {
        queries = table_of(in, b, TABLE_QUERIES);
        keys = table_of(in, b, TABLE_KEYS);
        offset = table_of(in, b, TABLE_OFFSET);
    }
    r.b = b;
    r.h = h;
    r.i = i;
    r.row = i + table_of(in, b, TABLE_QUERY_ROW);
    r.number = b * p->row_strides[0] + h * p->row_strides[1] + r.row;
    r.length = (int)keys;
    r.begin = p->key_begin;
    keys = min(keys, (i64)p->key_end);
    r.keys = (int)keys;
    r.queries = (int)queries;
    r.place = i + offset;
    row_limit(p, &r);
    r.mask_at = p->mask_at + b * p->mask_strides[0] + h * p->mask_strides[1] +
                i * p->mask_strides[2];
    r.bias_at = p->bias_at + b * p->bias_strides[0] + h * p->bias_strides[1] +
                i * p->bias_strides[2];
    r.key_mask_at = p->key_mask_at + b * p->key_mask_strides[0];
    r.slope = in->slopes ? in->slopes[p->slope_at + b * p->slope_strides[0] +
                                    h * p->slope_strides[1]]
                        : 0.0f;
    return r;
}

/* ---- one key --------------------------------------------------------------------------------- */

static int allowed_key(const inputs *in, const row_info *r, int j) {
    const attention_params *const p = in->p;
    if (j < r->first || j >= r->end) return 0;
    if (in->key_mask && !in->key_mask[r->key_mask_at + j * p->key_mask_strides[1]]) return 0;
    if (in->mask &&
        (j >= p->mask_keys || !in->mask[r->mask_at + j * p->mask_strides[3]]))
        return 0;
    return !in->bias ||
           (j < p->bias_keys &&
            load_element(in->bias, r->bias_at + j * p->bias_strides[3], p->bias_type) != -INFINITY);
}

/* |p - j| as float: the difference is taken in integers as far as they go. */
static float distance_of(i64 place, int j) {
    return fabs((float)(place - j));
}

/* Takes a score that has come as far as stage `from` on to stage `to`; up to MASKED only for an
 * allowed key. */
static float advance_key(const inputs *in, const row_info *r, int j,
                         float s, int from, int to) {
    const attention_params *const p = in->p;
    if (from < STAGE_SCALED && to >= STAGE_SCALED) s *= p->scale;
    if (from < STAGE_SOFTCAPPED && to >= STAGE_SOFTCAPPED && p->softcap > 0.0f)
        s = p->softcap * tanh(s / p->softcap);
    if (from >= STAGE_MASKED || to < STAGE_MASKED) return s;
    if (in->bias) s += load_element(in->bias, r->bias_at + j * p->bias_strides[3], p->bias_type);
    if (in->slopes) s = s - r->slope * distance_of(r->place, j);
    return s;
}

/* ---- 16 keys from j0 on ---------------------------------------------------------------------- */

#define LANES ((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))

/* Bytes of a mask as -1 or 0; keys at or beyond `count` are not read and excluded. */
static int16 truths(__global const uchar *mask, i64 at, i64 stride, int j0, int count) {
    if (stride == 1 && j0 + 16 <= count)
        return convert_int16(vload16(0, mask + at + j0)) != (int16)(0);
    int lanes[16];
    for (int n = 0; n < 16; n++)
        lanes[n] = j0 + n < count && mask[at + (j0 + n) * stride] ? -1 : 0;
    return vload16(0, lanes);
}

static float16 bias_of(const inputs *in, const row_info *r, int j0) {
    const attention_params *const p = in->p;
    return load_part(in->bias, r->bias_at, p->bias_strides[3], j0, p->bias_keys, p->bias_type,
                     -INFINITY);
}

/* `bias`: what bias_of gave, if there is one. */
static int16 allowed_keys(const inputs *in, const row_info *r, int j0,
                          float16 bias) {
    const attention_params *const p = in->p;
    int16 allowed = (int16)(-1);
    if (j0 < r->first || j0 + 16 > r->end) {
        const int16 j = j0 + LANES;
        allowed = (j >= r->first) & (j < r->end);
    }
    if (in->key_mask)
        allowed &= truths(in->key_mask, r->key_mask_at, p->key_mask_strides[1], j0, r->keys);
    if (in->mask) allowed &= truths(in->mask, r->mask_at, p->mask_strides[3], j0, p->mask_keys);
    if (in->bias) allowed &= isnotequal(bias, (float16)(-INFINITY));
    return allowed;
}

static float16 distances(i64 place, int j0) {
    const i64 base = place - j0;
    if (base < (1 << 30) && base > -(1 << 30)) return fabs(convert_float16((int)base - LANES));
    float lanes[16];
    for (int n = 0; n < 16; n++)
        lanes[n] = distance_of(place, j0 + n);
    return vload16(0, lanes);
}

static float16 advance_keys(const inputs *in, const row_info *r, int j0,
                            float16 s, float16 bias, int from, int to) {
    const attention_params *const p = in->p;
    if (from < STAGE_SCALED && to >= STAGE_SCALED) s *= p->scale;
    if (from < STAGE_SOFTCAPPED && to >= STAGE_SOFTCAPPED && p->softcap > 0.0f)
        s = p->softcap * tanh(s / p->softcap);
    if (from >= STAGE_MASKED || to < STAGE_MASKED) return s;
    if (in->bias) s += bias;
    if (in->slopes) s = s - r->slope * distances(r->place, j0);
    return s;
}

/* The whole way: masked scores of 16 keys, -inf where excluded. */
static float16 masked_keys(const inputs *in, const row_info *r, int j0,
                           float16 s, int from) {
    const float16 bias = in->bias ? bias_of(in, r, j0) : (float16)(0.0f);
    const int16 allowed = allowed_keys(in, r, j0, bias);
    s = advance_keys(in, r, j0, s, bias, from, STAGE_MASKED);
    return select((float16)(-INFINITY), s, allowed);
}

#define EXCLUDED 0x80000000u /* the bits of -0, the weight of an excluded key */

/* What stands for a maximum in exponents: the maximum, or 0 where there is none. */
static float anchor(float maximum) {
    return maximum == -INFINITY ? 0.0f : maximum;
}

static float16 anchors(float16 maximum) {
    return select(maximum, (float16)(0.0f), isequal(maximum, (float16)(-INFINITY)));
}

static float largest(float16 x) {
    const float8 a = fmax(x.lo, x.hi);
    const float4 b = fmax(a.lo, a.hi);
    const float2 c = fmax(b.lo, b.hi);
    return fmax(c.lo, c.hi);
}

static float total(float16 x) {
    const float8 a = x.lo + x.hi;
    const float4 b = a.lo + a.hi;
    const float2 c = b.lo + b.hi;
    return c.lo + c.hi;
}

/* Products of 16 keys of a panel with one query, in partials of 64 along the head size. */
static float16 dot_panel(__global const float *query, __global const float *panel, int padded) {
    float16 sum = (float16)(0.0f);
    for (int from = 0; from < padded; from += 64) {
        const int until = from + 64 < padded ? from + 64 : padded;
        float16 partial = (float16)(0.0f);
        for (int d = from; d < until; d++)
            partial = FMA((float16)(query[d]), vload16(d, panel), partial);
        sum += partial;
    }
    return sum;
}

#endif
