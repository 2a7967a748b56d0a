/* SPDX-License-Identifier: Apache-2.0
 *
 * attention_case.h. */
#include "attention_case.h"

#include "base/half.h"
#include "bench_keys.h"

#include <stdlib.h>
#include <string.h>

static attend_status no_memory(void) {
    return attend_error_set(ATTEND_OUT_OF_MEMORY, "no memory for the case");
}

/* ---- keys and values ---- */

static attend_status append(attention_case *a) {
    const bench_case *const c = a->c;
    const int64_t count = bench_input_count(c, BENCH_K);
    float *const k = malloc((size_t)count * sizeof *k), *const v =
                                                            malloc((size_t)count * sizeof *v);
    attend_status status = k && v ? ATTEND_OK : no_memory();
    if (!status) {
        bench_input_fill(c, BENCH_K, ATTEND_F32, k);
        bench_input_fill(c, BENCH_V, ATTEND_F32, v);
        const attend_tensor keys = attend_tensor_4d(k, ATTEND_F32, c->batch, c->kv_heads, c->keys,
                                                    c->head_size),
                            values = attend_tensor_4d(v, ATTEND_F32, c->batch, c->kv_heads, c->keys,
                                                      c->head_size),
                            counts = attend_tensor_1d(a->lengths, ATTEND_I32, c->batch);
        status = attend_cache_append(a->cache, &keys, &values, &counts);
    }
    free(k);
    free(v);
    return status;
}

static attend_status make_cache(attention_case *a) {
    const bench_case *const c = a->c;
    attend_cache_desc d = attend_cache_desc_default();
    d.batch = c->batch;
    d.kv_heads = c->kv_heads;
    d.head_size = c->head_size;
    d.capacity = c->keys;
    d.page_size = c->page;
    d.type = bench_kv_type(c);
    const attend_status status = attend_cache_create(a->inputs->context, &d, &a->cache);
    a->call.cache = a->cache;
    a->call.max_key_length = c->keys;
    return status ? status : append(a);
}

static attend_status make_keys(attention_case *a) {
    const bench_case *const c = a->c;
    if (c->cache) return make_cache(a);
    const int64_t rows = c->packed ? bench_packed_rows(c) : c->keys,
                  sizes[] = {c->packed ? 1 : c->batch, c->kv_heads, rows, c->head_size};
    attend_status status = attend_inputs_get(a->inputs, c, BENCH_K, &a->k);
    if (!status) status = attend_inputs_get(a->inputs, c, BENCH_V, &a->v);
    a->call.k = attend_tensor_in(a->k, 0, bench_kv_type(c), 4, sizes, NULL);
    a->call.v = attend_tensor_in(a->v, 0, bench_kv_type(c), 4, sizes, NULL);
    return status;
}

/* ---- lengths, masks ---- */

static attend_status make_lengths(attention_case *a) {
    const bench_case *const c = a->c;
    a->lengths = calloc((size_t)(2 * c->batch + 1), sizeof *a->lengths);
    if (!a->lengths) return no_memory();
    int32_t *const starts = a->lengths + c->batch;
    for (int64_t b = 0; b < c->batch; ++b) {
        a->lengths[b] = (int32_t)bench_length(c, b);
        starts[b + 1] = starts[b] + a->lengths[b];
    }
    if (c->packed) {
        a->call.cu_query_lengths = attend_tensor_1d(starts, ATTEND_I32, c->batch + 1);
        a->call.cu_key_lengths = a->call.cu_query_lengths;
        a->call.max_query_length = a->call.max_key_length = c->queries;
    } else if (c->len_low && !c->cache) {
        a->call.key_lengths = attend_tensor_1d(a->lengths, ATTEND_I32, c->batch);
    }
    return ATTEND_OK;
}

static attend_status make_mask(attention_case *a) {
    int64_t sizes[4];
    bench_mask_sizes(a->c, sizes);
    const size_t bytes = (size_t)(sizes[0] * sizes[2] * sizes[3]);
    unsigned char *const elements = malloc(bytes);
    if (!elements) return no_memory();
    bench_mask_fill(a->c, elements);
    const attend_status status = attend_inputs_copy(a->inputs->context, elements, bytes, &a->mask);
    free(elements);
    a->call.mask = attend_tensor_in(a->mask, 0, ATTEND_BOOL, 4, sizes, NULL);
    return status;
}

static attend_status make_scores(attention_case *a) {
    const bench_case *const c = a->c;
    attend_status status = attend_inputs_get(a->inputs, c, BENCH_SCORE_BIAS, &a->bias);
    const int64_t sizes[] = {c->heads, c->queries, c->keys};
    if (a->bias) a->call.bias = attend_tensor_in(a->bias, 0, c->type, 3, sizes, NULL);
    if (!status && c->mask) status = make_mask(a);
    if (status || !c->alibi) return status;
    a->slopes = calloc((size_t)c->heads, sizeof *a->slopes);
    if (!a->slopes) return no_memory();
    for (int64_t h = 0; h < c->heads; ++h)
        a->slopes[h] = bench_slope(c, h);
    a->call.alibi_slopes = attend_tensor_1d(a->slopes, ATTEND_F32, c->heads);
    return ATTEND_OK;
}

