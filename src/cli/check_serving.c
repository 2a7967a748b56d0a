/* SPDX-License-Identifier: Apache-2.0
 *
 * Cases of serving: packed batches, and decoding step by step over a cache. */
#include "check_case.h"

#include <string.h>

/* ---- packed batches ---- */

/* [sum, heads, n] or [sum, heads] as the view [1, heads, sum, n] that the library takes. */
static attend_tensor heads_first(check_case *c, const char *role, attend_tensor t, int32_t rank) {
    if (!t.type) return t;
    if (t.rank != rank) {
        check_damaged(c, "%s: rank %d, not %d", role, (int)t.rank, (int)rank);
        return t;
    }
    attend_tensor view = t;
    view.rank = rank + 1;
    view.sizes[0] = 1;
    view.strides[0] = t.strides[0];
    view.sizes[1] = t.sizes[1];
    view.strides[1] = t.strides[1];
    view.sizes[2] = t.sizes[0];
    view.strides[2] = t.strides[0];
    view.sizes[3] = t.sizes[2];
    view.strides[3] = t.strides[2];
    return view;
}

static void run_packed(check_case *c) {
    attend_attention a = attend_attention_default();
    a.q = heads_first(c, "q", check_input(c, "q"), 3);
    a.k = heads_first(c, "k", check_input(c, "k"), 3);
    a.v = heads_first(c, "v", check_input(c, "v"), 3);
    a.cu_query_lengths = check_input(c, "cu_q");
    a.cu_key_lengths = check_input(c, "cu_k");
    a.causal = check_flag(c, "causal", false);
    a.position = check_position(c);
    a.out = heads_first(c, "y", check_output(c, "y"), 3);
    a.lse = heads_first(c, "lse", check_output(c, "lse"), 2);
    if (check_ready(c)) check_called(c, attend_run(c->context, &a));
}

/* ---- decoding ---- */

static attend_type cache_type(check_case *c) {
    static const struct {
        const char *name;
        attend_type type;
    } types[] = {
        {"f32", ATTEND_F32}, {"f16", ATTEND_F16}, {"bf16", ATTEND_BF16}, {"int8", ATTEND_I8}};
    const char *const name = check_string(c, "cache_type", "f32");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; ++i)
        if (!strcmp(name, types[i].name)) return types[i].type;
    check_damaged(c, "cache_type '%s' is not known", name);
    return ATTEND_F32;
}

/* `count` rows of [B, heads, n, .] or [B, heads, n] from `first` on. */
static attend_tensor rows_of(attend_tensor t, int64_t first, int64_t count) {
    if (!t.type) return t;
    t.offset += first * t.strides[2];
    t.sizes[2] = count;
    return t;
}

/* The steps add up to the rows of every tensor; each is an array index afterwards. */
static bool steps_fit(check_case *c, const json_t *steps, const attend_attention *a) {
    const attend_tensor *const tensors[] = {&a->q, &a->k, &a->v, &a->out};
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; ++i) {
        if (tensors[i]->rank != 4) {
            check_damaged(c, "q, k, v, y: not of rank 4");
            return false;
        }
    }
    const int64_t rows = a->q.sizes[2];
    int64_t left = rows;
    for (size_t i = 0; i < json_array_size(steps); ++i) {
        const json_t *const step = json_array_get(steps, i);
        const int64_t count = json_is_integer(step) ? (int64_t)json_integer_value(step) : -1;
        if (count < 0 || count > left) {
            check_damaged(c, "steps: do not add up to the %lld rows of q", (long long)rows);
            return false;
        }
        left -= count;
    }
    const bool whole = json_is_array(steps) && left == 0 && a->k.sizes[2] == rows &&
                       a->v.sizes[2] == rows && a->out.sizes[2] == rows &&
                       (!a->lse.type || (a->lse.rank == 3 && a->lse.sizes[2] == rows));
    if (!whole) check_damaged(c, "steps, q, k, v, y, lse: not of one length");
    return whole;
}

static void decode(check_case *c, attend_cache *cache, const attend_attention *all,
                   const json_t *steps) {
    int64_t at = 0;
    for (size_t i = 0; i < json_array_size(steps); ++i) {
        const int64_t count = (int64_t)json_integer_value(json_array_get(steps, i));
        const attend_tensor k = rows_of(all->k, at, count), v = rows_of(all->v, at, count);
        attend_attention a = *all;
        a.q = rows_of(all->q, at, count);
        a.out = rows_of(all->out, at, count);
        a.lse = rows_of(all->lse, at, count);
        a.k = a.v = (attend_tensor){0};
        a.cache = cache;
        if (!check_called(c, attend_cache_append(cache, &k, &v, NULL)) ||
            !check_called(c, attend_run(c->context, &a)))
            return;
        at += count;
    }
}

static void run_decode(check_case *c) {
    attend_attention a = attend_attention_default();
    a.q = check_input(c, "q");
    a.k = check_input(c, "k");
    a.v = check_input(c, "v");
    a.out = check_output(c, "y");
    a.lse = check_output(c, "lse");
    a.causal = 1;
    a.position = ATTEND_AFTER_CACHE;
    attend_cache_desc d = attend_cache_desc_default();
    d.type = cache_type(c);
    d.page_size = check_integer(c, "page", 0);
    const json_t *const steps = json_object_get(c->attributes, "steps");
    if (!check_ready(c) || !steps_fit(c, steps, &a)) return;
    d.batch = a.k.sizes[0];
    d.kv_heads = a.k.sizes[1];
    d.head_size = a.k.sizes[3];
    d.value_size = a.v.sizes[3];
    d.capacity = a.k.sizes[2];
    attend_cache *cache = NULL;
    if (check_called(c, attend_cache_create(c->context, &d, &cache))) decode(c, cache, &a, steps);
    attend_cache_release(cache);
}

const check_operation check_packed = {.name = "packed",
                                      .roles = "q k v cu_q cu_k y lse",
                                      .attributes = "causal position",
                                      .run = run_packed};

const check_operation check_decode = {.name = "decode",
                                      .roles = "q k v y lse",
                                      .attributes = "steps page cache_type",
                                      .run = run_decode};
