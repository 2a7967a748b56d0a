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

typedef struct project_plan {
    attend_device_plan plan;
    int pack, product, thin; /* kernels; thin only where local memory is real */
    attend_type x_type, weights_type;
    int vectors, most_rows; /* of a work-item: 16 columns each; at most */
    int tile_columns;       /* of a work-group of project_tile, half as many as its work-items */
    bool fixed;             /* tile_columns are a candidate of the tuner: these or none */
    ocl_matrix_use matrix;  /* the unit that does it, whatever the number of rows */
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
static size_t local_bytes(const project_plan *p, bool thin) {
    if (p->matrix.shape)
        return (thin ? MATRIX_THIN_WORDS : MATRIX_WORDS) * sizeof(cl_uint) +
               p->matrix.exchange_bytes;
    const int64_t pitch = GROUP / thin_columns(p->weights_type) * THIN_PITCH;
    const int64_t floats =
        thin ? THIN_ROWS * (pitch + GROUP) : 2 * TILE_SLICE * (TILE_ROWS + p->tile_columns);
    return (size_t)floats * sizeof(cl_float);
}

static ocl_grid grid_of(const attend_device *device, const project_plan *p,
                        const project_arguments *a) {
    if (!has_groups(device, p))
        return attend__ocl_item_grid(device, parts(a->columns, 16 * p->vectors),
                                     parts(a->rows, a->rows_at_once));
    const bool thin = is_thin(device, p, a->rows);
    if (p->matrix.shape)
        return (ocl_grid){{(size_t)parts(a->columns, thin ? PANEL : MATRIX_TILE),
                           (size_t)parts(a->rows, thin ? MATRIX_THIN_ROWS : MATRIX_TILE), 1},
                          {OCL_MATRIX_ITEMS, 1, 1},
                          1};
    const int64_t columns = thin ? thin_columns(p->weights_type) : p->tile_columns;
    const int64_t rows = thin ? THIN_ROWS : TILE_ROWS;
    const size_t items = thin ? GROUP : 2 * (size_t)p->tile_columns;
    return (ocl_grid){
        {(size_t)parts(a->columns, columns), (size_t)parts(a->rows, rows), 1}, {items, 1, 1}, 1};
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
    const bool thin = is_thin(run->device, p, a.rows);
    ocl_launch launch = attend__ocl_begin(run, thin ? p->thin : p->product);
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
    if (has_groups(run->device, p)) attend__ocl_local(&launch, local_bytes(p, thin));
    const ocl_grid grid = grid_of(run->device, p, &a);
    attend__ocl_enqueue(&launch, grid.groups, grid.local);
}

static bool tile_fits(const attend_device *device, const project_plan *p) {
    const ocl_facts *const facts = &device->shared->facts;
    return 2 * (size_t)p->tile_columns <= facts->most_work_items &&
           2 * local_bytes(p, false) <= facts->local_bytes;
}

/* project_tile in the largest groups that the device runs, and its driver this kernel in. */
static void add_tile(attend_device *device, project_plan *p, attend_status *status) {
    if (p->fixed && !tile_fits(device, p)) {
        *status = attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                     "opencl: project_tile with %d columns: %d work-items and %zu "
                                     "bytes of local memory, twice, are more than the device has",
                                     p->tile_columns, 2 * p->tile_columns, local_bytes(p, false));
        return;
    }
    while (p->tile_columns > TILE_COLUMNS / 2 && !tile_fits(device, p))
        p->tile_columns /= 2;
    for (;; p->tile_columns /= 2) {
        char options[64];
        snprintf(options, sizeof options, "-DWEIGHTS_TYPE=%d -DX_TYPE=%d -DTILE_COLUMNS=%d",
                 (int)p->weights_type, (int)p->x_type, p->tile_columns);
        p->product =
            attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_project_tile, options,
                                    "project", 2 * (size_t)p->tile_columns, status);
        attend__ocl_kernel_fits(device, &p->plan, p->product, &attend__ocl_source_project_tile,
                                local_bytes(p, false), status);
        if (*status == ATTEND_OK || p->fixed || p->tile_columns < TILE_COLUMNS) break;
        if (p->product >= 0) attend__ocl_plan_drop(device, &p->plan);
        *status = ATTEND_OK;
    }
    if (p->fixed)
        attend__ocl_candidate_fits(device, &p->plan, p->product, &attend__ocl_source_project_tile,
                                   status);
    char options[48];
    snprintf(options, sizeof options, "-DWEIGHTS_TYPE=%d -DX_TYPE=%d", (int)p->weights_type,
             (int)p->x_type);
    p->thin = attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_project_thin, options,
                                      "project", GROUP, status);
    attend__ocl_kernel_fits(device, &p->plan, p->thin, &attend__ocl_source_project_thin,
                            local_bytes(p, true), status);
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
                            local_bytes(p, false), &status);
    p->thin = attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_project_matrix_thin,
                                      options, "project", OCL_MATRIX_ITEMS, &status);
    attend__ocl_kernel_fits(device, &p->plan, p->thin, &attend__ocl_source_project_matrix_thin,
                            local_bytes(p, true), &status);
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

static attend_status add_kernels(attend_device *device, project_plan *p) {
    attend_status status = ATTEND_OK;
    if (device->kernels == OCL_CLASS_TILE) {
        add_tile(device, p, &status);
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
        p->tile_columns = values[OCL_TUNED(project_tile, columns)];
        p->fixed = attend__ocl_tuned_asked(device, OCL_TUNED(project_tile, columns));
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
        status = add_kernels(device, p);
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
