/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_serving.h: attention over the cache against attention over the same keys and values as plain
 * tensors, packed or not, planned, enqueued, with little memory or with a member that is anything.
 */
#include "fuzz_serving.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* ---- attention ------------------------------------------------------------------------------- */

static void choose_options(attend_attention *a, int64_t heads, int64_t queries, int64_t keys) {
    static const attend_position positions[] = {ATTEND_TOP_LEFT, ATTEND_BOTTOM_RIGHT,
                                                ATTEND_AFTER_CACHE, ATTEND_AFTER_CACHE};
    a->position = positions[fuzz_take(4)];
    a->causal = (int32_t)fuzz_take(2);
    if (fuzz_take(4) == 3) a->window_left = (int64_t)fuzz_take(9);
    if (fuzz_take(8) == 7) a->window_right = (int64_t)fuzz_take(9);
    if (fuzz_take(8) == 7) a->softcap = 2;
    if (fuzz_take(4) == 3) a->precision = ATTEND_PRECISION_FAST;
    if (fuzz_take(4) == 3) a->mask = FUZZ_ROOM(ATTEND_BOOL, 3, 1, queries, keys);
    if (fuzz_take(4) == 3) a->bias = FUZZ_ROOM(ATTEND_F32, 2, queries, keys);
    if (fuzz_take(4) == 3) a->key_mask = FUZZ_ROOM(ATTEND_BOOL, 2, model.d.batch, keys);
    if (fuzz_take(4) == 3) a->alibi_slopes = FUZZ_ROOM(ATTEND_F32, 1, heads);
    if (fuzz_take(4) == 3) a->sinks = FUZZ_ROOM(ATTEND_F32, 1, heads);
    const attend_tensor *const filled[] = {&a->mask, &a->bias, &a->key_mask, &a->alibi_slopes,
                                           &a->sinks};
    for (size_t i = 0; i < sizeof filled / sizeof *filled; i++)
        if (filled[i]->type != ATTEND_NO_TYPE) fuzz_fill(filled[i]);
    if (fuzz_take(4) == 3) {
        a->key_begin = (int64_t)fuzz_take(9);
        a->key_end = fuzz_take(2) ? 0 : a->key_begin + (int64_t)fuzz_take(32) * 9;
        if (a->key_end == 0 && fuzz_take(4) == 3) a->key_end = INT64_MAX;
    }
    a->scores_stage = (attend_scores_stage)(1 + fuzz_take(4));
}

static void choose_outputs(attend_attention *a, int64_t queries, int64_t keys, int64_t rows) {
    const int64_t b = model.d.batch, h = a->q.sizes[1];
    const bool packed = rows >= 0;
    a->out = FUZZ_ROOM(fuzz_take(2) ? ATTEND_F32 : a->q.type, 4, packed ? 1 : b, h,
                       packed ? rows : queries, model.d.value_size);
    a->lse = FUZZ_ROOM(ATTEND_F32, 3, packed ? 1 : b, h, packed ? rows : queries);
    if (fuzz_take(4) == 3) a->weights = FUZZ_ROOM(ATTEND_F32, 4, b, h, queries, keys);
    if (fuzz_take(4) == 3) a->weights_mean = FUZZ_ROOM(ATTEND_F32, 3, b, queries, keys);
    if (fuzz_take(4) == 3) a->scores = FUZZ_ROOM(ATTEND_F32, 4, b, h, queries, keys);
}

