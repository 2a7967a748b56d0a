/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_serving.h: a cache, and beside it the tokens of each sample as plain rows, that is what it
 * must give back. */
#include "fuzz_serving.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fuzz_model model;

/* ---- the cache and its model ----------------------------------------------------------------- */

void fuzz_wrong(const char *what, attend_status status) {
    fprintf(stderr, "backend %d: %s (%s: %s)\n", model.backend, what, attend_status_name(status),
            attend_error_text());
    abort();
}

void fuzz_check_refusal(attend_status status) {
    if (status == ATTEND_OK || status == ATTEND_INTERNAL) fuzz_wrong("not refused", status);
    if (*attend_error_text() == '\0') fuzz_wrong("no sentence", status);
}

attend_cache_info fuzz_info(void) {
    attend_cache_info info = {.size = sizeof info};
    const attend_status status = attend_cache_get_info(model.cache, &info);
    if (status != ATTEND_OK) fuzz_wrong("no info", status);
    return info;
}

bool fuzz_own_table(void) {
    return model.d.page_table.type == ATTEND_NO_TYPE;
}

static void check_counts(void) {
    const attend_cache_info info = fuzz_info();
    int64_t longest = 0, sum = 0, most = 0;
    for (int64_t b = 0; b < model.d.batch; b++) {
        const int64_t n = model.lengths[b], pages = (n + info.page_size - 1) / info.page_size;
        if (attend_cache_length(model.cache, b) != n) fuzz_wrong("a sample's length", ATTEND_OK);
        longest = n > longest ? n : longest;
        most = pages > most ? pages : most;
        sum += pages;
    }
    if (info.longest != longest) fuzz_wrong("the longest length", ATTEND_OK);
    if (!fuzz_own_table()) return;
    if (info.free_pages > info.page_count - most || info.free_pages < info.page_count - sum)
        fuzz_wrong("free pages", ATTEND_OK);
}

static bool same(float x, float y) {
    return x == y || (isnan(x) && isnan(y));
}

/* One head of a token: what the cache must hold of `x`. */
static void check_head(const float *x, const float *read, const int8_t *raw, float scale,
                       int64_t size) {
    float amax = 0, want = 0;
    bool finite = true;
    for (int64_t e = 0; e < size; e++) {
        finite = finite && isfinite(x[e]);
        amax = fabsf(x[e]) > amax ? fabsf(x[e]) : amax;
    }
    want = !finite ? NAN : amax / 127.0f;
    if (model.d.type == ATTEND_I8 && !same(scale, want)) fuzz_wrong("a scale", ATTEND_OK);
    for (int64_t e = 0; e < size; e++) {
        if (model.d.type != ATTEND_I8) {
            if (!same(read[e], x[e])) fuzz_wrong("an element", ATTEND_OK);
            continue;
        }
        const float q = !finite || want == 0 ? 0 : nearbyintf(x[e] / want);
        if ((float)raw[e] != q) fuzz_wrong("an int8 element", ATTEND_OK);
        if (!same(read[e], q * want)) fuzz_wrong("an int8 element, multiplied out", ATTEND_OK);
    }
}

static void check_sample(int64_t b) {
    const int64_t n = model.lengths[b], g = model.d.kv_heads,
                  sizes[] = {model.d.head_size, model.d.value_size};
    attend_tensor plain[2], raw[2] = {{0}}, scales[2] = {{0}};
    for (int i = 0; i < 2; i++) {
        plain[i] = FUZZ_ROOM(ATTEND_F32, 3, g, n, sizes[i]);
        if (model.d.type != ATTEND_I8) continue;
        raw[i] = FUZZ_ROOM(ATTEND_I8, 3, g, n, sizes[i]);
        scales[i] = FUZZ_ROOM(ATTEND_F32, 2, g, n);
    }
    attend_cache_view view = attend_cache_view_default();
    view.sample = b;
    view.k = plain[0];
    view.v = plain[1];
    attend_status status = attend_cache_read(model.cache, &view);
    view.k = raw[0];
    view.v = raw[1];
    view.k_scales = scales[0];
    view.v_scales = scales[1];
    if (status == ATTEND_OK && model.d.type == ATTEND_I8)
        status = attend_cache_read(model.cache, &view);
    if (status != ATTEND_OK) fuzz_wrong("could not be read", status);
    for (int64_t i = 0; i < 2 * g * n; i++) {
        const int64_t w = i % 2, h = i / 2 % g, t = i / 2 / g, head = h * n + t;
        check_head((w ? model.v : model.k)[b][t] + h * sizes[w],
                   (float *)plain[w].data + head * sizes[w],
                   raw[w].data ? (int8_t *)raw[w].data + head * sizes[w] : NULL,
                   scales[w].data ? ((float *)scales[w].data)[head] : 1, sizes[w]);
    }
}

