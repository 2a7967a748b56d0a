/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of attend_attention beyond shapes: values of options, types that go together, the
 * position rule; and the completion to the one form that backends see (attend/plugin.h). */
#include "error.h"
#include "validate.h"

#include <math.h>
#include <string.h>

/* Positions and windows are added and subtracted in int64 by backends; offsets up to here leave
 * room for that. */
static const int64_t farthest = INT64_C(1) << 60;

static attend_status check_numbers(const attend_attention *a) {
    if (a->has_scale && !isfinite(a->scale))
        return attend__fail(ATTEND_INVALID, "scale: %g is not finite", a->scale);
    if (!isfinite(a->softcap) || a->softcap < 0)
        return attend__fail(ATTEND_INVALID, "softcap: %g is neither 0 nor finite and positive",
                            a->softcap);
    if (a->window_left < -1)
        return attend__fail(ATTEND_INVALID, "window_left: %lld is less than -1",
                            (long long)a->window_left);
    if (a->window_right < -1)
        return attend__fail(ATTEND_INVALID, "window_right: %lld is less than -1",
                            (long long)a->window_right);
    if (a->precision != ATTEND_PRECISION_DEFAULT && a->precision != ATTEND_PRECISION_FAST)
        return attend__fail(ATTEND_INVALID, "precision: %d is no attend_precision",
                            (int)a->precision);
    if ((int)a->scores_stage < ATTEND_SCORES_RAW || a->scores_stage > ATTEND_SCORES_MASKED)
        return attend__fail(ATTEND_INVALID, "scores_stage: %d is no attend_scores_stage",
                            (int)a->scores_stage);
    if (a->key_begin < 0)
        return attend__fail(ATTEND_INVALID, "key_begin: %lld is negative", (long long)a->key_begin);
    if (a->key_end < 0 || (a->key_end > 0 && a->key_end < a->key_begin))
        return attend__fail(ATTEND_INVALID,
                            "key_end: %lld is neither 0 nor at least key_begin %lld",
                            (long long)a->key_end, (long long)a->key_begin);
    if (a->reserved_flags != 0)
        return attend__fail(ATTEND_INVALID, "reserved_flags: %d is not 0", (int)a->reserved_flags);
    return ATTEND_OK;
}

static attend_status check_position_kind(const attend_attention *a) {
    if ((int)a->position < ATTEND_POSITION_UNSET || a->position > ATTEND_AT_OFFSETS)
        return attend__fail(ATTEND_INVALID, "position: %d is no attend_position", (int)a->position);
    if (a->position == ATTEND_AFTER_CACHE)
        return attend__fail(ATTEND_INVALID, "position: AFTER_CACHE needs a cache");
    if (a->position == ATTEND_AT_OFFSETS) return ATTEND_OK;
    if (a->query_offset != 0)
        return attend__fail(ATTEND_INVALID, "query_offset: needs position AT_OFFSETS");
    if (attend__given(&a->query_offsets))
        return attend__fail(ATTEND_INVALID, "query_offsets: needs position AT_OFFSETS");
    return ATTEND_OK;
}

attend_status attend__validate_options(const attend_attention *a) {
    const attend_status status = check_numbers(a);
    return status != ATTEND_OK ? status : check_position_kind(a);
}

/* ---- types ---------------------------------------------------------------------------------- */

static attend_status check_output_type(const char *name, const attend_tensor *t,
                                       const attend_type *also) {
    if (!attend__given(t) || t->type == ATTEND_F32) return ATTEND_OK;
    for (int i = 0; i < 3; i++) {
        if (t->type == also[i]) return ATTEND_OK;
    }
    return attend__fail(ATTEND_TYPE, "%s: type %s is neither f32 nor that of the inputs", name,
                        attend_type_text(t->type));
}

