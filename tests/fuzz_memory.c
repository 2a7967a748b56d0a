/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_serving.h: what the bytes of a trial become, and memory that is NaN, small, and may fail to
 * be had. */
#include "fuzz_serving.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_ALLOCATION = 1 << 24 };

fuzz_source fuzz = {.allocations_left = -1};
attend_context *fuzz_contexts[FUZZ_BACKENDS];
attend_buffer *fuzz_page_buffers[FUZZ_BACKENDS];
_Alignas(64) unsigned char fuzz_imported[FUZZ_IMPORTED];
static attend_buffer *buffers[FUZZ_BACKENDS]; /* over the arena */
static _Alignas(64) unsigned char arena[FUZZ_ARENA];

/* ---- memory ---------------------------------------------------------------------------------- */

static void *allocate(void *user, size_t bytes, size_t alignment) {
    (void)user;
    if (bytes > LARGEST_ALLOCATION || fuzz.allocations_left == 0) return NULL;
    if (fuzz.allocations_left > 0) fuzz.allocations_left--;
    const size_t rounded = (bytes + alignment) / alignment * alignment;
    void *memory = aligned_alloc(alignment, rounded);
    if (memory != NULL) memset(memory, 0xff, rounded); /* NaN in every floating-point type */
    return memory;
}

static void give_back(void *user, void *memory) {
    (void)user;
    free(memory);
}

void fuzz_open(void) {
    static const char *const names[FUZZ_BACKENDS] = {"cpu", "cpu", "reference"};
    static const attend_allocator allocator = {allocate, give_back, NULL};
    for (int i = 0; i < FUZZ_BACKENDS; i++) {
        attend_options o = attend_options_default();
        o.backend = names[i];
        o.isa = i == 1 ? "scalar" : NULL;
        o.threads = i == 1 ? 1 : 2;
        o.allocator = &allocator;
        if (attend_open(&o, &fuzz_contexts[i]) != ATTEND_OK ||
            attend_buffer_import(fuzz_contexts[i], "host", arena, 0, FUZZ_ARENA, &buffers[i]) !=
                ATTEND_OK ||
            attend_buffer_import(fuzz_contexts[i], "host", fuzz_imported, 0, FUZZ_IMPORTED,
                                 &fuzz_page_buffers[i]) != ATTEND_OK)
            abort();
    }
}

/* ---- bytes ----------------------------------------------------------------------------------- */

unsigned fuzz_take(unsigned limit) {
    return fuzz.at == fuzz.end ? 0 : *fuzz.at++ % limit;
}

int64_t fuzz_number(void) {
    static const int64_t numbers[] = {-1,
                                      INT64_MIN,
                                      INT64_MAX,
                                      -7,
                                      INT64_C(1) << 60,
                                      INT64_C(1) << 31,
                                      INT64_MAX / 2,
                                      INT64_C(1) << 40,
                                      -(INT64_C(1) << 31),
                                      301};
    const unsigned kind = fuzz_take(32);
    return kind < sizeof numbers / sizeof *numbers ? numbers[kind] : (int64_t)kind - 10;
}

uint32_t fuzz_next(void) { /* xorshift32 (Marsaglia 2003) */
    fuzz.seed ^= fuzz.seed << 13;
    fuzz.seed ^= fuzz.seed >> 17;
    fuzz.seed ^= fuzz.seed << 5;
    return fuzz.seed;
}

float fuzz_value(void) {
    const uint32_t r = fuzz_next();
    return r % 1024 == 0 ? NAN : ((float)(r / 1024 % 129) - 64) / 32;
}

