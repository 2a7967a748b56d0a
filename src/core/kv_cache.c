/* SPDX-License-Identifier: Apache-2.0
 *
 * Making and releasing a cache: its description is checked, pages are laid out as the device likes
 * them or taken from the application, arrays for everything that appending will need are allocated.
 */
#include "kv_cache.h"

#include "base/checked.h"
#include "base/thread.h"
#include "error.h"
#include "prepared.h"
#include "validate.h"

#include <string.h>

static const attend__field desc_list[] = {
    ATTEND__MEMBER(attend_cache_desc, rope_cos, ATTEND__INPUT | ATTEND__ONLY_F32),
    ATTEND__MEMBER(attend_cache_desc, rope_sin, ATTEND__INPUT | ATTEND__ONLY_F32),
    ATTEND__MEMBER(attend_cache_desc, k, ATTEND__OUTPUT | ATTEND__STORED),
    ATTEND__MEMBER(attend_cache_desc, v, ATTEND__OUTPUT | ATTEND__STORED),
    ATTEND__MEMBER(attend_cache_desc, k_scales, ATTEND__OUTPUT | ATTEND__ONLY_F32),
    ATTEND__MEMBER(attend_cache_desc, v_scales, ATTEND__OUTPUT | ATTEND__ONLY_F32),
    ATTEND__MEMBER(attend_cache_desc, page_table, ATTEND__INPUT | ATTEND__ONLY_I32),
    ATTEND__MEMBER(attend_cache_desc, lengths, ATTEND__INPUT | ATTEND__INDICES),
};
static const attend__fields desc_fields = {sizeof(attend_cache_desc), desc_list,
                                           sizeof desc_list / sizeof *desc_list};

/* ---- the description ------------------------------------------------------------------------- */

static attend_status check_sizes(const attend_cache_desc *d) {
    const struct {
        const char *name;
        int64_t size, least;
    } sizes[] = {{"batch", d->batch, 1},           {"kv_heads", d->kv_heads, 1},
                 {"head_size", d->head_size, 1},   {"value_size", d->value_size, 0},
                 {"capacity", d->capacity, 1},     {"page_size", d->page_size, 0},
                 {"page_count", d->page_count, 0}, {"rope_dim", d->rope_dim, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i].size < sizes[i].least)
            return attend__fail(ATTEND_INVALID, "%s: %lld is less than %lld", sizes[i].name,
                                (long long)sizes[i].size, (long long)sizes[i].least);
        if (sizes[i].size > INT64_C(1) << 40)
            return attend__fail(ATTEND_OVERFLOW, "%s: %lld is beyond 2^40", sizes[i].name,
                                (long long)sizes[i].size);
    }
    if (d->page_count != 0 && (d->page_size == 0 || attend__given(&d->k)))
        return attend__fail(ATTEND_INVALID, "page_count: only for pages of the cache's own");
    if (d->reserved_flags != 0 || d->reserved_options != 0)
        return attend__fail(ATTEND_INVALID, "reserved_flags and reserved_options: must be 0");
    return ATTEND_OK;
}

static attend_status check_support(const attend_context *context, attend_type type) {
    const attend_device_table *t = &context->table;
    if (type != ATTEND_F32 && type != ATTEND_F16 && type != ATTEND_BF16 && type != ATTEND_I8)
        return attend__fail(ATTEND_TYPE, "type: %s is none of f32, f16, bf16 and int8",
                            attend_type_text(type));
    const uint64_t options =
        ATTEND_OPTION_PAGES | (type == ATTEND_I8 ? ATTEND_OPTION_SCALES : UINT64_C(0));
    if ((t->operations >> ATTEND_OP_APPEND & 1u) == 0 || (t->options & options) != options ||
        (t->types >> type & 1u) == 0)
        return attend__fail(ATTEND_UNSUPPORTED, "type: the backend %s has no cache of %s",
                            context->backend_name, attend_type_text(type));
    return ATTEND_OK;
}

