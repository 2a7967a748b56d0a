/* SPDX-License-Identifier: Apache-2.0
 *
 * What the context's device declares that it can do, against what a call needs. A backend never
 * sees an option, type or enum value that it does not know: the call is refused here, with a
 * sentence that names what is missing. */
#include "error.h"
#include "validate.h"

#include <string.h>

static attend_status refuse(const attend_context *context, const char *what) {
    return attend__fail(ATTEND_UNSUPPORTED, "%s: the backend %s cannot do this", what,
                        context->backend_name != NULL ? context->backend_name : "in use");
}

static const char *option_text(uint64_t option) {
#define ATTEND_X(name, bit, text)                                                                  \
    if (option == ATTEND_OPTION_##name) return text;
    ATTEND_OPTION_LIST(ATTEND_X)
#undef ATTEND_X
    return "option";
}

static bool has(const attend_device_table *table, attend_operation operation) {
    return (table->operations >> operation & 1u) != 0;
}

/* Attention that the device lacks is composed of its steps (compose.c). */
static bool can_run(const attend_device_table *table, attend_operation operation) {
    if (has(table, operation)) return true;
    return operation == ATTEND_OP_ATTENTION && has(table, ATTEND_OP_SCORES) &&
           has(table, ATTEND_OP_SOFTMAX) && has(table, ATTEND_OP_MIX);
}

static attend_status check_types(const attend_context *context, void *description,
                                 attend_operation operation) {
    const attend__fields *fields = attend__operation_fields(operation);
    for (size_t i = 0; i < fields->count; i++) {
        const attend_type type = attend__field_tensor(description, &fields->list[i])->type;
        const unsigned allowed = fields->list[i].role >> ATTEND__TYPES_SHIFT;
        /* I8 is computed with where floats could stand, and copied elsewhere */
        const bool computes = type == ATTEND_F32 || type == ATTEND_F16 || type == ATTEND_BF16 ||
                              (type == ATTEND_I8 && (allowed & 1u << ATTEND_F32) != 0);
        if (!computes || (context->table.types >> type & 1u) != 0) continue;
        return attend__fail(ATTEND_UNSUPPORTED, "%s: the backend %s does not compute with %s",
                            fields->list[i].name,
                            context->backend_name != NULL ? context->backend_name : "in use",
                            attend_type_text(type));
    }
    return ATTEND_OK;
}

static attend_status check_attention(const attend_context *context, attend_attention *a,
                                     const attend__problem *problem) {
    const attend_device_table *table = &context->table;
    const uint64_t lacking = problem->options & ~table->options;
    if (lacking != 0) return refuse(context, option_text(lacking & (~lacking + 1)));
    if ((uint32_t)a->position > table->highest_position) return refuse(context, "position");
    if ((uint32_t)a->scores_stage > table->highest_stage) return refuse(context, "scores_stage");
    if ((uint32_t)a->precision > table->highest_precision) return refuse(context, "precision");
    return ATTEND_OK;
}

attend_status attend__validate_support(attend_context *context, void *description,
                                       attend__problem *problem) {
    const attend_device_table *table = &context->table;
    const attend_operation operation = problem->operation;
    if (!can_run(table, operation)) return refuse(context, attend__operation_text(operation));
    const attend_status status = check_types(context, description, operation);
    if (status != ATTEND_OK) return status;
    if (operation == ATTEND_OP_PROJECT &&
        ((const attend_projection *)description)->activation > table->highest_activation)
        return refuse(context, "activation");
    if (operation == ATTEND_OP_ACTIVATE &&
        ((const attend_elementwise *)description)->activation > table->highest_activation)
        return refuse(context, "activation");
    if (operation == ATTEND_OP_NORM &&
        ((const attend_norm *)description)->kind > table->highest_norm)
        return refuse(context, "kind");
    if (operation > ATTEND_OP_MIX) return ATTEND_OK;
    if ((table->options & ATTEND_OPTION_WORKSPACE) == 0) {
        /* scratch changes no result: a device that does not take the caller's uses its own */
        problem->options &= ~ATTEND_OPTION_WORKSPACE;
        memset(&((attend_attention *)description)->workspace, 0, sizeof(attend_tensor));
    }
    return check_attention(context, description, problem);
}
