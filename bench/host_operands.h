/* SPDX-License-Identifier: Apache-2.0
 *
 * Operands of a call in host memory in place of the device's buffers, so that the time of a call
 * with its transfers stands beside that of one without. */
#ifndef ATTEND_BENCH_HOST_OPERANDS_H
#define ATTEND_BENCH_HOST_OPERANDS_H

#include "attend/attend.h"

enum { HOST_OPERANDS = 12 };

typedef struct host_operands {
    size_t count;
    struct host_operand {
        void *memory; /* of the whole buffer */
        attend_buffer *buffer;
    } list[HOST_OPERANDS];
} host_operands;

/* Makes a tensor in a buffer one in host memory with the same elements; one that is not given stays
 * so. The buffer must outlive `h`. */
attend_status host_operands_take(host_operands *h, attend_tensor *tensor);
/* Copies what lies in host memory to the buffers, for who reads results there. */
attend_status host_operands_give(const host_operands *h);
void host_operands_release(host_operands *h);

#endif
