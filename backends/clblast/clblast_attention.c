/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention and the steps SCORES and MIX: products by CLBlast over bounded blocks, everything
 * around them by kernels of our own (clblast_attention.cl). What is asked for besides comes from
 * each row's maximum and sum, by the kernels that `opencl` has for it. */
#include "clblast_operations.h"

#include "clblast_blocks.h"
#include "clblast_gemm.h"
#include "ocl_operations.h"

#include <stdio.h>

extern const ocl_source attend__ocl_source_clblast_attention;

enum { WEIGH_ITEMS = 64 }; /* of a row, where local memory is real */

/* ---- launches -------------------------------------------------------------------------------- */

/* (16 columns, row, plane) */
static void enqueue(ocl_launch *launch, int64_t columns, int64_t rows, int64_t planes) {
    const bool gpu = launch->run->device->kernels != OCL_CLASS_ROWS;
    const size_t local[3] = {gpu ? 4 : 1, 16, 1};
    const size_t groups[3] = {((size_t)columns / 16 + local[0] - 1) / local[0],
                              ((size_t)rows + 15) / 16, (size_t)planes};
    attend__ocl_enqueue(launch, groups, local);
}

static void widen(clblast_block_run *b, const ocl_operand *o, widen_params *p) {
    p->x = o->x;
    p->table_at = b->p.a.table_at;
    p->G = b->p.a.G;
    p->plane = b->p.plane;
    p->planes = b->p.planes;
    ocl_launch launch = attend__ocl_begin(b->r.run, b->plan->widen);
    attend__ocl_value(&launch, p, sizeof *p);
    attend__ocl_push_operand(&launch, o);
    attend__ocl_memory(&launch, b->r.run->scratch);
    enqueue(&launch, p->pitch, p->rows, p->planes);
}

static void widen_queries(clblast_block_run *b) {
    const ocl_operand queries = attend__ocl_queries_of(&b->r);
    widen_params p = {.to = b->queries_at,
                      .flags_at = -1,
                      .end = b->p.a.L,
                      .limit = b->p.a.packed ? TABLE_QUERIES : -1,
                      .R = b->p.a.R,
                      .n = b->p.a.L,
                      .row = b->p.row,
                      .rows = b->p.rows,
                      .pitch = (i32)b->n.operand_pitch};
    widen(b, &queries, &p);
}

static void widen_keys(clblast_block_run *b) {
    const ocl_operand keys = attend__ocl_keys_of(&b->r);
    widen_params p = {.to = b->keys_at,
                      .flags_at = -1,
                      .begin = b->p.a.key_begin,
                      .end = b->p.a.key_end,
                      .limit = b->p.a.table_at < 0 ? -1 : TABLE_KEYS,
                      .R = 1,
                      .n = (i32)b->n.keys,
                      .first = b->p.first,
                      .rows = (i32)b->n.keys,
                      .pitch = (i32)b->n.operand_pitch};
    if (b->n.keys > 0) widen(b, &keys, &p);
}

static void widen_values(clblast_block_run *b) {
    const ocl_operand values = attend__ocl_values_of(&b->r);
    widen_params p = {.to = b->values_at,
                      .flags_at = b->p.flags_at,
                      .begin = b->p.a.key_begin,
                      .end = b->p.a.key_end,
                      .limit = b->p.a.table_at < 0 ? -1 : TABLE_KEYS,
                      .planes = b->p.planes,
                      .R = 1,
                      .n = (i32)b->n.keys,
                      .first = b->p.first,
                      .rows = (i32)b->n.keys,
                      .pitch = (i32)b->n.value_pitch};
    ocl_launch launch = attend__ocl_begin(b->r.run, b->plan->clear);
    attend__ocl_value(&launch, &p, sizeof p);
    attend__ocl_memory(&launch, b->r.run->scratch);
    const size_t groups[3] = {((size_t)p.planes + 63) / 64, 1, 1}, local[3] = {64, 1, 1};
    attend__ocl_enqueue(&launch, groups, local);
    if (b->n.keys > 0) widen(b, &values, &p);
}

