/* SPDX-License-Identifier: Apache-2.0
 *
 * attend-kernels: the single kernels of the backend cpu as a worker (protocol.md), for every
 * instruction set that this machine has and ATTEND_ISA allows. Measure them with
 *
 *     attend bench --op kernel --backend none --peer attend-kernels --threads 1,2
 *
 * Kernels of an instruction set run on one thread and are offered to one thread only, so that their
 * share of the peak is that of one thread. A case is checked against double precision when it is
 * prepared; `attend-kernels --check` does that alone, for all of them. */
#include "kernels.h"

#include "base/environment.h"
#include "base/memory.h"
#include "base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const attend__cpu_kernels *const tables[] = {
#define ATTEND_X(isa, needs) &attend__cpu_kernels_##isa,
#include "cpu_kernels.inc"
#undef ATTEND_X
};
static const kernel_kind *const kinds[] = {kernel_kinds_lanes, kernel_kinds_attention,
                                           kernel_kinds_stages, kernel_kinds_calls};
enum {
    TABLE_COUNT = sizeof tables / sizeof tables[0],
    KIND_LISTS = sizeof kinds / sizeof kinds[0],
    MEMORY_ALIGNMENT = 64
};
static const double FAR_OFF = 1e30; /* of an error that is no number, or has no bound */

typedef struct party {
    attend_context *context;
    int32_t threads;
} party;

/* ---- for the kinds ---- */

float *kernel_memory(kernel_work *w, int64_t floats) {
    float *const memory =
        w->block_count < KERNEL_BLOCKS
            ? attend__aligned_allocate((size_t)floats * sizeof(float), MEMORY_ALIGNMENT)
            : NULL;
    if (!memory) {
        w->no_memory = true;
        return NULL;
    }
    memset(memory, 0, (size_t)floats * sizeof(float));
    w->block[w->block_count++] = memory;
    return memory;
}

/* Multiples of the golden ratio: no two neighbours alike, no part of the range left out. */
void kernel_fill(float *x, int64_t count, float low, float high) {
    for (int64_t i = 0; x && i < count; ++i) {
        const uint32_t bits = (uint32_t)(i + 1) * 0x9E3779B9u;
        x[i] = low + (high - low) * ((float)(bits >> 8) * 0x1p-24f);
    }
}

void kernel_compare(kernel_work *w, double got, double expected, double bound) {
    const double error = got == expected ? 0 : fabs(got - expected);
    const double ratio = error == 0 ? 0 : bound > 0 ? error / bound : FAR_OFF;
    w->max_error = fmax(w->max_error, error < FAR_OFF ? error : FAR_OFF);
    w->error_ratio = fmax(w->error_ratio, ratio < FAR_OFF ? ratio : FAR_OFF);
}

/* ---- cases ---- */

/* Not above the set that ATTEND_ISA names, as the library has it. */
static bool usable(int table) {
    const char *const isa = attend__environment_get("ATTEND_ISA");
    const attend__cpu_kernels *const best = attend__cpu_select(isa);
    for (int i = 0; i < table; ++i)
        if (tables[i] == best) return attend__cpu_select(tables[table]->isa) == tables[table];
    return tables[table] == best;
}

typedef struct kernel_case {
    const kernel_kind *kind;
    const attend__cpu_kernels *kernels;
    int64_t size;
    char name[BENCH_NAME];
} kernel_case;

static kernel_case name_case(const kernel_kind *kind, const attend__cpu_kernels *kernels,
                             int64_t size) {
    kernel_case c = {.kind = kind, .kernels = kernels, .size = size};
    char number[24] = "";
    if (size) snprintf(number, sizeof number, "-%lld", (long long)size);
    snprintf(c.name, sizeof c.name, "%s%s%s%s", kind->stem, number, kernels ? "-" : "",
             kernels ? kernels->isa : "");
    return c;
}

/* Calls take(user, case) for the cases of one kind until it returns false. */
static bool each_size(const kernel_kind *kind, const attend__cpu_kernels *kernels,
                      bool (*take)(void *user, const kernel_case *c), void *user) {
    for (int i = 0; i == 0 || (i < KERNEL_SIZES && kind->sizes[i]); ++i) {
        const kernel_case c = name_case(kind, kernels, kind->sizes[i]);
        if (!take(user, &c)) return false;
    }
    return true;
}

static bool each_table(const kernel_kind *kind, bool (*take)(void *user, const kernel_case *c),
                       void *user) {
    if (!kind->each_isa) return each_size(kind, NULL, take, user);
    for (int i = 0; i < TABLE_COUNT; ++i)
        if (usable(i) && !each_size(kind, tables[i], take, user)) return false;
    return true;
}

static void each_case(bool (*take)(void *user, const kernel_case *c), void *user) {
    for (int list = 0; list < KIND_LISTS; ++list)
        for (const kernel_kind *kind = kinds[list]; kind->stem; ++kind)
            if (!each_table(kind, take, user)) return;
}

/* ---- the worker ---- */