static attend_status check_types(const attend_attention *a, const attend__problem *problem) {
    if (attend__given(&a->v) && attend__given(&a->k) && a->v.type != a->k.type)
        return attend__fail(ATTEND_TYPE, "v: type %s does not match k's %s",
                            attend_type_text(a->v.type), attend_type_text(a->k.type));
    if (attend__given(&a->q) && a->q.type != a->k.type && a->q.type != ATTEND_F32 &&
        a->k.type != ATTEND_I8)
        return attend__fail(ATTEND_TYPE, "k: type %s does not go with q's %s",
                            attend_type_text(a->k.type), attend_type_text(a->q.type));
    /* whole attention and the scores have q; steps take the type of what they read, or of a q
     * beside it */
    const attend_operation operation = problem->operation;
    attend_type also[3] = {a->q.type, problem->query_type, ATTEND_NO_TYPE}; /* never I8 */
    if (operation == ATTEND_OP_SOFTMAX) also[2] = a->scores.type;
    if (operation == ATTEND_OP_MIX) also[2] = a->v.type;
    attend_status status = check_output_type("out", &a->out, also);
    if (status == ATTEND_OK && operation != ATTEND_OP_MIX)
        status = check_output_type("weights", &a->weights, also);
    if (status == ATTEND_OK) status = check_output_type("weights_mean", &a->weights_mean, also);
    if (status == ATTEND_OK && operation != ATTEND_OP_SOFTMAX)
        status = check_output_type("scores", &a->scores, also);
    return status;
}

/* ---- positions and lengths ------------------------------------------------------------------ */

static bool uses_position(const attend_attention *a) {
    return a->causal || a->window_left >= 0 || a->window_right >= 0 ||
           attend__given(&a->alibi_slopes);
}

static attend_status complete_position(attend_attention *a, const attend__problem *problem) {
    a->causal = a->causal != 0;
    if (!uses_position(a)) {
        a->position = ATTEND_TOP_LEFT;
        a->query_offset = 0;
        memset(&a->query_offsets, 0, sizeof a->query_offsets);
        return ATTEND_OK;
    }
    if (a->position != ATTEND_POSITION_UNSET) return ATTEND_OK;
    const int64_t queries = attend__size_of(problem, 'L'), keys = attend__size_of(problem, 'S');
    if (queries != keys)
        return attend__fail(ATTEND_INVALID,
                            "position: must be set, as query length %lld is not key length %lld",
                            (long long)queries, (long long)keys);
    if (attend__given(&a->query_lengths) || attend__given(&a->key_lengths) ||
        attend__given(&a->cu_query_lengths))
        return attend__fail(ATTEND_INVALID, "position: must be set, as lengths are given");
    a->position = ATTEND_TOP_LEFT;
    return ATTEND_OK;
}

/* Largest |offset| over the batch; -1 if the offsets lie in a buffer and nobody knows. */
static int64_t offset_reach(const attend_attention *a, const attend__problem *problem) {
    const int64_t queries = attend__size_of(problem, 'L'), keys = attend__size_of(problem, 'S');
    if (a->position == ATTEND_TOP_LEFT) return 0;
    if (a->position == ATTEND_BOTTOM_RIGHT) return queries > keys ? queries : keys;
    const int64_t common = a->query_offset;
    if (!attend__given(&a->query_offsets)) return common < 0 ? -common : common;
    if (a->query_offsets.data == NULL) return -1;
    int64_t reach = 0;
    const attend_tensor *offsets = &a->query_offsets;
    const int64_t count = offsets->strides[0] == 0 && offsets->sizes[0] > 1 ? 1 : offsets->sizes[0];
    for (int64_t b = 0; b < count; b++) {
        int64_t own =
            attend_tensor_index(&a->query_offsets, b); /* unchecked if it came out of a buffer */
        if (own < -farthest) own = -farthest;
        if (own > farthest) own = farthest;
        const int64_t size = common + own < 0 ? -(common + own) : common + own;
        reach = size > reach ? size : reach;
    }
    return reach;
}

static int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* The farthest that a key can lie from a query, and more. Calls of a layer are bounded by what it
 * was made for, so that those of all sizes have the same options, and so the same plan. */
