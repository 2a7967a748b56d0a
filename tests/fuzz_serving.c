/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer target: bytes become the life of one cache. Beside it stands a model: the tokens of
 * each sample as plain rows. After each step the cache must give back what the model has, bit for
 * bit, attention over it must equal attention over plain tensors, bit for bit, and a refused call
 * must have changed nothing. Memory that no token was put into is NaN; memory may fail to be had.
 */
#include "fuzz_serving.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { MOST_STEPS = 24 };

/* ---- appending ------------------------------------------------------------------------------- */

/* Pages that an application enters before tokens fall into them, and takes out behind the last. */
static void enter_pages(const int64_t *counts) {
    const attend_cache_info info = fuzz_info();
    const int64_t w = model.d.page_table.sizes[1];
    for (int64_t i = 0; i < info.batch * w; i++) {
        const int64_t b = i / w, n = model.lengths[b] + (counts != NULL ? counts[b] : 0);
        /* from the last page down */
        model.table[i] =
            i % w * info.page_size < n ? (int32_t)(info.page_count - 1 - i) : INT32_MIN;
    }
}

/* Marks token `position` of sample b in `map`, of the imported memory. */
static void mark(unsigned char *map, int64_t b, int64_t position) {
    const attend_tensor *const all[] = {&model.d.k, &model.d.v, &model.d.k_scales,
                                        &model.d.v_scales};
    for (int i = 0; i < 4; i++) {
        const attend_tensor *const t = all[i];
        if (t->type == ATTEND_NO_TYPE) continue;
        const size_t each = attend_type_bytes(t->type);
        const int64_t c = t->sizes[2],
                      page = model.table[b * model.d.page_table.sizes[1] + position / c];
        const size_t start =
            t->data != NULL ? (size_t)((unsigned char *)t->data - fuzz_imported) : 0;
        for (int64_t n = 0; n < t->sizes[1] * (t->rank == 4 ? t->sizes[3] : 1); n++) {
            const int64_t g = n % t->sizes[1], e = n / t->sizes[1];
            const int64_t place = t->offset + page * t->strides[0] + g * t->strides[1] +
                                  position % c * t->strides[2] + e * t->strides[3];
            memset(map + start + (size_t)place * each, 1, each);
        }
    }
}

static void check_imported(const unsigned char *before, const int64_t *counts) {
    static unsigned char map[FUZZ_IMPORTED];
    memset(map, 0, sizeof map);
    for (int64_t b = 0; b < model.d.batch && counts != NULL; b++)
        for (int64_t t = model.lengths[b]; t < model.lengths[b] + counts[b]; t++)
            mark(map, b, t);
    for (size_t i = 0; i < FUZZ_IMPORTED; i++)
        if (fuzz_imported[i] != before[i] && !map[i])
            fuzz_wrong("wrote beyond its places", ATTEND_OK);
}

static attend_status append_tensors(const attend_tensor *k, const attend_tensor *v,
                                    const attend_tensor *counts, bool enqueue) {
    if (!enqueue) return attend_cache_append(model.cache, k, v, counts);
    attend_event *done = NULL;
    const bool first = model.gate == NULL;
    if (first && attend_user_event_create(model.context, &model.gate) != ATTEND_OK) abort();
    attend_event *const wait = model.last != NULL ? model.last : model.gate;
    const attend_status status =
        attend_cache_append_enqueue(model.cache, k, v, counts, 1, &wait, &done);
    if ((status == ATTEND_OK) != (done != NULL)) fuzz_wrong("event and status disagree", status);
    if (done != NULL) attend_event_release(model.last);
    if (done != NULL) model.last = done;
    if (model.last == NULL) { /* nothing waits for the gate */
        attend_user_event_complete(model.gate, ATTEND_OK);
        attend_event_release(model.gate);
        model.gate = NULL;
    }
    return status;
}

static void note_tokens(const attend_tensor *k, const attend_tensor *v, const float *x,
                        const float *y, const int64_t *counts, bool packed) {
    int64_t row = 0;
    for (int64_t b = 0; b < model.d.batch; b++) {
        model.before[b] = model.lengths[b];
        for (int64_t i = 0; i < counts[b]; i++, row++) {
            const int64_t n = k->sizes[2], t = model.lengths[b]++;
            for (int64_t g = 0; g < k->sizes[1]; g++) {
                const int64_t from = packed ? g * n + row : (b * k->sizes[1] + g) * n + i;
                memcpy(model.k[b][t] + g * k->sizes[3], x + from * k->sizes[3],
                       (size_t)k->sizes[3] * sizeof *x);
                memcpy(model.v[b][t] + g * v->sizes[3], y + from * v->sizes[3],
                       (size_t)v->sizes[3] * sizeof *y);
                fuzz_rotate(model.k[b][t] + g * k->sizes[3], k->sizes[3], t);
            }
        }
    }
}

