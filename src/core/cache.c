/* SPDX-License-Identifier: Apache-2.0
 *
 * The key/value cache of layer.h. Its types are fixed, so that descriptions need not change; this
 * version answers UNSUPPORTED. */
#include "error.h"
#include "launch.h"

static attend_status refuse(void) {
    return attend__fail(ATTEND_UNSUPPORTED, "cache: this version has no key/value cache");
}

attend_status attend_cache_create(attend_context *context, const attend_cache_desc *description,
                                  attend_cache **cache) {
    static const attend__fields fields = {sizeof(attend_cache_desc), NULL, 0};
    attend_status status = attend__context_check(context);
    if (status != ATTEND_OK) return status;
    if (cache == NULL) return attend__fail(ATTEND_NULL_POINTER, "cache: is NULL");
    *cache = NULL;
    attend_cache_desc d;
    status = attend__description_copy("description", &fields, description, &d);
    return status != ATTEND_OK ? status : refuse();
}

/* No cache can exist, so that every pointer is either NULL or not ours: none is followed. */
static attend_status answer(const attend_cache *cache) {
    return cache == NULL ? attend__fail(ATTEND_NULL_POINTER, "cache: is NULL") : refuse();
}

attend_status attend_cache_append(attend_cache *cache, const attend_tensor *k,
                                  const attend_tensor *v, const attend_tensor *counts) {
    (void)k;
    (void)v;
    (void)counts;
    return answer(cache);
}

attend_status attend_cache_append_enqueue(attend_cache *cache, const attend_tensor *k,
                                          const attend_tensor *v, const attend_tensor *counts,
                                          size_t wait_count, attend_event *const *waits,
                                          attend_event **done) {
    (void)wait_count;
    (void)waits;
    if (done != NULL) *done = NULL;
    return attend_cache_append(cache, k, v, counts);
}

attend_status attend_cache_truncate(attend_cache *cache, const attend_tensor *lengths) {
    (void)lengths;
    return answer(cache);
}

void attend_cache_release(attend_cache *cache) {
    (void)cache;
}