static int64_t farthest_pair(const attend_attention *a, const attend__problem *problem) {
    const attend__extent *const e = problem->extent;
    int64_t queries = attend__size_of(problem, 'L'), keys = attend__size_of(problem, 'S');
    int64_t reach = offset_reach(a, problem);
    if (e != NULL) {
        queries = larger(queries, e->queries);
        keys = larger(keys, e->keys);
        if (attend__given(&a->page_table)) keys = larger(keys, attend__keys_of_pages(problem));
        if (reach >= 0 && a->position != ATTEND_TOP_LEFT)
            reach = larger(reach, larger(queries, keys));
    }
    if (reach < 0 || queries > farthest || keys > farthest) return INT64_MAX / 2;
    return queries + keys + reach;
}

/* A bound that no pair of a query and a key can reach is no bound. */
static void complete_windows(attend_attention *a, const attend__problem *problem) {
    if (a->window_left < 0 && a->window_right < 0) return;
    /* a plan keeps the option: a run may bring a narrower window */
    if (problem->without_memory && problem->extent == NULL) return;
    const int64_t limit = farthest_pair(a, problem);
    if (a->window_left >= limit) a->window_left = -1;
    if (a->window_right >= limit) a->window_right = -1;
}

static attend_status check_values(const attend_attention *a, const attend__problem *problem) {
    if (a->query_offset < -farthest || a->query_offset > farthest)
        return attend__fail(ATTEND_OUT_OF_RANGE, "query_offset: %lld is beyond 2^60",
                            (long long)a->query_offset);
    if (problem->values_checked) return ATTEND_OK;
    attend_status status =
        attend__index_check("query_offsets", &a->query_offsets, -farthest, farthest);
    if (status == ATTEND_OK)
        status = attend__index_check("query_lengths", &a->query_lengths, 0,
                                     attend__size_of(problem, 'L'));
    if (status == ATTEND_OK)
        status =
            attend__index_check("key_lengths", &a->key_lengths, 0, attend__size_of(problem, 'S'));
    if (status == ATTEND_OK) status = attend__validate_serving_values(a, problem);
    return status;
}

/* ---- completion ----------------------------------------------------------------------------- */

static attend_status complete_scale(attend_attention *a, const attend__problem *problem) {
    const attend_operation operation = problem->operation;
    if (operation == ATTEND_OP_MIX) {
        a->scale = 1.0;
        a->softcap = 0.0;
    } else if (!a->has_scale) {
        const bool known = problem->owner['D' - 'A'] != NULL;
        if (!known && a->scores_stage == ATTEND_SCORES_RAW)
            return attend__fail(ATTEND_INVALID,
                                "has_scale: must be set to scale raw scores without q");
        const int64_t size = attend__size_of(problem, 'D');
        a->scale = size == 0 ? 1.0 : 1.0 / sqrt((double)size);
    }
    a->has_scale = 1;
    return ATTEND_OK;
}

