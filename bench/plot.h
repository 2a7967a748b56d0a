/* SPDX-License-Identifier: Apache-2.0
 *
 * A document of schema attend-bench/1 as one picture: bars for each case, and below them time over
 * the sequence length wherever a case was measured at several. It needs no other file, scales, and
 * follows the reader's choice of light or dark. */
#ifndef ATTEND_BENCH_PLOT_H
#define ATTEND_BENCH_PLOT_H

#include <jansson.h>

/* SVG 1.1, freed with free; NULL without memory. */
char *plot_document(const json_t *document);

#endif
