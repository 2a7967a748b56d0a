/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the target fuzz_serving share: the bytes, an arena for what one step uses, and
 * the model of the cache. */
#ifndef ATTEND_TESTS_FUZZ_SERVING_H
#define ATTEND_TESTS_FUZZ_SERVING_H

#include <attend/attend.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FUZZ_BACKENDS = 3,
    FUZZ_BATCH = 3,
    FUZZ_CAPACITY = 300, /* more than one block of keys */
    FUZZ_ROW = 2 * 9,    /* heads of a token times their size */
    FUZZ_ARENA = 1 << 23,
    FUZZ_IMPORTED = 1 << 18
};

/* ---- bytes and memory (fuzz_memory.c) -------------------------------------------------------- */

typedef struct fuzz_source {
    const uint8_t *at, *end;
    uint32_t seed;            /* of values */
    size_t used;              /* of the arena */
    int64_t allocations_left; /* -1: memory never fails */
} fuzz_source;
extern fuzz_source fuzz;
extern attend_context *fuzz_contexts[FUZZ_BACKENDS];
extern unsigned char fuzz_imported[FUZZ_IMPORTED]; /* pages of the application's */
extern attend_buffer *fuzz_page_buffers[FUZZ_BACKENDS];

void fuzz_open(void);
unsigned fuzz_take(unsigned limit);
int64_t fuzz_number(void);
uint32_t fuzz_next(void);
float fuzz_value(void); /* exact in every type, so that only int8 rounds; rarely NaN */

/* Room in the arena, all NaN; a list in it; element i of memory of a type. */
attend_tensor fuzz_room(attend_type type, int32_t rank, const int64_t *sizes);
attend_tensor fuzz_vector(const int64_t *values, int64_t count);
void fuzz_fill(const attend_tensor *t);
int64_t fuzz_count(const attend_tensor *t);
void fuzz_store(void *to, attend_type type, int64_t i, double x);
#define FUZZ_ROOM(type, rank, ...) fuzz_room(type, rank, (const int64_t[]){__VA_ARGS__})

bool fuzz_in_arena(const attend_tensor *t);
attend_tensor fuzz_in_buffer(attend_tensor t, int backend);
/* One member of a view to anything. How far host memory goes is the caller's word, so that a view
 * that leaves the arena becomes a buffer's, or stays as it was. */
void fuzz_spoil(attend_tensor *t, int backend);

/* ---- the model (fuzz_model.c) ---------------------------------------------------------------- */

typedef struct fuzz_model {
    int backend;
    attend_context *context;
    attend_cache *cache;
    attend_cache_desc d;
    int64_t lengths[FUZZ_BATCH], before[FUZZ_BATCH];
    float k[FUZZ_BATCH][FUZZ_CAPACITY][FUZZ_ROW], v[FUZZ_BATCH][FUZZ_CAPACITY][FUZZ_ROW];
    int32_t table[FUZZ_BATCH * FUZZ_CAPACITY];
    attend_event *gate, *last; /* of enqueued appends that have not run */
} fuzz_model;
extern fuzz_model model;

/* Ends the process, with a line that says why. */
void fuzz_wrong(const char *what, attend_status status);
void fuzz_check_refusal(attend_status status);

bool fuzz_own_table(void);
attend_cache_info fuzz_info(void);
/* The cache against the model, bit for bit. */
void fuzz_check_all(void);
/* A key as the cache rotates it. */
void fuzz_rotate(float *x, int64_t size, int64_t position);
/* False: nothing more to do with these bytes. */
bool fuzz_create(void);
/* Lets enqueued appends run. */
void fuzz_open_gate(void);

/* ---- attention over the cache (fuzz_over_cache.c) -------------------------------------------- */

void fuzz_attend(void);

#endif