void fuzz_open_gate(void) {
    if (model.gate == NULL) return;
    attend_status status = attend_user_event_complete(model.gate, ATTEND_OK);
    if (status == ATTEND_OK) status = attend_event_wait(model.last, -1);
    if (status != ATTEND_OK) fuzz_wrong("enqueued appends failed", status);
    attend_event_release(model.gate);
    attend_event_release(model.last);
    model.gate = model.last = NULL;
}

void fuzz_check_all(void) {
    check_counts();
    if (model.gate != NULL) return;
    for (int64_t b = 0; b < model.d.batch; b++) {
        fuzz.used = 0;
        check_sample(b);
    }
}

/* Quarter turns, so that rotated keys are exact too. */
void fuzz_rotate(float *x, int64_t size, int64_t position) {
    static const float cosine[] = {1, 0, -1, 0}, sine[] = {0, 1, 0, -1};
    const int64_t n = model.d.rope_dim != 0 ? model.d.rope_dim : size;
    for (int64_t i = 0; i < n / 2 && model.d.rope_cos.type != ATTEND_NO_TYPE; i++) {
        const int64_t one = model.d.rope_interleaved ? 2 * i : i,
                      other = model.d.rope_interleaved ? one + 1 : i + n / 2;
        const float c = cosine[(position + i) % 4], s = sine[(position + i) % 4], a = x[one],
                    b = x[other];
        x[one] = c * a - s * b;
        x[other] = s * a + c * b;
    }
}

/* ---- creating -------------------------------------------------------------------------------- */

/* Pages of the application's, in one of three orders, from byte `from` of the imported memory on.
 */
static attend_tensor pages_of(attend_type type, const int64_t sizes[4], int32_t rank, size_t *from,
                              bool buffer) {
    static const int orders[3][4] = {{0, 1, 2, 3}, {0, 2, 1, 3}, {1, 2, 0, 3}};
    const int *const order = orders[fuzz_take(3)];
    attend_tensor t = attend_tensor_nd(fuzz_imported + *from, type, rank, sizes);
    int64_t stride = 1;
    for (int i = 3; i >= 0; i--) {
        if (order[i] >= rank) continue;
        t.strides[order[i]] = stride;
        stride *= sizes[order[i]];
    }
    if (buffer) {
        t.data = NULL;
        t.buffer = fuzz_page_buffers[model.backend];
        t.offset = (int64_t)(*from / attend_type_bytes(type));
    }
    *from += ((size_t)stride * attend_type_bytes(type) + 63) / 64 * 64;
    return t;
}

static void import_pages(attend_cache_desc *d) {
    const unsigned how = fuzz_take(8);
    const int64_t c = d->page_size != 0 ? d->page_size : d->capacity, w = (d->capacity + c - 1) / c,
                  p = d->batch * w + (d->page_size != 0 ? 2 : 0);
    const int64_t e = d->value_size, row = d->kv_heads * (d->head_size + e + 2) * 4;
    if (how < 4 || p * c * row + 4 * 64 > FUZZ_IMPORTED) return;
    size_t from = 0;
    memset(fuzz_imported, 0xff, sizeof fuzz_imported);
    d->k = pages_of(d->type, (int64_t[]){p, d->kv_heads, c, d->head_size}, 4, &from, how % 2);
    d->v = pages_of(d->type, (int64_t[]){p, d->kv_heads, c, e}, 4, &from, how % 2);
    if (d->type == ATTEND_I8) {
        d->k_scales = pages_of(ATTEND_F32, (int64_t[]){p, d->kv_heads, c, 0}, 3, &from, how % 2);
        d->v_scales = pages_of(ATTEND_F32, (int64_t[]){p, d->kv_heads, c, 0}, 3, &from, how % 2);
    }
    if (how < 6) return;
    for (int64_t i = 0; i < d->batch * w; i++)
        model.table[i] = INT32_MIN;
    d->page_table = attend_tensor_2d(model.table, ATTEND_I32, d->batch, w);
}

