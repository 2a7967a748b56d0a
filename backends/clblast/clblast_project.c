/* SPDX-License-Identifier: Apache-2.0
 *
 * Projections: x W^T by CLBlast over blocks of rows, what follows by a kernel of our own. x is used
 * where it lies if it is float32 with rows at one distance, else widened to float32 first (a half
 * precision product would sum in half precision). */
#include "clblast_gemm.h"
#include "clblast_operations.h"
#include "clblast_params.h"
#include "ocl_rows.h"

#include <stdio.h>

extern const ocl_source attend__ocl_source_clblast_project;

enum {
    FLOATS = 4 << 20, /* of a block's rows of x and of its results, unless LEAST_ROWS are more */
    LEAST_ROWS = 16,
    ALIGNED = 16 /* floats to which the rows of a matrix of our own are rounded */
};

/* W as [K][pitch], N beside N: CLBlast needs no transposition of it. */
struct attend_device_weights {
    cl_mem memory;
};

typedef struct project_plan {
    attend_device_plan plan;
    int widen, widen_weights, finish; /* kernels */
    cl_mem packed;                    /* where widen_weights alone writes to */
} project_plan;

static int64_t pitch_of(int64_t columns) {
    return (columns + ALIGNED - 1) / ALIGNED * ALIGNED;
}

static int64_t rows_of_block(int64_t rows, int64_t columns, int64_t depth) {
    const int64_t wider = columns > depth ? columns : depth,
                  pitch = pitch_of(wider > 0 ? wider : 1);
    const int64_t most = FLOATS / pitch > LEAST_ROWS ? FLOATS / pitch : LEAST_ROWS;
    return rows < most ? rows : most;
}

/* For any call of at most these rows; columns and depth are the plan's. */
static size_t block_bytes(int64_t rows, int64_t columns) {
    return attend__ocl_scratch_round((size_t)(rows * pitch_of(columns)) * sizeof(float));
}

/* ---- recording ------------------------------------------------------------------------------- */

typedef struct project_run {
    ocl_run *run;
    const project_plan *plan;
    product_arguments p;
    cl_mem x, bias, multiplier, residual, out, weights;
    int64_t x_at, weights_at, results_at, x_pitch, block;
    bool direct; /* x is used where it lies */
} project_run;

static bool usable(const row_tensor *x, const project_arguments *a) {
    const int64_t pitch = x->strides[2];
    return x->type == ATTEND_F32 && x->step == 1 && x->even && pitch >= a->depth &&
           x->offset + a->rows * pitch <= INT32_MAX;
}

static void enqueue_rows(ocl_launch *launch, int64_t columns, int64_t rows) {
    const int64_t lanes = launch->run->device->kernels == OCL_CLASS_ROWS ? 16 : 1;
    const ocl_grid grid =
        attend__ocl_item_grid(launch->run->device, (columns + lanes - 1) / lanes, rows);
    attend__ocl_enqueue(launch, grid.groups, grid.local);
}

static void widen_weights(ocl_run *run, int kernel, const attend_tensor *w, cl_mem to, int64_t at) {
    const ocl_memory from = attend__ocl_input(run, w);
    const pack_arguments a = {.w_offset = from.offset,
                              .w_strides = {w->strides[0], w->strides[1]},
                              .panels_offset = at,
                              .columns = (i32)w->sizes[0],
                              .depth = (i32)w->sizes[1]};
    const i32 type = (i32)w->type, pitch = (i32)pitch_of(a.columns);
    if (a.depth == 0) return;
    ocl_launch launch = attend__ocl_begin(run, kernel);
    attend__ocl_memory(&launch, from.memory);
    attend__ocl_memory(&launch, to);
    attend__ocl_value(&launch, &a, sizeof a);
    attend__ocl_value(&launch, &type, sizeof type);
    attend__ocl_value(&launch, &pitch, sizeof pitch);
    enqueue_rows(&launch, a.columns, a.depth);
}

static void widen_rows(project_run *r) {
    r->p.to_at = r->x_at;
    r->p.pitch = (i32)r->x_pitch;
    ocl_launch launch = attend__ocl_begin(r->run, r->plan->widen);
    attend__ocl_memory(&launch, r->x);
    attend__ocl_memory(&launch, r->run->scratch);
    attend__ocl_value(&launch, &r->p, sizeof r->p);
    enqueue_rows(&launch, r->p.a.depth, r->p.rows);
}

