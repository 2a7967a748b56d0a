/* SPDX-License-Identifier: Apache-2.0
 *
 * out = activation(x W^T + bias) * multiplier + residual. Heads are split and merged by the strides
 * of x and out. Rows give the same bits however many there are: project.h says how. */
#include "ocl_matrix.h"
#include "ocl_operations.h"
#include "ocl_rows.h"
#include "ocl_tuning.h"
#include "ocl_weights.h"

#include <stdio.h>

extern const ocl_source attend__ocl_source_project, attend__ocl_source_project_tile,
    attend__ocl_source_project_thin, attend__ocl_source_project_matrix,
    attend__ocl_source_project_matrix_thin;

/* Of the kernels, see there. THIN_MOST: beyond, a product is not bound by reading the weights. */
enum {
    ROWS_BLOCK = 8,
    TILE_COLUMNS = 64, /* or half of them, in groups of as many again */
    TILE_ROWS = 64,
    WIDE_ROWS = 128, /* of a tile whose work-items do 8 columns */
    WIDE_KEPT = 40,  /* totals of each of its work-items that are in local memory */
    WIDE_GROUPS =
        2, /* of a compute unit, with less of which smaller tiles fill the device better */
    TILE_SLICE = 16,
    THIN_ROWS = 4,
    THIN_PITCH = PARTIAL + 4,
    THIN_MOST = 8,
    GROUP = 64,
    MATRIX_TILE = 64,
    MATRIX_THIN_ROWS = 16,
    MATRIX_WORDS = 2 * (64 * 20 + 16 * 72), /* of local memory; without the emulation's */
    MATRIX_THIN_WORDS = 16 * 132 + 128 * 40,
    GROUPS_PER_UNIT = 4 /* work-groups of a CPU's processors: late ones leave some to the others */
};

/* project_tile: of a work-group, which has twice as many work-items as columns. */
typedef struct project_tile {
    int kernel; /* < 0: none */
    int rows, columns;
} project_tile;

typedef struct project_plan {
    attend_device_plan plan;
    int pack, product, thin; /* kernels; thin only where local memory is real */
    attend_type x_type, weights_type;
    int vectors, most_rows;  /* of a work-item: 16 columns each; at most */
    project_tile tile, wide; /* a run takes the wide one where it fills the device */
    int tile_rows;           /* of the only one; 0: of any */
    bool fixed;              /* the tuner's candidate: these tiles or none */
    ocl_matrix_use matrix;   /* the unit that does it, whatever the number of rows */
} project_plan;

static int64_t parts(int64_t size, int64_t part) {
    return (size + part - 1) / part;
}

static int64_t thin_columns(attend_type type) {
    return type == ATTEND_F32 ? 8 : 16;
}

/* Rows of a work-item: as many as leave every processor some work. */
static i32 rows_at_once(const attend_device *device, const project_plan *p,
                        const project_arguments *a) {
    if (device->kernels != OCL_CLASS_ROWS) return p->most_rows;
    const int64_t wanted = (int64_t)device->shared->facts.compute_units * GROUPS_PER_UNIT;
    const int64_t across = parts(a->columns, 16 * p->vectors);
    i32 rows = p->most_rows;
    while (rows > ROWS_BLOCK && across * parts(a->rows, rows) < wanted)
        rows /= 2;
    return rows;
}

/* The product's kernels are those of work-groups with local memory. */
static bool has_groups(const attend_device *device, const project_plan *p) {
    return device->kernels == OCL_CLASS_TILE || p->matrix.shape;
}

static bool is_thin(const attend_device *device, const project_plan *p, i32 rows) {
    if (!has_groups(device, p)) return false;
    return rows <= (p->matrix.shape ? MATRIX_THIN_ROWS : THIN_MOST);
}

/* Local memory of the kernels, as they say. */
static size_t tile_bytes(const project_tile *t) {
    const int wide = t->rows / TILE_ROWS, items = 2 * t->columns;
    const int floats =
        2 * (TILE_SLICE / wide) * (t->rows + t->columns) + (wide > 1 ? WIDE_KEPT * items : 0);
    return (size_t)floats * sizeof(cl_float);
}

