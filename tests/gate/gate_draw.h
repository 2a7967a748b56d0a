/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two halves of the generator share: gate_case.c draws attention itself, gate_serving.c
 * where the samples lie: packed batches, pages, int8, ranges of keys. */
#ifndef GATE_DRAW_H
#define GATE_DRAW_H

#include "gate.h"

/* ---- gate_case.c ----------------------------------------------------------------------------- */

bool gate_on(const gate_case *c, gate_option option);
/* Gives the view memory; a view that is not given before this call becomes one. */
bool gate_place(gate_case *c, gate_random *r, attend_tensor *view, attend_tensor shape,
                bool output);
typedef double gate_draw(gate_random *r, const double *parameters);
void gate_fill(const attend_tensor *t, gate_random *r, gate_draw *draw, const double *parameters);
/* parameters[0] .. parameters[1], both included */
double gate_draw_integer(gate_random *r, const double *parameters);

/* ---- gate_serving.c -------------------------------------------------------------------------- */

/* Lengths and places of the samples, after the sizes were drawn. */
void gate_draw_layout(gate_case *c, gate_random *r);
/* Sizes of q and out, and of k and v, with n as the last. */
attend_tensor gate_query_shape(const gate_case *c, attend_type type, int64_t n);
attend_tensor gate_key_shape(const gate_case *c, attend_type type, int64_t n);
/* Scales, and values of k and v in int8. */
bool gate_place_bytes(gate_case *c, gate_random *r);
/* The rest of the call, what it means, and NaN wherever nothing may be read. */
bool gate_place_serving(gate_case *c, gate_random *r);

#endif
