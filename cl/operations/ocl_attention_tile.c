/* SPDX-License-Identifier: Apache-2.0
 *
 * ocl_attention_tile.h. The device alone decides how many keys a block has, since blocks of another
 * size give other bits. How many rows, and of which work-item, is free: the head sizes or the
 * tuning file propose, the driver's compiler has the last word. Where it allows a kernel fewer
 * work-items than the device has, a tile of fewer is taken. A matrix unit's tile depends on types,
 * head sizes and the device alone, since a unit need not add up in the order of the others. */
#include "ocl_attention_tile.h"

#include "attention_decode.h"
#include "attention_tile.h"
#include "ocl_operations.h"
#include "ocl_tuning.h"

#include <stdio.h>

enum {
    MOST_LOCAL_BYTES = 32 * 1024, /* beyond, too few work-groups run beside each other */
    SPAN = 8,                     /* blocks of a work-group of attention_classes */
    CLASS_ITEMS = 64,
    MOST_DECODE_ROWS = 8,
    MOST_KEYS = 64,
    LEAST_KEYS = 32,
    MOST_COLUMNS = 256,
    WIDE_COLUMNS = 128 /* beyond, 8 work-items beside each other have too many in registers */
};

static size_t items_of(const ocl_tile *t) {
    return (size_t)(t->keys / TILE_KEYS * (t->rows / t->own));
}

static size_t local_bytes(const ocl_tile *t, int DP) {
    const size_t depth = t->staged ? (size_t)DP : TILE_SLICE;
    const size_t keys = (size_t)t->keys;
    return TILE_FLOATS((size_t)t->rows, keys, depth, SLICE_FLOATS(keys)) * sizeof(cl_float);
}

/* The same by a matrix unit; without what its emulation exchanges. */
static size_t matrix_bytes(const ocl_attention_plan *p) {
    const ocl_tile *const t = &p->tile;
    const size_t depth = MATRIX_QUERY((size_t)(t->staged ? p->DP : MATRIX_SLICE(p->DP)));
    const size_t keys = (size_t)t->keys, slice = MATRIX_SLICE_FLOATS(keys, (size_t)p->EC);
    return TILE_FLOATS((size_t)t->rows, MATRIX_WEIGHTS(keys), depth, slice) * sizeof(cl_float);
}

static size_t bytes_of(const ocl_attention_plan *p) {
    return p->matrix.shape ? matrix_bytes(p) + p->matrix.exchange_bytes
                           : local_bytes(&p->tile, p->DP);
}

static size_t most_local(const attend_device *device) {
    const uint64_t most = device->shared->facts.local_bytes;
    return most < MOST_LOCAL_BYTES ? (size_t)most : MOST_LOCAL_BYTES;
}

static bool fits(const attend_device *device, const ocl_tile *t, int DP) {
    return items_of(t) <= device->shared->facts.most_work_items &&
           local_bytes(t, DP) <= most_local(device);
}

/* Keys: as the device allows for the head sizes of any plan. Rows: more of them for a head that
 * leaves registers. */
int attend__ocl_tile_choose(const attend_device *device, const attend_attention *largest,
                            ocl_attention_plan *p) {
    int values[OCL_TUNED_COUNT];
    attend__ocl_attention_tuned(device, &attend__ocl_source_attention_tile, largest, values);
    const ocl_attention_sizes n = attend__ocl_attention_sizes(ATTEND_OP_ATTENTION, largest);
    ocl_tile least = {.rows = 32, .own = 4, .keys = MOST_KEYS}, want;
    if (!fits(device, &least, 0)) least.keys = LEAST_KEYS;
    want = least;
    if (n.D <= 64 && n.E <= 64) want = (ocl_tile){.rows = 64, .own = 8, .keys = least.keys};
    if (values[OCL_TUNED(attention_tile, rows)] > 0)
        want.rows = values[OCL_TUNED(attention_tile, rows)];
    if (values[OCL_TUNED(attention_tile, own)] > 0)
        want.own = values[OCL_TUNED(attention_tile, own)];
    want.fixed = (values[OCL_TUNED(attention_tile, rows)] > 0 &&
                  attend__ocl_tuned_asked(device, OCL_TUNED(attention_tile, rows))) ||
                 (values[OCL_TUNED(attention_tile, own)] > 0 &&
                  attend__ocl_tuned_asked(device, OCL_TUNED(attention_tile, own)));
    p->tile = want.fixed || fits(device, &want, 0) ? want : least;
    const int most = values[OCL_TUNED(attention_tile, columns)];
    return most > 0 ? most : least.keys == LEAST_KEYS ? WIDE_COLUMNS : MOST_COLUMNS;
}