static uint64_t options_in_use(const attend_attention *a, const attend__problem *problem) {
    const struct {
        bool used;
        uint64_t option;
    } uses[] = {
        {a->causal != 0, ATTEND_OPTION_CAUSAL},
        {a->window_left >= 0 || a->window_right >= 0, ATTEND_OPTION_WINDOW},
        {attend__given(&a->mask), ATTEND_OPTION_MASK},
        {attend__given(&a->bias), ATTEND_OPTION_BIAS},
        {attend__given(&a->key_mask), ATTEND_OPTION_KEY_MASK},
        {attend__given(&a->key_lengths), ATTEND_OPTION_KEY_LENGTHS},
        {attend__given(&a->query_lengths), ATTEND_OPTION_QUERY_LENGTHS},
        {attend__given(&a->query_offsets), ATTEND_OPTION_QUERY_OFFSETS},
        {attend__given(&a->alibi_slopes), ATTEND_OPTION_ALIBI},
        {attend__given(&a->sinks), ATTEND_OPTION_SINKS},
        {a->softcap > 0, ATTEND_OPTION_SOFTCAP},
        {attend__given(&a->weights) && problem->operation == ATTEND_OP_ATTENTION,
         ATTEND_OPTION_WEIGHTS},
        {attend__given(&a->weights_mean), ATTEND_OPTION_WEIGHTS_MEAN},
        {attend__given(&a->scores) && problem->operation == ATTEND_OP_ATTENTION,
         ATTEND_OPTION_SCORES_OUT},
        {attend__given(&a->lse), ATTEND_OPTION_LSE},
        {a->precision == ATTEND_PRECISION_FAST, ATTEND_OPTION_FAST},
        {problem->owner['G' - 'A'] != NULL &&
             attend__size_of(problem, 'G') != attend__size_of(problem, 'H'),
         ATTEND_OPTION_GROUPED},
        {problem->operation == ATTEND_OP_ATTENTION &&
             attend__size_of(problem, 'E') != attend__size_of(problem, 'D'),
         ATTEND_OPTION_VALUE_SIZE},
        {attend__given(&a->q) && attend__given(&a->k) && a->q.type != a->k.type,
         ATTEND_OPTION_MIXED_TYPES},
        {attend__given(&a->workspace), ATTEND_OPTION_WORKSPACE},
        {attend__given(&a->cu_query_lengths) || attend__given(&a->cu_key_lengths),
         ATTEND_OPTION_PACKED},
        {attend__given(&a->page_table), ATTEND_OPTION_PAGES},
        {a->k.type == ATTEND_I8 || a->v.type == ATTEND_I8, ATTEND_OPTION_SCALES},
        {a->key_begin != 0 || a->key_end != 0, ATTEND_OPTION_KEY_RANGE},
    };
    uint64_t options = 0;
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        options |= uses[i].used ? uses[i].option : 0;
    return options;
}

static attend_status check_heads(const attend__problem *problem) {
    const int64_t heads = attend__size_of(problem, 'H'), groups = attend__size_of(problem, 'G');
    if (problem->owner['G' - 'A'] == NULL || heads == 0) return ATTEND_OK;
    if (groups == 0 || heads % groups != 0)
        return attend__fail(ATTEND_SHAPE, "%s: %lld key/value heads do not divide %s's %lld heads",
                            problem->owner['G' - 'A'], (long long)groups, problem->owner['H' - 'A'],
                            (long long)heads);
    return ATTEND_OK;
}

static attend_status check_workspace(const attend_attention *a) {
    const attend_tensor *w = &a->workspace;
    if (!attend__given(w)) return ATTEND_OK;
    if (w->rank != 1 || (w->sizes[0] > 1 && w->strides[0] != 1))
        return attend__fail(ATTEND_SHAPE, "workspace: must be a contiguous vector");
    const void *memory = w->buffer != NULL ? w->buffer->host : w->data;
    if (((uintptr_t)memory + (uintptr_t)w->offset) % 64 != 0)
        return attend__fail(ATTEND_INVALID, "workspace: is not aligned to 64 bytes");
    return ATTEND_OK;
}

attend_status attend__validate_attention(attend_attention *a, attend__problem *problem) {
    attend_status status = check_heads(problem);
    if (status == ATTEND_OK) status = check_types(a, problem);
    if (status == ATTEND_OK) status = check_workspace(a);
    if (status == ATTEND_OK) status = check_values(a, problem);
    if (status == ATTEND_OK) status = complete_position(a, problem);
    if (status == ATTEND_OK) status = complete_scale(a, problem);
    if (status != ATTEND_OK) return status;
    complete_windows(a, problem);
    problem->options = options_in_use(a, problem);
    problem->settings =
        (uint32_t)a->position | (uint32_t)a->scores_stage << 8 | (uint32_t)a->precision << 16;
    a->max_query_length = attend__size_of(problem, 'L');
    a->max_key_length = attend__size_of(problem, 'S');
    problem->empty = attend__size_of(problem, 'B') == 0 || attend__size_of(problem, 'H') == 0 ||
                     attend__size_of(problem, 'L') == 0;
    return ATTEND_OK;
}