static void multiply(project_run *r) {
    const int64_t depth = r->p.a.depth, step = attend__clblast_partial(depth);
    const int64_t weights_pitch = pitch_of(r->p.a.columns);
    const int64_t x_at = r->direct ? r->p.a.x.offset + r->p.first * r->x_pitch : r->x_at;
    for (int64_t k = 0; k < depth; k += step) {
        const clblast_product product = {
            .m = r->p.rows,
            .n = r->p.a.columns,
            .k = step < depth - k ? step : depth - k,
            .a = {r->direct ? r->x : r->run->scratch, x_at + k, r->x_pitch, 0},
            .b = {r->weights, r->weights_at + k * weights_pitch, weights_pitch, 0},
            .c = {r->run->scratch, r->results_at, weights_pitch, 0},
            .add = k > 0,
        };
        attend__clblast_multiply(r->run, &product);
    }
}

static void finish_rows(project_run *r) {
    r->p.from_at = r->results_at;
    r->p.pitch = (i32)pitch_of(r->p.a.columns);
    ocl_launch launch = attend__ocl_begin(r->run, r->plan->finish);
    attend__ocl_memory(&launch, r->run->scratch);
    attend__ocl_memory(&launch, r->bias);
    attend__ocl_memory(&launch, r->multiplier);
    attend__ocl_memory(&launch, r->residual);
    attend__ocl_memory(&launch, r->out);
    attend__ocl_value(&launch, &r->p, sizeof r->p);
    enqueue_rows(&launch, r->p.a.columns, r->p.rows);
}

static int64_t floats(ocl_run *run, size_t bytes) {
    return attend__ocl_scratch(run, bytes) / (int64_t)sizeof(float);
}

static void start(project_run *r, ocl_run *run, const attend_projection *d) {
    project_arguments *const a = &r->p.a;
    r->run = run;
    r->plan = (const project_plan *)(const void *)run->plan;
    a->rows = (i32)attend__ocl_row_count(&d->out);
    a->columns = (i32)attend__ocl_columns(&d->out);
    a->depth = (i32)attend__ocl_columns(&d->x);
    a->activation = (i32)d->activation;
    attend__ocl_row_sizes(&d->out, a->sizes);
    r->x = attend__ocl_rows_in(run, &d->x, &a->x);
    r->multiplier = attend__ocl_rows_in(run, &d->multiplier, &a->multiplier);
    r->residual = attend__ocl_rows_in(run, &d->residual, &a->residual);
    r->out = attend__ocl_rows_out(run, &d->out, &a->out);
    const ocl_memory bias = attend__ocl_input(run, &d->bias);
    r->bias = bias.memory;
    if (attend__ocl_given(&d->bias)) {
        a->bias_type = (i32)d->bias.type;
        a->bias_offset = bias.offset;
        a->bias_step = d->bias.strides[0];
    }
    r->block = rows_of_block(a->rows, a->columns, a->depth);
    r->results_at = floats(run, block_bytes(r->block, a->columns));
    r->direct = usable(&a->x, a);
    r->x_pitch = r->direct ? a->x.strides[2] : pitch_of(a->depth);
    if (!r->direct) r->x_at = floats(run, block_bytes(r->block, a->depth));
}

static void record(ocl_run *run, const void *description) {
    const attend_projection *const d = description;
    const attend_device_weights *const prepared = attend_projection_device_weights(d);
    project_run r = {0};
    start(&r, run, d);
    r.weights = prepared ? prepared->memory : run->scratch;
    if (prepared == NULL) {
        r.weights_at = floats(run, block_bytes(r.p.a.depth, r.p.a.columns));
        widen_weights(run, r.plan->widen_weights, &d->w, run->scratch, r.weights_at);
    }
    if (run->purpose == OCL_IDLE) { /* there are no rows */
        widen_rows(&r);
        finish_rows(&r);
        return;
    }
    for (int64_t first = 0; first < r.p.a.rows && run->status == ATTEND_OK; first += r.block) {
        r.p.first = (i32)first;
        r.p.rows = (i32)(r.p.a.rows - first < r.block ? r.p.a.rows - first : r.block);
        if (!r.direct && r.p.a.depth > 0) widen_rows(&r);
        multiply(&r);
        finish_rows(&r);
    }
}