/* ---- outputs ---- */

static attend_status output(const attention_case *a, attend_type type, int32_t rank,
                            const int64_t *sizes, attend_buffer **buffer, attend_tensor *tensor) {
    size_t bytes = attend_type_bytes(type);
    for (int32_t i = 0; i < rank; ++i)
        bytes *= (size_t)sizes[i];
    const attend_status status = attend_buffer_create(a->inputs->context, bytes, buffer);
    *tensor = attend_tensor_in(*buffer, 0, type, rank, sizes, NULL);
    return status;
}

static attend_status make_outputs(attention_case *a) {
    const bench_case *const c = a->c;
    const int64_t batch = c->packed ? 1 : c->batch,
                  rows = c->packed ? bench_packed_rows(c) : c->queries;
    const int64_t out[] = {batch, c->heads, rows, c->head_size},
                  all[] = {c->batch, c->heads, c->queries, c->keys},
                  mean[] = {c->batch, c->queries, c->keys};
    attend_attention *const call = &a->call;
    attend_status status = output(a, c->type, 4, out, &a->out, &call->out);
    if (!status && c->lse) status = output(a, ATTEND_F32, 3, out, &a->lse, &call->lse);
    if (!status && c->weights) status = output(a, c->type, 4, all, &a->weights, &call->weights);
    if (!status && c->mean) status = output(a, c->type, 3, mean, &a->mean, &call->weights_mean);
    return status;
}

/* ---- all ---- */

attend_status attention_case_make(attention_case *a, attend_inputs *inputs, const bench_case *c) {
    a->inputs = inputs;
    a->c = c;
    a->call = attend_attention_default();
    attend_attention *const call = &a->call;
    call->causal = c->causal;
    call->position = c->at_end ? ATTEND_BOTTOM_RIGHT : ATTEND_TOP_LEFT;
    call->softcap = c->softcap;
    call->precision = c->fast ? ATTEND_PRECISION_FAST : ATTEND_PRECISION_DEFAULT;
    if (c->window) {
        call->window_left = c->window_left;
        call->window_right = c->window_right;
    }
    attend_status status = make_lengths(a);
    if (!status) status = attend_inputs_get(inputs, c, BENCH_Q, &a->q);
    if (!status) status = make_keys(a);
    if (!status) status = make_scores(a);
    if (!status) status = make_outputs(a);
    if (status) return status;
    call->q = attend_tensor_in(a->q, 0, c->type, 4, call->out.sizes, NULL);
    return attend_plan_create(inputs->context, call, &a->plan);
}

void attention_case_release(attention_case *a) {
    if (!a->inputs) return;
    attend_plan_release(a->plan);
    attend_cache_release(a->cache);
    attend_buffer *const shared[] = {a->q, a->k, a->v, a->bias}, *const own[] = {a->mask, a->out,
                                                                                 a->weights,
                                                                                 a->mean, a->lse};
    for (size_t i = 0; i < sizeof shared / sizeof shared[0]; ++i)
        attend_inputs_drop(a->inputs, shared[i]);
    for (size_t i = 0; i < sizeof own / sizeof own[0]; ++i)
        attend_buffer_release(own[i]);
    free(a->lengths);
    free(a->slopes);
}

/* ---- rows ---- */

static float widen(attend_type type, const unsigned char *element) {
    uint16_t half;
    float x;
    memcpy(&half, element, sizeof half);
    if (type == ATTEND_F16) return attend__f16_to_f32(half);
    if (type == ATTEND_BF16) return attend__bf16_to_f32(half);
    memcpy(&x, element, sizeof x);
    return x;
}

attend_status attend_read_floats(attend_buffer *buffer, attend_type type, int64_t first,
                                 size_t count, float *values) {
    const size_t size = attend_type_bytes(type);
    unsigned char *const row = malloc(count * size + sizeof(float)); /* widen looks at 4 bytes */
    if (!row) return no_memory();
    const attend_status status =
        attend_buffer_read(buffer, (size_t)first * size, row, count * size);
    for (size_t i = 0; i < count && !status; ++i)
        values[i] = widen(type, row + i * size);
    free(row);
    return status;
}

attend_status attention_case_row(const attention_case *a, int64_t row, float *values) {
    const bench_case *const c = a->c;
    const size_t d = (size_t)c->head_size, s = (size_t)c->keys;
    const bench_place p = bench_place_of(c, row);
    const int64_t query = p.sample * c->queries + p.query,
                  head = (p.sample * c->heads + p.head) * c->queries + p.query;
    attend_status status = attend_read_floats(a->out, c->type, row * c->head_size, d, values);
    values += d;
    if (!status && c->lse) status = attend_read_floats(a->lse, ATTEND_F32, row, 1, values);
    values += c->lse;
    if (!status && c->weights)
        status = attend_read_floats(a->weights, c->type, head * c->keys, s, values);
    if (c->weights) values += s;
    if (!status && c->mean)
        status = attend_read_floats(a->mean, c->type, query * c->keys, s, values);
    return status;
}
