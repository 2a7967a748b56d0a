/* SPDX-License-Identifier: Apache-2.0
 *
 * Fused attention, and what was asked for besides, which is computed from the row's log-sum-exp.
 * Samples of few rows take a kernel of their own, by their own number of rows, that reads keys and
 * values where they lie: attention_decode on GPUs, attention_few on CPUs. Others take
 * attention_tile on GPUs, with keys and values packed, and attention_lanes on CPUs, where nothing
 * but what side outputs need is packed. Keys are split over work-groups where there are too few
 * rows to keep the device busy; the bits are the same. */
#include "ocl_attention.h"

#include "attention_decode.h"
#include "ocl_attention_tile.h"
#include "ocl_operations.h"
#include "ocl_rows.h"
#include "ocl_tuning.h"

#include <stdio.h>

enum {
    BUSY_GROUPS = 4, /* work-groups for each compute unit */
    MOST_PARTIAL_BYTES = 64 << 20,
    FEW_ROWS = 16,          /* of a key/value head that have kernels of their own */
    MOST_LANES_DEPTH = 512, /* head size up to which a chunk of keys stays near */
    MOST_WIDE_DEPTH = 256,  /* and the rows of strips of more than one vector */
    MOST_VECTORS = 3,
    TILE_MERGE_COLUMNS = 4, /* of a work-item of attention_merge */
};

static int padded(int64_t n, int to) {
    return (int)((n + to - 1) / to * to);
}

/* Rows of one work-group, most columns of one, and keys that are summed on their own, of each
 * class. */
static const struct {
    int rows, columns, column_step, chunk;
} shapes[OCL_CLASS_COUNT] = {
    [OCL_CLASS_ROWS] = {8, 256, 32, 128},
    [OCL_CLASS_TILE] = {64, 256, 16, TILE_CHUNK},
    [OCL_CLASS_PLAIN] = {2, 64, 32, 128},
};

/* Whether a sample of all L rows has too many for the kernels of few. */
static bool are_many(const ocl_attention_sizes *n) {
    return n->H / n->G * n->L > FEW_ROWS;
}

static int64_t chunks_of(const attend_device *device, int64_t keys) {
    const int chunk = shapes[device->kernels].chunk;
    return (keys + chunk - 1) / chunk;
}

/* ---- operands where they lie ----------------------------------------------------------------- */

static bool wants_sides(const attend_attention *a) {
    return attend__ocl_given(&a->weights) || attend__ocl_given(&a->weights_mean) ||
           attend__ocl_given(&a->scores);
}

/* Whether a plan of this padded head size packs no keys for fused attention. */
static bool in_place(const attend_device *device, int DP) {
    return device->kernels == OCL_CLASS_ROWS && DP <= MOST_LANES_DEPTH;
}

/* Rows that a work-item does not have cost as much as those it has. */
static int rows_that_fit(const attend_device *device, const ocl_attention_sizes *n) {
    const int most = shapes[device->kernels].rows;
    int rows = 1;
    while (rows < most && rows < n->H / n->G * n->L)
        rows *= 2;
    return rows;
}

/* ---- split keys ------------------------------------------------------------------------------ */

static int64_t busy_groups(const attend_device *device) {
    return (int64_t)BUSY_GROUPS * device->shared->facts.compute_units;
}

/* Whether a run of as many heads may split its keys: each has a work-group at least. */
static bool may_split(const attend_device *device, const ocl_attention_sizes *n) {
    return n->G < busy_groups(device);
}

static int64_t groups_of(const ocl_attention_sizes *n, int rows) {
    if (n->packed_queries) return (n->H / n->G * n->query_rows + rows - 1) / rows * n->G;
    return (n->H / n->G * n->L + rows - 1) / rows * n->B * n->G;
}

static size_t partial_bytes(const attend_device *device, const ocl_attention_sizes *n, int EP) {
    const size_t pieces = (size_t)chunks_of(device, n->S);
    return attend__ocl_scratch_round((size_t)(n->H * n->query_rows) * pieces * (size_t)(EP + 2) *
                                     sizeof(float));
}

