/* SPDX-License-Identifier: Apache-2.0
 *
 * A cache in calls: appending to it, and attention that takes its keys and values from it. */
#include "error.h"
#include "kv_cache.h"
#include "plan.h"

#include <string.h>

attend_status attend__cache_check(const attend_context *context, const attend_cache *cache) {
    if (cache == NULL) return attend__fail(ATTEND_NULL_POINTER, "cache: is NULL");
    if (cache->context != context)
        return attend__fail(ATTEND_INVALID, "cache: belongs to another context");
    return ATTEND_OK;
}

void attend__cache_look(const attend_cache *cache, attend__cache_use *use) {
    memset(use, 0, sizeof *use);
    use->k = cache->k;
    use->v = cache->v;
    use->k_scales = cache->k_scales;
    use->v_scales = cache->v_scales;
    use->page_table = cache->page_table;
    use->lengths = attend_tensor_1d(cache->lengths, ATTEND_I64, cache->batch);
    use->before = attend_tensor_1d(cache->before, ATTEND_I64, cache->batch);
    use->longest = cache->longest;
}

/* ---- append ---------------------------------------------------------------------------------- */

/* Tokens 0 .. count - 1 of one page. */
static attend_tensor page_of(const attend_tensor *pages, int64_t page, int64_t count) {
    attend_tensor t = *pages;
    t.offset += page * t.strides[0];
    t.rank--;
    memmove(t.sizes, t.sizes + 1, sizeof *t.sizes * 3);
    memmove(t.strides, t.strides + 1, sizeof *t.strides * 3);
    t.sizes[1] = count;
    return t;
}

static attend_status copy_pages(const attend__cache_use *use, attend__sequence *sequence) {
    const attend_tensor *const all[] = {&use->k, &use->v, &use->k_scales, &use->v_scales};
    const int64_t *const copies =
        attend__given(&use->copies) ? (const int64_t *)use->copies.data : NULL;
    attend_status status = ATTEND_OK;
    for (int64_t n = 0; copies != NULL && n < use->copies.sizes[0]; n++) {
        for (int i = 0; i < 4 && status == ATTEND_OK; i++) {
            if (!attend__given(all[i])) continue;
            attend_copy copy = attend_copy_default();
            copy.x = page_of(all[i], copies[4 * n + 1], copies[4 * n + 3]);
            copy.out = page_of(all[i], copies[4 * n + 2], copies[4 * n + 3]);
            status = attend__step(sequence, ATTEND_OP_COPY, &copy, NULL);
        }
    }
    return status;
}

static attend_append append_of(const attend__cache_use *use, const attend_tensor *k,
                               const attend_tensor *v, const attend__cache_rope *rope) {
    attend_append d = attend_append_default();
    d.k = *k;
    d.v = *v;
    if (use->counts.sizes[0] > use->before.sizes[0])
        d.cu_counts = use->counts;
    else
        d.counts = use->counts;
    d.starts = use->before;
    d.page_table = use->page_table;
    d.k_pages = use->k;
    d.v_pages = use->v;
    d.k_scales = use->k_scales;
    d.v_scales = use->v_scales;
    d.rope_cos = rope->cos;
    d.rope_sin = rope->sin;
    d.rotary_dim = rope->dim;
    d.interleaved = rope->interleaved;
    return d;
}

/* Its plans are the cache's, whichever layer appends: one for a token a sample, one for as many as
 * the pages hold, or a call can bring. */
static attend_status append_step(const attend_append *d, attend__sequence *sequence) {
    const attend__extent *const before = sequence->extent;
    const int64_t pages = d->page_table.sizes[1], each = d->k_pages.sizes[2];
    const int64_t most = (int64_t)1 << 30;
    const int64_t tokens = pages > most / each ? most : pages * each;
    const attend__extent extent = {d->starts.sizes[0], tokens, tokens, true};
    if (!attend__host_memory(sequence->context)) sequence->extent = &extent;
    const attend_status status = attend__step(sequence, ATTEND_OP_APPEND, d, NULL);
    sequence->extent = before;
    return status;
}

attend_status attend__cache_steps(const attend__cache_use *use, const attend_tensor *k,
                                  const attend_tensor *v, const attend__cache_rope *rope,
                                  attend__sequence *sequence) {
    const attend_append d = append_of(use, k, v, rope);
    const attend_status status = copy_pages(use, sequence);
    return status != ATTEND_OK ? status : append_step(&d, sequence);
}

void attend__cache_plan(const attend_cache *cache) {
    char before[ATTEND__ERROR_BYTES];
    if (attend__host_memory(cache->context)) return;
    attend__error_copy(before);
    const attend_type type = cache->type == ATTEND_I8 ? ATTEND_F32 : cache->type;
    const attend__cache_rope rope = {cache->rope_cos, cache->rope_sin, cache->rope_dim,
                                     cache->rope_interleaved};
    attend__sequence sequence = {.context = cache->context, .planning = true};
    attend__cache_use use;
    attend__cache_look(cache, &use);
    use.counts = use.before;
    for (int64_t tokens = 1; tokens <= 2; tokens++) {
        const attend_tensor k = attend_tensor_4d(NULL, type, cache->batch, cache->kv_heads, tokens,
                                                 cache->head_size),
                            v = attend_tensor_4d(NULL, type, cache->batch, cache->kv_heads, tokens,
                                                 cache->value_size);
        const attend_append d = append_of(&use, &k, &v, &rope);
        (void)append_step(&d, &sequence);
    }
    attend__set_error(before);
}

