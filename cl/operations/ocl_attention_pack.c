/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of attention, and its operands in the order that kernels read. */
#include "ocl_attention.h"

#include "ocl_operations.h"

#include <float.h>
#include <string.h>

static int64_t rounded(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

/* ---- sizes ----------------------------------------------------------------------------------- */

ocl_attention_sizes attend__ocl_attention_sizes(attend_operation operation,
                                                const attend_attention *a) {
    const attend_tensor *const rows = operation == ATTEND_OP_MIX       ? &a->weights
                                      : operation == ATTEND_OP_SOFTMAX ? &a->scores
                                                                       : &a->q;
    ocl_attention_sizes n = {.B = rows->sizes[0], .H = rows->sizes[1], .L = rows->sizes[2]};
    n.G = n.H;
    if (operation == ATTEND_OP_SOFTMAX || operation == ATTEND_OP_MIX) n.S = rows->sizes[3];
    if (operation == ATTEND_OP_ATTENTION || operation == ATTEND_OP_SCORES) {
        n.G = a->k.sizes[1];
        n.S = a->k.sizes[2];
        n.D = a->q.sizes[3];
    }
    if (operation == ATTEND_OP_ATTENTION || operation == ATTEND_OP_MIX) {
        n.G = a->v.sizes[1];
        n.E = a->v.sizes[3];
    }
    return n;
}

attend_status attend__ocl_attention_check(const attend_device *device,
                                          const ocl_attention_sizes *n) {
    const int64_t most = (int64_t)1 << 30;
    const int64_t sizes[] = {n->B, n->H, n->L, n->S, n->D, n->E};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] > most)
            return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                      "opencl: a size of %lld; kernels count up to 2^30",
                                      (long long)sizes[i]);
    if (n->B * n->H > most || n->H / n->G * n->L > most)
        return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                  "opencl: %lld heads of %lld rows; kernels count up to 2^30",
                                  (long long)(n->B * n->H), (long long)n->L);
    /* what is packed, with its padding; tensors that repeat elements can say sizes without end */
    const double rows = (double)(n->H * n->L) + (double)n->G * ((double)n->S + 32.0);
    const double bytes = (double)n->B * rows * ((double)(n->D + n->E) + 512.0) * sizeof(float);
    if (bytes > 0x1p62)
        return attend__ocl_refuse(device->host, ATTEND_OUT_OF_MEMORY,
                                  "opencl: %.3g bytes of scratch memory", bytes);
    return ATTEND_OK;
}

size_t attend__ocl_table_bytes(const ocl_attention_sizes *n) {
    return attend__ocl_scratch_round((size_t)n->B * 3 * sizeof(i64));
}
size_t attend__ocl_queries_bytes(const ocl_attention_sizes *n, int DP) {
    return attend__ocl_scratch_round((size_t)(n->B * n->H * n->L * DP) * sizeof(float));
}
size_t attend__ocl_keys_bytes(const ocl_attention_sizes *n, int DP) {
    return attend__ocl_scratch_round((size_t)(n->B * n->G * rounded(n->S, 32) * DP) *
                                     sizeof(float));
}
size_t attend__ocl_values_bytes(const ocl_attention_sizes *n, int EP) {
    return attend__ocl_scratch_round((size_t)(n->B * n->G * n->S * EP) * sizeof(float));
}
size_t attend__ocl_sums_bytes(const ocl_attention_sizes *n) {
    return attend__ocl_scratch_round((size_t)(n->B * n->H * n->L) * 2 * sizeof(float));
}

void attend__ocl_attention_kernels(attend_device *device, ocl_attention_plan *p,
                                   const ocl_attention_sizes *n, attend_status *status) {
    const ocl_source *const source = &attend__ocl_source_attention_pack;
    p->plan.small_bytes = (size_t)(n->B * 24 + n->B * n->H * 4 + n->H * 4) + 5 * 16;
    p->table = attend__ocl_plan_kernel(device, &p->plan, source, "", "pack_table", status);
    p->pack_rows = attend__ocl_plan_kernel(device, &p->plan, source, "", "pack_rows", status);
    const bool rows = device->kernels == OCL_CLASS_ROWS;
    p->pack_panels = attend__ocl_plan_kernel(device, &p->plan, source, "",
                                             rows ? "pack_panels" : "pack_elements", status);
}

/* ---- parameters ------------------------------------------------------------------------------ */

