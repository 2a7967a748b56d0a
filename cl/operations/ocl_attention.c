/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention: operands are packed, one kernel computes all rows, and what was asked for
 * besides is computed from the row's log-sum-exp. Keys are split over work-groups where there are
 * too few rows to keep the device busy; the bits are the same (attention_rows.cl). Few rows over a
 * cache read it where it lies, with the same bits again. */
#include "ocl_attention.h"

#include "attention_tile.h"
#include "ocl_operations.h"

#include <stdio.h>

enum { CHUNK = 256, BUSY_GROUPS = 4, MOST_PARTIAL_BYTES = 64 << 20 };

static int padded(int64_t n, int to) {
    return (int)((n + to - 1) / to) * to;
}

/* Rows of one work-group and most columns of one, of each class. */
static const struct {
    int rows, columns, column_step;
} shapes[OCL_CLASS_COUNT] = {
    [OCL_CLASS_ROWS] = {8, 256, 32},
    [OCL_CLASS_TILE] = {ROWS, 128, 16},
    [OCL_CLASS_PLAIN] = {2, 64, 32},
};

/* ---- caches where they lie ------------------------------------------------------------------- */

static bool wants_sides(const attend_attention *a) {
    return attend__ocl_given(&a->weights) || attend__ocl_given(&a->weights_mean) ||
           attend__ocl_given(&a->scores);
}

/* Packing is worth it where more work-groups than this read the same keys; side outputs are made
 * of packed keys. */
static bool is_direct(const attend_device *device, const ocl_attention_sizes *n,
                      const attend_attention *a) {
    const int64_t few = 2 * (int64_t)shapes[device->kernels].rows;
    return n->H / n->G * n->L <= few && !wants_sides(a);
}

/* Rows that a work-item does not have cost as much as those it has. */
static int rows_of_direct(const attend_device *device, const ocl_attention_sizes *n) {
    const int most = shapes[device->kernels].rows;
    if (device->kernels == OCL_CLASS_TILE) return most;
    int rows = 1;
    while (rows < most && rows < n->H / n->G * n->L)
        rows *= 2;
    return rows;
}

/* ---- split keys ------------------------------------------------------------------------------ */

static int64_t groups_of(const ocl_attention_sizes *n, int rows) {
    if (n->packed_queries) return (n->H / n->G * n->query_rows + rows - 1) / rows * n->G;
    return (n->H / n->G * n->L + rows - 1) / rows * n->B * n->G;
}

static size_t partial_bytes(const ocl_attention_sizes *n, int EP) {
    const size_t pieces = (size_t)(n->S + CHUNK - 1) / CHUNK;
    return attend__ocl_scratch_round((size_t)(n->H * n->query_rows) * pieces * (size_t)(EP + 2) *
                                     sizeof(float));
}

/* Room for the splits of any smaller call: few rows over all keys. */
static size_t room_for_partials(const attend_device *device, const ocl_attention_sizes *largest,
                                int EP) {
    if (largest->S <= CHUNK) return 0;
    const int64_t most =
        (int64_t)BUSY_GROUPS * device->shared->facts.compute_units * shapes[device->kernels].rows;
    ocl_attention_sizes n = *largest;
    n.query_rows = n.H * n.query_rows < most ? n.H * n.query_rows : most;
    n.H = 1;
    const size_t bytes = partial_bytes(&n, EP);
    return bytes < MOST_PARTIAL_BYTES ? bytes : MOST_PARTIAL_BYTES;
}

static int pieces_of(const ocl_run *run, const ocl_attention_plan *plan,
                     const ocl_attention_sizes *n, int rows) {
    const int64_t busy = (int64_t)BUSY_GROUPS * run->device->shared->facts.compute_units;
    if (n->S <= CHUNK || groups_of(n, rows) >= busy) return 1;
    if (partial_bytes(n, plan->EP) > plan->partial_bytes) return 1;
    return (int)((n->S + CHUNK - 1) / CHUNK);
}

/* ---- recording ------------------------------------------------------------------------------- */

static void push_direct(ocl_attention_run *r, ocl_launch *launch) {
    const ocl_operand k = attend__ocl_keys_of(r), v = attend__ocl_values_of(r);
    const direct_params p = {.k = k.x, .v = v.x};
    attend__ocl_value(launch, &p, sizeof p);
    attend__ocl_memory(launch, k.memory);
    attend__ocl_memory(launch, k.scales);
    attend__ocl_memory(launch, v.memory);
    attend__ocl_memory(launch, v.scales);
    attend__ocl_memory(launch, r->pages);
}

