/* SPDX-License-Identifier: Apache-2.0
 *
 * The one place where an instruction set is chosen: the first table of the list, at or below the
 * one asked for, that the machine can run. A wish can lower the choice and never raise it. */
#include "cpu_kernels.h"

#include "base/cpu_features.h"

#include <stddef.h>
#include <string.h>

typedef struct entry {
    const attend__cpu_kernels *kernels;
    unsigned needs;
} entry;

static const entry entries[] = {
#define ATTEND_X(isa, needs) {&attend__cpu_kernels_##isa, needs},
#include "cpu_kernels.inc"
#undef ATTEND_X
};

const attend__cpu_kernels *attend__cpu_select(const char *isa) {
    const size_t count = sizeof entries / sizeof entries[0];
    const unsigned features = attend__cpu_features();
    size_t i = 0;
    while (isa != NULL && i < count && strcmp(entries[i].kernels->isa, isa) != 0)
        i++;
    for (; i < count; i++)
        if ((entries[i].needs & ~features) == 0) return entries[i].kernels;
    return NULL;
}
