/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of public arguments, and their completion to the form that plugin.h promises to backends.
 * Pure: nothing is allocated, compiled, or written but the description that is completed. */
#ifndef ATTEND_CORE_VALIDATE_H
#define ATTEND_CORE_VALIDATE_H

#include "launch.h"

/* Shapes are written as letters, one a dimension: B batch, H heads, G key/value heads, L, S
 * lengths, D, E head sizes, K, N columns and rows of a weight matrix, M row size, P table rows or
 * pages or parts, T half of the rotated elements, C tokens of a page, W pages of a sample, U, V
 * rows of all queries and keys of a packed batch, Z rows of a rope table, A 1 where a batch is
 * packed. A first character says how a shape is compared:
 *   '*' right-aligned, dimensions of 1 broadcast, the last may be shorter ("*BHLS")
 *   '+' right-aligned, leading dimensions may be missing ("+BH")
 *   '.' any leading dimensions ("rows"), the same for all tensors with this mark (".N")
 *   '?' compared by the operation's own check; "?B" a vector of B + 1.
 * The shape of field number `field`, as it is in this description: packed batches and pages have
 * shapes of their own. */
const char *attend__operation_dims_of(attend_operation operation, size_t field,
                                      const void *description);

/* Letters whose sizes a plan fixes, and letters of which it has the largest; R stands for the
 * product of the rows. */
const char *attend__operation_fixed(attend_operation operation);
const char *attend__operation_largest(attend_operation operation);
const char *attend__operation_text(attend_operation operation);

enum { ATTEND__LETTERS = 26, ATTEND__MAX_FIELDS = 40 };

/* What validation finds out about a call, beside the completed description. */
typedef struct attend__problem {
    attend_operation operation;
    uint32_t settings; /* enum values and the like that a kernel may be made for, packed */
    uint64_t options;  /* ATTEND_OPTION_* in use */
    int64_t sizes[ATTEND__LETTERS];
    const char *owner[ATTEND__LETTERS]; /* the tensor a size is from; NULL = size not known */
    const char *rows_owner;
    int32_t rows_rank;
    int64_t rows[ATTEND_MAX_RANK];
    attend_type query_type;  /* of steps that do not use q, for the types they may write */
    attend_weights *weights; /* of a projection: what the completed description points into */
    bool rows_behind;        /* packed: `out` and `lse` may have rows behind the last sample's */
    bool empty; /* no output has an element: the call succeeds without reaching the device */
    /* Set by the caller: */
    bool values_checked; /* arrays of lengths and indices need no reading */
    bool without_memory; /* only types and shapes count, no tensor needs memory yet */
    const attend__extent *extent; /* what the plan will serve beside this call; NULL: not known */
    int64_t each_count;  /* of an append without counts: what its completed `counts` points to */
} attend__problem;

/* Room for any description of an operation. */
typedef union attend__description {
    attend_attention attention;
    attend_projection projection;
    attend_copy copy;
    attend_norm norm;
    attend_elementwise elementwise;
    attend_rope rope;
    attend_embedding embedding;
    attend_append append;
    attend_merging merging;
} attend__description;

static inline int64_t *attend__size(attend__problem *problem, char letter) {
    return &problem->sizes[letter - 'A'];
}
static inline int64_t attend__size_of(const attend__problem *problem, char letter) {
    return problem->sizes[letter - 'A'];
}

/* Keys that the pages of one sample hold, up to 2^60. */
int64_t attend__keys_of_pages(const attend__problem *problem);

/* Checks `description` (a full copy of operation's type), completes it in place, fills *problem.
 * Tensors that the operation does not use become "not given". */
attend_status attend__validate(attend_context *context, attend_operation operation,
                               void *description, attend__problem *problem);

/* Its parts. What can be said without looking at tensors: */
attend_status attend__validate_options(const attend_attention *a);
attend_status attend__validate_weights(attend_context *context, attend_projection *p,
                                       attend__problem *problem);
/* How the tensors fit together, once each is valid by itself; completes. */
attend_status attend__validate_shapes(attend_operation operation, void *description,
                                      attend__problem *problem);
attend_status attend__validate_attention(attend_attention *a, attend__problem *problem);
/* Packed batches, pages, 8 bits and parts of the keys (validate_serving.c): what the sizes B, L and
 * S of a call are before shapes are compared; then the values of cumulative lengths and tables. */
attend_status attend__validate_serving(attend_attention *a, attend__problem *problem);
attend_status attend__validate_serving_values(const attend_attention *a,
                                              const attend__problem *problem);
attend_status attend__validate_append(attend_append *d, attend__problem *problem);
attend_status attend__validate_stage(void *description, attend__problem *problem);
/* UNSUPPORTED, naming what the device lacks (support.c). */
attend_status attend__validate_support(attend_context *context, void *description,
                                       attend__problem *problem);

/* attend__fields_check for tensors that need no memory yet. */
attend_status attend__forms_check(attend_context *context, const attend__fields *fields,
                                  const void *description);

/* Every value of a host array of I32 or I64 lies in lowest..highest; arrays in buffers pass. `name`
 * is its own, `what` the limit's name in the sentence. */
attend_status attend__index_check(const char *name, const attend_tensor *indices, int64_t lowest,
                                  int64_t highest);

/* Element i of a vector, element [b, i] of a table, in host memory. */
static inline int64_t attend__table_value(const attend_tensor *table, int64_t b, int64_t i) {
    const int64_t at = table->offset + b * table->strides[0] + i * table->strides[1];
    return ((const int32_t *)table->data)[at];
}

/* Elements of a valid tensor; bytes from its first element to the end of its last. */
int64_t attend__elements(const attend_tensor *tensor);
size_t attend__span_bytes(const attend_tensor *tensor);

#endif
