/* SPDX-License-Identifier: Apache-2.0
 *
 * The operands of attention in the order that its kernels read. */
#include "ocl_attention.h"

#include <string.h>

/* ---- operands as the caller has them --------------------------------------------------------- */

static ocl_operand operand_of(const ocl_attention_run *r, const attend_tensor *t, bool packed,
                              int first) {
    const ocl_memory memory = attend__ocl_input(r->run, t);
    ocl_operand o = {.memory = memory.memory};
    o.x = (operand_source){.at = memory.offset,
                           .first = packed ? first : -1,
                           .size = (i32)t->sizes[3],
                           .type = (i32)t->type};
    attend__ocl_strides(o.x.strides, t, 4);
    if (packed) o.x.strides[0] = 0;
    return o;
}

ocl_operand attend__ocl_queries_of(const ocl_attention_run *r) {
    return operand_of(r, &r->a->q, r->p.packed != 0, TABLE_QUERY_ROW);
}

static ocl_operand cached_of(const ocl_attention_run *r, const attend_tensor *t,
                             const attend_tensor *scales) {
    const bool packed = attend__ocl_given(&r->a->cu_key_lengths);
    ocl_operand o = operand_of(r, t, packed, TABLE_KEY_ROW);
    if (t->type == ATTEND_I8) {
        const ocl_memory memory = attend__ocl_input(r->run, scales);
        o.scales = memory.memory;
        o.x.scales_at = memory.offset;
        attend__ocl_strides(o.x.scale_strides, scales, 3);
        if (packed) o.x.scale_strides[0] = 0;
    }
    if (r->pages == NULL) return o;
    o.pages = r->pages;
    o.x.page_size = (i32)(t->sizes[2] < INT32_MAX ? t->sizes[2] : INT32_MAX);
    o.x.page_count = (i32)(t->sizes[0] < INT32_MAX ? t->sizes[0] : INT32_MAX);
    o.x.pages_at = r->page_table.offset;
    attend__ocl_strides(o.x.page_strides, &r->page_table, 2);
    return o;
}

ocl_operand attend__ocl_keys_of(const ocl_attention_run *r) {
    return cached_of(r, &r->a->k, &r->a->k_scales);
}

ocl_operand attend__ocl_values_of(const ocl_attention_run *r) {
    return cached_of(r, &r->a->v, &r->a->v_scales);
}

void attend__ocl_push_operand(ocl_launch *launch, const ocl_operand *o) {
    attend__ocl_memory(launch, o->memory);
    attend__ocl_memory(launch, o->scales);
    attend__ocl_memory(launch, o->pages);
}

/* ---- packing --------------------------------------------------------------------------------- */

/* On a CPU a work-item packs a whole row, or panel, and starting a group costs more than one. */
static void enqueue_pack(ocl_attention_run *r, int kernel, const ocl_operand *o, pack_params *p,
                         const size_t counts[3]) {
    const bool rows = r->run->device->kernels == OCL_CLASS_ROWS;
    const size_t local[3] = {rows ? 1 : 4, 16, 1};
    p->x = o->x;
    if (r->run->purpose == OCL_IDLE) p->begin = p->end = 0;
    ocl_launch launch = attend__ocl_begin(r->run, kernel);
    attend__ocl_value(&launch, p, sizeof *p);
    attend__ocl_push_operand(&launch, o);
    attend__ocl_memory(&launch, r->run->scratch);
    size_t groups[3];
    for (int i = 0; i < 3; i++)
        groups[i] = (counts[i] + local[i] - 1) / local[i];
    if (rows) groups[0] = 1;
    attend__ocl_enqueue(&launch, groups, local);
}

/* Kernels can read the caller's memory: float32, elements side by side, no padding needed. */
static bool plain(const ocl_operand *o, int64_t padded_width) {
    return o->x.type == ATTEND_F32 && o->x.size == padded_width && o->x.strides[3] == 1 &&
           o->x.page_size == 0;
}

static cl_mem use_plain(const ocl_operand *o, i64 strides[3], i64 *at) {
    memcpy(strides, o->x.strides, 3 * sizeof *strides);
    *at = o->x.at;
    return o->memory;
}

