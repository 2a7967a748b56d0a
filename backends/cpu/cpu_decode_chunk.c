/* SPDX-License-Identifier: Apache-2.0
 *
 * One chunk of keys for all rows of a sample and group: blocks of 256 keys as in cpu_strip.c, but
 * keys and values are read where they lie, in the order of a list that says what comes next. */
#include "cpu_decode.h"
#include "cpu_runs.h"

#include <math.h>
#include <string.h>

typedef struct chunk {
    const attend__call *call;
    const attend__decode_kernels *kernels;
    const attend__decode_scratch *scratch;
    const attend__decode_set *set;
    attend__partial to;
    attend__row_list keys, values; /* of the block */
} chunk;

/* ---- where rows lie -------------------------------------------------------------------------- */

typedef struct side {
    const attend_tensor *t, *scales;
    int64_t columns;
    float *copied;
    int64_t copied_stride;
} side;

static void list_run(const chunk *c, const side *s, const attend__run *r, int64_t done,
                     attend__row_list list) {
    const char **const rows = (const char **)(uintptr_t)list.rows;
    float *const scales = (float *)(uintptr_t)list.scales;
    const char *first = r->rows.first;
    int64_t bytes = r->rows.row_stride * attend__element_bytes(r->rows.type);
    if (r->rows.column_stride != 1) {
        float *const to = s->copied + done * s->copied_stride;
        attend__widen_run(c->call, r, s->columns, to, s->copied_stride);
        first = (const char *)to;
        bytes = s->copied_stride * (int64_t)sizeof(float);
    }
    for (int64_t i = 0; i < r->count; i++)
        rows[done + i] = first + i * bytes;
    for (int64_t i = 0; scales != NULL && i < r->count; i++)
        scales[done + i] = r->scales[i * r->scale_stride];
}

/* Rows of `count` keys from `first` on. */
static void list_rows(const chunk *c, const side *s, int64_t first, int64_t count,
                      attend__row_list list) {
    for (int64_t done = 0; done < count;) {
        const attend__run r = attend__run_at(c->call, s->t, s->scales, c->set->batch, c->set->group,
                                             first + done, count - done);
        list_run(c, s, &r, done, list);
        done += r.count;
    }
}

/* A row of this type is read ahead by so many places. */
static int32_t ahead_of(attend_type type, int64_t columns) {
    const int64_t bytes = columns * attend__element_bytes(type), least = 8;
    const int64_t rows = bytes > 0 ? ATTEND__DECODE_AHEAD_BYTES / bytes : least;
    return (int32_t)attend__between(rows, least, ATTEND__DECODE_AHEAD);
}

/* Copies are float32; rows of int8 have scales. */
static attend__row_list list_of(const side *s, const char **rows, float *scales) {
    const bool copied = s->t->strides[3] != 1;
    attend__row_list list = {.rows = rows, .type = copied ? ATTEND_F32 : s->t->type};
    if (list.type == ATTEND_I8) list.scales = scales;
    list.ahead = ahead_of(list.type, s->columns);
    return list;
}

/* Values of keys that the row excludes are not used even with weight 0. */
static void leave_out(const chunk *c, attend__block block) {
    const char **const rows = (const char **)(uintptr_t)c->values.rows;
    float *const scales = (float *)(uintptr_t)c->values.scales;
    uint8_t keep[ATTEND__BLOCK_KEYS];
    attend__allowed(c->call, c->set->batch, c->set->rows, block, keep);
    for (int32_t k = 0; k < block.to - block.from; k++) {
        if (keep[k]) continue;
        rows[k] = c->scratch->zeros;
        if (scales != NULL) scales[k] = 0.0f;
    }
}

