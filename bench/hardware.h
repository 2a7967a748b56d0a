/* SPDX-License-Identifier: Apache-2.0
 *
 * What the system says of the machine. */
#ifndef ATTEND_BENCH_HARDWARE_H
#define ATTEND_BENCH_HARDWARE_H

#include <stdint.h>

typedef struct hardware {
    char cpu[128], os[256];
    char governor[32];  /* of the first processor's clock; "": none, as in most virtual machines */
    int32_t processors; /* this process may use */
    uint64_t memory_bytes;
    uint64_t cache_bytes; /* the last cache of the first processor; 0: not known */
    double load;          /* of the last minute; negative: not known */
    double clock_s;       /* grain of the monotonic clock; 0: not known */
} hardware;

void hardware_look(hardware *h);

#endif