static size_t thin_bytes(const project_plan *p) {
    const int64_t pitch = GROUP / thin_columns(p->weights_type) * THIN_PITCH;
    return (size_t)(THIN_ROWS * (pitch + GROUP)) * sizeof(cl_float);
}

static size_t matrix_bytes(const project_plan *p, bool thin) {
    return (thin ? MATRIX_THIN_WORDS : MATRIX_WORDS) * sizeof(cl_uint) + p->matrix.exchange_bytes;
}

static bool is_wide(const attend_device *device, const project_tile *wide, int64_t rows,
                    int64_t columns) {
    return rows > TILE_ROWS && parts(rows, wide->rows) * parts(columns, wide->columns) >=
                                   (int64_t)WIDE_GROUPS * device->shared->facts.compute_units;
}

static const project_tile *tile_of(const attend_device *device, const project_plan *p,
                                   const project_arguments *a) {
    if (p->wide.kernel < 0) return &p->tile;
    if (p->tile.kernel < 0) return &p->wide;
    return is_wide(device, &p->wide, a->rows, a->columns) ? &p->wide : &p->tile;
}

/* How a product is run. */
typedef struct project_run {
    int kernel;
    size_t local_bytes; /* 0: takes none */
    ocl_grid grid;
} project_run;

static project_run groups_of(int kernel, const project_arguments *a, int64_t rows, int64_t columns,
                             size_t items, size_t local_bytes) {
    return (project_run){
        kernel,
        local_bytes,
        {{(size_t)parts(a->columns, columns), (size_t)parts(a->rows, rows), 1}, {items, 1, 1}, 1}};
}

static project_run run_of(const attend_device *device, const project_plan *p,
                          const project_arguments *a) {
    if (!has_groups(device, p))
        return (project_run){.kernel = p->product,
                             .grid =
                                 attend__ocl_item_grid(device, parts(a->columns, 16 * p->vectors),
                                                       parts(a->rows, a->rows_at_once))};
    const bool thin = is_thin(device, p, a->rows);
    if (p->matrix.shape)
        return groups_of(thin ? p->thin : p->product, a, thin ? MATRIX_THIN_ROWS : MATRIX_TILE,
                         thin ? PANEL : MATRIX_TILE, OCL_MATRIX_ITEMS, matrix_bytes(p, thin));
    if (thin)
        return groups_of(p->thin, a, THIN_ROWS, thin_columns(p->weights_type), GROUP,
                         thin_bytes(p));
    const project_tile *const t = tile_of(device, p, a);
    return groups_of(t->kernel, a, t->rows, t->columns, 2 * (size_t)t->columns, tile_bytes(t));
}

/* The panels' memory; *offset counts elements. */
static cl_mem weights_of(ocl_run *run, const project_plan *p, const attend_projection *d,
                         i64 *offset) {
    const attend_device_weights *const prepared = attend_projection_device_weights(d);
    *offset = 0;
    if (prepared != NULL) return prepared->panels;
    size_t bytes;
    if (!attend__ocl_panels_bytes(d->w.sizes[0], d->w.sizes[1], d->w.type, &bytes))
        attend__ocl_run_fail(run, ATTEND_OVERFLOW, "w: its size does not fit in memory");
    if (run->status != ATTEND_OK) return NULL;
    *offset = attend__ocl_scratch(run, bytes) / (int64_t)attend__ocl_element_bytes(d->w.type);
    attend__ocl_pack_record(run, p->pack, &d->w, run->scratch, *offset);
    return run->scratch;
}