static attend_status check_rope(const attend_cache_desc *d) {
    const attend_tensor *cos = &d->rope_cos, *sin = &d->rope_sin;
    if (attend__given(cos) != attend__given(sin))
        return attend__fail(ATTEND_NULL_POINTER, "%s: not given, though the other table is",
                            attend__given(cos) ? "rope_sin" : "rope_cos");
    if (!attend__given(cos)) return ATTEND_OK;
    const int64_t turned = d->rope_dim != 0 ? d->rope_dim : d->head_size;
    if (turned % 2 != 0 || turned > d->head_size)
        return attend__fail(ATTEND_INVALID, "rope_dim: %lld is odd or above the head size %lld",
                            (long long)turned, (long long)d->head_size);
    if (cos->rank != 2 || sin->rank != 2 || cos->sizes[0] != sin->sizes[0] ||
        cos->sizes[1] != turned / 2 || sin->sizes[1] != turned / 2)
        return attend__fail(ATTEND_SHAPE, "rope_cos: it and rope_sin must be [R, %lld]",
                            (long long)(turned / 2));
    if (cos->sizes[0] < d->capacity)
        return attend__fail(ATTEND_SHAPE, "rope_cos: %lld rows are fewer than the capacity %lld",
                            (long long)cos->sizes[0], (long long)d->capacity);
    return ATTEND_OK;
}

static attend_status check_memory(const attend_context *context, const char *name,
                                  const attend_tensor *t, attend_type type,
                                  const attend_tensor *shape) {
    if (!attend__given(t)) return attend__fail(ATTEND_NULL_POINTER, "%s: not given", name);
    if (t->type != type)
        return attend__fail(ATTEND_TYPE, "%s: type %s instead of %s", name,
                            attend_type_text(t->type), attend_type_text(type));
    bool fits = t->rank == shape->rank;
    for (int32_t i = 0; i < shape->rank && fits; i++)
        fits = t->sizes[i] == shape->sizes[i];
    if (!fits)
        return attend__fail(ATTEND_SHAPE, "%s: is not [pages, kv_heads, page_size%s]", name,
                            shape->rank == 4 ? ", size of a head" : "");
    if (t->data != NULL && !attend__host_memory(context))
        return attend__fail(ATTEND_INVALID, "%s: lies in host memory; this backend needs a buffer",
                            name);
    return ATTEND_OK;
}

/* Memory of the application's: shapes were compared with nothing yet. */
static attend_status check_import(const attend_context *context, const attend_cache_desc *d,
                                  const attend_cache *c) {
    const int64_t pages = c->page_count, groups = c->kv_heads, tokens = c->page_size;
    const attend_tensor k = attend_tensor_4d(NULL, d->type, pages, groups, tokens, c->head_size),
                        v = attend_tensor_4d(NULL, d->type, pages, groups, tokens, c->value_size),
                        scales = attend_tensor_3d(NULL, ATTEND_F32, pages, groups, tokens);
    attend_status status = check_memory(context, "k", &d->k, d->type, &k);
    if (status == ATTEND_OK) status = check_memory(context, "v", &d->v, d->type, &v);
    if (status == ATTEND_OK && d->type == ATTEND_I8) {
        status = check_memory(context, "k_scales", &d->k_scales, ATTEND_F32, &scales);
        if (status == ATTEND_OK)
            status = check_memory(context, "v_scales", &d->v_scales, ATTEND_F32, &scales);
    } else if (status == ATTEND_OK &&
               (attend__given(&d->k_scales) || attend__given(&d->v_scales))) {
        status = attend__fail(ATTEND_INVALID, "k_scales: given, but the cache is not int8");
    }
    if (status != ATTEND_OK || !attend__given(&d->page_table)) return status;
    if (d->page_table.data == NULL)
        return attend__fail(ATTEND_INVALID, "page_table: must lie in host memory");
    if (d->page_table.rank != 2 || d->page_table.sizes[0] != d->batch ||
        d->page_table.sizes[1] < (d->capacity + tokens - 1) / tokens)
        return attend__fail(ATTEND_SHAPE, "page_table: is not [batch, pages for the capacity]");
    return ATTEND_OK;
}