/* Begins a kernel of a block of scores. */
static ocl_launch begin_block(const clblast_block_run *b, int kernel) {
    ocl_launch launch = attend__ocl_begin(b->r.run, kernel);
    attend__ocl_value(&launch, &b->p, sizeof b->p);
    attend__ocl_memory(&launch, b->r.mask);
    attend__ocl_memory(&launch, b->r.bias);
    attend__ocl_memory(&launch, b->r.key_mask);
    return launch;
}

static void weigh(const clblast_block_run *b) {
    ocl_launch launch = begin_block(b, b->plan->weigh);
    attend__ocl_memory(&launch, b->r.slopes);
    attend__ocl_memory(&launch, b->r.sinks);
    attend__ocl_memory(&launch, b->r.lse);
    attend__ocl_memory(&launch, b->r.run->scratch);
    const bool shared = b->r.run->device->kernels == OCL_CLASS_TILE;
    const size_t rows = (size_t)b->p.rows, local[3] = {shared ? WEIGH_ITEMS : 8, 1, 1};
    const size_t groups[3] = {shared ? rows : (rows + 7) / 8, 1, (size_t)b->p.planes};
    attend__ocl_enqueue(&launch, groups, local);
}

static void take_weights(const clblast_block_run *b) {
    ocl_launch launch = begin_block(b, b->plan->take);
    attend__ocl_memory(&launch, b->given);
    attend__ocl_memory(&launch, b->r.run->scratch);
    enqueue(&launch, b->n.keys, b->p.rows, b->p.planes);
}

static void store_scores(const clblast_block_run *b) {
    ocl_launch launch = begin_block(b, b->plan->store);
    attend__ocl_memory(&launch, b->r.slopes);
    attend__ocl_memory(&launch, b->given);
    attend__ocl_memory(&launch, b->r.run->scratch);
    enqueue(&launch, b->n.keys, b->p.rows, b->p.planes);
}

/* Elements of V that are not finite are read again. */
static void finish(const clblast_block_run *b) {
    const ocl_operand v = attend__ocl_values_of(&b->r);
    block_params p = b->p;
    p.v = v.x;
    ocl_launch launch = attend__ocl_begin(b->r.run, b->plan->finish);
    attend__ocl_value(&launch, &p, sizeof p);
    attend__ocl_push_operand(&launch, &v);
    attend__ocl_memory(&launch, b->out);
    attend__ocl_memory(&launch, b->r.run->scratch);
    enqueue(&launch, b->n.value_columns, b->p.rows, b->p.planes);
}

/* Every kernel of an operation, of no plane: the loops over blocks find none. */
static void rehearse(clblast_block_run *b) {
    const attend_operation operation = b->r.run->plan->operation;
    attend__clblast_all_samples(b);
    if (operation != ATTEND_OP_MIX) {
        widen_keys(b);
        widen_queries(b);
    }
    if (operation != ATTEND_OP_SCORES) widen_values(b);
    if (operation == ATTEND_OP_SCORES)
        store_scores(b);
    else if (operation == ATTEND_OP_MIX)
        take_weights(b);
    else
        weigh(b);
    if (operation != ATTEND_OP_SCORES) finish(b);
}

/* ---- recording ------------------------------------------------------------------------------- */

static void take_out(clblast_block_run *b) {
    b->out = attend__ocl_attention_out(b->r.run, &b->r.a->out, &b->p.a);
}

static void take_given(clblast_block_run *b, const attend_tensor *t, ocl_memory memory) {
    b->given = memory.memory;
    b->p.at = memory.offset;
    b->p.type = (i32)t->type;
    for (int i = 0; i < 4; i++)
        b->p.strides[i] = t->strides[i];
}

/* The next block of planes or of rows; false behind the last. */
static bool next_planes(clblast_block_run *b) {
    b->p.plane += b->p.planes;
    const clblast_samples *const s = &b->samples;
    const int64_t left = (s->first + s->count) * b->sizes.G - b->p.plane;
    b->p.planes = (i32)(left < b->n.planes ? left : b->n.planes);
    b->p.row = b->p.rows = 0;
    return left > 0 && b->r.run->status == ATTEND_OK;
}
static bool next_rows(clblast_block_run *b) {
    b->p.row += b->p.rows;
    const int64_t left = b->n.all_rows - b->p.row;
    b->p.rows = (i32)(left < b->n.rows ? left : b->n.rows);
    return left > 0 && b->r.run->status == ATTEND_OK;
}