/* FAST lets the weights be rounded to the type of the values: worth it where half is a type of the
 * device. */
static bool is_narrow(const attend_device *device, const attend_attention *largest) {
    return device->kernels == OCL_CLASS_TILE && device->shared->facts.half &&
           largest->precision == ATTEND_PRECISION_FAST && largest->v.type == ATTEND_F16;
}

const char *attend__ocl_tile_weights(const attend_device *device, const ocl_attention_plan *p,
                                     const attend_attention *largest) {
    if (p->matrix.shape && largest->precision == ATTEND_PRECISION_FAST)
        return largest->v.type == ATTEND_F16 ? "f16" : "bf16";
    return is_narrow(device, largest) ? "f16" : "f32";
}

/* 16-bit elements that a weight is split into for a matrix unit: as many as the bound of
 * docs/numerics.md asks for, or one where FAST lets it be rounded. */
static int weight_parts(const attend_attention *largest) {
    if (largest->precision == ATTEND_PRECISION_FAST) return 1;
    return largest->v.type == ATTEND_F16 ? 2 : 3;
}

/* The plan's tile. */
static int build(attend_device *device, const attend_attention *largest, ocl_attention_plan *p,
                 attend_status *status) {
    ocl_tile *const t = &p->tile;
    t->staged = true;
    t->staged = p->matrix.shape ? matrix_bytes(p) <= most_local(device) : fits(device, t, p->DP);
    char options[200], weights[16] = "";
    if (p->matrix.shape)
        (void)snprintf(weights, sizeof weights, " -DPARTS=%d", weight_parts(largest));
    else if (is_narrow(device, largest))
        (void)snprintf(weights, sizeof weights, " -DUSE_HALF");
    (void)snprintf(options, sizeof options,
                   "-DDP=%d -DEC=%d -DBQ=%d -DBK=%d -DMQ=%d -DSTAGED=%d%s %s", p->DP, p->EC,
                   t->rows, t->keys, t->own, t->staged, weights, p->matrix.options);
    const ocl_wanted wanted = {.source = &attend__ocl_source_attention_tile,
                               .options = options,
                               .name = "attention_tile",
                               .items = items_of(t),
                               .local_bytes = bytes_of(p)};
    p->fused_subgroups = (ocl_subgroups){.way = OCL_SUBGROUP_COUNT};
    if (p->matrix.shape == NULL) p->fused_subgroups = attend__ocl_subgroups(device, NULL, 0);
    return attend__ocl_plan_neighbours(device, &p->plan, &wanted, &p->fused_subgroups, status);
}

static bool has_masks(const attend_attention *a) {
    return attend__ocl_given(&a->mask) || attend__ocl_given(&a->bias) ||
           attend__ocl_given(&a->key_mask);
}

static int make_classes(attend_device *device, ocl_attention_plan *p, attend_status *status) {
    char options[40];
    (void)snprintf(options, sizeof options, "-DBQ=%d -DBK=%d", p->tile.rows, p->tile.keys);
    return attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_attention_classes, options,
                                   "attention_classes", CLASS_ITEMS, status);
}

/* By the device's matrix unit, where queries, keys and values are of one 16-bit type. False:
 * nothing was added, the plan's note may say why; *refused is for another tile than the unit's,
 * asked for. */
