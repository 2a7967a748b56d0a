/* SPDX-License-Identifier: Apache-2.0
 *
 * attend explain: the computation of one head, as explain_command.c chooses it and explain_steps.c
 * tells it. */
#ifndef ATTEND_CLI_EXPLAIN_H
#define ATTEND_CLI_EXPLAIN_H

#include "attend/model.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct explanation {
    const attend_head_trace *trace;
    const attend_encoding *tokens; /* of the trace */
    bool chinese;
    size_t columns; /* of the terminal */
    int32_t layer, head, heads, padding;
    bool head_chosen; /* not named by the user: the one with the largest weight on another word */
    bool causal;
    size_t query, query_count; /* the token, the first of so many of the user's word */
} explanation;

/* Prints all steps. False if the steps and the layer's own output do not agree. */
bool explain_print(const explanation *e);

#endif
