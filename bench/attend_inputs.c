/* SPDX-License-Identifier: Apache-2.0
 *
 * attend_inputs.h: a list with counts of users. */
#include "attend_inputs.h"

#include <stdlib.h>

struct attend_input {
    struct attend_input *next;
    bench_case c; /* the first user */
    bench_role role;
    attend_buffer *buffer;
    size_t users;
};

attend_status attend_inputs_copy(attend_context *context, const void *elements, size_t bytes,
                                 attend_buffer **buffer) {
    const attend_status status = attend_buffer_create(context, bytes, buffer);
    return status ? status : attend_buffer_write(*buffer, 0, elements, bytes);
}

static attend_status make(attend_inputs *inputs, struct attend_input *input) {
    const attend_type type = bench_input_type(&input->c, input->role);
    const int64_t count = bench_input_count(&input->c, input->role);
    const size_t size = attend_type_bytes(type);
    if ((uint64_t)count > SIZE_MAX / size)
        return attend_error_set(ATTEND_OVERFLOW, "the sizes exceed the address space");
    void *const elements = malloc((size_t)count * size);
    if (!elements) return attend_error_set(ATTEND_OUT_OF_MEMORY, "no memory for the inputs");
    bench_input_fill(&input->c, input->role, type, elements);
    const attend_status status =
        attend_inputs_copy(inputs->context, elements, (size_t)count * size, &input->buffer);
    free(elements);
    return status;
}

attend_status attend_inputs_get(attend_inputs *inputs, const bench_case *c, bench_role role,
                                attend_buffer **buffer) {
    if (!bench_input_count(c, role)) return ATTEND_OK;
    for (struct attend_input *i = inputs->first; i; i = i->next)
        if (i->role == role && bench_same_input(&i->c, c, role)) {
            ++i->users;
            *buffer = i->buffer;
            return ATTEND_OK;
        }
    struct attend_input *const input = calloc(1, sizeof *input);
    if (!input) return attend_error_set(ATTEND_OUT_OF_MEMORY, "no memory for the inputs");
    input->c = *c;
    input->role = role;
    input->users = 1;
    const attend_status status = make(inputs, input);
    if (status) {
        attend_buffer_release(input->buffer);
        free(input);
        return status;
    }
    input->next = inputs->first;
    inputs->first = input;
    *buffer = input->buffer;
    return ATTEND_OK;
}

void attend_inputs_drop(attend_inputs *inputs, attend_buffer *buffer) {
    for (struct attend_input **at = &inputs->first; *at; at = &(*at)->next) {
        struct attend_input *const input = *at;
        if (input->buffer != buffer) continue;
        if (--input->users) return;
        *at = input->next;
        attend_buffer_release(input->buffer);
        free(input);
        return;
    }
}
