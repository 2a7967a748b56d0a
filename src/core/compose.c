/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention out of its three steps, with the scores and the weights in scratch of float32. What the
 * caller wants to see of either is computed once more into the caller's tensors, so that asking for
 * it changes no bit of the rest, whatever the type. The price is scratch of L x S, which a device
 * with its own ATTENTION does not pay. */
#include "compose.h"

#include "base/checked.h"
#include "error.h"

#include <stdio.h>
#include <string.h>

typedef struct attend__composition {
    attend_plan *scores, *softmax, *mix;
    attend_plan *scores_out, *weights_out; /* NULL where the plan has no such output */
    attend__scratch_pool *pool;
} composition;

enum { KEPT_BLOCKS = 4 };

/* ---- the descriptions of the steps ----------------------------------------------------------- */

typedef struct steps {
    attend_attention scores, softmax, mix, scores_out, weights_out;
} steps;

static const attend_tensor not_given;

static void describe(const attend_attention *a, const attend_tensor *scores,
                     const attend_tensor *weights, steps *s) {
    s->scores = s->softmax = s->mix = s->scores_out = s->weights_out = *a;
    s->scores.scores = *scores;
    s->scores.scores_stage = ATTEND_SCORES_MASKED;
    s->softmax.scores = *scores;
    s->softmax.scores_stage = ATTEND_SCORES_MASKED;
    s->softmax.weights = *weights;
    s->mix.weights = *weights;
    s->weights_out.scores = *scores;
    s->weights_out.scores_stage = ATTEND_SCORES_MASKED;
    s->weights_out.weights_mean = s->weights_out.lse = not_given;
}

static void shape_of_scores(const attend_attention *a, int64_t sizes[4]) {
    sizes[0] = attend_attention_samples(a);
    sizes[1] = a->q.sizes[1];
    sizes[2] = a->max_query_length;
    sizes[3] = a->max_key_length;
}

/* Two float32 tensors of [B, H, L, S], each on its own 64-byte boundary. */
static bool scratch_bytes(const int64_t sizes[4], size_t *bytes) {
    size_t one = sizeof(float);
    for (int i = 0; i < 4; i++) {
        if (!attend__mul_size(one, (size_t)sizes[i], &one)) return false;
    }
    return attend__add_size(one, 64, &one) && attend__mul_size(one, 2, bytes);
}

/* ---- making --------------------------------------------------------------------------------- */

static attend_status plan_step(attend_context *context, attend_operation operation,
                               const attend_attention *step, attend_plan **plan) {
    attend__description completed = {.attention = *step};
    attend__problem problem = {
        .operation = operation, .values_checked = true, .without_memory = true};
    const attend_status status = attend__validate(context, operation, &completed, &problem);
    if (status != ATTEND_OK) return status;
    attend__plan_key key;
    attend__plan_key_make(&problem, &completed, &key);
    return attend__plan_make(context, &problem, &completed, &key, plan);
}

static attend_status plan_steps(attend_context *context, composition *c,
                                const attend_attention *largest) {
    int64_t sizes[4];
    shape_of_scores(largest, sizes);
    const attend_tensor matrix = attend_tensor_nd(NULL, ATTEND_F32, 4, sizes);
    steps s;
    describe(largest, &matrix, &matrix, &s);
    attend_status status = plan_step(context, ATTEND_OP_SCORES, &s.scores, &c->scores);
    if (status == ATTEND_OK)
        status = plan_step(context, ATTEND_OP_SOFTMAX, &s.softmax, &c->softmax);
    if (status == ATTEND_OK) status = plan_step(context, ATTEND_OP_MIX, &s.mix, &c->mix);
    if (status == ATTEND_OK && attend__given(&largest->scores))
        status = plan_step(context, ATTEND_OP_SCORES, &s.scores_out, &c->scores_out);
    if (status == ATTEND_OK && attend__given(&largest->weights))
        status = plan_step(context, ATTEND_OP_SOFTMAX, &s.weights_out, &c->weights_out);
    return status;
}