static bool build_matrix(attend_device *device, const attend_attention *largest,
                         ocl_attention_plan *p, attend_plan_info *info, attend_status *refused) {
    const ocl_attention_sizes n = attend__ocl_attention_sizes(ATTEND_OP_ATTENTION, largest);
    const ocl_tile before = p->tile;
    const bool small = n.D <= 64 && n.E <= 64;
    if (largest->q.type != largest->k.type) return false;
    p->tile = (ocl_tile){.rows = small ? 64 : 32, .own = small ? 8 : 4, .keys = MOST_KEYS};
    if (before.keys == MOST_KEYS && matrix_bytes(p) <= most_local(device))
        p->matrix = attend__ocl_matrix(device, largest->q.type, info->note, sizeof info->note);
    attend_status status = ATTEND_OK;
    if (p->matrix.shape && before.fixed) {
        *refused =
            attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                               "opencl: attention_tile with %d rows, %d of a work-item: %s has a "
                               "tile of its own",
                               before.rows, before.own, p->matrix.name);
        return true;
    }
    if (p->matrix.shape) p->fused = build(device, largest, p, &status);
    if (p->matrix.shape && status == ATTEND_OK) return true;
    if (p->matrix.shape)
        (void)snprintf(info->note, sizeof info->note,
                       "%s is not used: attention does not build, or is more than the device runs",
                       p->matrix.name);
    if (p->fused >= 0) attend__ocl_plan_drop(device, &p->plan);
    p->matrix = (ocl_matrix_use){.shape = NULL};
    p->tile = before;
    p->fused = -1;
    return false;
}

static void build_plain(attend_device *device, const attend_attention *largest,
                        ocl_attention_plan *p, attend_status *status) {
    const ocl_tile last = {.rows = 32, .own = 8, .keys = p->tile.keys};
    const bool fixed = p->tile.fixed;
    if (fixed && !fits(device, &p->tile, 0)) {
        *status = attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                     "opencl: attention_tile with %d rows, %d of a work-item: %zu "
                                     "work-items and %zu bytes of local memory are more than "
                                     "the device has",
                                     p->tile.rows, p->tile.own, items_of(&p->tile),
                                     local_bytes(&p->tile, 0));
        return;
    }
    p->fused = build(device, largest, p, status);
    if (*status == ATTEND_OK || fixed || items_of(&p->tile) <= items_of(&last)) return;
    if (p->fused >= 0) attend__ocl_plan_drop(device, &p->plan);
    device->host->log(device->host->self, ATTEND_LOG_INFO, "build",
                      "opencl: a tile that the driver does not run; one of fewer work-items");
    p->tile = last;
    *status = ATTEND_OK;
    p->fused = build(device, largest, p, status);
}

void attend__ocl_tile_make(attend_device *device, const attend_attention *largest,
                           ocl_attention_plan *p, attend_plan_info *info, attend_status *status) {
    if (*status != ATTEND_OK) return;
    if (!build_matrix(device, largest, p, info, status)) build_plain(device, largest, p, status);
    if (attend__ocl_tuned_asked(device, OCL_TUNED(attention_tile, columns)) ||
        attend__ocl_tuned_asked(device, OCL_TUNED(attention_tile, rows)) ||
        attend__ocl_tuned_asked(device, OCL_TUNED(attention_tile, own)))
        attend__ocl_candidate_fits(device, &p->plan, p->fused, &attend__ocl_source_attention_tile,
                                   status);
    if (*status != ATTEND_OK) return;
    p->fused_rows = p->tile.rows;
    p->fused_items = items_of(&p->tile);
    p->fused_bytes = bytes_of(p);
    if (has_masks(largest)) p->classes = make_classes(device, p, status);
}

/* Query rows of a work-group. */
static int decode_rows(const attend_device *device, const attend_attention *largest, int DP) {
    const ocl_attention_sizes n = attend__ocl_attention_sizes(ATTEND_OP_ATTENTION, largest);
    int values[OCL_TUNED_COUNT];
    attend__ocl_attention_tuned(device, &attend__ocl_source_attention_decode, largest, values);
    const int tuned = values[OCL_TUNED(attention_decode, rows)];
    if (attend__ocl_tuned_asked(device, OCL_TUNED(attention_decode, rows)) && tuned > 0)
        return tuned;
    const int64_t most = tuned > 0 ? tuned : n.H / n.G * n.L;
    int rows = 1;
    while (rows < MOST_DECODE_ROWS && rows < most &&
           DECODE_FLOATS(2 * (size_t)rows, (size_t)DP) * sizeof(cl_float) <= most_local(device))
        rows *= 2;
    return rows;
}

