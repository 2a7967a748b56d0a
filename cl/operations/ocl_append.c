/* SPDX-License-Identifier: Apache-2.0
 *
 * Appending to pages: one kernel for k, one for v. */
#include "ocl_operations.h"
#include "ocl_rows.h"
#include "ocl_run.h"

#include <stdio.h>
#include <string.h>

extern const ocl_source attend__ocl_source_append;

enum { GROUP = 64, TOGETHER = 16 };

/* Work-items of one row. */
static bool shares_rows(const attend_device *device) {
    return device->kernels == OCL_CLASS_TILE;
}

/* ---- the layout of a cache ------------------------------------------------------------------- */

enum {
    PAGE = 32,     /* tokens of a page where one block was asked for */
    MOST_PAGE = 64 /* elements of a key would be further apart than caches and TLBs like */
};

/* Element d of 16 keys is one vector then, as in attention's panels. */
void attend__ocl_cache_layout(attend_device *device, const attend_cache_desc *description,
                              attend_cache_layout *layout) {
    (void)device;
    const int64_t page =
        description->page_size == 0 && description->capacity > PAGE ? PAGE : layout->page_size;
    if (page % 16 != 0 || page > MOST_PAGE) return;
    const int64_t key = page * description->head_size;
    const int64_t value_size =
        description->value_size > 0 ? description->value_size : description->head_size;
    const int64_t value = page * value_size, heads = description->kv_heads;
    const int64_t k[4] = {heads * key, key, 1, page};
    const int64_t v[4] = {heads * value, value, value_size, 1};
    layout->page_size = page;
    memcpy(layout->k_strides, k, sizeof k);
    memcpy(layout->v_strides, v, sizeof v);
}

/* ---- appending ------------------------------------------------------------------------------- */

/* The small arrays and tables of a call. */
typedef struct append_run {
    ocl_run *run;
    const attend_append *d;
    append_arguments a;
    cl_mem counts, starts, table;
} append_run;

static cl_mem take_small(ocl_run *run, const attend_tensor *t, i64 *at, i64 *strides) {
    attend_tensor packed;
    const ocl_memory memory = attend__ocl_small(run, t, &packed);
    *at = memory.offset;
    for (int32_t i = 0; i < t->rank; i++)
        strides[i] = packed.strides[i];
    return memory.memory;
}

static void start(append_run *r, ocl_run *run, const attend_append *d) {
    append_arguments *const a = &r->a;
    *r = (append_run){.run = run, .d = d};
    a->packed = attend__ocl_given(&d->cu_counts);
    const attend_tensor *const counts = a->packed ? &d->cu_counts : &d->counts;
    r->counts = take_small(run, counts, &a->counts_at, &a->counts_stride);
    r->starts = take_small(run, &d->starts, &a->starts_at, &a->starts_stride);
    r->table = take_small(run, &d->page_table, &a->table_at, a->table_strides);
    attend__ocl_small_flush(run);
    a->counts_type = (i32)counts->type;
    a->starts_type = (i32)d->starts.type;
    a->entries = attend__ocl_given(&d->page_table) ? d->page_table.sizes[1] : 1;
    a->page_count = d->k_pages.sizes[0];
    a->page_size = d->k_pages.sizes[2];
    a->samples = (i32)d->starts.sizes[0];
    a->heads = (i32)d->k.sizes[1];
    a->rows = (i32)d->k.sizes[2];
    a->interleaved = d->interleaved != 0;
}

static void enqueue(ocl_launch *launch, const append_arguments *a) {
    const bool shared = shares_rows(launch->run->device);
    const size_t local[3] = {shared ? GROUP : 1, shared ? 1 : TOGETHER, 1};
    const size_t rows = ((size_t)a->rows + local[1] - 1) / local[1];
    const size_t groups[3] = {1, rows < OCL_MOST_GROUPS ? rows : OCL_MOST_GROUPS,
                              (size_t)(a->packed ? 1 : a->samples) * (size_t)a->heads};
    attend__ocl_enqueue(launch, groups, local);
}

