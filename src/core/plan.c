/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans: what they were made for, whether they may run a call, and how they run it on the device.
 */
#include "plan.h"

#include "compose.h"
#include "error.h"

#include <string.h>

/* ---- keys ----------------------------------------------------------------------------------- */

int64_t attend__keys_of_pages(const attend__problem *problem) {
    const int64_t pages = attend__size_of(problem, 'W'), each = attend__size_of(problem, 'C');
    const int64_t most = INT64_C(1) << 60;
    if (pages < 1 || each < 1) return 1;
    return pages > most / each ? most : pages * each;
}

void attend__plan_key_make(const attend__problem *problem, const void *completed,
                           attend__plan_key *key) {
    memset(key, 0, sizeof *key);
    key->operation = (uint32_t)problem->operation;
    key->settings = problem->settings;
    key->options = problem->options &
                   ~ATTEND_OPTION_WORKSPACE; /* it comes and goes without changing a kernel */
    const attend__fields *fields = attend__operation_fields(problem->operation);
    for (size_t i = 0; i < fields->count; i++) {
        if ((fields->list[i].role & ATTEND__SCRATCH) != 0) continue;
        attend_type type;
        memcpy(&type,
               (const char *)completed + fields->list[i].offset + offsetof(attend_tensor, type),
               sizeof type);
        key->types[i / 16] |= (uint64_t)type << i % 16 * 4;
    }
    const char *letters = attend__operation_fixed(problem->operation);
    for (int i = 0; letters[i] != '\0'; i++)
        key->fixed[i] = attend__size_of(problem, letters[i]);
    letters = attend__operation_largest(problem->operation);
    for (int i = 0; letters[i] != '\0'; i++) {
        const int64_t size = attend__size_of(problem, letters[i]);
        key->largest[i] = size > 0 ? size : 1;
        /* a cache grows: its plan serves all that its pages can hold */
        if (letters[i] == 'S' && (problem->options & ATTEND_OPTION_PAGES) != 0)
            key->largest[i] = attend__keys_of_pages(problem);
    }
}

/* Overflow gives the largest number: such a plan is refused as one of such sizes would be. */
static int64_t times(int64_t a, int64_t b) {
    return b > 0 && a > INT64_MAX / b ? INT64_MAX : a * b;
}

static int64_t size_of_layer(char letter, int64_t size, const attend__extent *e) {
    const int64_t rows = times(e->batch, e->queries > e->keys ? e->queries : e->keys);
    switch (letter) {
    case 'B':
        return e->batch;
    case 'L':
        return size > 1 || !e->tokens ? e->queries : 1;
    case 'S':
        return e->keys;
    case 'R':
        return size > e->batch || !e->tokens ? rows : e->batch;
    case 'U': /* of packed batches, else 1 */
        return size > 1 ? times(e->batch, e->queries) : 1;
    case 'V':
        return size > 1 ? times(e->batch, e->keys) : 1;
    default:
        return size;
    }
}

void attend__plan_key_extend(attend__plan_key *key, const attend__extent *extent) {
    const char *letters = attend__operation_largest((attend_operation)key->operation);
    for (int i = 0; letters[i] != '\0'; i++) {
        if (letters[i] == 'S' && (key->options & ATTEND_OPTION_PAGES) != 0) continue;
        const int64_t size = size_of_layer(letters[i], key->largest[i], extent);
        if (key->largest[i] < size) key->largest[i] = size;
    }
}

/* What the layer says, and a model or a cache has one of, is not rounded. */
static bool is_settled(const attend__plan_key *key, int i, char letter, const attend__extent *e) {
    if (strchr("HGPCW", letter) != NULL) return true;
    if (letter == 'S' && (key->options & ATTEND_OPTION_PAGES) != 0) return true;
    return e != NULL && strchr("BLSRUV", letter) != NULL &&
           key->largest[i] == size_of_layer(letter, key->largest[i], e);
}

void attend__plan_key_round(attend__plan_key *key, const attend__extent *extent) {
    const char *letters = attend__operation_largest((attend_operation)key->operation);
    for (int i = 0; letters[i] != '\0'; i++) {
        if (is_settled(key, i, letters[i], extent)) continue;
        int64_t rounded = 1;
        while (rounded < key->largest[i] && rounded <= INT64_MAX / 2)
            rounded *= 2;
        if (rounded > key->largest[i]) key->largest[i] = rounded;
    }
}