/* Keys of the block, its values, and the first keys up to `last` of the next block. */
static void list_block(chunk *c, attend__block block, int64_t last) {
    const attend__call *const call = c->call;
    const attend_attention *const a = call->a;
    const int64_t n = block.to - block.from, first = block.key + block.from;
    const char **const rows = c->scratch->lists;
    float *const scales = c->scratch->scales;
    const side k = {&a->k, &a->k_scales, call->depth, c->scratch->copied_keys, call->depth};
    const side v = {&a->v, &a->v_scales, call->columns, c->scratch->copied_values,
                    call->padded_columns};
    c->keys = list_of(&k, rows, scales);
    c->values = list_of(&v, rows + n, scales + n);
    list_rows(c, &k, first, n, c->keys);
    list_rows(c, &v, first, n, c->values);
    if (c->set->careful) leave_out(c, block);

    const int64_t left = last - (first + n);
    const int64_t next = left < ATTEND__DECODE_AHEAD ? left : ATTEND__DECODE_AHEAD;
    attend__row_list then = {.rows = rows + 2 * n};
    if (k.t->strides[3] == 1) list_rows(c, &k, first + n, next, then);
    for (int64_t i = k.t->strides[3] == 1 ? next : 0; i < ATTEND__DECODE_AHEAD; i++)
        rows[2 * n + i] = c->scratch->zeros;
}

/* ---- a block --------------------------------------------------------------------------------- */

static int32_t strip_rows(const chunk *c, int32_t first_row) {
    const int32_t left = c->set->count - first_row;
    return left < c->set->each ? left : c->set->each;
}

/* Scores of all rows in columns whose panels follow one another. */
static void score(const chunk *c, const float *panels, int32_t column, int32_t count) {
    const attend__call *const call = c->call;
    const int64_t strip = call->kernels->strip_rows * call->depth;
    for (int32_t r = 0, s = 0; r < c->set->count; r += c->set->each, s++) {
        const attend__dots dots = {.strip = c->set->strips + s * strip,
                                   .panels = panels,
                                   .scores = c->scratch->scores + r * ATTEND__SCORE_STRIDE + column,
                                   .depth = call->depth,
                                   .rows = strip_rows(c, r),
                                   .panel_count = count,
                                   .scale = call->scale};
        call->kernels->dots(&dots);
    }
}

/* As many keys as fill a third of a first-level cache of 48 KB, but enough for a tile of dots. */
static int32_t group_keys(const chunk *c) {
    const int32_t lanes = c->call->kernels->lanes;
    const int64_t bytes = lanes * c->call->depth * (int64_t)sizeof(float);
    int32_t panels = c->kernels->group_panels;
    while (panels > 2 && panels * bytes > 16384)
        panels /= 2;
    return panels * lanes;
}

static void score_rows(const chunk *c, attend__block block) {
    const int32_t lanes = c->call->kernels->lanes, group = group_keys(c);
    for (int32_t begin = block.from / lanes * lanes; begin < block.to; begin += group) {
        const int32_t rest = block.to - begin, first = block.from > begin ? block.from - begin : 0;
        attend__list_keys keys = {.list = c->keys,
                                  .depth = c->call->depth,
                                  .panels = c->scratch->panels,
                                  .from = first,
                                  .to = rest < group ? rest : group};
        keys.list.rows += begin + first - block.from;
        if (keys.list.scales != NULL) keys.list.scales += begin + first - block.from;
        c->kernels->pack_list(&keys);
        score(c, c->scratch->panels, begin, (keys.to + lanes - 1) / lanes);
    }
}

static void score_few(const chunk *c, attend__block block) {
    const attend__list_dots dots = {.list = c->keys,
                                    .queries = c->set->queries,
                                    .scores = c->scratch->scores,
                                    .depth = c->call->depth,
                                    .query_stride = attend__decode_stride(c->call),
                                    .rows = c->set->count,
                                    .from = block.from,
                                    .to = block.to,
                                    .scale = c->call->scale};
    c->kernels->dots_list(&dots);
}

/* Scores become weights. */
static void weigh(const chunk *c, attend__block block) {
    const attend__call *const call = c->call;
    attend__block whole = block; /* from the start of its panel: those lanes hold excluded keys */
    whole.from = block.from / call->kernels->lanes * call->kernels->lanes;
    for (int32_t r = 0; r < c->set->count; r++) {
        const attend__query *const row = &c->set->rows[r];
        const bool open = !call->terms && row->first <= block.key + whole.from &&
                          row->last >= block.key + block.to;
        if (!open)
            attend__advance_scores(call, c->set->batch, row, whole, ATTEND_SCORES_SCALED,
                                   ATTEND_SCORES_MASKED,
                                   c->scratch->scores + r * ATTEND__SCORE_STRIDE + whole.from);
    }
    for (int32_t r = 0; r < c->set->count; r += c->set->each) {
        const attend__soften soften = {.scores = c->scratch->scores + r * ATTEND__SCORE_STRIDE,
                                       .highest = c->to.highest + r,
                                       .sum = c->to.sum + r,
                                       .shrink = c->scratch->shrink + r,
                                       .rows = strip_rows(c, r),
                                       .from = whole.from,
                                       .to = block.to};
        call->kernels->soften(&soften);
    }
}

