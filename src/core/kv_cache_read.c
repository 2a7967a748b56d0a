/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking into a cache: what it holds, and tokens back in plain order. */
#include "base/half.h"
#include "error.h"
#include "kv_cache.h"
#include "validate.h"

#include <string.h>

attend_status attend_cache_get_info(const attend_cache *cache, attend_cache_info *info) {
    if (cache == NULL) return attend__fail(ATTEND_NULL_POINTER, "cache: is NULL");
    if (info == NULL) return attend__fail(ATTEND_NULL_POINTER, "info: is NULL");
    if (info->size < sizeof info->size)
        return attend__fail(ATTEND_INVALID, "info: size is %zu; set it before the call",
                            info->size);
    attend_cache_info full = {.size = info->size,
                              .batch = cache->batch,
                              .kv_heads = cache->kv_heads,
                              .head_size = cache->head_size,
                              .value_size = cache->value_size,
                              .capacity = cache->capacity,
                              .page_size = cache->page_size,
                              .page_count = cache->page_count,
                              .free_pages = cache->free_pages,
                              .type = cache->type,
                              .longest = cache->longest};
    const attend_tensor *const all[] = {&cache->k, &cache->v, &cache->k_scales, &cache->v_scales};
    for (int i = 0; i < 4; i++)
        if (attend__given(all[i])) full.memory_bytes += attend__span_bytes(all[i]);
    full.table_bytes = (size_t)attend__elements(&cache->page_table) * sizeof(int32_t);
    memcpy(info, &full, info->size < sizeof full ? info->size : sizeof full);
    return ATTEND_OK;
}