/* Room for the splits of any smaller call: few rows over all keys. */
static size_t room_for_partials(const attend_device *device, const ocl_attention_sizes *largest,
                                int EP) {
    if (chunks_of(device, largest->S) <= 1 || !may_split(device, largest)) return 0;
    const int64_t most = busy_groups(device) * shapes[device->kernels].rows;
    ocl_attention_sizes n = *largest;
    n.query_rows = n.H * n.query_rows < most ? n.H * n.query_rows : most;
    n.H = 1;
    const size_t bytes = partial_bytes(device, &n, EP);
    return bytes < MOST_PARTIAL_BYTES ? bytes : MOST_PARTIAL_BYTES;
}

static int pieces_of(const ocl_run *run, const ocl_attention_plan *plan,
                     const ocl_attention_sizes *n, int rows) {
    const attend_device *const device = run->device;
    const int64_t pieces = plan->merge < 0 ? 1 : chunks_of(device, n->S);
    if (pieces <= 1 || groups_of(n, rows) >= busy_groups(device)) return 1;
    return partial_bytes(device, n, plan->EP) > plan->partial_bytes ? 1 : (int)pieces;
}

/* As many as leave every compute unit work: strips of a work-item share what is read. */
static int strips_of(const ocl_run *run, const ocl_attention_plan *plan,
                     const ocl_attention_sizes *n) {
    int strips = plan->most_strips;
    while (strips > 1 && groups_of(n, strips * plan->lane_rows) < busy_groups(run->device))
        strips--;
    return strips;
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

/* One of the kernels of the fused loop, which takes `rows` query rows a work-item, or group. */
static void enqueue_fused(ocl_attention_run *r, cl_mem out, int kernel, size_t rows) {
    ocl_run *const run = r->run;
    ocl_launch launch = attend__ocl_begin(run, kernel);
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
    const bool direct = kernel == r->plan->direct;
    if (run->device->kernels == OCL_CLASS_TILE)
        attend__ocl_local(&launch, direct ? r->plan->direct_bytes : r->plan->fused_bytes);
    if (kernel != r->plan->fused) push_direct(r, &launch);
    const ocl_class class = run->device->kernels;
    const size_t count = (size_t)r->p.R * (size_t)r->p.L;
    const size_t blocks = (count + rows - 1) / rows;
    const size_t planes = (size_t)r->p.B * (size_t)r->p.G * (size_t)(r->plan->EP / r->plan->EC);
    const size_t items = direct ? DECODE_ITEMS : r->plan->fused_items;
    const size_t locals[OCL_CLASS_COUNT][3] = {[OCL_CLASS_ROWS] = {1, 1, 1},
                                               [OCL_CLASS_TILE] = {items, 1, 1},
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
    /* on GPUs a row and 128 columns: rows are few where keys are split */
    const bool tile = r->run->device->kernels == OCL_CLASS_TILE;
    const size_t columns = tile ? TILE_MERGE_COLUMNS : 16;
    const size_t local[3] = {tile ? 32 : 2, tile ? 1 : 8, 1};
    const size_t items = (size_t)r->p.EP / columns, rows = (size_t)r->p.R * (size_t)r->p.L;
    const size_t groups[3] = {(items + local[0] - 1) / local[0], (rows + local[1] - 1) / local[1],
                              (size_t)r->p.B * (size_t)r->p.G};
    attend__ocl_enqueue(&launch, groups, local);
}

/* Whether a run of few rows takes the kernel for one token's. */
static bool is_token(const ocl_attention_plan *plan, const ocl_attention_sizes *n) {
    return plan->token >= 0 && n->H / n->G * n->L <= plan->token_rows;
}

/* Where samples have lengths of their own, each takes the kernel that it would take alone. */
static void enqueue_by_rows(ocl_attention_run *r, const ocl_attention_sizes *n, cl_mem out) {
    const ocl_attention_plan *const plan = r->plan;
    const bool many = are_many(n);
    const bool own = attend__ocl_given(&r->a->query_lengths) || n->packed_queries;
    if (!many || own) {
        r->p.least = 0;
        r->p.most = FEW_ROWS;
        const bool token = is_token(plan, n);
        enqueue_fused(r, out, token ? plan->token : plan->direct,
                      (size_t)(token ? plan->token_rows : plan->direct_rows));
    }
    if (!many) return;
    r->p.least = FEW_ROWS + 1;
    r->p.most = INT32_MAX;
    if (plan->lanes < 0) {
        enqueue_fused(r, out, plan->fused, (size_t)plan->fused_rows);
        return;
    }
    r->p.strips = strips_of(r->run, plan, n);
    enqueue_fused(r, out, plan->lanes, (size_t)plan->lane_rows * (size_t)r->p.strips);
}

static void record(ocl_run *run, const void *description) {
    const attend_attention *const a = description;
    const ocl_attention_sizes n = attend__ocl_attention_sizes(ATTEND_OP_ATTENTION, a);
    ocl_attention_run r;
    attend__ocl_attention_start(&r, run, a);
    const ocl_attention_plan *const plan = r.plan;
    const bool many = plan->direct < 0 || are_many(&n);
    const bool packs = many && plan->lanes < 0; /* keys and values, for `fused` */
    const int few = is_token(plan, &n) ? plan->token_rows : plan->direct_rows;
    const int rows = !many ? few : packs ? plan->fused_rows : plan->lane_rows;
    attend__ocl_pack_queries(&r);
    if (packs || wants_sides(a)) attend__ocl_pack_keys(&r);
    if (packs) attend__ocl_pack_values(&r);
    const cl_mem out = attend__ocl_attention_out(run, &a->out, &r.p);
    if (attend__ocl_given(&a->weights) || attend__ocl_given(&a->weights_mean))
        r.p.row_sums_at = attend__ocl_scratch(run, attend__ocl_sums_bytes(&n)) / 4;
    r.p.most = INT32_MAX;
    r.p.pieces = pieces_of(run, plan, &n, rows);
    if (r.p.pieces > 1)
        r.p.partial_at = attend__ocl_scratch(run, partial_bytes(run->device, &n, plan->EP)) / 4;
    else if (run->device->kernels == OCL_CLASS_TILE && chunks_of(run->device, n.S) > 1)
        r.p.totals_at = attend__ocl_scratch(run, attend__ocl_queries_bytes(&n, plan->EP)) / 4;
    if (packs) attend__ocl_tile_classes(&r, &n);
    if (plan->direct >= 0)
        enqueue_by_rows(&r, &n, out);
    else
        enqueue_fused(&r, out, plan->fused, (size_t)rows);
    /* rehearsed in any plan: others of the same kernels may have more keys */
    if (r.p.pieces > 1 || (run->purpose == OCL_IDLE && plan->merge >= 0)) enqueue_merge(&r, out);
    if (attend__ocl_given(&a->scores)) attend__ocl_side_scores(&r);
    if (attend__ocl_given(&a->weights)) attend__ocl_side_weights(&r, NULL, false);
    if (attend__ocl_given(&a->weights_mean)) attend__ocl_side_weights(&r, NULL, true);
}

/* ---- planning -------------------------------------------------------------------------------- */

/* What excludes keys, most costly first. */
static const char *mask_text(const attend_attention *a) {
    if (attend__ocl_given(&a->bias)) return "bias";
    if (attend__ocl_given(&a->mask)) return "mask";
    if (a->window_left >= 0 || a->window_right >= 0) return "window";
    return a->causal ? "causal" : attend__ocl_given(&a->key_lengths) ? "lengths" : "none";
}

/* Values of a kernel's parameters for the plan; attention_few and attention_decode are for few rows
 * in any plan, and attention_tile for many. */
void attend__ocl_attention_tuned(const attend_device *device, const ocl_source *source,
                                 const attend_attention *largest, int *values) {
    const ocl_attention_sizes n = attend__ocl_attention_sizes(ATTEND_OP_ATTENTION, largest);
    const bool many = are_many(&n), tile = source == &attend__ocl_source_attention_tile,
               few = source == &attend__ocl_source_attention_few ||
                     source == &attend__ocl_source_attention_decode;
    const ocl_tuned_shape shape = {
        .type = largest->k.type,
        .mask = mask_text(largest),
        .phase = many && !few ? "many" : "few",
        .head = (int)n.D,
        .sizes = {many && few ? 1 : n.L, n.S, n.B * n.H},
        .aside = many ? few : tile,
    };
    attend__ocl_tuned(device, source, &shape, values);
}

static void choose_padding(const attend_device *device, const attend_attention *largest,
                           const ocl_attention_sizes *n, ocl_attention_plan *p) {
    const int step = shapes[device->kernels].column_step;
    int most = shapes[device->kernels].columns;
    if (device->kernels == OCL_CLASS_TILE) most = attend__ocl_tile_choose(device, largest, p);
    p->DP = n->D > 0 ? padded(n->D, 16) : 16;
    const int64_t columns = n->E > 0 ? n->E : 1, groups = (columns + most - 1) / most;
    p->EC = padded((columns + groups - 1) / groups, step);
    p->EP = padded(columns, p->EC);
}

/* attention_rows, or attention_few, which reads keys and values where they lie. */
static int make_rows(attend_device *device, ocl_attention_plan *p, bool few, int rows,
                     attend_status *status) {
    char options[80];
    (void)snprintf(options, sizeof options, "-DDP=%d -DEC=%d -DCHUNK=%d -DRQ=%d", p->DP, p->EC,
                   shapes[device->kernels].chunk, rows);
    return attend__ocl_plan_kernel(
        device, &p->plan,
        few ? &attend__ocl_source_attention_few : &attend__ocl_source_attention_rows, options,
        few ? "attention_few" : "attention_rows", OCL_ANY_GROUP, status);
}

static int make_lanes(attend_device *device, const attend_attention *largest,
                      const ocl_attention_sizes *n, ocl_attention_plan *p, attend_status *status) {
    int values[OCL_TUNED_COUNT];
    if (!are_many(n)) return -1;
    attend__ocl_attention_tuned(device, &attend__ocl_source_attention_lanes, largest, values);
    p->most_strips = values[OCL_TUNED(attention_lanes, strips)];
    int vectors = values[OCL_TUNED(attention_lanes, vectors)];
    if (vectors == 0) vectors = p->DP <= MOST_WIDE_DEPTH ? MOST_VECTORS : 1;
    p->lane_rows = 16 * vectors;
    char options[80];
    (void)snprintf(options, sizeof options,
                   "-DDP=%d -DEC=%d -DCHUNK=%d -DMOST_VECTORS=%d -DMOST_STRIPS=%d", p->DP, p->EC,
                   shapes[device->kernels].chunk, vectors, p->most_strips);
    return attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_attention_lanes, options,
                                   "attention_lanes", OCL_ANY_GROUP, status);
}

/* attention_few, and where the plan may serve single tokens one for their rows alone. */
static void make_few(attend_device *device, const attend_attention *largest,
                     const ocl_attention_sizes *n, ocl_attention_plan *p, attend_status *status) {
    int values[OCL_TUNED_COUNT];
    attend__ocl_attention_tuned(device, &attend__ocl_source_attention_few, largest, values);
    const int asked = values[OCL_TUNED(attention_few, rows)]; /* one token's, if rows are many */
    ocl_attention_sizes one = *n;
    one.L = 1;
    p->token_rows = asked > 0 && are_many(n) ? asked : rows_that_fit(device, &one);
    if (asked > 0 && !are_many(n)) p->direct_rows = asked;
    p->direct = make_rows(device, p, true, p->direct_rows, status);
    const bool serves = largest->causal || attend__ocl_given(&largest->page_table) || n->S > n->L;
    if (serves && p->token_rows < p->direct_rows)
        p->token = make_rows(device, p, true, p->token_rows, status);
}

static void make_kernels(attend_device *device, const attend_attention *largest,
                         const ocl_attention_sizes *n, ocl_attention_plan *p,
                         attend_plan_info *info, attend_status *status) {
    attend__ocl_attention_kernels(device, p, n, largest, status);
    int values[OCL_TUNED_COUNT];
    p->direct = p->token = p->lanes = p->fused = p->classes = p->merge = -1;
    if (wants_sides(largest)) attend__ocl_side_kernels(device, p, status);
    p->fused_subgroups.way = p->direct_subgroups.way = OCL_SUBGROUP_COUNT;
    p->direct_rows = rows_that_fit(device, n);
    p->fused_rows = shapes[device->kernels].rows;
    if (device->kernels == OCL_CLASS_TILE) {
        attend__ocl_decode_make(device, largest, p, info, status);
        if (are_many(n)) attend__ocl_tile_make(device, largest, p, info, status);
    } else if (in_place(device, p->DP)) {
        make_few(device, largest, n, p, status);
        p->lanes = make_lanes(device, largest, n, p, status);
    } else {
        attend__ocl_attention_tuned(device, &attend__ocl_source_attention_rows, largest, values);
        p->fused_rows = values[OCL_TUNED(attention_rows, rows)];
        p->fused = make_rows(device, p, false, p->fused_rows, status);
    }
    char options[20] = "";
    if (device->kernels == OCL_CLASS_TILE)
        (void)snprintf(options, sizeof options, "-DCOLUMNS=%d", TILE_MERGE_COLUMNS);
    if (may_split(device, n))
        p->merge = attend__ocl_plan_kernel(device, &p->plan, &attend__ocl_source_attention_merge,
                                           options, "attention_merge", OCL_ANY_GROUP, status);
}

static size_t scratch_bytes(const attend_device *device, const ocl_attention_plan *p,
                            const ocl_attention_sizes *n, const attend_attention *largest) {
    size_t bytes = attend__ocl_table_bytes(n) + attend__ocl_queries_bytes(n, p->DP) +
                   attend__ocl_sums_bytes(n);
    if (p->fused >= 0 || wants_sides(largest)) bytes += attend__ocl_keys_bytes(n, p->DP);
    if (p->fused >= 0) bytes += attend__ocl_values_bytes(n, p->EP);
    bytes += attend__ocl_classes_bytes(p, n);
    const bool runs_on = device->kernels == OCL_CLASS_TILE && chunks_of(device, n->S) > 1;
    const size_t totals = runs_on ? attend__ocl_queries_bytes(n, p->EP) : 0;
    return bytes + (totals > p->partial_bytes ? totals : p->partial_bytes);
}

attend_status attend__ocl_plan_attention(attend_device *device, const attend_attention *largest,
                                         attend_plan_info *info, attend_device_plan **plan) {
    const ocl_attention_sizes n = attend__ocl_attention_sizes(ATTEND_OP_ATTENTION, largest);
    attend_status status = attend__ocl_attention_check(device, &n);
    if (status != ATTEND_OK) return status;
    ocl_attention_plan *const p = attend__ocl_plan_new(device, ATTEND_OP_ATTENTION, sizeof *p);
    if (p == NULL) return ATTEND_OUT_OF_MEMORY;
    choose_padding(device, largest, &n, p);
    make_kernels(device, largest, &n, p, info, &status);
    p->plan.record = record;
    p->partial_bytes = room_for_partials(device, &n, p->EP);
    p->plan.scratch_bytes = scratch_bytes(device, p, &n, largest);
    info->workspace_bytes = p->plan.scratch_bytes;
    (void)snprintf(
        info->kernel, sizeof info->kernel, "attention_%s_%dx%d__opencl_%s%s",
        attend__ocl_tile_weights(device, p, largest), p->lanes >= 0 ? p->lane_rows : p->fused_rows,
        shapes[device->kernels].chunk,
        p->lanes >= 0     ? "lanes"
        : p->matrix.shape ? p->matrix.name
                          : attend__ocl_class_text(device->kernels),
        attend__ocl_subgroups_text(p->fused >= 0 ? &p->fused_subgroups : &p->direct_subgroups));
    return attend__ocl_plan_made(device, &p->plan, status, plan);
}