/* Keys and values as plain tensors, NaN behind each sample's tokens. */
static void spread(attend_attention *a, int64_t keys) {
    const int64_t b = model.d.batch, g = model.d.kv_heads;
    attend_tensor *const to[] = {&a->k, &a->v}, *const scales[] = {&a->k_scales, &a->v_scales};
    const int64_t sizes[] = {model.d.head_size, model.d.value_size};
    for (int i = 0; i < 2; i++) {
        *to[i] = FUZZ_ROOM(model.d.type, 4, b, g, keys, sizes[i]);
        if (model.d.type == ATTEND_I8) *scales[i] = FUZZ_ROOM(ATTEND_F32, 3, b, g, keys);
    }
    for (int64_t s = 0; s < b; s++) {
        attend_cache_view view = attend_cache_view_default();
        attend_tensor *const parts[] = {&view.k, &view.v, &view.k_scales, &view.v_scales};
        const attend_tensor *const whole[] = {&a->k, &a->v, &a->k_scales, &a->v_scales};
        view.sample = s;
        for (int i = 0; i < 4; i++) {
            if (whole[i]->type == ATTEND_NO_TYPE) continue;
            *parts[i] = *whole[i];
            parts[i]->offset = s * whole[i]->strides[0];
            parts[i]->rank--;
            for (int32_t d = 0; d < parts[i]->rank; d++) {
                parts[i]->sizes[d] = whole[i]->sizes[d + 1];
                parts[i]->strides[d] = whole[i]->strides[d + 1];
            }
            parts[i]->sizes[1] = model.lengths[s];
        }
        const attend_status status = attend_cache_read(model.cache, &view);
        if (status != ATTEND_OK) fuzz_wrong("a sample could not be read", status);
    }
}

static attend_status call_attention(attend_attention *a, unsigned how, int64_t keys) {
    if (how == 1 && model.d.k.data == NULL) {
        attend_tensor *const all[] = {&a->q,   &a->mask,    &a->bias,         &a->key_mask, &a->out,
                                      &a->lse, &a->weights, &a->weights_mean, &a->scores};
        attend_event *done = NULL;
        attend_attention b = *a;
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            attend_tensor *const t =
                (attend_tensor *)(void *)((char *)&b + ((char *)all[i] - (char *)a));
            *t = fuzz_in_buffer(*t, model.backend);
        }
        const attend_status status = attend_enqueue(model.context, &b, 0, NULL, &done);
        if (status != ATTEND_OK) return status;
        const attend_status ended = attend_event_wait(done, -1);
        attend_event_release(done);
        return ended;
    }
    if (how == 2 && keys > 0) {
        attend_plan *plan = NULL;
        attend_attention largest = *a;
        largest.max_key_length = keys; /* else the capacity, which side outputs do not have */
        attend_status status = attend_plan_create(model.context, &largest, &plan);
        if (status == ATTEND_OK) status = attend_plan_run(plan, a);
        attend_plan_release(plan);
        return status;
    }
    if (how == 3) { /* starved, then not */
        fuzz.allocations_left = (int64_t)fuzz_take(10);
        const attend_status status = attend_run(model.context, a);
        fuzz.allocations_left = -1;
        if (status != ATTEND_OK && status != ATTEND_OUT_OF_MEMORY) return status;
    }
    return attend_run(model.context, a);
}

static bool same_element(const attend_tensor *x, int64_t i, const attend_tensor *y, int64_t j) {
    const size_t each = attend_type_bytes(x->type);
    const char *const p = (const char *)x->data + (size_t)i * each, *const q =
                                                                        (const char *)y->data +
                                                                        (size_t)j * each;
    if (memcmp(p, q, each) == 0) return true;
    if (each == 4)
        return isnan(*(const float *)(const void *)p) && isnan(*(const float *)(const void *)q);
    const uint32_t infinity = x->type == ATTEND_F16 ? 0x7c00 : 0x7f80;
    const uint16_t u = *(const uint16_t *)(const void *)p, w = *(const uint16_t *)(const void *)q;
    return (u & 0x7fff) > infinity && (w & 0x7fff) > infinity;
}