static const attend__field appending_list[] = {
    {"k", offsetof(attend__cache_appending, k), ATTEND__INPUT},
    {"v", offsetof(attend__cache_appending, v), ATTEND__INPUT},
    {"rope_cos", offsetof(attend__cache_appending, rope.cos), ATTEND__INPUT},
    {"rope_sin", offsetof(attend__cache_appending, rope.sin), ATTEND__INPUT},
    ATTEND__CACHE_FIELDS(attend__cache_appending, use),
};
static const attend__fields appending_fields = {sizeof(attend__cache_appending), appending_list,
                                                sizeof appending_list / sizeof *appending_list};

static attend_status body(void *object, const void *arguments, attend__sequence *sequence) {
    (void)object;
    const attend__cache_appending *args = arguments;
    return attend__cache_steps(&args->use, &args->k, &args->v, &args->rope, sequence);
}

static attend_status launch(attend_cache *cache, const attend__cache_appending *args,
                            const attend__enqueueing *enqueueing) {
    const attend__call call = {
        .context = cache->context, .fields = &appending_fields, .body = body};
    if (enqueueing == NULL) return attend__launch_run(&call, args);
    return attend__launch_enqueue(&call, args, enqueueing->wait_count, enqueueing->waits,
                                  enqueueing->done);
}

/* What can be said of k and v before tokens are counted; the rest is the operation's check. */
static attend_status check_tokens(const attend_cache *cache, const attend_tensor *k,
                                  const attend_tensor *v, bool *packed) {
    if (k == NULL || !attend__given(k)) return attend__fail(ATTEND_NULL_POINTER, "k: not given");
    if (v == NULL || !attend__given(v)) return attend__fail(ATTEND_NULL_POINTER, "v: not given");
    const struct {
        const char *name;
        const attend_tensor *t;
        int64_t size;
    } both[] = {{"k", k, cache->head_size}, {"v", v, cache->value_size}};
    *packed = k->rank == 4 && k->sizes[0] == 1 && cache->batch > 1;
    for (int i = 0; i < 2; i++) {
        const attend_tensor *t = both[i].t;
        if (t->rank == 4 && t->sizes[2] >= 0 && t->sizes[0] == (*packed ? 1 : cache->batch) &&
            t->sizes[1] == cache->kv_heads && t->sizes[2] == k->sizes[2] &&
            t->sizes[3] == both[i].size)
            continue;
        return attend__fail(ATTEND_SHAPE,
                            "%s: is not [%lld, %lld, tokens, %lld] as the cache and k have it",
                            both[i].name, (long long)(*packed ? 1 : cache->batch),
                            (long long)cache->kv_heads, (long long)both[i].size);
    }
    return ATTEND_OK;
}

static attend_status append(attend_cache *cache, const attend_tensor *k, const attend_tensor *v,
                            const attend_tensor *counts, const attend__enqueueing *enqueueing) {
    if (enqueueing != NULL && enqueueing->done != NULL) *enqueueing->done = NULL;
    if (cache == NULL) return attend__fail(ATTEND_NULL_POINTER, "cache: is NULL");
    attend_context *context = cache->context;
    attend_status status = attend__context_check(context);
    bool packed = false;
    if (status == ATTEND_OK) status = check_tokens(cache, k, v, &packed);
    if (status == ATTEND_OK && enqueueing != NULL)
        status = attend__waits_check(context, enqueueing->wait_count, enqueueing->waits);
    if (status != ATTEND_OK) return status;
    attend__cache_appending args = {.k = *k, .v = *v};
    args.rope = (attend__cache_rope){cache->rope_cos, cache->rope_sin, cache->rope_dim,
                                     cache->rope_interleaved};
    status = attend__cache_prepare(cache, k->sizes[2], counts, packed, &args.use);
    if (status != ATTEND_OK) return status;
    /* once more in full, with the memory of k and v: nothing runs if anything is refused */
    const attend_append d = append_of(&args.use, k, v, &args.rope);
    attend__description full;
    attend__problem problem = {.operation = ATTEND_OP_APPEND};
    memcpy(&full, &d, sizeof d);
    status = attend__validate(context, ATTEND_OP_APPEND, &full, &problem);
    if (status == ATTEND_OK) status = launch(cache, &args, enqueueing);
    if (status != ATTEND_OK) attend__cache_undo(cache);
    return status;
}

attend_status attend_cache_append(attend_cache *cache, const attend_tensor *k,
                                  const attend_tensor *v, const attend_tensor *counts) {
    return append(cache, k, v, counts, NULL);
}