/* ---- making --------------------------------------------------------------------------------- */

static int64_t planned_size(const attend__problem *problem, const attend__plan_key *key,
                            char letter) {
    const char *letters = attend__operation_largest(problem->operation);
    const char *at = strchr(letters, letter);
    return at != NULL ? key->largest[at - letters] : attend__size_of(problem, letter);
}

static void set_planned(attend_tensor *t, const char *dims, const attend__problem *problem,
                        const attend__plan_key *key) {
    t->data = NULL;
    t->buffer = NULL;
    t->offset = 0;
    if (*dims == '*' || *dims == '+') dims++;
    if (*dims == '.') {
        const int32_t rows = t->rank - (int32_t)strlen(dims + 1);
        for (int32_t i = 0; i < rows; i++)
            t->sizes[i] = i == rows - 1 ? planned_size(problem, key, 'R') : 1;
        if (dims[1] != '\0') t->sizes[rows] = planned_size(problem, key, dims[1]);
    } else {
        for (int32_t i = 0; i < t->rank; i++)
            t->sizes[i] = planned_size(problem, key, dims[i]);
    }
    int64_t stride = 1; /* may wrap for sizes that were never meant as memory; nobody follows it */
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        t->strides[i] = stride;
        stride = (int64_t)((uint64_t)stride * (uint64_t)(t->sizes[i] > 0 ? t->sizes[i] : 1));
    }
}

/* The description with the sizes of `key` and no memory. */
static void make_largest(const attend__problem *problem, const attend__plan_key *key,
                         void *description) {
    const attend__fields *fields = attend__operation_fields(problem->operation);
    for (size_t i = 0; i < fields->count; i++) {
        attend_tensor *t = attend__field_tensor(description, &fields->list[i]);
        if (!attend__given(t)) continue;
        const char *dims = attend__operation_dims_of(problem->operation, i, description);
        if ((fields->list[i].role & ATTEND__SCRATCH) != 0) {
            memset(t, 0, sizeof *t);
        } else if (strcmp(dims, "?B") == 0) {
            set_planned(t, dims + 1, problem, key);
            t->sizes[0]++;
        } else if (dims[0] == '?') {
            set_planned(t, t->rank == 2 ? "PT" : "BLT", problem, key);
        } else {
            set_planned(t, dims, problem, key);
        }
    }
    if (problem->operation > ATTEND_OP_MIX) return;
    attend_attention *a = description;
    a->max_query_length = planned_size(problem, key, 'L');
    a->max_key_length = planned_size(problem, key, 'S');
}

void attend__problem_shape(const attend__problem *problem, const void *completed,
                           attend__shape *shape) {
    static const char *const letters[ATTEND_OP_COUNT] = {
        [ATTEND_OP_ATTENTION] = "BHGLSDE", [ATTEND_OP_SCORES] = "BHGLSD",
        [ATTEND_OP_SOFTMAX] = "BHLS",      [ATTEND_OP_MIX] = "BHGLSE",
        [ATTEND_OP_PROJECT] = "RKN",       [ATTEND_OP_COPY] = "R",
        [ATTEND_OP_NORM] = "RM",           [ATTEND_OP_ACTIVATE] = "RN",
        [ATTEND_OP_ROPE] = "BHLD",         [ATTEND_OP_EMBED] = "RM",
        [ATTEND_OP_APPEND] = "BGLDE",      [ATTEND_OP_MERGE] = "PBHLE"};
    const attend__fields *fields = attend__operation_fields(problem->operation);
    shape->operation = problem->operation;
    memcpy(&shape->type,
           (const char *)completed + fields->list[0].offset + offsetof(attend_tensor, type),
           sizeof shape->type);
    shape->letters = letters[problem->operation];
    for (int i = 0; shape->letters[i] != '\0'; i++)
        shape->values[i] = attend__size_of(problem, shape->letters[i]);
    shape->options = problem->options;
    if (problem->operation > ATTEND_OP_MIX) return;
    const attend_attention *a = completed;
    shape->kv_type = a->k.type;
    shape->position = a->position;
    shape->window_left = a->window_left;
    shape->window_right = a->window_right;
    shape->softcap = a->softcap;
}