static void record(ocl_run *run, const void *description) {
    const attend_projection *const d = description;
    const project_plan *const p = (const project_plan *)(const void *)run->plan;
    project_arguments a = {.rows = (i32)attend__ocl_row_count(&d->out),
                           .columns = (i32)attend__ocl_columns(&d->out),
                           .depth = (i32)attend__ocl_columns(&d->x),
                           .activation = (i32)d->activation};
    a.rows_at_once = rows_at_once(run->device, p, &a);
    attend__ocl_row_sizes(&d->out, a.sizes);
    const cl_mem panels = weights_of(run, p, d, &a.panels_offset);
    const project_run how = run_of(run->device, p, &a);
    ocl_launch launch = attend__ocl_begin(run, how.kernel);
    attend__ocl_memory(&launch, attend__ocl_rows_in(run, &d->x, &a.x));
    attend__ocl_memory(&launch, panels);
    const ocl_memory bias = attend__ocl_input(run, &d->bias);
    if (attend__ocl_given(&d->bias)) {
        a.bias_type = (i32)d->bias.type;
        a.bias_offset = bias.offset;
        a.bias_step = d->bias.strides[0];
    }
    attend__ocl_memory(&launch, bias.memory);
    attend__ocl_memory(&launch, attend__ocl_rows_in(run, &d->multiplier, &a.multiplier));
    attend__ocl_memory(&launch, attend__ocl_rows_in(run, &d->residual, &a.residual));
    attend__ocl_memory(&launch, attend__ocl_rows_out(run, &d->out, &a.out));
    attend__ocl_value(&launch, &a, sizeof a);
    if (how.local_bytes > 0) attend__ocl_local(&launch, how.local_bytes);
    attend__ocl_enqueue(&launch, how.grid.groups, how.grid.local);
}

/* Twice the local memory of a group, so that another one is there; of a wide one once and a half,
 * since the 48 KiB that NVIDIA's driver allows to a group are half of what there is, or less. */
static bool tile_fits(const attend_device *device, const project_tile *t) {
    const ocl_facts *const facts = &device->shared->facts;
    const size_t bytes = tile_bytes(t);
    return 2 * (size_t)t->columns <= facts->most_work_items &&
           (t->rows > TILE_ROWS ? bytes + bytes / 2 : 2 * bytes) <= facts->local_bytes;
}

/* *status is UNSUPPORTED where the device does not run it. */
static void build_tile(attend_device *device, project_plan *p, project_tile *t,
                       attend_status *status) {
    char options[96];
    if (*status == ATTEND_OK && p->fixed && !tile_fits(device, t))
        *status = attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                     "opencl: project_tile of %d rows with %d columns: %d "
                                     "work-items and %zu bytes of local memory are more than the "
                                     "device has for several groups",
                                     t->rows, t->columns, 2 * t->columns, tile_bytes(t));
    snprintf(options, sizeof options,
             "-DWEIGHTS_TYPE=%d -DX_TYPE=%d -DTILE_ROWS=%d -DTILE_COLUMNS=%d", (int)p->weights_type,
             (int)p->x_type, t->rows, t->columns);
    t->kernel = attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_project_tile, options,
                                        "project", 2 * (size_t)t->columns, status);
    attend__ocl_kernel_fits(device, &p->plan, t->kernel, &attend__ocl_source_project_tile,
                            tile_bytes(t), status);
    if (p->fixed)
        attend__ocl_candidate_fits(device, &p->plan, t->kernel, &attend__ocl_source_project_tile,
                                   status);
}

static void drop_tile(attend_device *device, project_plan *p, project_tile *t) {
    if (t->kernel >= 0) attend__ocl_plan_drop(device, &p->plan);
    t->kernel = -1;
}

/* In the largest groups that the device runs, and its driver this kernel in. */
static void add_tile(attend_device *device, project_plan *p, attend_status *status) {
    project_tile *const t = &p->tile;
    while (!p->fixed && t->columns > TILE_COLUMNS / 2 && !tile_fits(device, t))
        t->columns /= 2;
    build_tile(device, p, t, status);
    while (*status != ATTEND_OK && !p->fixed && t->columns == TILE_COLUMNS) {
        drop_tile(device, p, t);
        *status = ATTEND_OK;
        t->columns /= 2;
        build_tile(device, p, t, status);
    }
}