static void describe_rope(attend_cache_desc *d) {
    if (d->head_size < 2 || fuzz_take(2) == 0) return;
    d->rope_dim = d->head_size % 2 || fuzz_take(2) ? 2 : 0;
    d->rope_interleaved = (int32_t)fuzz_take(2);
    const int64_t n = (d->rope_dim != 0 ? d->rope_dim : d->head_size) / 2;
    d->rope_cos = FUZZ_ROOM(ATTEND_F32, 2, d->capacity, n);
    d->rope_sin = FUZZ_ROOM(ATTEND_F32, 2, d->capacity, n);
    for (int64_t i = 0; i < d->capacity * n; i++) {
        static const float cosine[] = {1, 0, -1, 0};
        ((float *)d->rope_cos.data)[i] = cosine[(i / n + i % n) % 4];
        ((float *)d->rope_sin.data)[i] = cosine[(i / n + i % n + 3) % 4];
    }
}

static void spoil_description(attend_cache_desc *d) {
    attend_tensor *const tensors[] = {&d->rope_cos, &d->rope_sin, &d->k,          &d->v,
                                      &d->k_scales, &d->v_scales, &d->page_table, &d->lengths};
    int64_t *const numbers[] = {&d->batch,    &d->kv_heads,  &d->head_size,  &d->value_size,
                                &d->capacity, &d->page_size, &d->page_count, &d->rope_dim};
    const unsigned which = fuzz_take(17);
    if (which < 8) *numbers[which] = fuzz_number();
    if (which < 8 && fuzz_take(2)) *numbers[fuzz_take(8)] = fuzz_number();
    if (which == 16) d->type = (attend_type)(fuzz_take(11) - 1);
    if (which < 8 || which == 16) return;
    attend_tensor *const t = tensors[which - 8];
    /* pages must stay within what was imported: only buffers say where they end */
    if (t->buffer != NULL || fuzz_in_arena(t))
        fuzz_spoil(t, model.backend);
    else if (fuzz_take(2))
        memset(t, 0, sizeof *t);
    else
        *t = fuzz_vector((int64_t[]){1, 0, 1}, 1 + fuzz_take(3));
}

bool fuzz_create(void) {
    static const int64_t sizes[] = {1, 2, 4, 5, 8, 9}, capacities[] = {1, 2, 3, 7, 16, 40, 300},
                         tokens[] = {0, 1, 2, 3, 16, 64, 300};
    static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16, ATTEND_I8};
    memset(&model, 0, sizeof model);
    model.backend = (int)fuzz_take(FUZZ_BACKENDS);
    model.context = fuzz_contexts[model.backend];
    fuzz.seed = 1 + fuzz_take(255);
    fuzz.used = 0;
    attend_cache_desc *const d = &model.d;
    *d = attend_cache_desc_default();
    d->batch = 1 + fuzz_take(FUZZ_BATCH);
    d->kv_heads = 1 + fuzz_take(2);
    d->head_size = sizes[fuzz_take(6)];
    d->value_size = sizes[fuzz_take(6)];
    d->capacity = capacities[fuzz_take(7)];
    d->page_size = tokens[fuzz_take(7)];
    d->type = types[fuzz_take(4)];
    describe_rope(d);
    import_pages(d);
    if (d->page_size != 0 && d->k.type == ATTEND_NO_TYPE && fuzz_take(3) == 2)
        d->page_count = 1 + fuzz_take(40);
    const bool spoiled = fuzz_take(8) == 7;
    if (spoiled) spoil_description(d);
    if (spoiled && fuzz_take(4) == 3) spoil_description(d);
    fuzz.allocations_left = fuzz_take(16) == 15 ? (int64_t)fuzz_take(12) : -1;
    const attend_status status = attend_cache_create(model.context, d, &model.cache);
    const bool may_fail = spoiled || fuzz.allocations_left >= 0;
    fuzz.allocations_left = -1;
    if ((status == ATTEND_OK) != (model.cache != NULL))
        fuzz_wrong("cache and status disagree", status);
    if (status != ATTEND_OK && !may_fail) fuzz_wrong("was not created", status);
    if (status != ATTEND_OK) fuzz_check_refusal(status);
    return status == ATTEND_OK && !spoiled;
}
