/* SPDX-License-Identifier: Apache-2.0
 *
 * The cache inside. It is pages in the device's memory and, in host memory, who has which page and
 * how many tokens each sample has. Calls see it as plain tensors (attend__cache_use): pages, page
 * table, lengths; backends know nothing else of it.
 *
 *   append    prepare: checks, takes pages, counts tokens -> steps: copies of shared pages, APPEND
 *   attention resolve: the description's cache becomes k, v, page_table, lengths and offsets */
#ifndef ATTEND_CORE_KV_CACHE_H
#define ATTEND_CORE_KV_CACHE_H

#include "launch.h"

struct attend_cache {
    attend_context *context;
    int64_t batch, kv_heads, head_size, value_size, capacity, page_size;
    int64_t pages_each, page_count; /* W, P */
    int64_t free_pages, next_page;  /* next_page: where the search for a free one goes on */
    int64_t longest;
    attend_type type;
    bool own_table;
    attend_buffer *buffers[4]; /* k, v and their scales: own, or imported and held */
    attend_tensor k, v, k_scales, v_scales;
    attend_buffer *rope_buffers[2];
    attend_tensor rope_cos, rope_sin;
    int64_t rope_dim;
    int32_t rope_interleaved;
    attend_tensor page_table; /* over `table`, or the application's */
    int32_t *table, *table_copy;
    int32_t *users;                               /* samples that have a page; own_table only */
    int64_t *lengths, *before, *counts, *earlier; /* tokens; before the last append; of it; before[]
                                                     of the append before */
    int64_t *copies; /* [copy_count][4]: sample, page from, page to, tokens */
    int64_t copy_count;
    void *arrays; /* all of the above */
};

/* What one call sees of a cache. Arrays are the cache's own: enqueued work copies them. */
typedef struct attend__cache_use {
    attend_tensor k, v, k_scales, v_scales; /* pages */
    attend_tensor page_table;
    attend_tensor lengths, before; /* [B] I64: tokens with and without the last append */
    attend_tensor counts;          /* [B] I64, or cumulative [B + 1] */
    attend_tensor copies;          /* [n, 4] I64: pages to be copied first */
    int64_t longest;
} attend__cache_use;
/* Its tensors as fields of a structure that has it as `member`. */
enum { ATTEND__CACHE_COUNT = 9 };
#define ATTEND__CACHE_FIELDS(type, member)                                                         \
    {"cache", offsetof(type, member.k), ATTEND__OUTPUT | ATTEND__KEEP},                            \
        {"cache", offsetof(type, member.v), ATTEND__OUTPUT | ATTEND__KEEP},                        \
        {"cache", offsetof(type, member.k_scales), ATTEND__OUTPUT | ATTEND__KEEP},                 \
        {"cache", offsetof(type, member.v_scales), ATTEND__OUTPUT | ATTEND__KEEP},                 \
        {"page_table", offsetof(type, member.page_table), ATTEND__INPUT | ATTEND__SMALL},          \
        {"lengths", offsetof(type, member.lengths), ATTEND__INPUT | ATTEND__SMALL},                \
        {"before", offsetof(type, member.before), ATTEND__INPUT | ATTEND__SMALL},                  \
        {"counts", offsetof(type, member.counts), ATTEND__INPUT | ATTEND__SMALL}, {                \
        "copies", offsetof(type, member.copies), ATTEND__INPUT | ATTEND__SMALL                     \
    }

/* Rotation of keys on their way in; not given = none. */
typedef struct attend__cache_rope {
    attend_tensor cos, sin;
    int64_t dim;
    int32_t interleaved;
} attend__cache_rope;

/* What a launch of attend_cache_append takes. */
typedef struct attend__cache_appending {
    attend_tensor k, v;
    attend__cache_rope rope;
    attend__cache_use use;
} attend__cache_appending;

/* The check that every use of a cache begins with. */
attend_status attend__cache_check(const attend_context *context, const attend_cache *cache);

/* Whether `list` is a valid [B] of I32 or I64 in host memory. */
attend_status attend__cache_list_check(const attend_cache *cache, const char *name,
                                       const attend_tensor *list);

/* Counts `n` tokens a sample (packed: n in all) in, taking pages: counts NULL = n each. Changes
 * nothing on failure. What follows must end in the steps below, or be undone. */
attend_status attend__cache_prepare(attend_cache *cache, int64_t n, const attend_tensor *counts,
                                    bool packed, attend__cache_use *use);
void attend__cache_undo(attend_cache *cache);
/* The cache as it is, nothing appended. */
void attend__cache_look(const attend_cache *cache, attend__cache_use *use);

/* Copies shared pages and appends k and v, as prepared. */
attend_status attend__cache_steps(const attend__cache_use *use, const attend_tensor *k,
                                  const attend_tensor *v, const attend__cache_rope *rope,
                                  attend__sequence *sequence);

/* Has the plans of appends made where devices compile, so that the first one compiles nothing; a
 * layer's has them, too, unless it rotates. Where that fails the append will say so. */
void attend__cache_plan(const attend_cache *cache);

/* Whether key_lengths, where given, are in host memory and at most each sample's tokens. */
attend_status attend__cache_lengths_check(const attend_cache *cache, const attend_tensor *lengths);

/* k, v, scales, page table and lengths of a description from `use`; positions AFTER_CACHE. */
void attend__cache_fill(const attend__cache_use *use, attend_attention *a);
/* The whole way for a public description with a cache; `largest`: for a plan, all that fits. */
attend_status attend__cache_resolve(attend_context *context, attend_attention *a, bool largest);

#endif