static attend_tensor tokens_of(attend_type type, const float *x, int64_t b, int64_t n, int64_t e) {
    const attend_tensor t = FUZZ_ROOM(type, 4, b, model.d.kv_heads, n, e);
    for (int64_t i = 0; i < fuzz_count(&t); i++)
        fuzz_store(t.data, type, i, x[i]);
    return t;
}

/* One append, as it was chosen. */
typedef struct appending {
    int64_t n, counts[FUZZ_BATCH];
    bool all, packed, fits; /* all: without counts; fits: within the capacity */
    bool enqueue, spoilt, starved;
    attend_tensor k, v, list;
    const float *x, *y; /* k and v in float32 */
} appending;

static appending choose_append(void) {
    static float x[1 << 16], y[1 << 16];
    static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};
    static const int64_t most[] = {1, 2, 3, 5, 17, 70, 270, 0};
    appending a = {.all = fuzz_take(4) == 0, .fits = true, .x = x, .y = y};
    a.packed = model.d.batch > 1 && fuzz_take(2) && !a.all;
    a.n = most[fuzz_take(8)];
    int64_t sum = 0;
    for (int64_t b = 0; b < model.d.batch; b++) {
        sum += a.counts[b] = a.all ? a.n : (int64_t)(fuzz_next() % (uint32_t)(a.n + 1));
        a.fits = a.fits && a.counts[b] <= model.d.capacity - model.lengths[b];
    }
    if (a.packed) a.n = sum;
    for (int64_t i = 0; i < FUZZ_BATCH * a.n * FUZZ_ROW; i++) {
        x[i] = fuzz_value();
        y[i] = fuzz_value();
    }
    const attend_type type = types[fuzz_take(3)];
    a.k = tokens_of(type, x, a.packed ? 1 : model.d.batch, a.n, model.d.head_size);
    a.v = tokens_of(type, y, a.packed ? 1 : model.d.batch, a.n, model.d.value_size);
    a.list = fuzz_vector(a.counts, model.d.batch);
    const unsigned how = fuzz_take(16);
    a.enqueue = how % 2 || model.gate != NULL;
    a.spoilt = how >= 14;
    a.starved = how == 2 && !a.enqueue;
    return a;
}

/* What it then meant is not followed: all over again. */
static void start_again(void) {
    fuzz_open_gate();
    if (attend_cache_reset(model.cache) != ATTEND_OK) abort();
    memset(model.lengths, 0, sizeof model.lengths);
    memset(model.before, 0, sizeof model.before);
}

static void check_refused(const appending *a, attend_status status, int64_t free_pages,
                          const unsigned char *pages) {
    fuzz_check_refusal(status);
    const bool host_pages = model.d.k.data != NULL && a->enqueue,
               no_page = fuzz_own_table() && status == ATTEND_OUT_OF_MEMORY;
    if (!a->spoilt && !a->starved && a->fits && !host_pages && !no_page)
        fuzz_wrong("append", status);
    if (fuzz_info().free_pages != free_pages) fuzz_wrong("pages are lost", status);
    if (!fuzz_own_table() && !a->starved) check_imported(pages, NULL);
}

static void append(void) {
    static unsigned char pages[FUZZ_IMPORTED];
    appending a = choose_append();
    if (!fuzz_own_table()) enter_pages(a.fits ? a.counts : NULL);
    if (a.enqueue) {
        a.k = fuzz_in_buffer(a.k, model.backend);
        a.v = fuzz_in_buffer(a.v, model.backend);
    }
    attend_tensor *const three[] = {&a.k, &a.v, &a.list};
    const attend_tensor k = a.k, v = a.v;
    if (a.spoilt) fuzz_spoil(three[fuzz_take(3)], model.backend);
    const int64_t free_pages = fuzz_info().free_pages;
    memcpy(pages, fuzz_imported, sizeof pages);
    fuzz.allocations_left = a.starved ? (int64_t)fuzz_take(8) : -1;
    const attend_status status = append_tensors(&a.k, &a.v, a.all ? NULL : &a.list, a.enqueue);
    fuzz.allocations_left = -1;
    if (status != ATTEND_OK) {
        check_refused(&a, status, free_pages, pages);
        return;
    }
    if (!a.fits && !a.spoilt) fuzz_wrong("append beyond the capacity", status);
    if (a.spoilt) {
        start_again();
        return;
    }
    if (!fuzz_own_table()) { /* its pages are looked at, so that they must be written */
        fuzz_open_gate();
        check_imported(pages, a.counts);
    }
    note_tokens(&k, &v, a.x, a.y, a.counts, a.packed);
    if (model.gate != NULL && fuzz_take(2)) fuzz_open_gate();
}

/* ---- truncating and reordering --------------------------------------------------------------- */

