/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes and places of attention's blocks, and the products over them. */
#include "clblast_blocks.h"

#include "clblast_gemm.h"

enum {
    FLOATS = 4 << 20,   /* of each of a block's matrices, unless LEAST_ROWS rows are more */
    LEAST_ROWS = 16,    /* fewer are slow: each pass reads all keys */
    MOST_PLANES = 4096, /* of a batch: a dimension of CLBlast's grids */
    TILE = 128,         /* CLBlast may copy each matrix to whole tiles of up to this size */
    KEYS = 256,         /* keys in a partial sum: docs/numerics.md */
    FEW_PARTS = 4, /* partial sums that are added one after the other, for all planes at once */
    GAP = 16       /* by which a pitch is larger than its row */
};

static int64_t rounded(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}
static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t widest(const clblast_blocks *b) {
    const int64_t operand = most(b->operand_pitch, b->value_pitch);
    return most(operand, most(b->scores_pitch, b->parts * b->value_pitch));
}

clblast_blocks attend__clblast_blocks(const ocl_attention_sizes *n) {
    clblast_blocks b = {.all_planes = n->B * n->G,
                        .all_rows = n->H / n->G * n->L,
                        .keys = rounded(n->S, 32),
                        .operand_columns = rounded(most(n->D, 1), 16),
                        .value_columns = rounded(most(n->E, 1), 16)};
    b.operand_pitch = b.operand_columns + GAP;
    b.value_pitch = b.value_columns + GAP;
    b.scores_pitch = b.keys + GAP;
    b.parts = b.keys > FEW_PARTS * KEYS ? (b.keys + KEYS - 1) / KEYS : 1;
    const int64_t operand = most(b.operand_pitch, b.value_pitch), wide = widest(&b);
    b.rows = most(1, least(b.all_rows, most(LEAST_ROWS, FLOATS / wide)));
    const int64_t tall = rounded(b.rows, TILE) * rounded(wide, TILE);
    b.planes = least(4 * (int64_t)FLOATS / tall, FLOATS / (b.rows * wide));
    b.planes = least(b.planes, 2 * (int64_t)FLOATS / most(1, b.keys * operand));
    b.planes = most(1, least(b.planes, least(b.all_planes, MOST_PLANES)));
    return b;
}

/* ---- room ------------------------------------------------------------------------------------ */

/* A call of smaller sizes may have more planes or rows in a block than the largest one, hence the
 * bounds instead of its own numbers. */
size_t attend__clblast_blocks_bytes(attend_operation operation, const ocl_attention_sizes *n) {
    const clblast_blocks b = attend__clblast_blocks(n);
    const int64_t operand = most(b.operand_pitch, b.value_pitch);
    const int64_t rows = n->B * n->H * n->L, block = most(FLOATS, LEAST_ROWS * widest(&b));
    const int64_t keys = least(b.all_planes * b.keys, most(2 * (int64_t)FLOATS / operand, b.keys));
    size_t bytes =
        attend__ocl_scratch_round((size_t)least(rows * b.scores_pitch, block) * sizeof(float));
    if (operation != ATTEND_OP_MIX)
        bytes +=
            attend__ocl_scratch_round((size_t)(keys * b.operand_pitch) * sizeof(float)) +
            attend__ocl_scratch_round((size_t)least(rows * b.operand_pitch, block) * sizeof(float));
    if (operation != ATTEND_OP_SCORES)
        bytes +=
            attend__ocl_scratch_round((size_t)(keys * b.value_pitch) * sizeof(float)) +
            attend__ocl_scratch_round((size_t)least(rows * b.parts * b.value_pitch, block) *
                                      sizeof(float)) +
            attend__ocl_scratch_round((size_t)least(b.all_planes, MOST_PLANES) * sizeof(cl_int));
    return bytes;
}

