/* SPDX-License-Identifier: Apache-2.0
 *
 * Side outputs of attention, and its three steps on their own. */
#include "ocl_attention.h"

#include "ocl_operations.h"

#include <stdio.h>
#include <string.h>

enum { LSE_ITEMS = 64 }; /* of a row, where local memory is real */

void attend__ocl_side_kernels(attend_device *device, ocl_attention_plan *p, attend_status *status) {
    const ocl_source *const source = &attend__ocl_source_attention_steps;
    const bool shared = device->kernels == OCL_CLASS_TILE;
    const char *const options = shared ? "-DGROUP=64" : "";
    p->side = attend__ocl_plan_kernel(device, &p->plan, source, options, "attention_side",
                                      OCL_ANY_GROUP, status);
    p->lse = attend__ocl_plan_kernel(device, &p->plan, source, options, "attention_lse",
                                     shared ? LSE_ITEMS : OCL_ANY_GROUP, status);
    p->mix = attend__ocl_plan_kernel(device, &p->plan, source, options, "attention_mix",
                                     OCL_ANY_GROUP, status);
}

/* ---- launches -------------------------------------------------------------------------------- */

/* Describes the tensor that is read; NULL: products in scratch. */
static cl_mem fill_from(const ocl_attention_run *r, steps_params *p, const attend_tensor *from) {
    p->a = r->p;
    p->padded = r->plan->DP;
    p->from_stage = STAGE_RAW;
    if (from == NULL) return NULL;
    const ocl_memory memory = attend__ocl_input(r->run, from);
    for (int i = 0; i < 4; i++)
        p->from_strides[i] = from->strides[i];
    p->from_at = memory.offset;
    p->from_type = (i32)from->type;
    p->from_stage = (i32)r->a->scores_stage;
    return memory.memory;
}

static void push_masks(const ocl_attention_run *r, ocl_launch *launch, bool slopes) {
    attend__ocl_memory(launch, r->mask);
    attend__ocl_memory(launch, r->bias);
    attend__ocl_memory(launch, r->key_mask);
    if (slopes) attend__ocl_memory(launch, r->slopes);
}

static void enqueue(ocl_launch *launch, size_t columns, size_t rows, size_t planes) {
    const bool gpu = launch->run->device->kernels != OCL_CLASS_ROWS;
    const size_t local[3] = {gpu ? 4 : 1, 16, 1};
    const size_t groups[3] = {(columns + local[0] - 1) / local[0], (rows + 15) / 16, planes};
    attend__ocl_enqueue(launch, groups, local);
}

/* `to` has rank 4, or rank 3 without heads. */
static void enqueue_side(ocl_attention_run *r, steps_params *p, cl_mem from,
                         const attend_tensor *to) {
    const ocl_memory memory = attend__ocl_output(r->run, to);
    const int skip = p->mean ? 1 : 0;
    p->to_at = memory.offset;
    p->to_type = (i32)to->type;
    p->to_strides[0] = to->strides[0];
    p->to_strides[1] = skip ? 0 : to->strides[1];
    p->to_strides[2] = to->strides[2 - skip];
    p->to_strides[3] = to->strides[3 - skip];
    ocl_launch launch = attend__ocl_begin(r->run, r->plan->side);
    attend__ocl_value(&launch, p, sizeof *p);
    push_masks(r, &launch, true);
    attend__ocl_memory(&launch, r->queries);
    attend__ocl_memory(&launch, from);
    attend__ocl_memory(&launch, memory.memory);
    attend__ocl_memory(&launch, r->run->scratch);
    enqueue(&launch, ((size_t)r->p.S + 15) / 16, (size_t)r->p.L,
            (size_t)r->p.B * (p->mean ? 1 : (size_t)r->p.H));
}

void attend__ocl_side_scores(ocl_attention_run *r) {
    steps_params p = {0};
    (void)fill_from(r, &p, NULL);
    p.to_stage = (i32)r->a->scores_stage;
    enqueue_side(r, &p, NULL, &r->a->scores);
}

void attend__ocl_side_weights(ocl_attention_run *r, const attend_tensor *from, bool mean) {
    steps_params p = {.weights = 1, .mean = mean};
    const cl_mem memory = fill_from(r, &p, from);
    p.to_stage = STAGE_MASKED;
    enqueue_side(r, &p, memory, mean ? &r->a->weights_mean : &r->a->weights);
}