static void note_change(unsigned how, const int64_t *values) {
    static float was_k[FUZZ_BATCH][FUZZ_CAPACITY][FUZZ_ROW];
    static float was_v[FUZZ_BATCH][FUZZ_CAPACITY][FUZZ_ROW];
    memcpy(was_k, model.k, sizeof was_k);
    memcpy(was_v, model.v, sizeof was_v);
    int64_t lengths[FUZZ_BATCH], before[FUZZ_BATCH];
    memcpy(lengths, model.lengths, sizeof lengths);
    memcpy(before, model.before, sizeof before);
    for (int64_t b = 0; b < model.d.batch; b++) {
        const int64_t from = how == 1 ? values[b] : b, n = how == 2 ? 0 : lengths[from];
        model.lengths[b] = how == 0 ? values[b] : n;
        model.before[b] = before[from] < model.lengths[b] ? before[from] : model.lengths[b];
        memcpy(model.k[b], was_k[from], sizeof *model.k);
        memcpy(model.v[b], was_v[from], sizeof *model.v);
    }
}

static void change(unsigned how) {
    int64_t values[FUZZ_BATCH];
    for (int64_t b = 0; b < model.d.batch; b++)
        values[b] = how == 0 ? (int64_t)(fuzz_next() % (uint32_t)(model.lengths[b] + 1))
                             : (int64_t)(fuzz_next() % (uint32_t)model.d.batch);
    attend_tensor list = fuzz_vector(values, model.d.batch);
    const bool spoiled = fuzz_take(8) == 7;
    if (spoiled) fuzz_spoil(&list, model.backend);
    const int64_t free_before = fuzz_info().free_pages;
    attend_status status = how == 2   ? attend_cache_reset(model.cache)
                           : how == 1 ? attend_cache_reorder(model.cache, &list)
                                      : attend_cache_truncate(model.cache, &list);
    if (status != ATTEND_OK) {
        const bool unsupported = how == 1 && !fuzz_own_table();
        if (!spoiled && !unsupported) fuzz_wrong("truncate or reorder", status);
        if (fuzz_info().free_pages != free_before) fuzz_wrong("pages are lost", status);
        fuzz_check_refusal(status);
        return;
    }
    if (spoiled && how < 2) /* a view that could be read after all */
        for (int64_t b = 0; b < model.d.batch; b++)
            values[b] = list.type == ATTEND_I32
                            ? ((int32_t *)list.data)[list.offset + b * list.strides[0]]
                            : ((int64_t *)list.data)[list.offset + b * list.strides[0]];
    note_change(how, values);
    if (how == 2 && fuzz_info().free_pages != (fuzz_own_table() ? fuzz_info().page_count : 0))
        fuzz_wrong("a reset cache has pages", status);
    if (!fuzz_own_table()) enter_pages(NULL);
}

/* A view of part of a sample, perhaps of more than there is. */
static void look(void) {
    fuzz_open_gate();
    fuzz.used = 0;
    attend_cache_view view = attend_cache_view_default();
    const int64_t n = (int64_t)fuzz_take(5);
    view.sample = fuzz_take(8) ? (int64_t)fuzz_take((unsigned)model.d.batch) : fuzz_number();
    view.first = fuzz_take(4) ? (int64_t)fuzz_take(40) : fuzz_number();
    if (fuzz_take(4))
        view.k = FUZZ_ROOM(fuzz_take(4) ? ATTEND_F16 : ATTEND_I8, 3, model.d.kv_heads, n,
                           model.d.head_size);
    if (fuzz_take(4)) view.v = FUZZ_ROOM(ATTEND_F32, 3, model.d.kv_heads, n, model.d.value_size);
    if (view.k.type == ATTEND_I8) view.k_scales = FUZZ_ROOM(ATTEND_F32, 2, model.d.kv_heads, n);
    if (fuzz_take(4) == 3) fuzz_spoil(fuzz_take(2) ? &view.k : &view.v, model.backend);
    const attend_status status = attend_cache_read(model.cache, &view);
    if (status != ATTEND_OK) fuzz_check_refusal(status);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    if (fuzz_contexts[0] == NULL) fuzz_open();
    fuzz.at = bytes;
    fuzz.end = bytes + size;
    if (fuzz_create()) {
        for (int step = 0; step < MOST_STEPS && fuzz.at != fuzz.end; step++) {
            const unsigned what = fuzz_take(16);
            fuzz.used = model.gate != NULL ? fuzz.used : 0;
            if (what < 7)
                append();
            else if (what < 11)
                fuzz_attend();
            else if (what == 15)
                look();
            else if (fuzz.used < FUZZ_ARENA / 2)
                change(what == 11 ? 0 : what < 14 ? 1 : fuzz_take(3));
            if (fuzz.used > FUZZ_ARENA / 2) fuzz_open_gate();
            if (model.gate == NULL) fuzz.used = 0;
            fuzz_check_all();
        }
        fuzz_open_gate();
        fuzz_check_all();
    }
    attend_cache_release(model.cache);
    return 0;
}
