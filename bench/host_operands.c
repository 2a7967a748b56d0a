/* SPDX-License-Identifier: Apache-2.0
 *
 * host_operands.h. */
#include "host_operands.h"

#include <stdlib.h>

attend_status host_operands_take(host_operands *h, attend_tensor *tensor) {
    if (tensor->type == ATTEND_NO_TYPE || !tensor->buffer) return ATTEND_OK;
    if (h->count == HOST_OPERANDS)
        return attend_error_set(ATTEND_INTERNAL, "a call has more operands than are expected");
    const size_t bytes = attend_buffer_size_bytes(tensor->buffer);
    void *const memory = malloc(bytes + 1); /* as an application has it */
    if (!memory) return attend_error_set(ATTEND_OUT_OF_MEMORY, "no memory for the operands");
    h->list[h->count++] = (struct host_operand){memory, tensor->buffer};
    const attend_status status = attend_buffer_read(tensor->buffer, 0, memory, bytes);
    tensor->data = memory;
    tensor->buffer = NULL;
    return status;
}

attend_status host_operands_give(const host_operands *h) {
    attend_status status = ATTEND_OK;
    for (size_t i = 0; i < h->count && !status; ++i)
        status = attend_buffer_write(h->list[i].buffer, 0, h->list[i].memory,
                                     attend_buffer_size_bytes(h->list[i].buffer));
    return status;
}

void host_operands_release(host_operands *h) {
    for (size_t i = 0; i < h->count; ++i)
        free(h->list[i].memory);
    h->count = 0;
}
