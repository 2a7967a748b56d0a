/* SPDX-License-Identifier: Apache-2.0
 *
 * Who has which page. A page has as many users as samples that hold tokens in it; a sample that
 * writes into a page it shares gets one of its own first, with the tokens copied. */
#include "error.h"
#include "kv_cache.h"
#include "validate.h"

#include <string.h>

static int64_t pages_for(const attend_cache *c, int64_t tokens) {
    return (tokens + c->page_size - 1) / c->page_size;
}

static int32_t *entry(attend_cache *c, int64_t sample, int64_t index) {
    return &c->table[sample * c->pages_each + index];
}

static void hold(attend_cache *c, int32_t page) {
    if (c->users[page]++ == 0) c->free_pages--;
}

static void drop(attend_cache *c, int32_t page) {
    if (--c->users[page] == 0) c->free_pages++;
}

/* The page that would be the sample's if nobody shared, so that samples lie together; else any. */
static int32_t take(attend_cache *c, int64_t sample, int64_t index) {
    if (c->free_pages == 0) return -1;
    int64_t page = sample * c->pages_each + index;
    if (page >= c->page_count || c->users[page] != 0) {
        page = c->next_page;
        while (c->users[page] != 0)
            page = page + 1 < c->page_count ? page + 1 : 0;
        c->next_page = page + 1 < c->page_count ? page + 1 : 0;
    }
    hold(c, (int32_t)page);
    return (int32_t)page;
}

static void find_longest(attend_cache *c) {
    c->longest = 0;
    for (int64_t b = 0; b < c->batch; b++)
        c->longest = c->lengths[b] > c->longest ? c->lengths[b] : c->longest;
}

/* The samples' state before their tokens were counted in. */
static void undo_samples(attend_cache *c, int64_t samples) {
    for (int64_t b = 0; b < samples; b++) {
        const int64_t had = pages_for(c, c->before[b]), has = pages_for(c, c->lengths[b]);
        for (int64_t i = had; i < has && c->own_table; i++)
            drop(c, *entry(c, b, i));
        c->lengths[b] = c->before[b];
        c->before[b] = c->earlier[b];
    }
    for (; c->copy_count > 0; c->copy_count--) {
        const int64_t *copy = c->copies + 4 * (c->copy_count - 1);
        const int64_t index = c->lengths[copy[0]] / c->page_size;
        drop(c, (int32_t)copy[2]);
        hold(c, (int32_t)copy[1]);
        *entry(c, copy[0], index) = (int32_t)copy[1];
    }
    find_longest(c);
}

void attend__cache_undo(attend_cache *c) {
    undo_samples(c, c->batch);
}

/* ---- append ---------------------------------------------------------------------------------- */

static bool own_last_page(attend_cache *c, int64_t sample) {
    const int64_t tokens = c->lengths[sample] % c->page_size;
    if (tokens == 0) return true;
    int32_t *const last = entry(c, sample, c->lengths[sample] / c->page_size);
    if (c->users[*last] == 1) return true;
    const int32_t page = take(c, sample, c->lengths[sample] / c->page_size);
    if (page < 0) return false;
    int64_t *const copy = c->copies + 4 * c->copy_count++;
    copy[0] = sample;
    copy[1] = *last;
    copy[2] = page;
    copy[3] = tokens;
    drop(c, *last);
    *last = page;
    return true;
}

/* Pages for `count` more tokens of a sample; false where there are too few, with what was taken
 * counted in. */
static bool grow(attend_cache *c, int64_t sample, int64_t count) {
    const int64_t had = c->lengths[sample];
    c->earlier[sample] = c->before[sample];
    c->before[sample] = had;
    if (count == 0) return true;
    if (!c->own_table) {
        c->lengths[sample] = had + count;
        return true;
    }
    if (!own_last_page(c, sample)) return false;
    for (int64_t i = pages_for(c, had); i < pages_for(c, had + count); i++) {
        const int32_t page = take(c, sample, i);
        if (page < 0) return false;
        *entry(c, sample, i) = page;
        const int64_t held = (i + 1) * c->page_size;
        c->lengths[sample] = held < had + count ? held : had + count;
    }
    c->lengths[sample] = had + count;
    return true;
}

attend_status attend__cache_list_check(const attend_cache *cache, const char *name,
                                       const attend_tensor *list) {
    const attend__field field = {name, 0, ATTEND__INPUT | ATTEND__REQUIRED | ATTEND__INDICES};
    const attend__fields fields = {sizeof *list, &field, 1};
    const attend_status status = attend__fields_check(cache->context, &fields, list);
    if (status != ATTEND_OK) return status;
    if (list->rank != 1 || list->sizes[0] != cache->batch)
        return attend__fail(ATTEND_SHAPE, "%s: is not [%lld], one for each sample", name,
                            (long long)cache->batch);
    if (list->data == NULL)
        return attend__fail(ATTEND_INVALID, "%s: must lie in host memory", name);
    return ATTEND_OK;
}

/* Memory without a type is refused as a list that is wrong, not taken for none. */
static bool is_list(const attend_tensor *t) {
    return t != NULL && (attend__given(t) || t->data != NULL || t->buffer != NULL);
}