void attend__ocl_softmax_lse(ocl_attention_run *r, const attend_tensor *from) {
    const ocl_attention_sizes n = attend__ocl_attention_sizes(r->run->plan->operation, r->a);
    r->p.row_sums_at = attend__ocl_scratch(r->run, attend__ocl_sums_bytes(&n)) / 4;
    steps_params p = {0};
    const cl_mem memory = fill_from(r, &p, from);
    ocl_launch launch = attend__ocl_begin(r->run, r->plan->lse);
    attend__ocl_value(&launch, &p, sizeof p);
    push_masks(r, &launch, true);
    attend__ocl_memory(&launch, r->sinks);
    attend__ocl_memory(&launch, memory);
    attend__ocl_memory(&launch, r->lse);
    attend__ocl_memory(&launch, r->run->scratch);
    const bool shared = r->run->device->kernels == OCL_CLASS_TILE;
    const size_t local[3] = {shared ? LSE_ITEMS : 8, 1, 1};
    const size_t groups[3] = {shared ? (size_t)r->p.L : ((size_t)r->p.L + 7) / 8, 1,
                              (size_t)r->p.B * (size_t)r->p.H};
    attend__ocl_enqueue(&launch, groups, local);
}

/* ---- the steps ------------------------------------------------------------------------------- */

static void record_scores(ocl_run *run, const void *description) {
    ocl_attention_run r;
    attend__ocl_attention_start(&r, run, description);
    attend__ocl_pack_queries(&r);
    attend__ocl_pack_keys(&r);
    attend__ocl_side_scores(&r);
}

static void record_softmax(ocl_run *run, const void *description) {
    const attend_attention *const a = description;
    ocl_attention_run r;
    attend__ocl_attention_start(&r, run, a);
    attend__ocl_softmax_lse(&r, &a->scores);
    attend__ocl_side_weights(&r, &a->scores, false);
    if (attend__ocl_given(&a->weights_mean)) attend__ocl_side_weights(&r, &a->scores, true);
}

static void record_mix(ocl_run *run, const void *description) {
    const attend_attention *const a = description;
    ocl_attention_run r;
    attend__ocl_attention_start(&r, run, a);
    attend__ocl_pack_values(&r);
    const cl_mem out = attend__ocl_attention_out(run, &a->out, &r.p);
    steps_params p = {0};
    const cl_mem weights = fill_from(&r, &p, &a->weights);
    ocl_launch launch = attend__ocl_begin(run, r.plan->mix);
    attend__ocl_value(&launch, &p, sizeof p);
    push_masks(&r, &launch, false);
    attend__ocl_memory(&launch, weights);
    attend__ocl_memory(&launch, r.values);
    attend__ocl_memory(&launch, out);
    attend__ocl_memory(&launch, run->scratch);
    enqueue(&launch, ((size_t)r.p.E + 15) / 16, (size_t)r.p.L, (size_t)r.p.B * (size_t)r.p.H);
}

static size_t step_scratch(attend_operation operation, const ocl_attention_sizes *n,
                           const ocl_attention_plan *p) {
    size_t bytes = attend__ocl_table_bytes(n);
    if (operation == ATTEND_OP_SCORES)
        bytes += attend__ocl_queries_bytes(n, p->DP) + attend__ocl_keys_bytes(n, p->DP);
    if (operation == ATTEND_OP_SOFTMAX) bytes += attend__ocl_sums_bytes(n);
    if (operation == ATTEND_OP_MIX) bytes += attend__ocl_values_bytes(n, p->EP);
    return bytes;
}

attend_status attend__ocl_plan_step(attend_device *device, attend_operation operation,
                                    const attend_attention *largest, attend_plan_info *info,
                                    attend_device_plan **plan) {
    const ocl_attention_sizes n = attend__ocl_attention_sizes(operation, largest);
    attend_status status = attend__ocl_attention_check(device, &n);
    if (status != ATTEND_OK) return status;
    ocl_attention_plan *const p = attend__ocl_plan_new(device, operation, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    p->DP = (int)(n.D + 15) / 16 * 16;
    p->EP = (int)(n.E + 15) / 16 * 16;
    attend__ocl_attention_kernels(device, p, &n, largest, &status);
    attend__ocl_side_kernels(device, p, &status);
    p->plan.record = operation == ATTEND_OP_SCORES    ? record_scores
                     : operation == ATTEND_OP_SOFTMAX ? record_softmax
                                                      : record_mix;
    p->plan.scratch_bytes = step_scratch(operation, &n, p);
    if (status == ATTEND_OK) status = attend__ocl_plan_finish(device, &p->plan);
    if (status != ATTEND_OK) {
        attend__ocl_plan_release(device, &p->plan);
        return status;
    }
    info->workspace_bytes = p->plan.scratch_bytes;
    (void)snprintf(info->kernel, sizeof info->kernel, "%s_f32__opencl_%s",
                   operation == ATTEND_OP_SCORES    ? "scores"
                   : operation == ATTEND_OP_SOFTMAX ? "softmax"
                                                    : "mix",
                   attend__ocl_class_text(device->kernels));
    *plan = &p->plan;
    return ATTEND_OK;
}
