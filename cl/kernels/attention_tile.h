/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes of a tile, and of the local memory of its work-group, for the kernel and for the host that
 * hands that memory in. (PoCL 3.1 makes a __local array of a kernel that its helper functions are
 * given into one array of the process, which groups on two threads would share.) */
#ifndef ATTEND_CL_ATTENTION_TILE_H
#define ATTEND_CL_ATTENTION_TILE_H

#define ROWS 32
#define KEYS 32
#define SIDE 8   /* work-items in x and y */
#define SLICE 16 /* of the head size */
#define BAND 8   /* keys whose values are staged */
#define Q_PITCH (SLICE + 1)
#define K_PITCH (KEYS + 1)
#define P_PITCH (KEYS + 1)
/* Weights, then queries and keys or values, then maxima; in floats. `columns`: EC. */
#define P_AT 0
#define Q_AT (ROWS * P_PITCH)
#define K_AT (Q_AT + ROWS * Q_PITCH)
#define V_AT Q_AT
#define STAGE_FLOATS (ROWS * Q_PITCH + SLICE * K_PITCH)
#define BAND_FLOATS(columns) (BAND * (columns))
#define M_AT(columns)                                                                              \
    (Q_AT + (STAGE_FLOATS > BAND_FLOATS(columns) ? STAGE_FLOATS : BAND_FLOATS(columns)))
#define LOCAL_FLOATS(columns) (M_AT(columns) + ROWS * SIDE)

#endif