/* Packs rows: those of each sample into places of its own, of packed batches all as they are. */
static void pack_rows(ocl_attention_run *r, ocl_operand *o, pack_params *p, i64 strides[3]) {
    const bool packed = o->x.first >= 0;
    o->x.first = -1;
    strides[2] = p->columns;
    strides[1] = (i64)p->rows * p->columns;
    strides[0] = packed ? 0 : p->heads * strides[1];
    memcpy(p->to_strides, strides, sizeof p->to_strides);
    if (packed) {
        p->table_at = -1;
        p->begin = 0;
        p->end = p->rows;
    }
    const size_t counts[3] = {(size_t)p->columns / 16, (size_t)p->rows,
                              (size_t)(packed ? 1 : r->p.B) * (size_t)p->heads};
    enqueue_pack(r, r->plan->pack_rows, o, p, counts);
}

void attend__ocl_pack_queries(ocl_attention_run *r) {
    attention_params *const p = &r->p;
    const int width = r->plan->DP;
    ocl_operand o = attend__ocl_queries_of(r);
    if (plain(&o, width)) {
        r->queries = use_plain(&o, p->query_strides, &p->queries_at);
        return;
    }
    const ocl_attention_sizes n = attend__ocl_attention_sizes(r->run->plan->operation, r->a);
    r->queries = r->run->scratch;
    p->queries_at = attend__ocl_scratch(r->run, attend__ocl_queries_bytes(&n, width)) / 4;
    const i32 rows = p->packed ? (i32)n.query_rows : p->L;
    pack_params pack = {.to = p->queries_at,
                        .table_at = -1,
                        .heads = p->H,
                        .rows = rows,
                        .columns = width,
                        .end = rows};
    pack_rows(r, &o, &pack, p->query_strides);
}

void attend__ocl_pack_keys(ocl_attention_run *r) {
    attention_params *const p = &r->p;
    const int width = r->plan->DP;
    const ocl_attention_sizes n = attend__ocl_attention_sizes(r->run->plan->operation, r->a);
    const ocl_operand o = attend__ocl_keys_of(r);
    p->keys_at = attend__ocl_scratch(r->run, attend__ocl_keys_bytes(&n, width)) / 4;
    p->key_strides[1] = (n.packed_keys ? attend__ocl_panel_keys(&n) : p->SP) * width;
    p->key_strides[0] = n.packed_keys ? 0 : p->G * p->key_strides[1];
    pack_params pack = {.to = p->keys_at,
                        .table_at = p->table_at,
                        .heads = p->G,
                        .rows = p->SP,
                        .columns = width,
                        .begin = p->key_begin,
                        .end = p->key_end};
    memcpy(pack.to_strides, p->key_strides, sizeof pack.to_strides);
    const bool blocks = r->run->device->kernels == OCL_CLASS_ROWS;
    const size_t counts[3] = {(size_t)width / (blocks ? 16 : 1), (size_t)p->SP / 16,
                              (size_t)p->B * (size_t)p->G};
    enqueue_pack(r, r->plan->pack_panels, &o, &pack, counts);
}

void attend__ocl_pack_values(ocl_attention_run *r) {
    attention_params *const p = &r->p;
    const int width = r->plan->EP;
    ocl_operand o = attend__ocl_values_of(r);
    if (plain(&o, width)) {
        r->values = use_plain(&o, p->value_strides, &p->values_at);
        return;
    }
    const ocl_attention_sizes n = attend__ocl_attention_sizes(r->run->plan->operation, r->a);
    r->values = r->run->scratch;
    p->values_at = attend__ocl_scratch(r->run, attend__ocl_values_bytes(&n, width)) / 4;
    pack_params pack = {.to = p->values_at,
                        .table_at = p->table_at,
                        .heads = p->G,
                        .rows = n.packed_keys ? (i32)n.key_rows : p->S,
                        .columns = width,
                        .begin = p->key_begin,
                        .end = p->key_end};
    pack_rows(r, &o, &pack, p->value_strides);
}