static void attend_planes(clblast_block_run *b) {
    widen_keys(b);
    widen_values(b);
    while (next_rows(b)) {
        widen_queries(b);
        attend__clblast_scores(b);
        weigh(b);
        attend__clblast_mix(b);
        finish(b);
    }
}

static void mix_planes(clblast_block_run *b) {
    widen_values(b);
    while (next_rows(b)) {
        take_weights(b);
        attend__clblast_mix(b);
        finish(b);
    }
}

static void record_attention(ocl_run *run, const void *description) {
    const attend_attention *const a = description;
    const ocl_attention_sizes n = attend__ocl_attention_sizes(ATTEND_OP_ATTENTION, a);
    const bool weights = attend__ocl_given(&a->weights) || attend__ocl_given(&a->weights_mean);
    clblast_block_run b = {0};
    attend__ocl_attention_start(&b.r, run, a);
    if (weights) b.r.p.row_sums_at = attend__ocl_scratch(run, attend__ocl_sums_bytes(&n)) / 4;
    attend__clblast_blocks_start(&b, run);
    take_out(&b);
    if (run->purpose == OCL_IDLE) rehearse(&b);
    while (attend__clblast_next_samples(&b))
        while (next_planes(&b))
            attend_planes(&b);
    if (!weights && !attend__ocl_given(&a->scores)) return;
    attend__ocl_pack_queries(&b.r);
    attend__ocl_pack_keys(&b.r);
    if (attend__ocl_given(&a->scores)) attend__ocl_side_scores(&b.r);
    if (attend__ocl_given(&a->weights)) attend__ocl_side_weights(&b.r, NULL, false);
    if (attend__ocl_given(&a->weights_mean)) attend__ocl_side_weights(&b.r, NULL, true);
}

static void record_scores(ocl_run *run, const void *description) {
    const attend_attention *const a = description;
    clblast_block_run b = {0};
    attend__ocl_attention_start(&b.r, run, a);
    attend__clblast_blocks_start(&b, run);
    attend__clblast_all_samples(&b); /* all are written */
    take_given(&b, &a->scores, attend__ocl_output(run, &a->scores));
    b.p.stage = (i32)a->scores_stage;
    if (run->purpose == OCL_IDLE) rehearse(&b);
    while (next_planes(&b)) {
        widen_keys(&b);
        while (next_rows(&b)) {
            widen_queries(&b);
            attend__clblast_scores(&b);
            store_scores(&b);
        }
    }
}

static void record_mix(ocl_run *run, const void *description) {
    const attend_attention *const a = description;
    clblast_block_run b = {0};
    attend__ocl_attention_start(&b.r, run, a);
    attend__clblast_blocks_start(&b, run);
    take_given(&b, &a->weights, attend__ocl_input(run, &a->weights));
    take_out(&b);
    if (run->purpose == OCL_IDLE) rehearse(&b);
    while (attend__clblast_next_samples(&b))
        while (next_planes(&b))
            mix_planes(&b);
}

/* The products of the first block, on whatever scratch holds. */
static void record_warm_up(ocl_run *run, const void *description) {
    const attend_operation operation = run->plan->operation;
    clblast_block_run b = {0};
    b.r.run = run;
    b.r.a = description;
    b.r.plan = (const ocl_attention_plan *)run->plan;
    attend__clblast_blocks_start(&b, run);
    attend__clblast_all_samples(&b); /* lengths are not known yet */
    (void)next_planes(&b);
    (void)next_rows(&b);
    int64_t rows[CLBLAST_WARM_UPS];
    const int count = attend__clblast_rows_to_warm_up(b.p.rows, rows);
    for (int i = 0; i < count; i++) {
        b.p.rows = (i32)rows[i];
        if (operation != ATTEND_OP_MIX) attend__clblast_scores(&b);
        if (operation != ATTEND_OP_SCORES) attend__clblast_mix(&b);
    }
}

/* ---- planning -------------------------------------------------------------------------------- */