void fuzz_store(void *to, attend_type type, int64_t i, double x) {
    const float f = (float)x;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    const uint32_t exponent = bits >> 23 & 255;
    uint32_t half = bits >> 16 & 0x8000;
    if (exponent == 255)
        half |= 0x7e00; /* the values here have no subnormal half */
    else if (exponent != 0)
        half |= (exponent - 112) << 10 | (bits >> 13 & 0x3ff);
    if (type == ATTEND_F32) ((float *)to)[i] = f;
    if (type == ATTEND_F16) ((uint16_t *)to)[i] = (uint16_t)half;
    if (type == ATTEND_BF16) ((uint16_t *)to)[i] = (uint16_t)(bits >> 16);
    if (type == ATTEND_I32) ((int32_t *)to)[i] = (int32_t)x;
    if (type == ATTEND_I64) ((int64_t *)to)[i] = (int64_t)x;
    if (type == ATTEND_BOOL) ((uint8_t *)to)[i] = (uint8_t)x;
}

attend_tensor fuzz_room(attend_type type, int32_t rank, const int64_t *sizes) {
    size_t bytes = attend_type_bytes(type);
    for (int32_t i = 0; i < rank; i++)
        bytes *= (size_t)sizes[i];
    if (bytes > FUZZ_ARENA - fuzz.used) abort();
    const attend_tensor t = attend_tensor_nd(arena + fuzz.used, type, rank, sizes);
    memset(arena + fuzz.used, 0xff, bytes);
    fuzz.used += (bytes + 63) / 64 * 64;
    return t;
}

int64_t fuzz_count(const attend_tensor *t) {
    int64_t count = 1;
    for (int32_t i = 0; i < t->rank; i++)
        count *= t->sizes[i];
    return count;
}

void fuzz_fill(const attend_tensor *t) {
    for (int64_t i = 0; i < fuzz_count(t); i++)
        fuzz_store(t->data, t->type, i,
                   t->type == ATTEND_BOOL ? fuzz_next() % 4 != 0 : fuzz_value());
}

attend_tensor fuzz_vector(const int64_t *values, int64_t count) {
    const attend_tensor t = FUZZ_ROOM(fuzz_take(2) ? ATTEND_I32 : ATTEND_I64, 1, count);
    for (int64_t i = 0; i < count; i++)
        fuzz_store(t.data, t.type, i, (double)values[i]);
    return t;
}

bool fuzz_in_arena(const attend_tensor *t) {
    const unsigned char *const data = t->data;
    return data != NULL && data >= arena && data < arena + FUZZ_ARENA;
}

attend_tensor fuzz_in_buffer(attend_tensor t, int backend) {
    if (!fuzz_in_arena(&t)) return t;
    t.offset = (int64_t)((size_t)((unsigned char *)t.data - arena) / attend_type_bytes(t.type));
    t.data = NULL;
    t.buffer = buffers[backend];
    return t;
}

void fuzz_spoil(attend_tensor *t, int backend) {
    const attend_tensor was = *t;
    const unsigned what = fuzz_take(10), d = fuzz_take(4);
    if (what == 0) t->type = (attend_type)(fuzz_take(11) - 1);
    if (what == 1) t->rank = (int32_t)fuzz_number();
    if (what == 2) t->sizes[d] = fuzz_number();
    if (what == 3) t->strides[d] = fuzz_number();
    if (what == 4) t->offset = fuzz_number();
    if (what == 5) t->data = NULL;
    if (what == 6) memset(t, 0, sizeof *t);
    if (what == 7) t->reserved[0] = fuzz_number();
    if (what == 8) *t = fuzz_in_buffer(*t, backend);
    if (what == 9) {
        t->sizes[0] = fuzz_number();
        t->strides[0] = 0;
    }
    double reach = (double)t->offset + 1;
    for (int32_t i = 0; i < t->rank && i < ATTEND_MAX_RANK; i++)
        if (t->sizes[i] > 0) reach += (double)(t->sizes[i] - 1) * (double)t->strides[i];
    if (t->data != NULL &&
        reach * 8 > (double)(arena + FUZZ_ARENA - (const unsigned char *)t->data))
        *t = t->offset >= 0 && fuzz_take(2) ? fuzz_in_buffer(*t, backend) : was;
    if (t->buffer != NULL && t->offset < 0) *t = was;
}
