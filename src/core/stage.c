/* SPDX-License-Identifier: Apache-2.0
 *
 * Entry points of stage.h. Splitting and merging heads are copies: the side of rank 3 is seen as
 * one of rank 4. */
#include "error.h"
#include "plan.h"

/* Sees `merged`, [B, L, H * D], as [B, H, L, D] with the sizes of `heads`. */
static attend_status see_as_heads(const char *merged_name, attend_tensor *merged,
                                  const char *heads_name, const attend_tensor *heads) {
    if (!attend__given(merged))
        return attend__fail(ATTEND_NULL_POINTER, "%s: is required", merged_name);
    if (!attend__given(heads))
        return attend__fail(ATTEND_NULL_POINTER, "%s: is required", heads_name);
    if (merged->rank != 3)
        return attend__fail(ATTEND_SHAPE, "%s: rank %d, but [B, L, H * D] has rank 3", merged_name,
                            (int)merged->rank);
    if (heads->rank != 4)
        return attend__fail(ATTEND_SHAPE, "%s: rank %d, but [B, H, L, D] has rank 4", heads_name,
                            (int)heads->rank);
    const int64_t count = heads->sizes[1], size = heads->sizes[3], columns = merged->sizes[2];
    const bool fits = count >= 0 && size >= 0 && (count == 0 || size <= INT64_MAX / count) &&
                      columns == count * size;
    if (!fits)
        return attend__fail(ATTEND_SHAPE, "%s: %lld columns are not %s's %lld heads of %lld",
                            merged_name, (long long)columns, heads_name, (long long)count,
                            (long long)size);
    const int64_t row = merged->strides[1], column = merged->strides[2];
    if (column < 0 || (size > 0 && column > INT64_MAX / size))
        return attend__fail(column < 0 ? ATTEND_STRIDE : ATTEND_OVERFLOW,
                            "%s: stride %lld of dimension 2 is %s", merged_name, (long long)column,
                            column < 0 ? "negative" : "too large");
    merged->rank = 4;
    merged->sizes[3] = size;
    merged->strides[3] = column;
    merged->sizes[2] = merged->sizes[1];
    merged->strides[2] = row;
    merged->sizes[1] = count;
    merged->strides[1] = column * size;
    return ATTEND_OK;
}

static attend_status copy_heads(attend_context *context, const attend_copy *description, bool split,
                                const attend__enqueueing *enqueueing) {
    if (enqueueing != NULL && enqueueing->done != NULL) *enqueueing->done = NULL;
    attend_status status = attend__context_check(context);
    if (status != ATTEND_OK) return status;
    attend_copy copy;
    status = attend__description_copy("description", attend__operation_fields(ATTEND_OP_COPY),
                                      description, &copy);
    if (status == ATTEND_OK)
        status = split ? see_as_heads("x", &copy.x, "out", &copy.out)
                       : see_as_heads("out", &copy.out, "x", &copy.x);
    if (status != ATTEND_OK) return status;
    return attend__operation_call(context, ATTEND_OP_COPY, &copy, NULL, enqueueing);
}

attend_status attend_split_heads(attend_context *context, const attend_copy *description) {
    return copy_heads(context, description, true, NULL);
}

attend_status attend_merge_heads(attend_context *context, const attend_copy *description) {
    return copy_heads(context, description, false, NULL);
}

attend_status attend_split_heads_enqueue(attend_context *context, const attend_copy *description,
                                         size_t wait_count, attend_event *const *waits,
                                         attend_event **done) {
    return copy_heads(context, description, true, &(attend__enqueueing){wait_count, waits, done});
}

attend_status attend_merge_heads_enqueue(attend_context *context, const attend_copy *description,
                                         size_t wait_count, attend_event *const *waits,
                                         attend_event **done) {
    return copy_heads(context, description, false, &(attend__enqueueing){wait_count, waits, done});
}

/* ---- the other operations -------------------------------------------------------------------- */

#define STAGE(run_form, enqueue_form, type, operation)                                             \
    attend_status run_form(attend_context *context, const type *description) {                     \
        return attend__operation_call(context, operation, description, NULL, NULL);                \
    }                                                                                              \
    attend_status enqueue_form(attend_context *context, const type *description,                   \
                               size_t wait_count, attend_event *const *waits,                      \
                               attend_event **done) {                                              \
        return attend__operation_call(context, operation, description, NULL,                       \
                                      &(attend__enqueueing){wait_count, waits, done});             \
    }

STAGE(attend_project, attend_project_enqueue, attend_projection, ATTEND_OP_PROJECT)
STAGE(attend_copy_run, attend_copy_enqueue, attend_copy, ATTEND_OP_COPY)
STAGE(attend_norm_run, attend_norm_enqueue, attend_norm, ATTEND_OP_NORM)
STAGE(attend_activate, attend_activate_enqueue, attend_elementwise, ATTEND_OP_ACTIVATE)
STAGE(attend_rope_run, attend_rope_enqueue, attend_rope, ATTEND_OP_ROPE)
STAGE(attend_embed, attend_embed_enqueue, attend_embedding, ATTEND_OP_EMBED)