static void enqueue_fused(ocl_attention_run *r, cl_mem out, bool direct) {
    ocl_run *const run = r->run;
    ocl_launch launch = attend__ocl_begin(run, direct ? r->plan->direct : r->plan->fused);
    attend__ocl_value(&launch, &r->p, sizeof r->p);
    attend__ocl_memory(&launch, r->mask);
    attend__ocl_memory(&launch, r->bias);
    attend__ocl_memory(&launch, r->key_mask);
    attend__ocl_memory(&launch, r->slopes);
    attend__ocl_memory(&launch, r->queries);
    attend__ocl_memory(&launch, r->values);
    attend__ocl_memory(&launch, r->sinks);
    attend__ocl_memory(&launch, out);
    attend__ocl_memory(&launch, r->lse);
    attend__ocl_memory(&launch, run->scratch);
    if (run->device->kernels == OCL_CLASS_TILE)
        attend__ocl_local(&launch, LOCAL_FLOATS((size_t)r->plan->EC) * sizeof(float));
    if (direct) push_direct(r, &launch);
    const ocl_class class = run->device->kernels;
    const size_t count = (size_t)r->p.R * (size_t)r->p.L;
    const size_t rows = (size_t)(direct ? r->plan->direct_rows : shapes[class].rows);
    const size_t blocks = (count + rows - 1) / rows;
    const size_t planes = (size_t)r->p.B * (size_t)r->p.G * (size_t)(r->plan->EP / r->plan->EC);
    const size_t locals[OCL_CLASS_COUNT][3] = {[OCL_CLASS_ROWS] = {1, 1, 1},
                                               [OCL_CLASS_TILE] = {SIDE, SIDE, 1},
                                               [OCL_CLASS_PLAIN] = {64, 1, 1}};
    const size_t groups[3] = {class == OCL_CLASS_PLAIN ? (blocks + 63) / 64 : blocks,
                              (size_t)r->p.pieces, planes};
    attend__ocl_enqueue(&launch, groups, locals[class]);
}

static void enqueue_merge(ocl_attention_run *r, cl_mem out) {
    ocl_launch launch = attend__ocl_begin(r->run, r->plan->merge);
    attend__ocl_value(&launch, &r->p, sizeof r->p);
    attend__ocl_memory(&launch, r->sinks);
    attend__ocl_memory(&launch, out);
    attend__ocl_memory(&launch, r->lse);
    attend__ocl_memory(&launch, r->run->scratch);
    const size_t local[3] = {2, 8, 1};
    const size_t groups[3] = {((size_t)r->p.EP / 16 + 1) / 2,
                              ((size_t)r->p.R * (size_t)r->p.L + 7) / 8,
                              (size_t)r->p.B * (size_t)r->p.G};
    attend__ocl_enqueue(&launch, groups, local);
}

static void record(ocl_run *run, const void *description) {
    const attend_attention *const a = description;
    const ocl_attention_sizes n = attend__ocl_attention_sizes(ATTEND_OP_ATTENTION, a);
    ocl_attention_run r;
    attend__ocl_attention_start(&r, run, a);
    const bool direct = r.plan->direct >= 0 && (r.plan->fused < 0 || is_direct(run->device, &n, a));
    attend__ocl_pack_queries(&r);
    if (!direct) {
        attend__ocl_pack_keys(&r);
        attend__ocl_pack_values(&r);
    }
    const cl_mem out = attend__ocl_attention_out(run, &a->out, &r.p);
    if (attend__ocl_given(&a->weights) || attend__ocl_given(&a->weights_mean))
        r.p.row_sums_at = attend__ocl_scratch(run, attend__ocl_sums_bytes(&n)) / 4;
    r.p.pieces = pieces_of(run, r.plan, &n,
                           direct ? r.plan->direct_rows : shapes[run->device->kernels].rows);
    if (r.p.pieces > 1)
        r.p.partial_at = attend__ocl_scratch(run, partial_bytes(&n, r.plan->EP)) / 4;
    else if (run->device->kernels == OCL_CLASS_TILE && n.S > CHUNK)
        r.p.totals_at = attend__ocl_scratch(run, attend__ocl_queries_bytes(&n, r.plan->EP)) / 4;
    enqueue_fused(&r, out, direct);
    if (r.p.pieces > 1) enqueue_merge(&r, out);
    if (attend__ocl_given(&a->scores)) attend__ocl_side_scores(&r);
    if (attend__ocl_given(&a->weights)) attend__ocl_side_weights(&r, NULL, false);
    if (attend__ocl_given(&a->weights_mean)) attend__ocl_side_weights(&r, NULL, true);
}