void attend__ocl_decode_make(attend_device *device, const attend_attention *largest,
                             ocl_attention_plan *p, attend_plan_info *info, attend_status *status) {
    const int rows = decode_rows(device, largest, p->DP);
    char options[100];
    (void)snprintf(options, sizeof options, "-DDP=%d -DEC=%d -DRQ=%d -DK_TYPE=%d -DV_TYPE=%d",
                   p->DP, p->EC, rows, (int)largest->k.type, (int)largest->v.type);
    const ocl_wanted wanted = {.source = &attend__ocl_source_attention_decode,
                               .options = options,
                               .name = "attention_decode",
                               .items = DECODE_ITEMS,
                               .local_bytes =
                                   DECODE_FLOATS((size_t)rows, (size_t)p->DP) * sizeof(cl_float)};
    p->direct_subgroups = attend__ocl_subgroups(device, info->note, sizeof info->note);
    p->direct =
        attend__ocl_plan_neighbours(device, &p->plan, &wanted, &p->direct_subgroups, status);
    if (attend__ocl_tuned_asked(device, OCL_TUNED(attention_tile, columns)) ||
        attend__ocl_tuned_asked(device, OCL_TUNED(attention_decode, rows)))
        attend__ocl_candidate_fits(device, &p->plan, p->direct,
                                   &attend__ocl_source_attention_decode, status);
    p->direct_rows = rows;
    p->direct_bytes = wanted.local_bytes + DECODE_ITEMS * p->direct_subgroups.item_bytes;
}

/* ---- classes of blocks ----------------------------------------------------------------------- */

static size_t parts(int64_t size, int64_t part) {
    return (size_t)((size + part - 1) / part);
}

/* Bytes of a head, padded to whole floats. */
static size_t plane_bytes(const ocl_attention_plan *p, const ocl_attention_sizes *n) {
    const size_t bytes = parts(n->H / n->G * n->L, p->tile.rows) * parts(n->S, p->tile.keys);
    return (bytes + 3) / 4 * 4;
}

size_t attend__ocl_classes_bytes(const ocl_attention_plan *p, const ocl_attention_sizes *n) {
    if (p->classes < 0) return 0;
    return attend__ocl_scratch_round(plane_bytes(p, n) * (size_t)n->B * (size_t)n->G);
}

/* A bias of each head is read once more for its classes, which say little: few exclude keys. */
static bool is_worth_it(const attend_attention *a, const ocl_attention_sizes *n) {
    if (attend__ocl_given(&a->mask) || attend__ocl_given(&a->key_mask)) return true;
    return attend__ocl_given(&a->bias) && (a->bias.strides[1] == 0 || n->H == 1);
}

void attend__ocl_tile_classes(ocl_attention_run *r, const ocl_attention_sizes *n) {
    const attend_attention *const a = r->a;
    attention_params *const p = &r->p;
    if (r->plan->classes < 0 || !is_worth_it(a, n)) return;
    const bool own_heads = (attend__ocl_given(&a->mask) && a->mask.strides[1] != 0) ||
                           (attend__ocl_given(&a->bias) && a->bias.strides[1] != 0);
    const size_t heads = own_heads ? (size_t)n->G : 1;
    const size_t key_blocks = parts(n->S, r->plan->tile.keys);
    const size_t blocks = parts(n->H / n->G * n->L, r->plan->tile.rows);
    p->classes_at = attend__ocl_scratch(r->run, attend__ocl_classes_bytes(r->plan, n)) / 4;
    p->class_strides[2] = (i64)key_blocks;
    p->class_strides[1] = own_heads ? (i64)plane_bytes(r->plan, n) : 0;
    p->class_strides[0] = (i64)(plane_bytes(r->plan, n) * heads);
    ocl_launch launch = attend__ocl_begin(r->run, r->plan->classes);
    attend__ocl_value(&launch, p, sizeof *p);
    attend__ocl_memory(&launch, r->mask);
    attend__ocl_memory(&launch, r->bias);
    attend__ocl_memory(&launch, r->key_mask);
    attend__ocl_memory(&launch, r->run->scratch);
    attend__ocl_local(&launch, (size_t)r->plan->tile.rows * sizeof(row_line) + 2 * sizeof(i32));
    const size_t groups[3] = {blocks, parts((int64_t)key_blocks, SPAN), (size_t)n->B * heads};
    const size_t local[3] = {CLASS_ITEMS, 1, 1};
    attend__ocl_enqueue(&launch, groups, local);
}