attend_status attend__composition_make(attend_plan *plan, const attend__problem *problem,
                                       const attend_attention *largest) {
    attend_context *context = plan->context;
    /* the sizes of the call, not the rounded ones of the key: four of them rounded up would be
     * wasteful */
    const int64_t sizes[4] = {attend__size_of(problem, 'B'), attend__size_of(problem, 'H'),
                              attend__size_of(problem, 'L'), attend__size_of(problem, 'S')};
    size_t bytes = 0;
    if (!scratch_bytes(sizes, &bytes))
        return attend__fail(ATTEND_OVERFLOW,
                            "q: scores of [B, H, L, S] do not fit into the address space");
    composition *c = attend__context_allocate(context, sizeof *c);
    if (c == NULL) return attend__fail(ATTEND_OUT_OF_MEMORY, "a plan could not be allocated");
    memset(c, 0, sizeof *c);
    attend_status status = plan_steps(context, c, largest);
    if (status == ATTEND_OK)
        status = attend__scratch_pool_create(context, bytes, KEPT_BLOCKS, &c->pool);
    if (status != ATTEND_OK) {
        attend__composition_release(context, c);
        return status;
    }
    (void)snprintf(plan->info.kernel, sizeof plan->info.kernel, "%.29s + %.29s + %.29s",
                   c->scores->info.kernel, c->softmax->info.kernel, c->mix->info.kernel);
    (void)snprintf(plan->info.note, sizeof plan->info.note,
                   "composed of steps: the backend has no attention");
    plan->composed = c;
    return ATTEND_OK;
}

void attend__composition_release(attend_context *context, composition *c) {
    attend__plan_drop(c->scores);
    attend__plan_drop(c->softmax);
    attend__plan_drop(c->mix);
    attend__plan_drop(c->scores_out);
    attend__plan_drop(c->weights_out);
    attend__scratch_pool_release(c->pool);
    attend__context_free(context, c);
}

/* ---- running -------------------------------------------------------------------------------- */

attend_status attend__composition_execute(const attend_plan *plan, const attend_attention *a,
                                          attend__sequence *sequence) {
    const composition *c = plan->composed;
    int64_t sizes[4];
    shape_of_scores(a, sizes);
    size_t bytes = 0;
    if (!scratch_bytes(sizes, &bytes))
        return attend__fail(ATTEND_OVERFLOW,
                            "q: scores of [B, H, L, S] do not fit into the address space");
    attend__scratch scratch;
    attend_status status = attend__scratch_get(c->pool, bytes, &scratch);
    if (status != ATTEND_OK) return status;
    attend_tensor scores = not_given, weights = not_given;
    status = attend__scratch_tensor(&scratch, ATTEND_F32, 4, sizes, &scores);
    if (status == ATTEND_OK)
        status = attend__scratch_tensor(&scratch, ATTEND_F32, 4, sizes, &weights);
    steps s;
    describe(a, &scores, &weights, &s);
    if (status == ATTEND_OK)
        status = attend__step(sequence, ATTEND_OP_SCORES, &s.scores, c->scores);
    if (status == ATTEND_OK)
        status = attend__step(sequence, ATTEND_OP_SOFTMAX, &s.softmax, c->softmax);
    if (status == ATTEND_OK) status = attend__step(sequence, ATTEND_OP_MIX, &s.mix, c->mix);
    if (status == ATTEND_OK && attend__given(&a->scores))
        status = attend__step(sequence, ATTEND_OP_SCORES, &s.scores_out, c->scores_out);
    if (status == ATTEND_OK && attend__given(&a->weights))
        status = attend__step(sequence, ATTEND_OP_SOFTMAX, &s.weights_out, c->weights_out);
    attend__scratch_return(c->pool, &scratch, sequence);
    return status;
}