int64_t attend_cache_length(const attend_cache *cache, int64_t sample) {
    return cache != NULL && sample >= 0 && sample < cache->batch ? cache->lengths[sample] : -1;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* One of keys and values on its way out: pages and where they go. */
typedef struct reading {
    const char *name, *scales_name;
    const attend_tensor *pages, *page_scales; /* of the cache */
    const attend_tensor *to, *to_scales;
} reading;

static attend_status check_target(const attend_cache *cache, const char *name,
                                  const attend_tensor *t, int32_t rank, int64_t size) {
    if (t->data == NULL && t->buffer != NULL)
        return attend__fail(ATTEND_INVALID, "%s: must lie in host memory", name);
    if (t->rank != rank || t->sizes[0] != cache->kv_heads || (rank == 3 && t->sizes[2] != size))
        return attend__fail(ATTEND_SHAPE, "%s: is not [kv_heads, n%s]", name,
                            rank == 3 ? ", size of a head" : "");
    return ATTEND_OK;
}

static attend_status check_reading(const attend_cache *cache, const reading *r, int64_t size,
                                   int64_t *count) {
    if (!attend__given(r->to)) {
        if (!attend__given(r->to_scales)) return ATTEND_OK;
        return attend__fail(ATTEND_INVALID, "%s: given without %s", r->scales_name, r->name);
    }
    attend_status status = check_target(cache, r->name, r->to, 3, size);
    if (status != ATTEND_OK) return status;
    const attend_type type = r->to->type;
    const bool raw = type == ATTEND_I8,
               floats = type == ATTEND_F32 || type == ATTEND_F16 || type == ATTEND_BF16;
    if (!floats && !(raw && cache->type == ATTEND_I8))
        return attend__fail(ATTEND_TYPE, "%s: type %s cannot hold what a cache of %s has", r->name,
                            attend_type_text(type), attend_type_text(cache->type));
    if (raw != attend__given(r->to_scales))
        return attend__fail(ATTEND_INVALID, "%s: needed with %s in int8, and only then",
                            r->scales_name, r->name);
    if (raw) {
        status = check_target(cache, r->scales_name, r->to_scales, 2, 0);
        if (status != ATTEND_OK) return status;
        if (r->to_scales->sizes[1] != r->to->sizes[1])
            return attend__fail(ATTEND_SHAPE, "%s: is not [kv_heads, n]", r->scales_name);
    }
    if (*count >= 0 && *count != r->to->sizes[1])
        return attend__fail(ATTEND_SHAPE, "%s: %lld tokens, k has %lld", r->name,
                            (long long)r->to->sizes[1], (long long)*count);
    *count = r->to->sizes[1];
    return ATTEND_OK;
}

/* One page of a tensor in host memory: its own, or read into `memory`. */
static attend_status fetch_page(const attend_tensor *pages, int64_t page, char *memory,
                                const char **at) {
    const size_t each = attend_type_bytes(pages->type);
    const size_t from = (size_t)(pages->offset + page * pages->strides[0]) * each;
    if (pages->data != NULL) {
        *at = (const char *)pages->data + from;
        return ATTEND_OK;
    }
    attend_tensor one = *pages;
    one.sizes[0] = 1;
    *at = memory;
    return attend_buffer_read(pages->buffer, from, memory, attend__span_bytes(&one));
}

static float value_at(const char *page, attend_type type, int64_t at) {
    switch (type) {
    case ATTEND_F16:
        return attend__f16_to_f32(((const uint16_t *)(const void *)page)[at]);
    case ATTEND_BF16:
        return attend__bf16_to_f32(((const uint16_t *)(const void *)page)[at]);
    case ATTEND_I8:
        return ((const int8_t *)(const void *)page)[at];
    default:
        return ((const float *)(const void *)page)[at];
    }
}

static void put(const attend_tensor *t, int64_t at, float value) {
    at += t->offset;
    if (t->type == ATTEND_F32)
        ((float *)t->data)[at] = value;
    else if (t->type == ATTEND_I8)
        ((int8_t *)t->data)[at] = (int8_t)value;
    else
        ((uint16_t *)t->data)[at] =
            t->type == ATTEND_F16 ? attend__f32_to_f16(value) : attend__f32_to_bf16(value);
}

/* Token `slot` of a fetched page becomes token i of the view. */
static void give_token(const reading *r, const char *page, const char *scales, int64_t slot,
                       int64_t i) {
    const attend_tensor *p = r->pages, *s = r->page_scales, *to = r->to;
    for (int64_t g = 0; g < to->sizes[0]; g++) {
        float scale = 1.0f;
        if (attend__given(s))
            scale = value_at(scales, ATTEND_F32, g * s->strides[1] + slot * s->strides[2]);
        if (attend__given(r->to_scales))
            put(r->to_scales, g * r->to_scales->strides[0] + i * r->to_scales->strides[1], scale);
        for (int64_t e = 0; e < to->sizes[2]; e++) {
            const int64_t at = g * p->strides[1] + slot * p->strides[2] + e * p->strides[3];
            const float value = value_at(page, p->type, at);
            put(to, g * to->strides[0] + i * to->strides[1] + e * to->strides[2],
                to->type == ATTEND_I8 ? value : value * scale);
        }
    }
}

static size_t page_bytes(const attend_tensor *pages) {
    attend_tensor one = *pages;
    one.sizes[0] = 1;
    return attend__given(pages) ? attend__span_bytes(&one) : 0;
}

static attend_status read_tokens(const attend_cache *cache, const reading *r,
                                 const attend_cache_view *view) {
    if (!attend__given(r->to) || r->to->sizes[1] == 0) return ATTEND_OK;
    const size_t bytes = (page_bytes(r->pages) + 63) / 64 * 64;
    char *const memory =
        attend__context_allocate(cache->context, bytes + page_bytes(r->page_scales));
    if (memory == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "%s: no memory for a page", r->name);
    attend_status status = ATTEND_OK;
    const char *page = NULL, *scales = NULL;
    int64_t fetched = -1;
    for (int64_t i = 0; i < r->to->sizes[1] && status == ATTEND_OK; i++) {
        const int64_t token = view->first + i, index = token / cache->page_size;
        if (index != fetched) {
            const int64_t number = attend__table_value(&cache->page_table, view->sample, index);
            if (number < 0 || number >= cache->page_count)
                status = attend__fail(ATTEND_OUT_OF_RANGE, "page_table: entry [%lld, %lld] is %lld",
                                      (long long)view->sample, (long long)index, (long long)number);
            if (status == ATTEND_OK) status = fetch_page(r->pages, number, memory, &page);
            if (status == ATTEND_OK && attend__given(r->page_scales))
                status = fetch_page(r->page_scales, number, memory + bytes, &scales);
            fetched = index;
        }
        if (status == ATTEND_OK) give_token(r, page, scales, token % cache->page_size, i);
    }
    attend__context_free(cache->context, memory);
    return status;
}

static const attend__field view_list[] = {
    ATTEND__MEMBER(attend_cache_view, k, ATTEND__OUTPUT),
    ATTEND__MEMBER(attend_cache_view, v, ATTEND__OUTPUT),
    ATTEND__MEMBER(attend_cache_view, k_scales, ATTEND__OUTPUT | ATTEND__ONLY_F32),
    ATTEND__MEMBER(attend_cache_view, v_scales, ATTEND__OUTPUT | ATTEND__ONLY_F32),
};
static const attend__fields view_fields = {sizeof(attend_cache_view), view_list,
                                           sizeof view_list / sizeof *view_list};

attend_status attend_cache_read(const attend_cache *cache, const attend_cache_view *view) {
    if (cache == NULL) return attend__fail(ATTEND_NULL_POINTER, "cache: is NULL");
    attend_status status = attend__context_check(cache->context);
    attend_cache_view v;
    if (status == ATTEND_OK) status = attend__description_copy("view", &view_fields, view, &v);
    if (status == ATTEND_OK) status = attend__fields_check(cache->context, &view_fields, &v);
    if (status != ATTEND_OK) return status;
    const reading k = {"k", "k_scales", &cache->k, &cache->k_scales, &v.k, &v.k_scales},
                  values = {"v", "v_scales", &cache->v, &cache->v_scales, &v.v, &v.v_scales};
    int64_t count = -1;
    if (!attend__given(&v.k) && !attend__given(&v.v))
        return attend__fail(ATTEND_NULL_POINTER, "k: neither it nor v is given");
    status = check_reading(cache, &k, cache->head_size, &count);
    if (status == ATTEND_OK) status = check_reading(cache, &values, cache->value_size, &count);
    if (status != ATTEND_OK) return status;
    if (v.sample < 0 || v.sample >= cache->batch)
        return attend__fail(ATTEND_OUT_OF_RANGE, "sample: %lld is not in 0..%lld",
                            (long long)v.sample, (long long)cache->batch - 1);
    if (v.first < 0 || count > cache->lengths[v.sample] ||
        v.first > cache->lengths[v.sample] - count)
        return attend__fail(
            ATTEND_OUT_OF_RANGE, "first: %lld and %lld tokens exceed the sample's %lld",
            (long long)v.first, (long long)count, (long long)cache->lengths[v.sample]);
    status = read_tokens(cache, &k, &v);
    return status == ATTEND_OK ? read_tokens(cache, &values, &v) : status;
}
