/* SPDX-License-Identifier: Apache-2.0
 *
 * The double-precision arithmetic of oracle.h. */
#ifndef ATTEND_BENCH_ORACLE_ROWS_H
#define ATTEND_BENCH_ORACLE_ROWS_H

#include "oracle.h"

/* Fills o->want and o->bound for o->rows. False without memory. */
bool oracle_fill(const bench_case *c, oracle_memory *memory, oracle *o);

#endif