/* out or lse: rows of `size` elements. */
static void compare_rows(const attend_tensor *plain, const attend_tensor *cached, int64_t size,
                         const int64_t *lengths, bool packed) {
    const int64_t h = plain->sizes[1], l = plain->sizes[2], u = cached->sizes[2];
    for (int64_t b = 0, start = 0; b < model.d.batch; start += lengths[b++])
        for (int64_t n = 0; n < h * (packed ? lengths[b] : l) * size; n++) {
            const int64_t e = n % size, g = n / size % h, i = n / size / h;
            const int64_t from = ((b * h + g) * l + i) * size + e;
            const int64_t to = packed ? (g * u + start + i) * size + e : from;
            if (!same_element(plain, from, cached, to))
                fuzz_wrong("rows are not those of plain tensors", ATTEND_OK);
        }
}

/* One attention over the cache and its plain counterpart. */
typedef struct trial {
    attend_attention plain, cached;
    int64_t heads, most_queries, most_keys, rows; /* rows of q where it is packed */
    int64_t queries[FUZZ_BATCH], keys[FUZZ_BATCH], cu[FUZZ_BATCH + 1];
    bool short_keys, short_queries, packed;
} trial;

static void choose_lengths(trial *t) {
    static const int64_t most[] = {1, 2, 4, 17, 0};
    t->heads = model.d.kv_heads * (1 + (int64_t)fuzz_take(3));
    t->most_queries = most[fuzz_take(5)];
    t->short_keys = fuzz_take(2);
    t->packed = fuzz_take(2);
    t->short_queries = t->packed || fuzz_take(2);
    for (int64_t b = 0; b < model.d.batch; b++) {
        const int64_t n = model.lengths[b];
        t->most_keys = n > t->most_keys ? n : t->most_keys;
        t->keys[b] = t->short_keys ? (int64_t)(fuzz_next() % (uint32_t)(n + 1)) : n;
        t->queries[b] = t->short_queries ? (int64_t)(fuzz_next() % (uint32_t)(t->most_queries + 1))
                                         : t->most_queries;
        t->cu[b + 1] = t->cu[b] + t->queries[b];
    }
    t->rows = t->packed ? t->cu[model.d.batch] + (int64_t)fuzz_take(2) : -1;
    if (t->most_keys == 0 || fuzz_take(4) != 3) return;
    t->most_keys += (int64_t)fuzz_take(4);
    if (t->most_keys > model.d.capacity) t->most_keys = model.d.capacity;
    t->cached.max_key_length = t->most_keys;
}

static attend_type choose_type(void) {
    if (model.d.type == ATTEND_I8) return fuzz_take(2) ? ATTEND_BF16 : ATTEND_F32;
    return fuzz_take(2) ? ATTEND_F32 : model.d.type;
}

static void describe_plain(trial *t) {
    t->plain = t->cached;
    choose_outputs(&t->plain, t->most_queries, t->most_keys, -1);
    spread(&t->plain, t->most_keys);
    t->plain.max_key_length = 0;
    t->plain.key_lengths = fuzz_vector(t->keys, model.d.batch);
    if (t->short_queries) t->plain.query_lengths = fuzz_vector(t->queries, model.d.batch);
    if (t->plain.position != ATTEND_AFTER_CACHE) return;
    t->plain.position = ATTEND_AT_OFFSETS;
    t->plain.query_offsets = fuzz_vector(model.before, model.d.batch);
}

static void pack_queries(trial *t) {
    const attend_tensor *const from = &t->plain.q;
    const int64_t h = t->heads, l = t->most_queries;
    const attend_tensor q = FUZZ_ROOM(from->type, 4, 1, h, t->rows, model.d.head_size);
    const size_t row = (size_t)model.d.head_size * attend_type_bytes(q.type);
    for (int64_t i = 0; i < model.d.batch * h * l; i++) {
        const int64_t n = i % l, head = i / l % h, b = i / l / h;
        if (n < t->queries[b])
            memcpy((char *)q.data + (size_t)(head * t->rows + t->cu[b] + n) * row,
                   (const char *)from->data + (size_t)i * row, row);
    }
    t->cached.q = q;
    t->cached.cu_query_lengths = fuzz_vector(t->cu, model.d.batch + 1);
    t->cached.max_query_length = l;
}