static attend_status check_own(const attend_cache_desc *d) {
    const struct {
        const char *name;
        const attend_tensor *tensor;
    } refused[] = {{"v", &d->v},
                   {"k_scales", &d->k_scales},
                   {"v_scales", &d->v_scales},
                   {"page_table", &d->page_table},
                   {"lengths", &d->lengths}};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (attend__given(refused[i].tensor))
            return attend__fail(ATTEND_INVALID, "%s: given without k", refused[i].name);
    return ATTEND_OK;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void lay_rows(int64_t strides[4], int64_t groups, int64_t tokens, int64_t size) {
    strides[3] = 1;
    strides[2] = size;
    strides[1] = tokens * size;
    strides[0] = groups * tokens * size;
}

static attend_status allocate_pages(attend_cache *c, int at, attend_tensor *t) {
    const size_t each = attend_type_bytes(t->type);
    size_t elements = 1, bytes = 0;
    bool fits = true;
    for (int32_t i = 0; i < t->rank; i++) {
        size_t reach = 0;
        fits = fits && attend__mul_size((size_t)(t->sizes[i] - 1), (size_t)t->strides[i], &reach) &&
               attend__add_size(elements, reach, &elements);
    }
    if (!fits || !attend__mul_size(elements, each, &bytes) || bytes > PTRDIFF_MAX)
        return attend__fail(ATTEND_OVERFLOW,
                            "capacity: the pages do not fit into the address space");
    const attend_status status = attend_buffer_create(c->context, bytes, &c->buffers[at]);
    if (status != ATTEND_OK) return status;
    t->buffer = c->buffers[at];
    return ATTEND_OK;
}

static attend_status make_pages(attend_cache *c, const attend_cache_layout *layout) {
    c->k = attend_tensor_4d(NULL, c->type, c->page_count, c->kv_heads, c->page_size, c->head_size);
    c->v = attend_tensor_4d(NULL, c->type, c->page_count, c->kv_heads, c->page_size, c->value_size);
    memcpy(c->k.strides, layout->k_strides, sizeof layout->k_strides);
    memcpy(c->v.strides, layout->v_strides, sizeof layout->v_strides);
    attend_status status = allocate_pages(c, 0, &c->k);
    if (status == ATTEND_OK) status = allocate_pages(c, 1, &c->v);
    if (status != ATTEND_OK || c->type != ATTEND_I8) return status;
    c->k_scales = c->v_scales =
        attend_tensor_3d(NULL, ATTEND_F32, c->page_count, c->kv_heads, c->page_size);
    status = allocate_pages(c, 2, &c->k_scales);
    return status == ATTEND_OK ? allocate_pages(c, 3, &c->v_scales) : status;
}

static void take_pages(attend_cache *c, const attend_cache_desc *d) {
    c->k = d->k;
    c->v = d->v;
    c->k_scales = d->k_scales;
    c->v_scales = d->v_scales;
    attend_tensor *const all[] = {&c->k, &c->v, &c->k_scales, &c->v_scales};
    for (int i = 0; i < 4; i++) {
        c->buffers[i] = all[i]->buffer;
        if (c->buffers[i] != NULL) attend__buffer_retain(c->buffers[i]);
    }
}

/* The layout: pages of the asked size, or one block; the device may choose strides, and how one
 * block is cut. */
static attend_status choose_layout(attend_cache *c, const attend_cache_desc *d,
                                   attend_cache_layout *layout) {
    const bool import = attend__given(&d->k);
    layout->size = sizeof *layout;
    layout->page_size = d->page_size != 0 ? d->page_size : d->capacity;
    int64_t row = 0, page = 0;
    if (!attend__mul_i64(c->kv_heads, c->head_size > c->value_size ? c->head_size : c->value_size,
                         &row) ||
        !attend__mul_i64(row, layout->page_size, &page))
        return attend__fail(ATTEND_OVERFLOW, "page_size: a page does not fit into memory");
    lay_rows(layout->k_strides, c->kv_heads, layout->page_size, c->head_size);
    lay_rows(layout->v_strides, c->kv_heads, layout->page_size, c->value_size);
    if (!import && c->context->table.cache_layout != NULL)
        c->context->table.cache_layout(c->context->device, d, layout);
    if (layout->page_size < 1 || (d->page_size != 0 && layout->page_size != d->page_size))
        return attend__fail(ATTEND_INTERNAL, "page_size: the backend %s made %lld of it",
                            c->context->backend_name, (long long)layout->page_size);
    c->page_size = layout->page_size;
    c->pages_each = (d->capacity + c->page_size - 1) / c->page_size;
    if (c->pages_each > INT32_MAX / d->batch)
        return attend__fail(ATTEND_OVERFLOW, "page_size: %lld samples of %lld pages are too many",
                            (long long)d->batch, (long long)c->pages_each);
    c->page_count = d->page_count != 0 ? d->page_count : d->batch * c->pages_each;
    if (import && d->k.rank == 4) c->page_count = d->k.sizes[0];
    if (c->page_count < 1 || c->page_count > INT32_MAX)
        return attend__fail(ATTEND_OVERFLOW, "page_count: %lld is not in 1..2^31 - 1",
                            (long long)c->page_count);
    return ATTEND_OK;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static attend_status make_arrays(attend_cache *c, const attend_cache_desc *d) {
    c->own_table = !attend__given(&d->page_table);
    const size_t samples = (size_t)c->batch;
    const size_t entries = c->own_table ? samples * (size_t)c->pages_each : 0;
    const size_t users = c->own_table ? (size_t)c->page_count : 0;
    const size_t wide = samples * 4 + 1 + samples * 4;
    const size_t bytes = wide * sizeof(int64_t) + (2 * entries + users) * sizeof(int32_t);
    c->arrays = attend__context_allocate(c->context, bytes);
    if (c->arrays == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "batch: %zu bytes for tables could not be had",
                            bytes);
    memset(c->arrays, 0, bytes);
    c->lengths = c->arrays;
    c->before = c->lengths + samples;
    c->earlier = c->before + samples;
    c->counts = c->earlier + samples;
    c->copies = c->counts + samples + 1;
    c->table = (int32_t *)(void *)(c->copies + 4 * samples);
    c->table_copy = c->table + entries;
    c->users = c->table_copy + entries;
    c->free_pages = c->own_table ? c->page_count : 0;
    c->page_table = d->page_table;
    if (c->own_table)
        c->page_table = attend_tensor_2d(c->table, ATTEND_I32, c->batch, c->pages_each);
    return ATTEND_OK;
}

/* Tokens that lie in imported memory already: sample b's pages follow one another from b * W on. */
static attend_status count_in(attend_cache *c, const attend_tensor *lengths) {
    if (!attend__given(lengths)) return ATTEND_OK;
    attend_status status = attend__cache_list_check(c, "lengths", lengths);
    if (status == ATTEND_OK) status = attend__index_check("lengths", lengths, 0, c->capacity);
    if (status != ATTEND_OK) return status;
    for (int64_t b = 0; b < c->batch; b++) {
        c->lengths[b] = c->before[b] = c->earlier[b] = attend_tensor_index(lengths, b);
        c->longest = c->lengths[b] > c->longest ? c->lengths[b] : c->longest;
        const int64_t used = (c->lengths[b] + c->page_size - 1) / c->page_size;
        for (int64_t i = 0; i < used && c->own_table; i++) {
            const int64_t page = b * c->pages_each + i;
            if (page >= c->page_count)
                return attend__fail(ATTEND_OUT_OF_RANGE,
                                    "lengths: sample %lld has tokens behind the last page",
                                    (long long)b);
            c->table[page] = (int32_t)page;
            c->users[page] = 1;
            c->free_pages--;
        }
    }
    return ATTEND_OK;
}

static attend_status keep_rope(attend_cache *c, const attend_cache_desc *d) {
    if (!attend__given(&d->rope_cos)) return ATTEND_OK;
    c->rope_dim = d->rope_dim;
    c->rope_interleaved = d->rope_interleaved;
    const attend_tensor *const given[] = {&d->rope_cos, &d->rope_sin};
    attend_tensor *const kept[] = {&c->rope_cos, &c->rope_sin};
    for (int i = 0; i < 2; i++) {
        const attend_status status =
            attend__kept_copy(c->context, given[i], ATTEND_F32, &c->rope_buffers[i], kept[i]);
        if (status != ATTEND_OK) return status;
        /* enqueued appends hold buffers, so that the cache may be released before they run */
        *kept[i] = attend_tensor_in(c->rope_buffers[i], 0, ATTEND_F32, 2, given[i]->sizes, NULL);
    }
    return ATTEND_OK;
}

/* ---- creating and releasing ------------------------------------------------------------------ */

static attend_status fill(attend_cache *c, const attend_cache_desc *d) {
    c->batch = d->batch;
    c->kv_heads = d->kv_heads;
    c->head_size = d->head_size;
    c->value_size = d->value_size != 0 ? d->value_size : d->head_size;
    c->capacity = d->capacity;
    c->type = d->type;
    attend_cache_layout layout = {0};
    attend_status status = choose_layout(c, d, &layout);
    if (status != ATTEND_OK) return status;
    status = attend__given(&d->k) ? check_import(c->context, d, c) : check_own(d);
    if (status != ATTEND_OK) return status;
    if (attend__given(&d->k))
        take_pages(c, d);
    else
        status = make_pages(c, &layout);
    if (status == ATTEND_OK) status = make_arrays(c, d);
    if (status == ATTEND_OK) status = count_in(c, &d->lengths);
    return status == ATTEND_OK ? keep_rope(c, d) : status;
}

attend_status attend_cache_create(attend_context *context, const attend_cache_desc *description,
                                  attend_cache **cache) {
    attend_status status = attend__context_check(context);
    if (status != ATTEND_OK) return status;
    if (cache == NULL) return attend__fail(ATTEND_NULL_POINTER, "cache: is NULL");
    *cache = NULL;
    attend_cache_desc d;
    status = attend__description_copy("description", &desc_fields, description, &d);
    if (status == ATTEND_OK) status = attend__fields_check(context, &desc_fields, &d);
    if (status == ATTEND_OK) status = check_sizes(&d);
    if (status == ATTEND_OK) status = check_support(context, d.type);
    if (status == ATTEND_OK) status = check_rope(&d);
    if (status != ATTEND_OK) return status;
    attend_cache *c = attend__context_allocate(context, sizeof *c);
    if (c == NULL) return attend__fail(ATTEND_OUT_OF_MEMORY, "a cache could not be allocated");
    memset(c, 0, sizeof *c);
    c->context = context;
    attend__context_retain(context);
    status = fill(c, &d);
    if (status == ATTEND_OK) attend__cache_plan(c);
    if (status == ATTEND_OK)
        *cache = c;
    else
        attend_cache_release(c);
    return status;
}

void attend_cache_release(attend_cache *cache) {
    if (cache == NULL || cache->context->process != attend__process_id()) return;
    attend_context *context = cache->context;
    for (int i = 0; i < 4; i++)
        attend_buffer_release(cache->buffers[i]);
    for (int i = 0; i < 2; i++)
        attend_buffer_release(cache->rope_buffers[i]);
    attend__context_free(context, cache->arrays);
    attend__context_free(context, cache);
    attend__context_release(context);
}