/* `turned`: the tables of d are used. */
static void append_one(const append_run *r, const attend_tensor *x, const attend_tensor *pages,
                       const attend_tensor *scales, bool turned) {
    ocl_run *const run = r->run;
    const attend_append *const d = r->d;
    const attend_tensor none = {0}, *const cosines = turned ? &d->rope_cos : &none,
                        *const sines = turned ? &d->rope_sin : &none;
    const ocl_memory from = attend__ocl_input(run, x), to = attend__ocl_output(run, pages);
    const ocl_memory cos_table = attend__ocl_input(run, cosines);
    const ocl_memory sin_table = attend__ocl_input(run, sines);
    const ocl_memory factors = attend__ocl_output(run, scales);
    append_arguments a = r->a;
    a.x_at = from.offset;
    a.to_at = to.offset;
    a.scales_at = factors.offset;
    a.cos_at = cos_table.offset;
    a.sin_at = sin_table.offset;
    a.x_type = (i32)x->type;
    a.to_type = (i32)pages->type;
    a.columns = (i32)x->sizes[3];
    attend__ocl_strides(a.x_strides, x, 4);
    attend__ocl_strides(a.to_strides, pages, 4);
    attend__ocl_strides(a.scale_strides, scales, 3);
    attend__ocl_strides(a.cos_strides, cosines, 2);
    attend__ocl_strides(a.sin_strides, sines, 2);
    if (turned) {
        a.pairs = (i32)((d->rotary_dim > 0 ? d->rotary_dim : x->sizes[3]) / 2);
        a.positions = cosines->sizes[0];
    }
    ocl_launch launch = attend__ocl_begin(run, 0);
    attend__ocl_memory(&launch, from.memory);
    attend__ocl_memory(&launch, cos_table.memory);
    attend__ocl_memory(&launch, sin_table.memory);
    attend__ocl_memory(&launch, r->counts);
    attend__ocl_memory(&launch, r->starts);
    attend__ocl_memory(&launch, r->table);
    attend__ocl_memory(&launch, to.memory);
    attend__ocl_memory(&launch, factors.memory);
    attend__ocl_value(&launch, &a, sizeof a);
    enqueue(&launch, &a);
}

static void record(ocl_run *run, const void *description) {
    const attend_append *const d = description;
    append_run r;
    start(&r, run, d);
    append_one(&r, &d->k, &d->k_pages, &d->k_scales, attend__ocl_given(&d->rope_cos));
    append_one(&r, &d->v, &d->v_pages, &d->v_scales, false);
}

/* Counts, starts and a page table. */
static size_t small_bytes(const attend_append *largest) {
    const size_t samples = (size_t)largest->starts.sizes[0];
    size_t bytes = (2 * samples + 1) * sizeof(i64) + (size_t)3 * 16;
    if (attend__ocl_given(&largest->page_table))
        bytes += samples * (size_t)largest->page_table.sizes[1] * sizeof(i32);
    return bytes;
}

/* The kernel counts planes and the rows of one apart, and a plan has as many rows as the pages
 * hold: their product may be larger than what other operations take. */
static attend_status sizes_fit(const attend_device *device, const char *name,
                               const attend_tensor *x) {
    attend_tensor planes = *x, plane = *x;
    planes.sizes[2] = plane.sizes[0] = plane.sizes[1] = 1;
    const attend_status status = attend__ocl_rows_fit(device, name, &planes);
    return status == ATTEND_OK ? attend__ocl_rows_fit(device, name, &plane) : status;
}

attend_status attend__ocl_plan_append(attend_device *device, const attend_append *largest,
                                      attend_plan_info *info, attend_device_plan **plan) {
    attend_status status = sizes_fit(device, "k", &largest->k);
    if (status == ATTEND_OK) status = sizes_fit(device, "v", &largest->v);
    if (status != ATTEND_OK) return status;
    attend_device_plan *const p = attend__ocl_plan_new(device, ATTEND_OP_APPEND, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    p->record = record;
    p->small_bytes = small_bytes(largest);
    (void)attend__ocl_plan_kernel(device, p, &attend__ocl_source_append,
                                  shares_rows(device) ? "-DLANES=1 -DGROUP=64" : "-DLANES=16",
                                  "append", shares_rows(device) ? GROUP : OCL_ANY_GROUP, &status);
    (void)snprintf(info->kernel, sizeof info->kernel, "append__opencl_%s",
                   attend__ocl_class_text(device->kernels));
    return attend__ocl_plan_made(device, p, status, plan);
}