static void describe_cached(trial *t) {
    attend_attention *const a = &t->cached;
    a->cache = model.cache;
    if (t->short_keys) a->key_lengths = fuzz_vector(t->keys, model.d.batch);
    if (t->packed)
        pack_queries(t);
    else if (t->short_queries)
        a->query_lengths = fuzz_vector(t->queries, model.d.batch);
}

/* A call with a member that is anything: accepted or refused, nothing more is known. */
static void call_spoilt(const trial *t) {
    attend_attention a = t->cached;
    attend_tensor *const members[] = {&a.q,    &a.key_lengths, &a.cu_query_lengths,
                                      &a.out,  &a.lse,         &a.query_lengths,
                                      &a.mask, &a.weights};
    fuzz_spoil(members[fuzz_take(8)], model.backend);
    if (fuzz_take(4) == 3) a.key_end = fuzz_number();
    if (fuzz_take(4) == 3) a.max_query_length = fuzz_number();
    if (fuzz_take(4) == 3) a.max_key_length = fuzz_number();
    const attend_status status = attend_run(model.context, &a);
    if (status != ATTEND_OK) fuzz_check_refusal(status);
}

/* weights, their mean, scores. */
static void compare_sides(const attend_tensor *plain, const attend_tensor *cached, const trial *t,
                          int64_t heads) {
    if (plain->type == ATTEND_NO_TYPE) return;
    const int64_t s = plain->sizes[plain->rank - 1], l = plain->sizes[plain->rank - 2];
    for (int64_t n = 0; n < fuzz_count(plain); n++) {
        const int64_t j = n % s, i = n / s % l, b = n / s / l / heads;
        const bool beyond = t->packed && (i >= t->queries[b] || j >= t->keys[b]);
        const bool good =
            beyond ? ((const float *)cached->data)[n] == 0 : same_element(plain, n, cached, n);
        if (!good) fuzz_wrong("side outputs are not those of plain tensors", ATTEND_OK);
    }
}

static void compare(const trial *t) {
    const attend_attention *const x = &t->plain, *const y = &t->cached;
    compare_rows(&x->out, &y->out, model.d.value_size, t->queries, t->packed);
    compare_rows(&x->lse, &y->lse, 1, t->queries, t->packed);
    compare_sides(&x->weights, &y->weights, t, t->heads);
    compare_sides(&x->weights_mean, &y->weights_mean, t, 1);
    compare_sides(&x->scores, &y->scores, t, t->heads);
    for (int64_t i = t->cu[model.d.batch]; i < t->rows; i++)
        if (!isnan(((const float *)y->lse.data)[i]))
            fuzz_wrong("a row behind the batch", ATTEND_OK);
}

void fuzz_attend(void) {
    fuzz_open_gate();
    fuzz.used = 0;
    trial t = {0};
    t.cached = attend_attention_default();
    choose_lengths(&t);
    t.cached.q =
        FUZZ_ROOM(choose_type(), 4, model.d.batch, t.heads, t.most_queries, model.d.head_size);
    fuzz_fill(&t.cached.q);
    choose_options(&t.cached, t.heads, t.most_queries, t.most_keys);
    const uint8_t *const outputs = fuzz.at;
    describe_plain(&t);
    describe_cached(&t);
    fuzz.at = outputs; /* the same outputs */
    choose_outputs(&t.cached, t.most_queries, t.most_keys, t.rows);
    attend_status status = attend_run(model.context, &t.plain);
    if (status != ATTEND_OK) fuzz_wrong("attention over plain tensors", status);
    const unsigned how = fuzz_take(5);
    if (how == 4) {
        call_spoilt(&t);
        return;
    }
    /* no rows at all: L of 0 counts as not asked for, and the masks have none */
    if (t.packed && t.most_queries == 0) return;
    status = call_attention(&t.cached, how, t.most_keys);
    if (status != ATTEND_OK) fuzz_wrong("attention over the cache", status);
    compare(&t);
}
