/* SPDX-License-Identifier: Apache-2.0
 *
 * The start of a run: what the kernels of attention are told, and the table of samples. */
#include "ocl_attention.h"

#include <float.h>
#include <string.h>

static void fill_masks(ocl_attention_run *r) {
    const attend_attention *const a = r->a;
    attention_params *const p = &r->p;
    const ocl_memory mask = attend__ocl_input(r->run, &a->mask);
    const ocl_memory bias = attend__ocl_input(r->run, &a->bias);
    const ocl_memory key_mask = attend__ocl_input(r->run, &a->key_mask);
    r->mask = mask.memory;
    r->bias = bias.memory;
    r->key_mask = key_mask.memory;
    p->mask_at = mask.offset;
    p->bias_at = bias.offset;
    p->key_mask_at = key_mask.offset;
    if (attend__ocl_given(&a->mask)) attend__ocl_strides(p->mask_strides, &a->mask, 4);
    if (attend__ocl_given(&a->bias)) attend__ocl_strides(p->bias_strides, &a->bias, 4);
    if (attend__ocl_given(&a->key_mask)) attend__ocl_strides(p->key_mask_strides, &a->key_mask, 2);
    p->mask_keys = attend__ocl_given(&a->mask) ? (i32)a->mask.sizes[3] : 0;
    p->bias_keys = attend__ocl_given(&a->bias) ? (i32)a->bias.sizes[3] : 0;
    p->bias_type = (i32)a->bias.type;
}

static void fill_small(ocl_attention_run *r) {
    attend_tensor packed;
    const ocl_memory slopes = attend__ocl_small(r->run, &r->a->alibi_slopes, &packed);
    r->slopes = slopes.memory;
    r->p.slope_at = slopes.offset;
    attend__ocl_strides(r->p.slope_strides, &packed, 2);
    const ocl_memory sinks = attend__ocl_small(r->run, &r->a->sinks, &packed);
    r->sinks = sinks.memory;
    r->p.sink_at = sinks.offset;
    r->p.sink_stride = packed.strides[0];
    const ocl_memory lse = attend__ocl_output(r->run, &r->a->lse);
    r->lse = lse.memory;
    r->p.lse_at = lse.offset;
    attend__ocl_strides(r->p.lse_strides, &r->a->lse, 3);
    if (r->p.packed) r->p.lse_strides[0] = 0;
}

static double between(double x, double low, double high) {
    return x < low ? low : x > high ? high : x;
}

static void fill_sizes(ocl_attention_run *r) {
    const attend_attention *const a = r->a;
    attention_params *const p = &r->p;
    const ocl_attention_sizes n = attend__ocl_attention_sizes(r->run->plan->operation, a);
    p->B = (i32)n.B;
    p->H = (i32)n.H;
    p->G = (i32)n.G;
    p->L = (i32)n.L;
    p->S = (i32)n.S;
    p->D = (i32)n.D;
    p->E = (i32)n.E;
    p->R = (i32)(n.H / n.G);
    p->SP = (i32)((n.S + 31) / 32 * 32);
    p->EP = r->plan->EP;
    p->packed = n.packed_queries;
    p->rows = n.H * n.query_rows;
    p->row_strides[0] = n.packed_queries ? 0 : n.H * n.L;
    p->row_strides[1] = n.packed_queries ? n.query_rows : n.L;
    p->key_begin = (i32)(a->key_begin < n.S ? a->key_begin : n.S);
    p->key_end = (i32)(a->key_end > 0 && a->key_end < n.S ? a->key_end : n.S);
    p->pieces = 1;
    p->causal = a->causal;
    p->window_left = a->window_left;
    p->window_right = a->window_right;
    p->offset = a->position == ATTEND_BOTTOM_RIGHT ? n.S - n.L
                : a->position == ATTEND_AT_OFFSETS ? a->query_offset
                                                   : 0;
    p->scale = (f32)between(a->scale, -(double)FLT_MAX, (double)FLT_MAX);
    /* 0 is "off"; a cap below 1e-37 moves scores by less than the bound's smallest term. */
    p->softcap = a->softcap > 0.0 ? (f32)between(a->softcap, 1e-37, (double)FLT_MAX) : 0.0f;
    p->table_at = p->row_sums_at = p->classes_at = -1;
}

/* ---- the table of samples -------------------------------------------------------------------- */

/* Either kind of lengths. */
static cl_mem fill_lengths(ocl_run *run, const attend_tensor *cumulative,
                           const attend_tensor *lengths, length_source *source) {
    source->packed = attend__ocl_given(cumulative);
    attend_tensor packed;
    const attend_tensor *const given = source->packed ? cumulative : lengths;
    const ocl_memory memory = attend__ocl_small(run, given, &packed);
    source->at = memory.offset;
    source->stride = packed.strides[0];
    source->type = (i32)given->type;
    return memory.memory;
}