attend_status attend_cache_append_enqueue(attend_cache *cache, const attend_tensor *k,
                                          const attend_tensor *v, const attend_tensor *counts,
                                          size_t wait_count, attend_event *const *waits,
                                          attend_event **done) {
    return append(cache, k, v, counts, &(attend__enqueueing){wait_count, waits, done});
}

attend_status attend_append_run(attend_context *context, const attend_append *description) {
    return attend__operation_call(context, ATTEND_OP_APPEND, description, NULL, NULL);
}

attend_status attend_append_enqueue(attend_context *context, const attend_append *description,
                                    size_t wait_count, attend_event *const *waits,
                                    attend_event **done) {
    return attend__operation_call(context, ATTEND_OP_APPEND, description, NULL,
                                  &(attend__enqueueing){wait_count, waits, done});
}

/* ---- attention ------------------------------------------------------------------------------- */

void attend__cache_fill(const attend__cache_use *use, attend_attention *a) {
    a->cache = NULL;
    a->k = use->k;
    a->v = use->v;
    a->k_scales = use->k_scales;
    a->v_scales = use->v_scales;
    a->page_table = use->page_table;
    if (!attend__given(&a->key_lengths)) a->key_lengths = use->lengths;
    if (a->max_key_length == 0) a->max_key_length = use->longest;
    if (a->position != ATTEND_AFTER_CACHE) return;
    a->position = ATTEND_AT_OFFSETS;
    a->query_offsets = use->before;
}

static attend_status check_exclusive(const attend_attention *a) {
    const struct {
        const char *name;
        const attend_tensor *tensor;
    } refused[] = {{"k", &a->k},
                   {"v", &a->v},
                   {"k_scales", &a->k_scales},
                   {"v_scales", &a->v_scales},
                   {"page_table", &a->page_table},
                   {"cu_key_lengths", &a->cu_key_lengths}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (attend__given(refused[i].tensor))
            return attend__fail(ATTEND_INVALID, "%s: given beside a cache", refused[i].name);
    if (a->position == ATTEND_AFTER_CACHE &&
        (a->query_offset != 0 || attend__given(&a->query_offsets)))
        return attend__fail(ATTEND_INVALID, "query_offset: needs position AT_OFFSETS");
    return ATTEND_OK;
}

static attend_status check_sizes(const attend_cache *cache, const attend_attention *a) {
    const attend_tensor *q = attend__given(&a->q) ? &a->q : &a->weights;
    const bool packed = attend__given(&a->cu_query_lengths);
    if (attend__given(q) && q->rank == 4 && !packed && q->sizes[0] != cache->batch)
        return attend__fail(ATTEND_SHAPE, "cache: batch %lld does not match q's %lld",
                            (long long)cache->batch, (long long)q->sizes[0]);
    if (packed && a->cu_query_lengths.rank == 1 && a->cu_query_lengths.sizes[0] != cache->batch + 1)
        return attend__fail(ATTEND_SHAPE,
                            "cache: batch %lld does not match cu_query_lengths's %lld",
                            (long long)cache->batch, (long long)a->cu_query_lengths.sizes[0] - 1);
    if (attend__given(&a->q) && q->rank == 4 && q->sizes[3] != cache->head_size)
        return attend__fail(ATTEND_SHAPE, "cache: head size %lld does not match q's %lld",
                            (long long)cache->head_size, (long long)q->sizes[3]);
    if (a->max_key_length == 0) return ATTEND_OK;
    if (a->max_key_length < cache->longest || a->max_key_length > cache->capacity)
        return attend__fail(ATTEND_OUT_OF_RANGE, "max_key_length: %lld is not in %lld..%lld",
                            (long long)a->max_key_length, (long long)cache->longest,
                            (long long)cache->capacity);
    return ATTEND_OK;
}

/* key_lengths of the caller's: a part of what each sample has. */
attend_status attend__cache_lengths_check(const attend_cache *cache, const attend_tensor *lengths) {
    if (!attend__given(lengths)) return ATTEND_OK;
    const attend_status status = attend__cache_list_check(cache, "key_lengths", lengths);
    if (status != ATTEND_OK) return status;
    for (int64_t b = 0; b < cache->batch; b++) {
        const int64_t length = attend_tensor_index(lengths, b);
        if (length > cache->lengths[b])
            return attend__fail(ATTEND_OUT_OF_RANGE,
                                "key_lengths: %lld of sample %lld is more than its %lld tokens",
                                (long long)length, (long long)b, (long long)cache->lengths[b]);
    }
    return ATTEND_OK;
}

attend_status attend__cache_resolve(attend_context *context, attend_attention *a, bool largest) {
    const attend_cache *cache = a->cache;
    if (cache == NULL) return ATTEND_OK;
    attend_status status = attend__cache_check(context, cache);
    if (status == ATTEND_OK) status = check_exclusive(a);
    if (status == ATTEND_OK) status = check_sizes(cache, a);
    if (status == ATTEND_OK && !largest)
        status = attend__cache_lengths_check(cache, &a->key_lengths);
    if (status != ATTEND_OK) return status;
    attend__cache_use use;
    attend__cache_look(cache, &use);
    if (largest) use.longest = cache->capacity;
    attend__cache_fill(&use, a);
    return ATTEND_OK;
}
