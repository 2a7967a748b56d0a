/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels of one instruction set, and the choice among those that this machine can run. The
 * tables are listed in cpu_kernels.inc; each is filled by a file kernels_<isa>.c that is compiled
 * for its instruction set, and nothing but these tables leads into such a file. */
#ifndef ATTEND_CPU_KERNELS_H
#define ATTEND_CPU_KERNELS_H

#include "attention_kernels.h"
#include "decode_kernels.h"
#include "lane_kernels.h"
#include "pair_kernels.h"
#include "stage_kernels.h"
#include "tiny_kernels.h"

typedef struct attend__cpu_kernels {
    const char *isa; /* "avx512", the last part of every kernel name */
    const attend__attention_kernels *attention;
    const attend__lane_kernels *lanes;
    const attend__stage_kernels *stages;
    const attend__decode_kernels *decode;
    attend__tiny_fn *tiny;
    const attend__pair_kernels *pairs; /* NULL: none */
} attend__cpu_kernels;

#define ATTEND_X(isa, needs) extern const attend__cpu_kernels attend__cpu_kernels_##isa;
#include "cpu_kernels.inc"
#undef ATTEND_X

/* The best table of this machine that is not above `isa` (NULL: no limit). NULL if no table has
 * that name. Any thread. */
const attend__cpu_kernels *attend__cpu_select(const char *isa);

#endif