attend_status attend__clblast_blocks_check(const attend_device *device,
                                           const ocl_attention_sizes *n) {
    const clblast_blocks b = attend__clblast_blocks(n);
    const int64_t floats = INT32_MAX - 8 * (int64_t)FLOATS;
    if (b.keys <= floats / (b.operand_pitch + b.value_pitch) &&
        LEAST_ROWS * widest(&b) <= floats / 4)
        return ATTEND_OK;
    return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                              "clblast: %lld keys of size %lld are more than the 2^31 elements "
                              "that CLBlast counts",
                              (long long)n->S, (long long)most(n->D, n->E));
}

/* ---- places ---------------------------------------------------------------------------------- */

static int64_t room(ocl_run *run, int64_t floats) {
    return attend__ocl_scratch(run, (size_t)floats * sizeof(float)) / (int64_t)sizeof(float);
}

/* The block's matrices, in the place of those of the samples before. */
static void take_room(clblast_block_run *b) {
    ocl_run *const run = b->r.run;
    const attend_operation operation = run->plan->operation;
    const clblast_samples *const s = &b->samples;
    ocl_attention_sizes sizes = b->sizes;
    sizes.B = s->count;
    sizes.L = s->queries;
    sizes.S = s->end - s->begin;
    const clblast_blocks n = attend__clblast_blocks(&sizes);
    b->n = n;
    b->p.a.L = (i32)s->queries;
    b->p.a.SP = (i32)(s->begin + n.keys);
    b->p.first = (i32)s->begin;
    b->p.plane = (i32)(s->first * sizes.G);
    b->p.planes = 0;
    b->p.scores_pitch = (i32)n.scores_pitch;
    b->p.sums_pitch = (i32)n.value_pitch;
    b->p.parts = (i32)n.parts;
    run->scratch_used = b->scratch_used;
    b->p.scores_at = room(run, n.planes * n.rows * n.scores_pitch);
    if (operation != ATTEND_OP_MIX) {
        b->keys_at = room(run, n.planes * n.keys * n.operand_pitch);
        b->queries_at = room(run, n.planes * n.rows * n.operand_pitch);
    }
    if (operation != ATTEND_OP_SCORES) {
        b->values_at = room(run, n.planes * n.keys * n.value_pitch);
        b->p.sums_at = room(run, n.planes * n.parts * n.rows * n.value_pitch);
        b->p.flags_at = room(run, n.planes);
    }
}

void attend__clblast_blocks_start(clblast_block_run *b, ocl_run *run) {
    b->plan = (const clblast_attention_plan *)run->plan;
    b->sizes = attend__ocl_attention_sizes(run->plan->operation, b->r.a);
    b->scratch_used = run->scratch_used;
    b->p.a = b->r.p;
}

/* ---- samples --------------------------------------------------------------------------------- */

/* Of sample i, where host memory tells now; else as many as there can be. */
static int64_t length_of(const attend_tensor *cumulative, const attend_tensor *lengths, int64_t i,
                         int64_t length) {
    if (cumulative->data)
        return least(length,
                     attend_tensor_index(cumulative, i + 1) - attend_tensor_index(cumulative, i));
    return lengths->data ? least(length, attend_tensor_index(lengths, i)) : length;
}

/* Padded queries all have rows to write. */
static int64_t queries_of(const clblast_block_run *b, int64_t i) {
    const attend_tensor none = {0};
    return length_of(&b->r.a->cu_query_lengths, &none, i, b->sizes.L);
}

static int64_t keys_of(const clblast_block_run *b, int64_t i) {
    const int64_t keys = length_of(&b->r.a->cu_key_lengths, &b->r.a->key_lengths, i, b->sizes.S);
    return least(keys, b->p.a.key_end);
}

void attend__clblast_all_samples(clblast_block_run *b) {
    b->samples = (clblast_samples){.count = b->sizes.B, .queries = b->sizes.L, .end = b->sizes.S};
    take_room(b);
}

/* Neighbours of equal sizes: a sample's products follow from its own lengths, with nothing padded
 * but its keys, to 32. */