/* Where a block's rows lie, which decides what CLBlast does with them: it takes whole tiles as they
 * are, or turns them at once, where memory begins with them and they have no gaps. */
typedef enum place { OURS, AT_THE_START, BEHIND, PLACES } place;

/* A first block's product, on whatever scratch holds. */
static void record_warm_up(ocl_run *run, const void *description) {
    const attend_projection *const d = description;
    const attend_device_weights *const prepared = attend_projection_device_weights(d);
    project_run r = {.run = run, .plan = (const project_plan *)(const void *)run->plan};
    int64_t rows[CLBLAST_WARM_UPS];
    r.p.a.columns = (i32)attend__ocl_columns(&d->out);
    r.p.a.depth = (i32)attend__ocl_columns(&d->x);
    r.block = rows_of_block(attend__ocl_row_count(&d->out), r.p.a.columns, r.p.a.depth);
    const size_t x_bytes = attend__ocl_scratch_round(block_bytes(r.block, r.p.a.depth));
    const int64_t first = floats(run, block_bytes(r.block, r.p.a.columns));
    const int64_t second = floats(run, x_bytes), pitch = pitch_of(r.p.a.depth);
    r.weights = prepared ? prepared->memory : run->scratch;
    if (prepared == NULL) r.weights_at = floats(run, block_bytes(r.p.a.depth, r.p.a.columns));
    const int count = attend__clblast_rows_to_warm_up(r.block, rows);
    for (place at = OURS; at < PLACES; at++) {
        if (at == BEHIND && r.p.a.depth == pitch) continue; /* as ours */
        r.x_pitch = at == OURS ? pitch : r.p.a.depth;
        r.x_at = at == AT_THE_START ? first : second;
        r.results_at = at == AT_THE_START ? first + (int64_t)(x_bytes / sizeof(float)) : first;
        for (int i = 0; i < count; i++) {
            r.p.rows = (i32)rows[i];
            multiply(&r);
        }
    }
}

/* ---- planning -------------------------------------------------------------------------------- */

static attend_status fits(const attend_device *device, const attend_projection *largest) {
    attend_status status = attend__ocl_rows_fit(device, "x", &largest->x);
    if (status == ATTEND_OK) status = attend__ocl_rows_fit(device, "out", &largest->out);
    if (status != ATTEND_OK) return status;
    const int64_t columns = attend__ocl_columns(&largest->out);
    const int64_t depth = attend__ocl_columns(&largest->x);
    const int64_t wider = pitch_of(columns > depth ? columns : depth);
    if (depth <= INT32_MAX / 2 / pitch_of(columns) && wider <= INT32_MAX / 4 / LEAST_ROWS)
        return ATTEND_OK;
    return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                              "clblast: weights of %lld x %lld are more than the elements that "
                              "CLBlast counts",
                              (long long)columns, (long long)depth);
}

static void add_kernels(attend_device *device, project_plan *p, attend_status *status) {
    const ocl_source *const source = &attend__ocl_source_clblast_project;
    const char *const lanes = attend__ocl_lanes(device);
    p->widen = attend__ocl_plan_kernel(device, &p->plan, source, lanes, "widen_rows", OCL_ANY_GROUP,
                                       status);
    p->widen_weights = attend__ocl_plan_kernel(device, &p->plan, source, lanes, "widen_weights",
                                               OCL_ANY_GROUP, status);
    p->finish = attend__ocl_plan_kernel(device, &p->plan, source, lanes, "finish_rows",
                                        OCL_ANY_GROUP, status);
}