static void copy_strides(i64 *to, const attend_tensor *from, int count) {
    for (int i = 0; i < count; i++)
        to[i] = from->strides[i];
}

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
    if (attend__ocl_given(&a->mask)) copy_strides(p->mask_strides, &a->mask, 4);
    if (attend__ocl_given(&a->bias)) copy_strides(p->bias_strides, &a->bias, 4);
    if (attend__ocl_given(&a->key_mask)) copy_strides(p->key_mask_strides, &a->key_mask, 2);
    p->mask_keys = attend__ocl_given(&a->mask) ? (i32)a->mask.sizes[3] : 0;
    p->bias_keys = attend__ocl_given(&a->bias) ? (i32)a->bias.sizes[3] : 0;
    p->bias_type = (i32)a->bias.type;
}

static void fill_small(ocl_attention_run *r) {
    attend_tensor packed;
    const ocl_memory slopes = attend__ocl_small(r->run, &r->a->alibi_slopes, &packed);
    r->slopes = slopes.memory;
    r->p.slope_at = slopes.offset;
    copy_strides(r->p.slope_strides, &packed, 2);
    const ocl_memory sinks = attend__ocl_small(r->run, &r->a->sinks, &packed);
    r->sinks = sinks.memory;
    r->p.sink_at = sinks.offset;
    r->p.sink_stride = packed.strides[0];
    const ocl_memory lse = attend__ocl_output(r->run, &r->a->lse);
    r->lse = lse.memory;
    r->p.lse_at = lse.offset;
    copy_strides(r->p.lse_strides, &r->a->lse, 3);
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
    p->SP = (i32)rounded(n.S, 32);
    p->EP = r->plan->EP;
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
    p->table_at = p->row_sums_at = -1;
}

static void make_table(ocl_attention_run *r) {
    const attend_attention *const a = r->a;
    const bool offsets = a->position == ATTEND_AT_OFFSETS && attend__ocl_given(&a->query_offsets);
    attend_tensor query_lengths, key_lengths, query_offsets, none = {0};
    const ocl_memory queries = attend__ocl_small(r->run, &a->query_lengths, &query_lengths);
    const ocl_memory keys = attend__ocl_small(r->run, &a->key_lengths, &key_lengths);
    const ocl_memory places =
        attend__ocl_small(r->run, offsets ? &a->query_offsets : &none, &query_offsets);
    attend__ocl_small_flush(r->run);
    if (!attend__ocl_given(&a->query_lengths) && !attend__ocl_given(&a->key_lengths) && !offsets)
        return;
    const ocl_attention_sizes n = {.B = r->p.B};
    r->p.table_at = attend__ocl_scratch(r->run, attend__ocl_table_bytes(&n)) / (int64_t)sizeof(i64);
    const table_params p = {
        .query_lengths_at = queries.offset,
        .query_lengths_stride = query_lengths.strides[0],
        .query_lengths_type = (i32)a->query_lengths.type,
        .key_lengths_at = keys.offset,
        .key_lengths_stride = key_lengths.strides[0],
        .key_lengths_type = (i32)a->key_lengths.type,
        .offsets_at = places.offset,
        .offsets_stride = query_offsets.strides[0],
        .offsets_type = offsets ? (i32)a->query_offsets.type : 0,
        .query_offset = a->position == ATTEND_AT_OFFSETS ? a->query_offset : 0,
        .to = r->p.table_at,
        .B = r->p.B,
        .L = r->p.L,
        .S = r->p.S,
        .bottom_right = a->position == ATTEND_BOTTOM_RIGHT,
    };
    ocl_launch launch = attend__ocl_begin(r->run, r->plan->table);
    attend__ocl_value(&launch, &p, sizeof p);
    attend__ocl_memory(&launch, queries.memory);
    attend__ocl_memory(&launch, keys.memory);
    attend__ocl_memory(&launch, places.memory);
    attend__ocl_memory(&launch, r->run->scratch);
    const size_t groups[3] = {(size_t)rounded(r->p.B, 16) / 16, 1, 1}, local[3] = {16, 1, 1};
    attend__ocl_enqueue(&launch, groups, local);
}

void attend__ocl_attention_start(ocl_attention_run *r, ocl_run *run, const attend_attention *a) {
    memset(r, 0, sizeof *r);
    r->run = run;
    r->plan = (const ocl_attention_plan *)run->plan;
    r->a = a;
    fill_sizes(r);
    fill_masks(r);
    fill_small(r);
    make_table(r);
}

cl_mem attend__ocl_attention_out(ocl_run *run, const attend_tensor *out, attention_params *p) {
    const ocl_memory memory = attend__ocl_output(run, out);
    p->out_at = memory.offset;
    p->out_type = (i32)out->type;
    copy_strides(p->out_strides, out, 4);
    return memory.memory;
}

/* ---- packing --------------------------------------------------------------------------------- */

