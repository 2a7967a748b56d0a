/* SPDX-License-Identifier: Apache-2.0
 *
 * The inputs of cases in the device's memory. Cases that are prepared at once share those that are
 * alike: a hundred cases over the same long keys would not fit otherwise. */
#ifndef ATTEND_BENCH_ATTEND_INPUTS_H
#define ATTEND_BENCH_ATTEND_INPUTS_H

#include "bench_values.h"

#include "attend/attend.h"

typedef struct attend_inputs {
    attend_context *context;
    struct attend_input *first;
    bool host_memory; /* calls take copies of them in host memory (host_operands.h) */
} attend_inputs;

/* A buffer with the values of that input, of its type; NULL and ATTEND_OK when the case has none.
 * Given back by attend_inputs_drop. */
attend_status attend_inputs_get(attend_inputs *inputs, const bench_case *c, bench_role role,
                                attend_buffer **buffer);
void attend_inputs_drop(attend_inputs *inputs, attend_buffer *buffer); /* NULL is allowed */

/* A new buffer that holds a copy of `bytes`. */
attend_status attend_inputs_copy(attend_context *context, const void *elements, size_t bytes,
                                 attend_buffer **buffer);

#endif
