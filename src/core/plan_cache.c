/* SPDX-License-Identifier: Apache-2.0
 *
 * A small table of plans searched by the hash of their keys. A hit costs one short lock. Making a
 * plan happens outside the lock, since it may compile; if two threads miss at once, the later one
 * drops its own plan. */
#include "plan_cache.h"

#include "error.h"

#include <string.h>

enum { SLOTS = 128 }; /* two kinds of layers take half of them */

struct attend__plan_cache {
    attend__mutex lock;
    uint64_t clock;
    int32_t used;
    uint64_t hashes[SLOTS];
    uint64_t last_use[SLOTS];
    attend_plan *plans[SLOTS];
};

attend_status attend__plan_cache_create(attend_context *context) {
    attend__plan_cache *cache = attend__context_allocate(context, sizeof *cache);
    if (cache == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "the cache of plans could not be allocated");
    memset(cache, 0, sizeof *cache);
    if (!attend__mutex_create(&cache->lock)) {
        attend__context_free(context, cache);
        return attend__fail(ATTEND_OUT_OF_MEMORY, "a lock could not be made");
    }
    context->plans = cache;
    return ATTEND_OK;
}

void attend__plan_cache_destroy(attend_context *context) {
    attend__plan_cache *cache = context->plans;
    if (cache == NULL) return;
    for (int32_t i = 0; i < cache->used; i++)
        attend__plan_drop(cache->plans[i]);
    attend__mutex_destroy(&cache->lock);
    attend__context_free(context, cache);
    context->plans = NULL;
}

/* Multiply and fold, a word at a time; equality is decided by comparing keys. */
static uint64_t hash_key(const attend__plan_key *key) {
    uint64_t words[sizeof *key / sizeof(uint64_t)], hash = UINT64_C(0x9e3779b97f4a7c15);
    memcpy(words, key, sizeof words);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        hash = (hash ^ words[i]) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
    }
    return hash;
}

/* Under the lock: the plan with a reference for the caller, or NULL. */
static attend_plan *find(attend__plan_cache *cache, uint64_t hash, const attend__plan_key *key) {
    for (int32_t i = 0; i < cache->used; i++) {
        if (cache->hashes[i] != hash || memcmp(&cache->plans[i]->key, key, sizeof *key) != 0)
            continue;
        cache->last_use[i] = ++cache->clock;
        attend__plan_hold(cache->plans[i]);
        return cache->plans[i];
    }
    return NULL;
}

/* Under the lock: keeps `plan` and returns the one it displaced, or NULL. */
static attend_plan *insert(attend__plan_cache *cache, uint64_t hash, attend_plan *plan) {
    int32_t slot = cache->used;
    attend_plan *displaced = NULL;
    if (slot < SLOTS) {
        cache->used++;
    } else {
        slot = 0;
        for (int32_t i = 1; i < SLOTS; i++)
            slot = cache->last_use[i] < cache->last_use[slot] ? i : slot;
        displaced = cache->plans[slot];
    }
    cache->hashes[slot] = hash;
    cache->last_use[slot] = ++cache->clock;
    cache->plans[slot] = plan;
    attend__plan_hold(plan);
    return displaced;
}

attend_status attend__plan_cache_get(attend_context *context, const attend__problem *problem,
                                     const void *completed, const attend__extent *extent,
                                     attend_plan **plan) {
    attend__plan_cache *cache = context->plans;
    attend__plan_key key;
    attend__plan_key_make(problem, completed, &key);
    if (extent != NULL) attend__plan_key_extend(&key, extent);
    attend__plan_key_round(&key, extent);
    const uint64_t hash = hash_key(&key);
    attend__mutex_lock(&cache->lock);
    *plan = find(cache, hash, &key);
    attend__mutex_unlock(&cache->lock);
    if (*plan != NULL) return ATTEND_OK;

    attend_plan *made = NULL;
    const attend_status status = attend__plan_make(context, problem, completed, &key, &made);
    if (status != ATTEND_OK) return status;
    attend_plan *unwanted = NULL;
    attend__mutex_lock(&cache->lock);
    *plan = find(cache, hash, &key);
    if (*plan == NULL) {
        *plan = made;
        unwanted = insert(cache, hash, made);
    } else {
        unwanted = made;
    }
    attend__mutex_unlock(&cache->lock);
    attend__plan_drop(unwanted);
    return ATTEND_OK;
}