/* On a CPU a work-item packs a whole row, or panel, and starting a group costs more than one. */
static void enqueue_pack(ocl_attention_run *r, int kernel, const attend_tensor *x, pack_params *p,
                         const size_t counts[3]) {
    const bool rows = r->run->device->kernels == OCL_CLASS_ROWS;
    const size_t local[3] = {rows ? 1 : 4, 16, 1};
    const ocl_memory memory = attend__ocl_input(r->run, x);
    p->at = memory.offset;
    p->type = (i32)x->type;
    copy_strides(p->strides, x, 4);
    ocl_launch launch = attend__ocl_begin(r->run, kernel);
    attend__ocl_value(&launch, p, sizeof *p);
    attend__ocl_memory(&launch, memory.memory);
    attend__ocl_memory(&launch, r->run->scratch);
    size_t groups[3];
    for (int i = 0; i < 3; i++)
        groups[i] = (counts[i] + local[i] - 1) / local[i];
    if (rows) groups[0] = 1;
    attend__ocl_enqueue(&launch, groups, local);
}

/* Kernels can read the caller's memory: float32, elements side by side, no padding needed. */
static bool plain(const attend_tensor *x, int64_t padded_width) {
    return x->type == ATTEND_F32 && x->sizes[3] == padded_width && x->strides[3] == 1;
}

static cl_mem use_plain(ocl_attention_run *r, const attend_tensor *x, i64 strides[3], i64 *at) {
    const ocl_memory memory = attend__ocl_input(r->run, x);
    copy_strides(strides, x, 3);
    *at = memory.offset;
    return memory.memory;
}

static void contiguous(i64 strides[3], int64_t heads, int64_t rows, int64_t columns) {
    strides[2] = columns;
    strides[1] = rows * columns;
    strides[0] = heads * rows * columns;
}

void attend__ocl_pack_queries(ocl_attention_run *r) {
    attention_params *const p = &r->p;
    const int width = r->plan->DP;
    if (plain(&r->a->q, width)) {
        r->queries = use_plain(r, &r->a->q, p->query_strides, &p->queries_at);
        return;
    }
    const ocl_attention_sizes n = {.B = p->B, .H = p->H, .L = p->L};
    r->queries = r->run->scratch;
    p->queries_at = attend__ocl_scratch(r->run, attend__ocl_queries_bytes(&n, width)) / 4;
    contiguous(p->query_strides, p->H, p->L, width);
    pack_params pack = {.to = p->queries_at,
                        .table_at = -1,
                        .heads = p->H,
                        .n = p->L,
                        .size = p->D,
                        .rows = p->L,
                        .columns = width};
    const size_t counts[3] = {(size_t)width / 16, (size_t)p->L, (size_t)p->B * (size_t)p->H};
    enqueue_pack(r, r->plan->pack_rows, &r->a->q, &pack, counts);
}

void attend__ocl_pack_keys(ocl_attention_run *r) {
    attention_params *const p = &r->p;
    const int width = r->plan->DP;
    const ocl_attention_sizes n = {.B = p->B, .G = p->G, .S = p->S};
    p->keys_at = attend__ocl_scratch(r->run, attend__ocl_keys_bytes(&n, width)) / 4;
    pack_params pack = {.to = p->keys_at,
                        .table_at = p->table_at,
                        .heads = p->G,
                        .n = p->S,
                        .size = p->D,
                        .rows = p->SP,
                        .columns = width};
    const bool blocks = r->run->device->kernels == OCL_CLASS_ROWS;
    const size_t counts[3] = {(size_t)width / (blocks ? 16 : 1), (size_t)p->SP / 16,
                              (size_t)p->B * (size_t)p->G};
    enqueue_pack(r, r->plan->pack_panels, &r->a->k, &pack, counts);
}

void attend__ocl_pack_values(ocl_attention_run *r) {
    attention_params *const p = &r->p;
    const int width = r->plan->EP;
    if (plain(&r->a->v, width)) {
        r->values = use_plain(r, &r->a->v, p->value_strides, &p->values_at);
        return;
    }
    const ocl_attention_sizes n = {.B = p->B, .G = p->G, .S = p->S};
    r->values = r->run->scratch;
    p->values_at = attend__ocl_scratch(r->run, attend__ocl_values_bytes(&n, width)) / 4;
    contiguous(p->value_strides, p->G, p->S, width);
    pack_params pack = {.to = p->values_at,
                        .table_at = p->table_at,
                        .heads = p->G,
                        .n = p->S,
                        .size = p->E,
                        .rows = p->S,
                        .columns = width};
    const size_t counts[3] = {(size_t)width / 16, (size_t)p->S, (size_t)p->B * (size_t)p->G};
    enqueue_pack(r, r->plan->pack_rows, &r->a->v, &pack, counts);
}