static void add_kernels(attend_device *device, clblast_attention_plan *p, attend_status *status) {
    const ocl_source *const source = &attend__ocl_source_clblast_attention;
    const bool shared = device->kernels == OCL_CLASS_TILE;
    const char *const options = shared ? "-DGROUP=64" : "";
    attend_device_plan *const plan = &p->base.plan;
    p->clear = attend__ocl_plan_kernel(device, plan, source, options, "clear_flags", OCL_ANY_GROUP,
                                       status);
    p->widen =
        attend__ocl_plan_kernel(device, plan, source, options, "widen", OCL_ANY_GROUP, status);
    p->weigh = attend__ocl_plan_kernel(device, plan, source, options, "weigh",
                                       shared ? WEIGH_ITEMS : OCL_ANY_GROUP, status);
    p->take = attend__ocl_plan_kernel(device, plan, source, options, "take_weights", OCL_ANY_GROUP,
                                      status);
    p->store = attend__ocl_plan_kernel(device, plan, source, options, "store_scores", OCL_ANY_GROUP,
                                       status);
    p->finish =
        attend__ocl_plan_kernel(device, plan, source, options, "finish", OCL_ANY_GROUP, status);
}

/* Queries and keys in the order of the shared kernels, for what is asked for besides. */
static size_t side_bytes(const attend_attention *largest, const ocl_attention_sizes *n, int DP) {
    const bool weights =
        attend__ocl_given(&largest->weights) || attend__ocl_given(&largest->weights_mean);
    if (!weights && !attend__ocl_given(&largest->scores)) return 0;
    return attend__ocl_queries_bytes(n, DP) + attend__ocl_keys_bytes(n, DP) +
           (weights ? attend__ocl_sums_bytes(n) : 0);
}

static attend_status warm_up(attend_device *device, clblast_attention_plan *p,
                             const attend_attention *largest) {
    attend_attention bare = *largest;
    bare.workspace = (attend_tensor){0}; /* the caller's; another run may use it just now */
    return attend__clblast_warm_up(device, &p->base.plan, record_warm_up, &bare);
}

attend_status attend__clblast_plan_attention(attend_device *device, attend_operation operation,
                                             const attend_attention *largest,
                                             attend_plan_info *info, attend_device_plan **plan) {
    const ocl_attention_sizes n = attend__ocl_attention_sizes(operation, largest);
    attend_status status = attend__ocl_attention_check(device, &n);
    if (status == ATTEND_OK) status = attend__clblast_blocks_check(device, &n);
    if (status != ATTEND_OK) return status;
    clblast_attention_plan *const p = attend__ocl_plan_new(device, operation, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    attend_device_plan *const made = &p->base.plan;
    const clblast_blocks b = attend__clblast_blocks(&n);
    p->base.DP = (int)b.operand_columns;
    p->base.EP = p->base.EC = (int)b.value_columns;
    attend__ocl_attention_kernels(device, &p->base, &n, largest, &status);
    add_kernels(device, p, &status);
    made->scratch_bytes = attend__ocl_table_bytes(&n) + attend__clblast_blocks_bytes(operation, &n);
    if (operation == ATTEND_OP_ATTENTION) {
        attend__ocl_side_kernels(device, &p->base, &status);
        made->scratch_bytes += side_bytes(largest, &n, p->base.DP);
    }
    made->record = operation == ATTEND_OP_ATTENTION ? record_attention
                   : operation == ATTEND_OP_SCORES  ? record_scores
                                                    : record_mix;
    if (status == ATTEND_OK) status = attend__ocl_plan_finish(device, made);
    if (status == ATTEND_OK) status = warm_up(device, p, largest);
    if (status == ATTEND_OK) status = attend__ocl_rehearse(device, made, largest);
    if (status != ATTEND_OK) {
        attend__ocl_plan_release(device, made);
        return status;
    }
    info->workspace_bytes = made->scratch_bytes;
    (void)snprintf(info->kernel, sizeof info->kernel, "%s_f32__clblast_%s",
                   operation == ATTEND_OP_ATTENTION ? "attention"
                   : operation == ATTEND_OP_SCORES  ? "scores"
                                                    : "mix",
                   attend__ocl_class_text(device->kernels));
    *plan = made;
    return ATTEND_OK;
}