bool attend__clblast_next_samples(clblast_block_run *b) {
    clblast_samples s = {.first = b->samples.first + b->samples.count, .count = 1};
    while (s.first < b->sizes.B && queries_of(b, s.first) == 0)
        s.first++;
    if (s.first >= b->sizes.B || b->r.run->status != ATTEND_OK) return false;
    s.queries = queries_of(b, s.first);
    s.end = keys_of(b, s.first);
    for (; s.first + s.count < b->sizes.B; s.count++) {
        const int64_t i = s.first + s.count, keys = keys_of(b, i);
        if (queries_of(b, i) != s.queries || rounded(keys, 32) != rounded(s.end, 32)) break;
        s.end = most(s.end, keys);
    }
    const int64_t from = b->p.a.key_begin;
    s.begin = from < s.end ? from / KEYS * KEYS : s.end;
    b->samples = s;
    take_room(b);
    return true;
}

/* ---- products -------------------------------------------------------------------------------- */

static clblast_matrix matrix(const clblast_block_run *b, int64_t at, int64_t rows, int64_t pitch) {
    return (clblast_matrix){b->r.run->scratch, at, pitch, rows * pitch};
}

void attend__clblast_scores(clblast_block_run *b) {
    const int64_t depth = b->n.operand_columns, step = attend__clblast_partial(depth);
    for (int64_t d = 0; d < depth; d += step) {
        const clblast_product product = {
            .m = b->p.rows,
            .n = b->n.keys,
            .k = least(step, depth - d),
            .a = matrix(b, b->queries_at + d, b->p.rows, b->n.operand_pitch),
            .b = matrix(b, b->keys_at + d, b->n.keys, b->n.operand_pitch),
            .c = matrix(b, b->p.scores_at, b->p.rows, b->n.scores_pitch),
            .transposed = true,
            .add = d > 0,
            .batched = true,
            .count = b->p.planes,
        };
        attend__clblast_multiply(b->r.run, &product);
    }
}

/* Keys from `from` on, as many as a partial sum may have. */
static clblast_product part(const clblast_block_run *b, int64_t from) {
    return (clblast_product){
        .m = b->p.rows,
        .n = b->n.value_columns,
        .k = least(KEYS, b->n.keys - from),
        .a = matrix(b, b->p.scores_at + from, b->p.rows, b->n.scores_pitch),
        .b = matrix(b, b->values_at + from * b->n.value_pitch, b->n.keys, b->n.value_pitch),
        .c = matrix(b, b->p.sums_at, b->p.rows, b->n.value_pitch),
        .batched = true,
        .count = b->p.planes,
    };
}

/* The parts of one plane's keys as the batch: few rows then still make a large product. */
static void mix_parts(clblast_block_run *b, int64_t plane) {
    const int64_t whole = b->n.keys / KEYS, rest = b->n.keys - whole * KEYS;
    const int64_t sums = b->p.rows * b->n.value_pitch;
    clblast_product p = part(b, 0);
    p.a.offset += plane * p.a.stride;
    p.b.offset += plane * p.b.stride;
    p.c.offset += plane * b->n.parts * sums;
    p.a.stride = KEYS;
    p.b.stride = KEYS * b->n.value_pitch;
    p.count = whole;
    attend__clblast_multiply(b->r.run, &p);
    if (rest == 0) return;
    p.k = rest;
    p.a.offset += whole * p.a.stride;
    p.b.offset += whole * p.b.stride;
    p.c.offset += whole * sums;
    p.count = 1;
    attend__clblast_multiply(b->r.run, &p);
}

void attend__clblast_mix(clblast_block_run *b) {
    if (b->n.parts > 1) {
        for (int64_t plane = 0; plane < b->p.planes; plane++)
            mix_parts(b, plane);
        return;
    }
    for (int64_t j = 0; j < b->n.keys; j += KEYS) {
        clblast_product p = part(b, j);
        p.add = j > 0;
        attend__clblast_multiply(b->r.run, &p);
    }
}
