/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes of an attention, whatever the layout of its operands, and the scratch memory that follows
 * from them. */
#include "ocl_attention.h"

#include "ocl_operations.h"

static int64_t rounded(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Whether the operation reads q and k, or v. */
static bool has_keys(attend_operation operation) {
    return operation == ATTEND_OP_ATTENTION || operation == ATTEND_OP_SCORES;
}
static bool has_values(attend_operation operation) {
    return operation == ATTEND_OP_ATTENTION || operation == ATTEND_OP_MIX;
}

/* Rows of a head, over all samples: of packed tensors no more than the samples can have. */
static void count_rows(attend_operation operation, const attend_attention *a,
                       ocl_attention_sizes *n) {
    n->query_rows = n->B * n->L;
    n->key_rows = n->B * n->S;
    const attend_tensor *const queries = has_keys(operation)          ? &a->q
                                         : operation == ATTEND_OP_MIX ? &a->out
                                                                      : NULL;
    const attend_tensor *const keys = has_keys(operation)     ? &a->k
                                      : has_values(operation) ? &a->v
                                                              : NULL;
    if (n->packed_queries && queries) n->query_rows = least(n->query_rows, queries->sizes[2]);
    if (n->packed_keys && keys) n->key_rows = least(n->key_rows, keys->sizes[2]);
}

ocl_attention_sizes attend__ocl_attention_sizes(attend_operation operation,
                                                const attend_attention *a) {
    const attend_tensor *const rows = operation == ATTEND_OP_MIX       ? &a->weights
                                      : operation == ATTEND_OP_SOFTMAX ? &a->scores
                                                                       : &a->q;
    ocl_attention_sizes n = {.B = rows->sizes[0], .H = rows->sizes[1], .L = rows->sizes[2]};
    n.packed_queries = attend__ocl_given(&a->cu_query_lengths);
    n.packed_keys = attend__ocl_given(&a->cu_key_lengths);
    n.G = n.H;
    if (!has_keys(operation)) n.S = rows->sizes[3];
    if (has_keys(operation)) {
        n.G = a->k.sizes[1];
        n.S = a->k.sizes[2];
        n.D = a->q.sizes[3];
    }
    if (has_values(operation)) {
        n.G = a->v.sizes[1];
        n.E = a->v.sizes[3];
    }
    if (n.packed_queries) {
        n.B = a->cu_query_lengths.sizes[0] - 1;
        n.L = a->max_query_length;
    }
    if (n.packed_keys || attend__ocl_given(&a->page_table)) n.S = a->max_key_length;
    count_rows(operation, a, &n);
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
    if ((n->packed_queries && n->query_rows > most) || (n->packed_keys && n->key_rows > most))
        return attend__ocl_refuse(device->host, ATTEND_UNSUPPORTED,
                                  "opencl: %lld query rows and %lld keys in a packed batch; "
                                  "kernels count up to 2^30",
                                  (long long)n->query_rows, (long long)n->key_rows);
    /* what is packed, with its padding; tensors that repeat elements can say sizes without end */
    const double rows = (double)(n->H * n->L) + (double)n->G * ((double)n->S + 32.0);
    const double bytes = (double)n->B * rows * ((double)(n->D + n->E) + 512.0) * sizeof(float);
    if (bytes > 0x1p62)
        return attend__ocl_refuse(device->host, ATTEND_OUT_OF_MEMORY,
                                  "opencl: %.3g bytes of scratch memory", bytes);
    return ATTEND_OK;
}

/* ---- scratch --------------------------------------------------------------------------------- */

/* Where packed samples have their panels: see pack_table. */
int64_t attend__ocl_panel_keys(const ocl_attention_sizes *n) {
    return n->packed_keys ? rounded(n->key_rows, 32) + 32 * n->B : n->B * rounded(n->S, 32);
}

static size_t bytes_of(int64_t floats) {
    return attend__ocl_scratch_round((size_t)floats * sizeof(float));
}

size_t attend__ocl_table_bytes(const ocl_attention_sizes *n) {
    return attend__ocl_scratch_round((size_t)n->B * TABLE_COLUMNS * sizeof(i64));
}
size_t attend__ocl_queries_bytes(const ocl_attention_sizes *n, int DP) {
    return bytes_of(n->H * n->query_rows * DP);
}
size_t attend__ocl_keys_bytes(const ocl_attention_sizes *n, int DP) {
    return bytes_of(n->G * attend__ocl_panel_keys(n) * DP);
}
size_t attend__ocl_values_bytes(const ocl_attention_sizes *n, int EP) {
    return bytes_of(n->G * n->key_rows * EP);
}
size_t attend__ocl_sums_bytes(const ocl_attention_sizes *n) {
    return bytes_of(n->H * n->query_rows * 2);
}

/* ---- kernels --------------------------------------------------------------------------------- */

/* Room for small arrays: two of lengths, offsets, slopes, sinks, a page table. */
static size_t small_bytes(const ocl_attention_sizes *n, const attend_attention *largest) {
    const attend_tensor *const pages = &largest->page_table;
    size_t bytes = (size_t)(2 * (n->B + 1) + n->B) * sizeof(i64) +
                   (size_t)(n->B * n->H + n->H) * sizeof(float) + (size_t)6 * 16;
    if (attend__ocl_given(pages)) bytes += (size_t)(n->B * pages->sizes[1]) * sizeof(i32);
    return bytes;
}

void attend__ocl_attention_kernels(attend_device *device, ocl_attention_plan *p,
                                   const ocl_attention_sizes *n, const attend_attention *largest,
                                   attend_status *status) {
    const ocl_source *const source = &attend__ocl_source_attention_pack;
    p->plan.small_bytes = small_bytes(n, largest);
    p->query_rows = n->packed_queries ? n->query_rows : 0;
    p->key_rows = n->packed_keys ? n->key_rows : 0;
    p->table =
        attend__ocl_plan_kernel(device, &p->plan, source, "", "pack_table", OCL_ANY_GROUP, status);
    p->pack_rows =
        attend__ocl_plan_kernel(device, &p->plan, source, "", "pack_rows", OCL_ANY_GROUP, status);
    const bool rows = device->kernels == OCL_CLASS_ROWS;
    p->pack_panels =
        attend__ocl_plan_kernel(device, &p->plan, source, "",
                                rows ? "pack_panels" : "pack_elements", OCL_ANY_GROUP, status);
}
