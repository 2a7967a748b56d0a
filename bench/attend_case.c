/* SPDX-License-Identifier: Apache-2.0
 *
 * attend_case.h: what an application would do that calls often: attention through a plan, weights
 * and layers prepared once, tensors in buffers of the device. */
#include "attend_case.h"

#include "attention_case.h"
#include "host_operands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct state {
    attend_context *context;
    bench_case c;
    attend_inputs *shared;
    attend_buffer *inputs[BENCH_ROLE_COUNT]; /* of all operations but attention; and its output */
    attend_buffer *output;
    attention_case attention;
    attend_weights *weights;
    attend_multihead *layer;
    attend_attention step; /* of attention: scores, softmax */
    attend_projection projection;
    attend_multihead_args arguments;
    attend_copy copy;
    host_operands on_host; /* of a party that calls with host memory; else none */
    attend_status (*call)(struct state *s);
    bool noted; /* kernel and transfers, after the first call */
    char kernel[96];
    worker_transfers transfers;
} state;

static worker_verdict failed(attend_status status, char *reason) {
    snprintf(reason, WORKER_TEXT, "%s", attend_error_text());
    return status == ATTEND_UNSUPPORTED ? WORKER_UNSUPPORTED : WORKER_ERROR;
}

static void release(void *object) {
    state *const s = object;
    host_operands_release(&s->on_host);
    attention_case_release(&s->attention);
    attend_weights_release(s->weights);
    attend_multihead_release(s->layer);
    for (int i = 0; i < BENCH_ROLE_COUNT; ++i)
        attend_inputs_drop(s->shared, s->inputs[i]);
    attend_buffer_release(s->output);
    free(s);
}

/* ---- tensors ---- */

static attend_status make_inputs(state *s) {
    for (int role = 0; role < BENCH_ROLE_COUNT; ++role) {
        const attend_status status =
            attend_inputs_get(s->shared, &s->c, (bench_role)role, &s->inputs[role]);
        if (status) return status;
    }
    const uint64_t count = (uint64_t)bench_case_rows(&s->c) * (uint64_t)bench_case_width(&s->c);
    return attend_buffer_create(s->context, (size_t)count * attend_type_bytes(s->c.type),
                                &s->output);
}

static attend_tensor view(attend_buffer *buffer, const state *s, int32_t rank,
                          const int64_t *sizes) {
    return attend_tensor_in(buffer, 0, s->c.type, rank, sizes, NULL);
}

/* ---- operations ---- */

static attend_status call_attention(state *s) {
    return attend_plan_run(s->attention.plan, &s->attention.call);
}

static attend_status make_attention(state *s) {
    s->call = call_attention;
    return attention_case_make(&s->attention, s->shared, &s->c);
}

static attend_status call_layer(state *s) {
    return attend_multihead_run(s->layer, &s->arguments);
}

static attend_status make_layer(state *s) {
    const bench_case *const c = &s->c;
    const int64_t m = c->model_size, w[] = {m, m}, x[] = {c->batch, c->queries, m};
    attend_multihead_desc d = attend_multihead_default();
    attend_tensor *const matrices[] = {&d.w_q, &d.w_k, &d.w_v, &d.w_o};
    attend_tensor *const biases[] = {&d.b_q, &d.b_k, &d.b_v, &d.b_o};
    for (int i = 0; i < 4; ++i) {
        *matrices[i] = view(s->inputs[BENCH_W_Q + i], s, 2, w);
        *biases[i] = view(s->inputs[BENCH_B_Q + i], s, 1, &m);
    }
    d.heads = c->heads;
    d.causal = c->causal;
    d.max_batch = c->batch;
    d.max_query_length = d.max_key_length = c->queries;
    s->arguments = attend_multihead_args_default();
    s->arguments.x_q = view(s->inputs[BENCH_Q], s, 3, x);
    s->arguments.out = view(s->output, s, 3, x);
    s->call = call_layer;
    return attend_multihead_create(s->context, &d, &s->layer);
}

static attend_status call_project(state *s) {
    return attend_project(s->context, &s->projection);
}

static attend_status make_project(state *s) {
    const bench_case *const c = &s->c;
    const int64_t x[] = {c->rows, c->in}, w[] = {c->out, c->in}, out[] = {c->rows, c->out};
    const attend_tensor matrix = view(s->inputs[BENCH_W], s, 2, w);
    const attend_status status = attend_weights_create(s->context, &matrix, &s->weights);
    s->projection = attend_projection_default();
    s->projection.x = view(s->inputs[BENCH_Q], s, 2, x);
    s->projection.weights = s->weights;
    s->projection.bias = view(s->inputs[BENCH_BIAS], s, 1, out + 1);
    s->projection.out = view(s->output, s, 2, out);
    s->call = call_project;
    return status;
}

static attend_status call_scores(state *s) {
    return attend_scores(s->context, &s->step);
}

static attend_status make_scores(state *s) {
    const bench_case *const c = &s->c;
    const int64_t q[] = {c->batch, c->heads, c->queries, c->head_size},
                  k[] = {c->batch, c->kv_heads, c->keys, c->head_size},
                  scores[] = {c->batch, c->heads, c->queries, c->keys};
    s->step = attend_attention_default();
    s->step.q = view(s->inputs[BENCH_Q], s, 4, q);
    s->step.k = view(s->inputs[BENCH_K], s, 4, k);
    s->step.scores = view(s->output, s, 4, scores);
    s->step.scores_stage = ATTEND_SCORES_SCALED;
    s->call = call_scores;
    return ATTEND_OK;
}