/* Beside another tile, where the plan's largest run would take it: it may be left out, and is where
 * its sums are not all in registers. */
static void add_wide(attend_device *device, project_plan *p, const attend_projection *largest,
                     attend_status *status) {
    project_tile *const t = &p->wide;
    if (p->tile_rows == WIDE_ROWS && (p->fixed || tile_fits(device, t))) {
        build_tile(device, p, t, status);
        if (*status == ATTEND_OK || p->fixed) return;
        drop_tile(device, p, t);
        *status = ATTEND_OK;
    }
    if (p->tile_rows != 0 || *status != ATTEND_OK || !tile_fits(device, t) ||
        !is_wide(device, t, attend__ocl_row_count(&largest->out),
                 attend__ocl_columns(&largest->out)))
        return;
    build_tile(device, p, t, status);
    if (*status == ATTEND_OK && !attend__ocl_kernel_spills(device, &p->plan, t->kernel)) return;
    drop_tile(device, p, t);
    *status = ATTEND_OK;
    device->host->log(
        device->host->self, ATTEND_LOG_INFO, "select",
        "project_tile: without 128 rows, whose sums are not all in registers, or which "
        "do not run");
}

static void add_tiles(attend_device *device, project_plan *p, const attend_projection *largest,
                      attend_status *status) {
    add_wide(device, p, largest, status);
    if (p->tile_rows != WIDE_ROWS || (p->wide.kernel < 0 && !p->fixed)) add_tile(device, p, status);
    char options[48];
    snprintf(options, sizeof options, "-DWEIGHTS_TYPE=%d -DX_TYPE=%d", (int)p->weights_type,
             (int)p->x_type);
    p->thin = attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_project_thin, options,
                                      "project", GROUP, status);
    attend__ocl_kernel_fits(device, &p->plan, p->thin, &attend__ocl_source_project_thin,
                            thin_bytes(p), status);
}

/* By the device's matrix unit where x and the weights are of one 16-bit type: by types alone, so
 * that the bits of a row depend on nothing else. GPUs that have ARM's have no local memory of their
 * own; its kernels take a copy in plain memory. False: nothing was added, `note` may say why. */
static bool add_matrix(attend_device *device, project_plan *p, attend_plan_info *info) {
    const bool tried = device->kernels == OCL_CLASS_TILE ||
                       (device->kernels == OCL_CLASS_PLAIN && device->matrix == OCL_MATRIX_ARM);
    if (!tried || p->x_type != p->weights_type) return false;
    p->matrix = attend__ocl_matrix(device, p->x_type, info->note, sizeof info->note);
    if (p->matrix.shape == NULL) return false;
    attend_status status = ATTEND_OK;
    char options[128];
    snprintf(options, sizeof options, "-DWEIGHTS_TYPE=%d %s", (int)p->weights_type,
             p->matrix.options);
    p->product = attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_project_matrix,
                                         options, "project", OCL_MATRIX_ITEMS, &status);
    attend__ocl_kernel_fits(device, &p->plan, p->product, &attend__ocl_source_project_matrix,
                            matrix_bytes(p, false), &status);
    p->thin = attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_project_matrix_thin,
                                      options, "project", OCL_MATRIX_ITEMS, &status);
    attend__ocl_kernel_fits(device, &p->plan, p->thin, &attend__ocl_source_project_matrix_thin,
                            matrix_bytes(p, true), &status);
    if (status == ATTEND_OK) return true;
    snprintf(info->note, sizeof info->note,
             "%s is not used: a projection does not build, or is "
             "more than the device runs",
             p->matrix.name);
    while (p->plan.kernel_count > 0)
        attend__ocl_plan_drop(device, &p->plan);
    p->matrix.shape = NULL;
    return false;
}

