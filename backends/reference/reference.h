/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tables of the backend and the definitions of its operations share. */
#ifndef ATTEND_REFERENCE_H
#define ATTEND_REFERENCE_H

#include "attend/plugin.h"

/* An operation is a number of items that do not depend on each other, so that any thread may
 * compute any of them. scratch: doubles that one item needs, at most those of the largest
 * description. */
typedef struct reference_operation {
    const char *name;
    int64_t (*scratch)(const void *description);
    int64_t (*items)(const void *description);
    void (*compute)(const void *description, int64_t item, double *scratch);
} reference_operation;

#define REFERENCE_OPERATION_LIST(X)                                                                \
    X(ATTEND_OP_ATTENTION, attention)                                                              \
    X(ATTEND_OP_SCORES, scores)                                                                    \
    X(ATTEND_OP_SOFTMAX, softmax)                                                                  \
    X(ATTEND_OP_MIX, mix)                                                                          \
    X(ATTEND_OP_PROJECT, project)                                                                  \
    X(ATTEND_OP_COPY, copy)                                                                        \
    X(ATTEND_OP_NORM, norm)                                                                        \
    X(ATTEND_OP_ACTIVATE, activate)                                                                \
    X(ATTEND_OP_ROPE, rope)                                                                        \
    X(ATTEND_OP_EMBED, embed)                                                                      \
    X(ATTEND_OP_APPEND, append)                                                                    \
    X(ATTEND_OP_MERGE, merge)

#define ATTEND_X(operation, name) extern const reference_operation attend__reference_##name;
REFERENCE_OPERATION_LIST(ATTEND_X)
#undef ATTEND_X

#endif