static attend_status call_softmax(state *s) {
    return attend_softmax(s->context, &s->step);
}

static attend_status make_softmax(state *s) {
    const bench_case *const c = &s->c;
    const int64_t sizes[] = {c->batch, c->heads, c->queries, c->keys};
    attend_attention *const a = &s->step;
    *a = attend_attention_default();
    a->scores = view(s->inputs[BENCH_Q], s, 4, sizes);
    a->weights = view(s->output, s, 4, sizes);
    a->scores_stage = ATTEND_SCORES_RAW;
    a->has_scale = 1;
    a->scale = 0.125;
    a->causal = c->causal;
    a->position = ATTEND_TOP_LEFT;
    s->call = call_softmax;
    return ATTEND_OK;
}

static attend_status call_merge(state *s) {
    return attend_merge_heads(s->context, &s->copy);
}

static attend_status make_merge(state *s) {
    const bench_case *const c = &s->c;
    const int64_t x[] = {c->batch, c->heads, c->queries, c->head_size},
                  out[] = {c->batch, c->queries, c->heads * c->head_size};
    s->copy = attend_copy_default();
    s->copy.x = view(s->inputs[BENCH_Q], s, 4, x);
    s->copy.out = view(s->output, s, 3, out);
    s->call = call_merge;
    return ATTEND_OK;
}

/* Prepared weights and caches stay with the device. */
static attend_status move_to_host(state *s) {
    attend_attention *const calls[] = {&s->attention.call, &s->step};
    attend_tensor *const rest[] = {&s->arguments.x_q,  &s->arguments.out,   &s->projection.x,
                                   &s->projection.out, &s->projection.bias, &s->copy.x,
                                   &s->copy.out};
    attend_status status = ATTEND_OK;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; ++i) {
        attend_attention *const a = calls[i];
        attend_tensor *const tensors[] = {&a->q,       &a->k,           &a->v,   &a->mask,
                                          &a->bias,    &a->out,         &a->lse, &a->scores,
                                          &a->weights, &a->weights_mean};
        for (size_t j = 0; j < sizeof tensors / sizeof tensors[0] && !status; ++j)
            status = host_operands_take(&s->on_host, tensors[j]);
    }
    for (size_t i = 0; i < sizeof rest / sizeof rest[0] && !status; ++i)
        status = host_operands_take(&s->on_host, rest[i]);
    return status;
}

/* ---- the call ---- */

static void note_decision(state *s) {
    attend_decision d = {.size = sizeof d};
    s->noted = true;
    if (attend_context_decision(s->context, &d)) return;
    snprintf(s->kernel, sizeof s->kernel, "%s", d.kernel);
    s->transfers = (worker_transfers){d.copied_bytes, d.in_place_bytes};
}

static bool run(void *object, char *reason) {
    state *const s = object;
    if (s->call(s)) {
        snprintf(reason, WORKER_TEXT, "%s", attend_error_text());
        return false;
    }
    if (!s->noted) note_decision(s);
    return true;
}

static attend_status read_row(const state *s, int64_t row, float *values) {
    const int64_t width = bench_case_width(&s->c);
    if (s->c.op == BENCH_ATTENTION) return attention_case_row(&s->attention, row, values);
    return attend_read_floats(s->output, s->c.type, row * width, (size_t)width, values);
}

static bool rows(void *object, const int64_t *wanted, size_t count, float *values, char *reason) {
    const state *const s = object;
    const size_t width = (size_t)bench_case_width(&s->c);
    attend_status status = host_operands_give(&s->on_host);
    for (size_t i = 0; i < count && !status; ++i)
        status = read_row(s, wanted[i], values + i * width);
    if (status) snprintf(reason, WORKER_TEXT, "%s", attend_error_text());
    return status == ATTEND_OK;
}

worker_verdict attend_case_prepare(attend_inputs *inputs, const bench_case *c, worker_call *call,
                                   char *reason) {
    static attend_status (*const makers[])(state *) = {
        [BENCH_ATTENTION] = make_attention, [BENCH_LAYER] = make_layer,
        [BENCH_PROJECT] = make_project,     [BENCH_SCORES] = make_scores,
        [BENCH_SOFTMAX] = make_softmax,     [BENCH_MERGE] = make_merge,
    };
    state *const s = calloc(1, sizeof *s);
    if (!s) {
        snprintf(reason, WORKER_TEXT, "out of memory");
        return WORKER_ERROR;
    }
    s->context = inputs->context;
    s->shared = inputs;
    s->c = *c;
    attend_status status = c->op == BENCH_ATTENTION ? ATTEND_OK : make_inputs(s);
    if (!status) status = makers[c->op](s);
    if (!status && inputs->host_memory) status = move_to_host(s);
    if (status) {
        const worker_verdict verdict = failed(status, reason);
        release(s);
        return verdict;
    }
    *call = (worker_call){.state = s,
                          .run = run,
                          .rows = rows,
                          .width = (size_t)bench_case_width(c),
                          .release = release,
                          .kernel = s->kernel,
                          .transfers = s->on_host.count ? &s->transfers : NULL};
    return WORKER_OK;
}
