/* SPDX-License-Identifier: Apache-2.0
 *
 * How a call reaches the device, the same way for single operations and for layers.
 *
 *   arguments (a public description) --resolve--> a copy whose tensors hold device addresses
 *     --body--> one or more steps (validated operations) --> finished, or an event
 *
 * Run on a host-memory device: buffers become pointers, the body's steps run one after the other.
 * Run on a device with memory of its own: large host tensors are packed and copied into buffers,
 * the body's steps are enqueued, outputs come back and are scattered to their strides. Enqueue on a
 * host-memory device: the arguments (and small host arrays) are copied, the worker thread runs the
 *   body when the waits are complete.
 * Enqueue on any other: the body's steps are enqueued; buffers and objects are held until the work
 * ended. */
#ifndef ATTEND_CORE_LAUNCH_H
#define ATTEND_CORE_LAUNCH_H

#include "context.h"

/* One list per description type says which members are tensors; validation, resolving, staging,
 * copying at enqueue and the keys of plans all read it. */
enum {
    ATTEND__INPUT = 1,
    ATTEND__OUTPUT = 2,
    ATTEND__SMALL = 4,     /* lengths, offsets, slopes: may stay host memory, copied at enqueue */
    ATTEND__REQUIRED = 8,  /* attend__fields_check refuses a description without it */
    ATTEND__IN_PLACE = 16, /* of an input: an output may be exactly this view */
    ATTEND__SCRATCH = 32,  /* of an output: nobody reads it afterwards, so it is never copied */
    ATTEND__KEEP = 64,     /* of an output: written in part, the rest keeps its values */
    /* A role may carry the allowed element types, a bit (1 << attend_type) each, shifted; none =
       any. */
    ATTEND__TYPES_SHIFT = 8,
    ATTEND__FLOATS = (1 << ATTEND_F32 | 1 << ATTEND_F16 | 1 << ATTEND_BF16) << ATTEND__TYPES_SHIFT,
    ATTEND__STORED = ATTEND__FLOATS | 1 << ATTEND_I8 << ATTEND__TYPES_SHIFT, /* keys and values */
    ATTEND__ONLY_F32 = 1 << ATTEND_F32 << ATTEND__TYPES_SHIFT,
    ATTEND__ONLY_I32 = 1 << ATTEND_I32 << ATTEND__TYPES_SHIFT,
    ATTEND__INDICES = (1 << ATTEND_I32 | 1 << ATTEND_I64) << ATTEND__TYPES_SHIFT,
    ATTEND__TRUTHS = (1 << ATTEND_BOOL | 1 << ATTEND_U8) << ATTEND__TYPES_SHIFT
};
typedef struct attend__field {
    const char *name;
    size_t offset;
    unsigned role;
} attend__field;
#define ATTEND__MEMBER(type, member, role)                                                         \
    { #member, offsetof(type, member), (unsigned)(role) }

typedef struct attend__fields {
    size_t size; /* of the description type */
    const attend__field *list;
    size_t count;
} attend__fields;

static inline attend_tensor *attend__field_tensor(void *description, const attend__field *field) {
    return (attend_tensor *)(void *)((char *)description + field->offset);
}

static inline bool attend__given(const attend_tensor *tensor) {
    return tensor->type != ATTEND_NO_TYPE;
}

/* The fields of an operation's description (fields.c). */
const attend__fields *attend__operation_fields(attend_operation operation);

/* What a layer was made for. Plans of its steps are made for that much, so that calls of other
 * sizes find them. */
typedef struct attend__extent {
    int64_t batch, queries, keys;
    bool tokens; /* calls of one token a sample have plans of their own, for which devices have
                    kernels */
} attend__extent;

/* Steps in their order. Running: each has finished when attend__step returns. Enqueuing: each waits
 * for the one before, the first for the caller's events. Planning: nothing runs, each step has its
 * plan made; tensors need no memory. */
typedef struct attend__sequence {
    attend_context *context;
    bool enqueue, planning;
    const attend__extent *extent; /* of the layer whose steps these are; NULL: not known */
    size_t wait_count;
    attend_event *const *waits;
    attend_event *last; /* of the last enqueued step; NULL before */
} attend__sequence;

/* Validates `description` (whose tensors are host memory on a host-memory device, else buffers),
 * finds or makes the plan, runs or enqueues it. plan NULL = the context's cache of plans. */
attend_status attend__step(attend__sequence *sequence, attend_operation operation,
                           const void *description, attend_plan *plan);

/* Makes the steps of a call out of resolved arguments. `object` is the layer or plan; for enqueued
 * work it is held by `hold` until the end and then given to `drop` (both may be NULL). */
typedef struct attend__call {
    attend_context *context;
    const attend__fields *fields;
    attend_status (*body)(void *object, const void *arguments, attend__sequence *sequence);
    void *object;
    void (*hold)(void *object);
    void (*drop)(void *object);
    bool keep_outputs; /* outputs may be written in part, whatever their role */
    bool once;         /* no call follows that is as large: weights on their way in */
} attend__call;

attend_status attend__launch_run(const attend__call *call, const void *arguments);
attend_status attend__launch_enqueue(const attend__call *call, const void *arguments,
                                     size_t wait_count, attend_event *const *waits,
                                     attend_event **done);

/* Gives back what ended work of a device with memory of its own still holds; with `all`, waits for
 * the rest. attend_finish and the closing of a context call it with `all` before the device goes.
 */
void attend__retired_reap(attend_context *context, bool all);

/* The common head of every public description: not NULL, `size` not 0. Copies it into `full` (of
 * fields->size bytes), newer members off; INVALID if a newer caller set members this library does
 * not know. */
attend_status attend__description_copy(const char *name, const attend__fields *fields,
                                       const void *description, void *full);

/* For layers, which check all of their arguments before anything runs or is enqueued (validate.c).
 * Both take public arguments: host memory or buffers, on any device. fields_check: what each tensor
 * that is given must hold by itself (type, rank, sizes, strides, memory or a buffer of this context
 * and its bounds; no stride 0 in an output, no element of it written twice), required tensors and
 * types where the roles name them, and that outputs overlap nothing; how the shapes fit together is
 * the caller's. operation_check: the validation of one operation, as its entry point does it, but
 * for memory, which tensors need not have yet (intermediate results); nothing is compiled or run.
 */
attend_status attend__fields_check(attend_context *context, const attend__fields *fields,
                                   const void *description);
attend_status attend__operation_check(attend_context *context, attend_operation operation,
                                      const void *description);
/* Whether `cu` is a vector of cumulative lengths of at most `rows` rows of `of`: from 0 on, never
 * falling; values in a buffer pass. And the longest sample of one in host memory. */
attend_status attend__cumulative_check(const char *name, const attend_tensor *cu, int64_t rows,
                                       const char *of);
int64_t attend__cumulative_longest(const attend_tensor *cu, int64_t most);
/* Whether two valid tensors may share memory; whether they are one and the same view. */
bool attend__tensors_overlap(const attend_tensor *a, const attend_tensor *b);
bool attend__tensors_same(const attend_tensor *a, const attend_tensor *b);

/* Device memory for intermediate results as a tensor: host memory on a host-memory device, else a
 * buffer. Pools keep what was given back (at most `most` at once), so that repeated calls do not
 * allocate. */
typedef struct attend__scratch_pool attend__scratch_pool;
typedef struct attend__scratch {
    attend_buffer *buffer;
    size_t used_bytes;
} attend__scratch;
attend_status attend__scratch_pool_create(attend_context *context, size_t bytes, size_t most,
                                          attend__scratch_pool **pool);
/* Blocks from here on are as large as the last calls needed: those of more than four times that,
 * and of more than 1 MiB, go when they come back. */
void attend__scratch_pool_follow(attend__scratch_pool *pool);
void attend__scratch_pool_release(attend__scratch_pool *pool);
attend_status attend__scratch_get(attend__scratch_pool *pool, size_t bytes,
                                  attend__scratch *scratch);
/* A contiguous tensor out of the scratch, 64-byte aligned. OUT_OF_MEMORY past its end. Of a zeroed
 * scratch, for planning: one without memory. */
attend_status attend__scratch_tensor(attend__scratch *scratch, attend_type type, int32_t rank,
                                     const int64_t *sizes, attend_tensor *tensor);
/* Given back once the work of `sequence` that uses it has ended (at once when running). */
void attend__scratch_return(attend__scratch_pool *pool, attend__scratch *scratch,
                            const attend__sequence *sequence);

#endif