static bool open_context(party *p, int32_t threads, char *reason) {
    attend_options options = attend_options_default();
    options.backend = "cpu";
    options.threads = p->threads = threads;
    if (attend_open(&options, &p->context) == ATTEND_OK) return true;
    snprintf(reason, WORKER_TEXT, "%s", attend_error_text());
    return false;
}

static bool offered(const kernel_case *c, int32_t threads) {
    return threads == 1 || !c->kernels;
}

typedef struct offer {
    json_t *list;
    int32_t threads;
} offer;

static bool list_case(void *user, const kernel_case *c) {
    const offer *const o = user;
    if (offered(c, o->threads))
        json_array_append_new(o->list, json_pack("{s:s, s:s}", "name", c->name, "dtype", "f32"));
    return true;
}

static json_t *hello(void *state, int32_t threads, char *reason) {
    party *const p = state;
    if (p->context) {
        snprintf(reason, WORKER_TEXT, "hello comes once");
        return NULL;
    }
    if (!open_context(p, threads, reason)) return NULL;
    char version[32];
    const unsigned v = (unsigned)attend_version();
    snprintf(version, sizeof version, "%u.%u.%u", v / 10000, v / 100 % 100, v % 100);
    offer o = {json_array(), threads};
    each_case(list_case, &o);
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "name", "attend-kernels", "version", version,
                     "device", "cpu", "settings",
                     "inputs in the caches; kernels with one thread only", "cases", o.list);
}

static void release(void *state) {
    kernel_work *const w = state;
    attend__thread_pool_release(w->pool);
    for (int32_t i = 0; i < w->block_count; ++i)
        attend__aligned_free(w->block[i]);
    free(w);
}

static worker_verdict start(const party *p, const kernel_case *c, worker_call *call, char *reason) {
    kernel_work *const w = calloc(1, sizeof *w);
    if (w) {
        w->kernels = c->kernels;
        w->context = p->context;
        w->size = c->size;
        w->threads = p->threads;
        c->kind->make(w);
    }
    const bool memory = w && !w->no_memory;
    if (!memory) snprintf(reason, WORKER_TEXT, "out of memory");
    if (!memory || !c->kind->run(w, reason)) {
        if (w) release(w);
        return WORKER_ERROR;
    }
    c->kind->check(w);
    *call = (worker_call){.state = w,
                          .run = c->kind->run,
                          .release = release,
                          .kernel = c->kernels ? c->kernels->isa : NULL,
                          .flops = w->flops,
                          .bytes = w->bytes,
                          .max_error = w->max_error,
                          .error_ratio = w->error_ratio};
    return WORKER_OK;
}

typedef struct wish {
    const char *name;
    kernel_case found;
} wish;

static bool match(void *user, const kernel_case *c) {
    wish *const w = user;
    if (strcmp(w->name, c->name) != 0) return true;
    w->found = *c;
    return false;
}

static worker_verdict prepare(void *state, const bench_case *c, worker_call *call, char *reason) {
    const party *const p = state;
    wish w = {.name = c->name};
    if (!p->context) {
        snprintf(reason, WORKER_TEXT, "hello comes first");
        return WORKER_ERROR;
    }
    if (c->op == BENCH_KERNEL && c->type == ATTEND_F32) each_case(match, &w);
    if (w.found.kind && offered(&w.found, p->threads)) return start(p, &w.found, call, reason);
    if (w.found.kind)
        snprintf(reason, WORKER_TEXT, "%s runs on one thread: ask with one", c->name);
    else
        snprintf(reason, WORKER_TEXT, "no kernel in float32 is called %s", c->name);
    return WORKER_UNSUPPORTED;
}

/* ---- --check ---- */

typedef struct checker {
    party p;
    int wrong;
} checker;

static bool check_case(void *user, const kernel_case *c) {
    checker *const all = user;
    char reason[WORKER_TEXT] = "";
    worker_call call;
    memset(&call, 0, sizeof call);
    if (start(&all->p, c, &call, reason) != WORKER_OK) {
        printf("FAIL  %s: %s\n", c->name, reason);
        all->wrong++;
        return true;
    }
    const bool right = call.error_ratio <= 1;
    printf("%s  %-24s error %.3g, %.3g of its bound\n", right ? "ok  " : "FAIL", c->name,
           call.max_error, call.error_ratio);
    if (!right) all->wrong++;
    call.release(call.state);
    return true;
}

static int check_all(void) {
    checker all = {.wrong = 0};
    char reason[WORKER_TEXT] = "";
    if (!open_context(&all.p, attend__processor_count(), reason)) {
        fprintf(stderr, "attend-kernels: %s\n", reason);
        return 1;
    }
    each_case(check_case, &all);
    attend_close(all.p.context);
    return all.wrong || fflush(stdout) == EOF;
}

int main(int argc, char **argv) {
    party p = {.threads = 0};
    const worker_party served = {.state = &p, .hello = hello, .prepare = prepare};
    if (argc == 2 && !strcmp(argv[1], "--check")) return check_all();
    if (argc > 1) {
        fprintf(stderr,
                "usage: attend-kernels [--check]; without it a worker (bench/protocol.md)\n");
        return 2;
    }
    const int status = serve_worker(&served);
    attend_close(p.context);
    return status;
}
