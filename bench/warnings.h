/* SPDX-License-Identifier: Apache-2.0
 *
 * Why the numbers of a run may be worth less than they look. */
#ifndef ATTEND_BENCH_WARNINGS_H
#define ATTEND_BENCH_WARNINGS_H

#include <jansson.h>
#include <stdbool.h>

/* Replaces document["warnings"] by sentences about what `context` and `results` show. False without
 * memory. */
bool add_warnings(json_t *document);

#endif