/* Keys that the pages of a sample can hold, at most S. */
static i32 most_keys(const ocl_attention_run *r) {
    const attend_attention *const a = r->a;
    const attend_operation operation = r->run->plan->operation;
    if (!attend__ocl_given(&a->page_table) || operation == ATTEND_OP_SOFTMAX) return r->p.S;
    const int64_t pages = a->page_table.sizes[1];
    const int64_t each = operation == ATTEND_OP_MIX ? a->v.sizes[2] : a->k.sizes[2];
    if (pages > 0 && each > r->p.S / pages) return r->p.S;
    return (i32)(pages * each);
}

/* Rows that cumulative lengths may name. */
static int64_t most_rows(const ocl_attention_run *r, const ocl_attention_sizes *n) {
    const attend_tensor *const lse = &r->a->lse;
    if (!attend__ocl_given(lse) || lse->sizes[2] > n->query_rows) return n->query_rows;
    return lse->sizes[2];
}

static void fill_pages(ocl_attention_run *r) {
    if (!attend__ocl_given(&r->a->page_table)) return;
    const ocl_memory pages = attend__ocl_small(r->run, &r->a->page_table, &r->page_table);
    r->pages = pages.memory;
    r->page_table.offset = pages.offset;
}

static void make_table(ocl_attention_run *r) {
    const attend_attention *const a = r->a;
    const ocl_attention_sizes n = attend__ocl_attention_sizes(r->run->plan->operation, a);
    const bool offsets = a->position == ATTEND_AT_OFFSETS && attend__ocl_given(&a->query_offsets);
    attend_tensor query_offsets, none = {0};
    table_params p = {
        .queries = {.rows = most_rows(r, &n), .most = r->p.L},
        .keys = {.rows = n.key_rows, .most = most_keys(r)},
        .offsets_type = offsets ? (i32)a->query_offsets.type : 0,
        .query_offset = a->position == ATTEND_AT_OFFSETS ? a->query_offset : 0,
        .B = r->p.B,
        .bottom_right = a->position == ATTEND_BOTTOM_RIGHT,
        .depth = r->plan->DP,
    };
    const cl_mem queries =
        fill_lengths(r->run, &a->cu_query_lengths, &a->query_lengths, &p.queries);
    const cl_mem keys = fill_lengths(r->run, &a->cu_key_lengths, &a->key_lengths, &p.keys);
    const ocl_memory places =
        attend__ocl_small(r->run, offsets ? &a->query_offsets : &none, &query_offsets);
    attend__ocl_small_flush(r->run);
    if (!p.queries.type && !p.keys.type && !offsets) return;
    p.offsets_at = places.offset;
    p.offsets_stride = query_offsets.strides[0];
    p.to = attend__ocl_scratch(r->run, attend__ocl_table_bytes(&n)) / (int64_t)sizeof(i64);
    r->p.table_at = p.to;
    ocl_launch launch = attend__ocl_begin(r->run, r->plan->table);
    attend__ocl_value(&launch, &p, sizeof p);
    attend__ocl_memory(&launch, queries);
    attend__ocl_memory(&launch, keys);
    attend__ocl_memory(&launch, places.memory);
    attend__ocl_memory(&launch, r->run->scratch);
    const size_t groups[3] = {((size_t)r->p.B + 15) / 16, 1, 1}, local[3] = {16, 1, 1};
    attend__ocl_enqueue(&launch, groups, local);
    if (r->run->purpose == OCL_IDLE) r->p.table_at = -1; /* it was not made */
}

/* A plan of a packed batch has no room for the padding of one that is not. */
static void check_rows(const ocl_attention_run *r) {
    const ocl_attention_plan *const plan = r->plan;
    const ocl_attention_sizes n = attend__ocl_attention_sizes(plan->plan.operation, r->a);
    if ((plan->query_rows > 0 && n.query_rows > plan->query_rows) ||
        (plan->key_rows > 0 && n.key_rows > plan->key_rows))
        attend__ocl_run_fail(r->run, ATTEND_SHAPE,
                             "a padded batch has more rows than the packed one that the plan was "
                             "made for");
}

void attend__ocl_attention_start(ocl_attention_run *r, ocl_run *run, const attend_attention *a) {
    memset(r, 0, sizeof *r);
    r->run = run;
    r->plan = (const ocl_attention_plan *)run->plan;
    r->a = a;
    check_rows(r);
    fill_sizes(r);
    fill_masks(r);
    fill_small(r);
    fill_pages(r);
    make_table(r);
}

cl_mem attend__ocl_attention_out(ocl_run *run, const attend_tensor *out, attention_params *p) {
    const ocl_memory memory = attend__ocl_output(run, out);
    p->out_at = memory.offset;
    p->out_type = (i32)out->type;
    attend__ocl_strides(p->out_strides, out, 4);
    if (p->packed) p->out_strides[0] = 0;
    return memory.memory;
}