attend_status attend__clblast_plan_project(attend_device *device, const attend_projection *largest,
                                           attend_plan_info *info, attend_device_plan **plan) {
    attend_status status = fits(device, largest);
    if (status != ATTEND_OK) return status;
    project_plan *const p = attend__ocl_plan_new(device, ATTEND_OP_PROJECT, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    const bool prepared = attend_projection_device_weights(largest) != NULL;
    const int64_t columns = attend__ocl_columns(&largest->out);
    const int64_t depth = attend__ocl_columns(&largest->x);
    const int64_t rows = rows_of_block(attend__ocl_row_count(&largest->out), columns, depth);
    p->plan.record = record;
    p->plan.scratch_bytes = block_bytes(rows, columns) + block_bytes(rows, depth) +
                            (prepared ? 0 : block_bytes(depth, columns));
    add_kernels(device, p, &status);
    (void)snprintf(info->kernel, sizeof info->kernel, "project_%s__clblast_%s",
                   prepared ? "prepared" : "plain", attend__ocl_class_text(device->kernels));
    if (status == ATTEND_OK) status = attend__ocl_plan_finish(device, &p->plan);
    if (status == ATTEND_OK)
        status = attend__clblast_warm_up(device, &p->plan, record_warm_up, largest);
    if (status == ATTEND_OK) status = attend__ocl_rehearse(device, &p->plan, largest);
    if (status != ATTEND_OK) {
        attend__ocl_plan_release(device, &p->plan);
        return status;
    }
    *plan = &p->plan;
    return ATTEND_OK;
}

/* ---- prepared weights ------------------------------------------------------------------------ */

static void record_weights(ocl_run *run, const void *description) {
    const project_plan *const p = (const project_plan *)(const void *)run->plan;
    const attend_projection *const d = description;
    widen_weights(run, p->widen_weights, &d->w, p->packed, 0);
}

static attend_status pack(attend_device *device, const attend_tensor *w, cl_mem memory) {
    project_plan *const p = attend__ocl_plan_new(device, ATTEND_OP_PROJECT, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    p->plan.record = record_weights;
    p->packed = memory;
    const attend_projection d = {.size = sizeof d, .w = *w};
    attend_status status = ATTEND_OK;
    add_kernels(device, p, &status);
    if (status == ATTEND_OK) status = attend__ocl_plan_finish(device, &p->plan);
    if (status == ATTEND_OK) status = attend__ocl_plan_once(device, &p->plan, &d);
    attend__ocl_plan_release(device, &p->plan);
    return status;
}

static attend_status create_memory(attend_device *device, const attend_tensor *w, cl_mem *memory) {
    const int64_t pitch = pitch_of(w->sizes[0]);
    if (w->sizes[1] > INT32_MAX / (pitch > 0 ? pitch : 1))
        return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                  "clblast: weights of %lld x %lld are more than the 2^31 elements "
                                  "that CLBlast counts",
                                  (long long)w->sizes[0], (long long)w->sizes[1]);
    const size_t bytes = (size_t)(pitch * w->sizes[1]) * sizeof(float);
    cl_int error = CL_SUCCESS;
    *memory = device->cl->clCreateBuffer(device->shared->context, CL_MEM_READ_WRITE,
                                         bytes > 0 ? bytes : 1, NULL, &error);
    if (error == CL_SUCCESS) return ATTEND_OK;
    return attend__ocl_fail(device->host, error, "clCreateBuffer for weights");
}

attend_status attend__clblast_weights_create(attend_device *device, const attend_tensor *w,
                                             attend_device_weights **weights) {
    const attend_host *const host = device->host;
    attend_status status = attend__ocl_rows_fit(device, "w", w);
    if (status != ATTEND_OK) return status;
    attend_device_weights *const made = host->allocate(host->self, sizeof *made, sizeof(void *));
    if (made == NULL)
        return attend__ocl_refuse(host, ATTEND_OUT_OF_MEMORY, "clblast: no memory for weights");
    made->memory = NULL;
    status = create_memory(device, w, &made->memory);
    if (status == ATTEND_OK) status = pack(device, w, made->memory);
    if (status != ATTEND_OK) {
        attend__clblast_weights_release(device, made);
        return status;
    }
    *weights = made;
    return ATTEND_OK;
}

void attend__clblast_weights_release(attend_device *device, attend_device_weights *weights) {
    if (weights == NULL) return;
    if (weights->memory) (void)device->cl->clReleaseMemObject(weights->memory);
    device->host->release(device->host->self, weights);
}