attend_status attend__plan_make(attend_context *context, const attend__problem *problem,
                                const void *completed, const attend__plan_key *key,
                                attend_plan **result) {
    *result = NULL;
    attend_plan *plan = attend__context_allocate(context, sizeof *plan);
    if (plan == NULL) return attend__fail(ATTEND_OUT_OF_MEMORY, "a plan could not be allocated");
    memset(plan, 0, sizeof *plan);
    atomic_init(&plan->references, 1);
    plan->context = context;
    plan->key = *key;
    attend__shape shape;
    attend__problem_shape(problem, completed, &shape);
    attend__shape_text(&shape, plan->shape, sizeof plan->shape);
    attend__description largest;
    memcpy(&largest, completed, attend__operation_fields(problem->operation)->size);
    make_largest(problem, key, &largest);
    attend_status status;
    if ((context->table.operations >> problem->operation & 1u) == 0)
        status = attend__composition_make(plan, problem, &largest.attention);
    else
        status = context->table.plan_create(context->device, problem->operation, &largest,
                                            &plan->info, &plan->device);
    if (status != ATTEND_OK) {
        attend__context_free(context, plan);
        return status;
    }
    plan->info.kernel[sizeof plan->info.kernel - 1] = plan->info.note[sizeof plan->info.note - 1] =
        '\0';
    *result = plan;
    return ATTEND_OK;
}

void attend__plan_hold(attend_plan *plan) {
    atomic_fetch_add_explicit(&plan->references, 1, memory_order_relaxed);
}

void attend__plan_drop(attend_plan *plan) {
    if (plan == NULL || atomic_fetch_sub_explicit(&plan->references, 1, memory_order_acq_rel) != 1)
        return;
    attend_context *context = plan->context;
    const bool holds = plan->holds_context;
    if (plan->composed != NULL) attend__composition_release(context, plan->composed);
    if (plan->device != NULL && context->table.plan_release != NULL)
        context->table.plan_release(context->device, plan->device);
    attend__context_free(context, plan);
    if (holds) attend__context_release(context);
}

/* ---- admitting ------------------------------------------------------------------------------ */

static attend_status check_options(uint64_t lacking) {
#define ATTEND_X(name, bit, text)                                                                  \
    if ((lacking & ATTEND_OPTION_##name) != 0)                                                     \
        return attend__fail(ATTEND_INVALID, "%s: the plan was made without this option", text);
    ATTEND_OPTION_LIST(ATTEND_X)
#undef ATTEND_X
    return ATTEND_OK;
}

static attend_status check_sizes(const attend__plan_key *has, const attend__plan_key *needs) {
    const char *letters = attend__operation_fixed((attend_operation)has->operation);
    for (int i = 0; letters[i] != '\0'; i++) {
        if (needs->fixed[i] != has->fixed[i])
            return attend__fail(ATTEND_SHAPE, "%c: the plan was made for %lld, the call has %lld",
                                letters[i], (long long)has->fixed[i], (long long)needs->fixed[i]);
    }
    letters = attend__operation_largest((attend_operation)has->operation);
    for (int i = 0; letters[i] != '\0'; i++) {
        if (needs->largest[i] > has->largest[i])
            return attend__fail(
                ATTEND_SHAPE, "%c: the plan was made for at most %lld, the call has %lld",
                letters[i], (long long)has->largest[i], (long long)needs->largest[i]);
    }
    return ATTEND_OK;
}

attend_status attend__plan_admits(const attend_plan *plan, const attend__problem *problem,
                                  const void *completed) {
    attend__plan_key needs;
    attend__plan_key_make(problem, completed, &needs);
    if (needs.operation != plan->key.operation)
        return attend__fail(ATTEND_INVALID, "plan: made for another operation");
    attend_status status = check_options(needs.options & ~plan->key.options);
    if (status != ATTEND_OK) return status;
    const attend__fields *fields = attend__operation_fields(problem->operation);
    for (size_t i = 0; i < fields->count; i++) {
        const unsigned shift = i % 16 * 4;
        const unsigned wanted = needs.types[i / 16] >> shift & 15u,
                       made = plan->key.types[i / 16] >> shift & 15u;
        if (wanted != 0 && wanted != made)
            return attend__fail(ATTEND_TYPE, "%s: the plan was made for %s, the call has %s",
                                fields->list[i].name, attend_type_text((attend_type)made),
                                attend_type_text((attend_type)wanted));
    }
    return check_sizes(&plan->key, &needs);
}