/* ---- planning -------------------------------------------------------------------------------- */

static void choose_padding(const attend_device *device, const ocl_attention_sizes *n,
                           ocl_attention_plan *p) {
    const int most = shapes[device->kernels].columns, step = shapes[device->kernels].column_step;
    p->DP = n->D > 0 ? padded(n->D, 16) : 16;
    p->EC = n->E < most ? padded(n->E > 0 ? n->E : 1, step) : most;
    p->EP = padded(n->E > 0 ? n->E : 1, p->EC);
}

/* FAST lets the weights be rounded to the type of the values: worth it where half is a type of the
 * device. */
static bool narrow(const attend_device *device, const attend_attention *largest) {
    return device->kernels == OCL_CLASS_TILE && device->shared->facts.half &&
           largest->precision == ATTEND_PRECISION_FAST && largest->v.type == ATTEND_F16;
}

static int make_fused(attend_device *device, const attend_attention *largest, ocl_attention_plan *p,
                      bool direct, attend_status *status) {
    const bool tile = device->kernels == OCL_CLASS_TILE;
    const char *const more = direct ? " -DDIRECT" : "";
    char options[80];
    if (tile)
        (void)snprintf(options, sizeof options, "-DDP=%d -DEC=%d%s%s", p->DP, p->EC,
                       narrow(device, largest) ? " -DUSE_HALF" : "", more);
    else
        (void)snprintf(options, sizeof options, "-DDP=%d -DEC=%d -DRQ=%d%s", p->DP, p->EC,
                       direct ? p->direct_rows : shapes[device->kernels].rows, more);
    return attend__ocl_plan_kernel(device, &p->plan,
                                   tile ? &attend__ocl_source_attention_tile
                                        : &attend__ocl_source_attention_rows,
                                   options, tile ? "attention_tile" : "attention_rows", status);
}

/* Private memory, which holds a panel for each work-item of `rows`, is scarce on GPUs. */
static void make_kernels(attend_device *device, const attend_attention *largest,
                         const ocl_attention_sizes *n, ocl_attention_plan *p,
                         attend_status *status) {
    const bool pages =
        attend__ocl_given(&largest->page_table) && device->kernels != OCL_CLASS_PLAIN;
    attend__ocl_attention_kernels(device, p, n, largest, status);
    attend__ocl_side_kernels(device, p, status);
    p->direct_rows = rows_of_direct(device, n);
    p->direct = pages ? make_fused(device, largest, p, true, status) : -1;
    const bool packs = !pages || !is_direct(device, n, largest);
    p->fused = packs ? make_fused(device, largest, p, false, status) : -1;
    p->merge = attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_attention_merge, "",
                                       "attention_merge", status);
}

attend_status attend__ocl_plan_attention(attend_device *device, const attend_attention *largest,
                                         attend_plan_info *info, attend_device_plan **plan) {
    const ocl_attention_sizes n = attend__ocl_attention_sizes(ATTEND_OP_ATTENTION, largest);
    attend_status status = attend__ocl_attention_check(device, &n);
    if (status != ATTEND_OK) return status;
    ocl_attention_plan *const p = attend__ocl_plan_new(device, ATTEND_OP_ATTENTION, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    choose_padding(device, &n, p);
    make_kernels(device, largest, &n, p, &status);
    p->plan.record = record;
    p->partial_bytes = room_for_partials(device, &n, p->EP);
    p->plan.scratch_bytes = attend__ocl_table_bytes(&n) + attend__ocl_queries_bytes(&n, p->DP) +
                            attend__ocl_sums_bytes(&n);
    if (p->fused >= 0)
        p->plan.scratch_bytes +=
            attend__ocl_keys_bytes(&n, p->DP) + attend__ocl_values_bytes(&n, p->EP);
    const size_t totals =
        device->kernels == OCL_CLASS_TILE && n.S > CHUNK ? attend__ocl_queries_bytes(&n, p->EP) : 0;
    p->plan.scratch_bytes += totals > p->partial_bytes ? totals : p->partial_bytes;
    if (status == ATTEND_OK) status = attend__ocl_plan_finish(device, &p->plan);
    if (status != ATTEND_OK) {
        attend__ocl_plan_release(device, &p->plan);
        return status;
    }
    info->workspace_bytes = p->plan.scratch_bytes;
    (void)snprintf(info->kernel, sizeof info->kernel, "attention_%s_%dx%d__opencl_%s",
                   narrow(device, largest) ? "f16" : "f32", shapes[device->kernels].rows, CHUNK,
                   attend__ocl_class_text(device->kernels));
    *plan = &p->plan;
    return ATTEND_OK;
}