static attend_status read_counts(attend_cache *c, int64_t n, const attend_tensor *counts,
                                 bool packed) {
    int64_t sum = 0;
    if (is_list(counts)) {
        attend_status status = attend__cache_list_check(c, "counts", counts);
        if (status == ATTEND_OK) status = attend__index_check("counts", counts, 0, n);
        if (status != ATTEND_OK) return status;
    } else if (packed) {
        return attend__fail(ATTEND_NULL_POINTER, "counts: needed for packed tokens");
    }
    for (int64_t b = 0; b < c->batch; b++) {
        const int64_t count = is_list(counts) ? attend_tensor_index(counts, b) : n;
        if (count > c->capacity - c->lengths[b])
            return attend__fail(ATTEND_OUT_OF_RANGE,
                                "counts: sample %lld has %lld tokens, %lld more exceed the "
                                "capacity %lld",
                                (long long)b, (long long)c->lengths[b], (long long)count,
                                (long long)c->capacity);
        sum += count;
    }
    if (packed && sum != n)
        return attend__fail(ATTEND_SHAPE, "counts: %lld tokens in all, but k has %lld",
                            (long long)sum, (long long)n);
    return ATTEND_OK;
}

attend_status attend__cache_prepare(attend_cache *c, int64_t n, const attend_tensor *counts,
                                    bool packed, attend__cache_use *use) {
    const attend_status status = read_counts(c, n, counts, packed);
    if (status != ATTEND_OK) return status;
    int64_t sum = 0;
    c->copy_count = 0;
    for (int64_t b = 0; b < c->batch; b++) {
        const int64_t count = is_list(counts) ? attend_tensor_index(counts, b) : n;
        if (!grow(c, b, count)) {
            undo_samples(c, b + 1);
            return attend__fail(ATTEND_OUT_OF_MEMORY,
                                "page_count: none of the %lld pages is free for sample %lld",
                                (long long)c->page_count, (long long)b);
        }
        c->counts[b] = packed ? sum : count;
        sum += count;
    }
    if (packed) c->counts[c->batch] = sum;
    find_longest(c);
    attend__cache_look(c, use);
    use->counts = attend_tensor_1d(c->counts, ATTEND_I64, packed ? c->batch + 1 : c->batch);
    if (c->copy_count > 0) use->copies = attend_tensor_2d(c->copies, ATTEND_I64, c->copy_count, 4);
    return ATTEND_OK;
}

/* ---- truncate, reset, reorder ---------------------------------------------------------------- */

static attend_status check_list(const attend_cache *c, const char *name,
                                const attend_tensor *list) {
    const attend_status status = attend__context_check(c->context);
    if (status != ATTEND_OK) return status;
    if (list == NULL) return attend__fail(ATTEND_NULL_POINTER, "%s: is NULL", name);
    return attend__cache_list_check(c, name, list);
}

/* What is left of the last append begins where that began. */
static void shorten(attend_cache *c, int64_t sample, int64_t length) {
    const int64_t had = pages_for(c, c->lengths[sample]);
    for (int64_t i = pages_for(c, length); i < had && c->own_table; i++)
        drop(c, *entry(c, sample, i));
    c->lengths[sample] = length;
    if (c->before[sample] > length) c->before[sample] = length;
}

attend_status attend_cache_truncate(attend_cache *cache, const attend_tensor *lengths) {
    if (cache == NULL) return attend__fail(ATTEND_NULL_POINTER, "cache: is NULL");
    const attend_status status = check_list(cache, "lengths", lengths);
    if (status != ATTEND_OK) return status;
    for (int64_t b = 0; b < cache->batch; b++) {
        const int64_t length = attend_tensor_index(lengths, b);
        if (length < 0 || length > cache->lengths[b])
            return attend__fail(ATTEND_OUT_OF_RANGE,
                                "lengths: %lld of sample %lld is not in 0..%lld, its tokens",
                                (long long)length, (long long)b, (long long)cache->lengths[b]);
    }
    for (int64_t b = 0; b < cache->batch; b++)
        shorten(cache, b, attend_tensor_index(lengths, b));
    find_longest(cache);
    return ATTEND_OK;
}

attend_status attend_cache_reset(attend_cache *cache) {
    if (cache == NULL) return attend__fail(ATTEND_NULL_POINTER, "cache: is NULL");
    const attend_status status = attend__context_check(cache->context);
    if (status != ATTEND_OK) return status;
    for (int64_t b = 0; b < cache->batch; b++)
        shorten(cache, b, 0);
    cache->longest = 0;
    return ATTEND_OK;
}

attend_status attend_cache_reorder(attend_cache *cache, const attend_tensor *parents) {
    if (cache == NULL) return attend__fail(ATTEND_NULL_POINTER, "cache: is NULL");
    attend_cache *const c = cache;
    attend_status status = check_list(c, "parents", parents);
    if (status == ATTEND_OK) status = attend__index_check("parents", parents, 0, c->batch - 1);
    if (status != ATTEND_OK) return status;
    if (!c->own_table)
        return attend__fail(ATTEND_UNSUPPORTED,
                            "cache: its page table is the application's to reorder");
    const size_t row = (size_t)c->pages_each * sizeof(int32_t);
    memcpy(c->table_copy, c->table, (size_t)c->batch * row);
    memcpy(c->counts, c->lengths, (size_t)c->batch * sizeof *c->counts);
    memcpy(c->earlier, c->before, (size_t)c->batch * sizeof *c->earlier); /* free until an append */
    for (int64_t b = 0; b < c->batch; b++) /* the new users first: no page is free between */
        for (int64_t i = 0, from = attend_tensor_index(parents, b);
             i < pages_for(c, c->counts[from]); i++)
            hold(c, c->table_copy[from * c->pages_each + i]);
    for (int64_t b = 0; b < c->batch; b++)
        for (int64_t i = 0; i < pages_for(c, c->counts[b]); i++)
            drop(c, c->table_copy[b * c->pages_each + i]);
    for (int64_t b = 0; b < c->batch; b++) {
        const int64_t from = attend_tensor_index(parents, b);
        memcpy(entry(c, b, 0), c->table_copy + from * c->pages_each, row);
        c->lengths[b] = c->counts[from];
        c->before[b] = c->earlier[from];
    }
    find_longest(c);
    return ATTEND_OK;
}