static attend_status add_kernels(attend_device *device, project_plan *p,
                                 const attend_projection *largest) {
    attend_status status = ATTEND_OK;
    if (device->kernels == OCL_CLASS_TILE) {
        add_tiles(device, p, largest, &status);
        return status;
    }
    char options[96];
    snprintf(options, sizeof options, "-DWEIGHTS_TYPE=%d -DX_TYPE=%d -DVECTORS=%d -DMOST_ROWS=%d",
             (int)p->weights_type, (int)p->x_type, p->vectors, p->most_rows);
    p->product = attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_project, options,
                                         "project", OCL_ANY_GROUP, &status);
    return status;
}

static void tune(const attend_device *device, const attend_projection *largest, project_plan *p) {
    int values[OCL_TUNED_COUNT];
    const bool tile = device->kernels == OCL_CLASS_TILE;
    const bool few = attend__ocl_row_count(&largest->out) <= THIN_MOST;
    const ocl_tuned_shape shape = {.type = p->weights_type,
                                   .mask = "none",
                                   .phase = few ? "few" : "many",
                                   .aside = tile && few,
                                   .sizes = {attend__ocl_row_count(&largest->out),
                                             attend__ocl_columns(&largest->out),
                                             attend__ocl_columns(&largest->x)}};
    attend__ocl_tuned(device, tile ? &attend__ocl_source_project_tile : &attend__ocl_source_project,
                      &shape, values);
    if (tile) {
        const int columns = values[OCL_TUNED(project_tile, columns)];
        p->tile_rows = values[OCL_TUNED(project_tile, rows)];
        p->tile = (project_tile){-1, TILE_ROWS, columns};
        p->wide = (project_tile){-1, WIDE_ROWS, columns};
        p->fixed = attend__ocl_tuned_asked(device, OCL_TUNED(project_tile, columns)) ||
                   attend__ocl_tuned_asked(device, OCL_TUNED(project_tile, rows));
        return;
    }
    p->vectors = values[OCL_TUNED(project, vectors)];
    p->most_rows = values[OCL_TUNED(project, rows)];
}

static attend_status fits(const attend_device *device, const attend_projection *largest) {
    attend_status status = attend__ocl_rows_fit(device, "x", &largest->x);
    if (status == ATTEND_OK) status = attend__ocl_rows_fit(device, "out", &largest->out);
    return status;
}

attend_status attend__ocl_plan_project(attend_device *device, const attend_projection *largest,
                                       attend_plan_info *info, attend_device_plan **plan) {
    attend_status status = fits(device, largest);
    if (status != ATTEND_OK) return status;
    const attend_device_weights *const prepared = attend_projection_device_weights(largest);
    static const char *const classes[] = {
#define ATTEND_X(name, text) text,
        OCL_CLASS_LIST(ATTEND_X)
#undef ATTEND_X
    };
    project_plan *const p = attend__ocl_plan_new(device, ATTEND_OP_PROJECT, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    p->plan.record = record;
    p->x_type = largest->x.type;
    p->weights_type = prepared != NULL ? prepared->type : largest->w.type;
    if (!add_matrix(device, p, info)) {
        tune(device, largest, p);
        status = add_kernels(device, p, largest);
    }
    snprintf(info->kernel, sizeof info->kernel, "project_%s_%s",
             prepared != NULL ? "prepared" : "plain",
             p->matrix.shape ? p->matrix.name : classes[device->kernels]);
    if (prepared == NULL) {
        size_t bytes = 0;
        p->pack = attend__ocl_pack_kernel(device, &p->plan, p->weights_type, &status);
        if (status == ATTEND_OK &&
            !attend__ocl_panels_bytes(largest->w.sizes[0], largest->w.sizes[1], p->weights_type,
                                      &bytes))
            status = attend__ocl_refuse(device->host, ATTEND_OVERFLOW,
                                        "w: its size does not fit in memory");
        p->plan.scratch_bytes = attend__ocl_scratch_round(bytes);
    }
    return attend__ocl_plan_made(device, &p->plan, status, plan);
}