static void mix_values(const chunk *c, attend__block block) {
    const int32_t n = block.to - block.from, group = 32;
    const int64_t stride = c->call->padded_columns;
    for (int32_t k = 0; k < n; k += group) {
        for (int32_t r = 0; r < c->set->count; r += c->set->each) {
            attend__list_mix mix = {.list = c->values,
                                    .weights = c->scratch->scores + r * ATTEND__SCORE_STRIDE +
                                               block.from + k,
                                    .shrink = c->scratch->shrink + r,
                                    .sums = c->scratch->sums + r * stride,
                                    .out = c->to.out + r * stride,
                                    .columns = c->call->columns,
                                    .stride = stride,
                                    .rows = strip_rows(c, r),
                                    .keys = n - k < group ? n - k : group,
                                    .first = k == 0,
                                    .last = n - k <= group};
            mix.list.rows += k;
            if (mix.list.scales != NULL) mix.list.scales += k;
            c->kernels->mix_list(&mix);
        }
    }
}

/* ---- a chunk --------------------------------------------------------------------------------- */

/* Keys of the chunk that some row may use. */
static void range_of(const attend__decode_set *set, attend__decode_part part, int64_t *first,
                     int64_t *last) {
    attend__rows_range(set->rows, set->count, first, last);
    *first = attend__between(*first, part.begin, part.begin + part.size);
    *last = attend__between(*last, *first, part.begin + part.size);
}

static void run_blocks(chunk *c, attend__decode_part part) {
    const attend__call *const call = c->call;
    for (int32_t r = 0; r < c->set->count; r++) {
        c->to.highest[r] = -INFINITY;
        c->to.sum[r] = 0.0f;
    }
    memset(c->to.out, 0,
           (size_t)(attend__decode_width(c->set->count) * call->padded_columns) * sizeof(float));
    int64_t first = 0, last = 0;
    range_of(c->set, part, &first, &last);
    for (int64_t key = first / ATTEND__BLOCK_KEYS * ATTEND__BLOCK_KEYS; key < last;
         key += ATTEND__BLOCK_KEYS) {
        const attend__block block = attend__block_of(key, first, last);
        list_block(c, block, last);
        if (c->set->direct)
            score_few(c, block);
        else
            score_rows(c, block);
        weigh(c, block);
        mix_values(c, block);
    }
}

/* One row again, without the values of excluded keys: weight 0 times NaN or infinity is NaN. */
static void run_again(const chunk *c, attend__decode_part part, int32_t r) {
    const attend__call *const call = c->call;
    attend__decode_set one = *c->set;
    one.rows += r;
    one.count = 1;
    one.strips = c->scratch->again_strip;
    one.queries += r * attend__decode_stride(call);
    one.careful = true;
    if (!one.direct) attend__pack_queries(call, one.batch, one.rows, 1, c->scratch->again_strip);
    chunk careful = *c;
    careful.set = &one;
    careful.to = c->scratch->again;
    run_blocks(&careful, part);
    memcpy(c->to.out + r * call->padded_columns, careful.to.out,
           (size_t)call->padded_columns * sizeof(float));
}

void attend__decode_chunk(const attend__call *call, const attend__decode_scratch *scratch,
                          const attend__decode_set *set, attend__decode_part part,
                          attend__partial to) {
    chunk c = {
        .call = call, .kernels = call->decode_kernels, .scratch = scratch, .set = set, .to = to};
    run_blocks(&c, part);
    int64_t first = 0, last = 0;
    range_of(set, part, &first, &last);
    for (int32_t r = 0; r < set->count; r++) {
        /* Every key that was read is allowed: what is not finite comes from one of those. */
        const attend__query *const row = &set->rows[r];
        const bool all_seen = !call->terms && row->first <= first && row->last >= last;
        const float *const out = to.out + r * call->padded_columns;
        if (!all_seen && !isnan(to.sum[r]) && !call->kernels->finite_row(out, call->columns))
            run_again(&c, part, r);
    }
}
