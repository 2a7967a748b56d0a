/* SPDX-License-Identifier: Apache-2.0
 *
 * One query row of attention: which keys it may see, and where its own elements and those of a key
 * lie, whatever the layout (plain, packed, pages). */
#ifndef ATTEND_REFERENCE_ROW_H
#define ATTEND_REFERENCE_ROW_H

#include "reference_tensor.h"

typedef struct row {
    const attend_attention *a;
    int64_t b, h, i;
    bool packed;
    bool taking_part;               /* false at or beyond the query length */
    int64_t first_query, first_key; /* rows of a packed batch before the sample's */
    int64_t keys;                   /* key length of the sample */
    int64_t position;
    int64_t begin, limit; /* the keys that length and key range leave */
    int64_t first, end;   /* of those, the keys that position allows */
} row;

/* What a step works on: L and S, and the tensors that hold query rows and key rows, NULL where it
 * has none. */
typedef struct row_shape {
    int64_t L, S;
    const attend_tensor *queries, *keys;
} row_shape;

/* Row `item` in order of [B, L], before a head is chosen. */
row attend__reference_row(const attend_attention *a, int64_t item, const row_shape *shape);

bool attend__reference_allowed(const row *r, int64_t j);

/* First element of the row in q, out (rank 4) or lse (rank 3). */
int64_t attend__reference_query_at(const row *r, const attend_tensor *t);

/* Key j in k or v, read by key/value head `group`. */
typedef struct key_row {
    const attend_tensor *t;
    int64_t at, stride;
    bool scaled;
    float scale;
} key_row;
key_row attend__reference_key(const row *r, const attend_tensor *t, const attend_tensor *scales,
                              int64_t group, int64_t j);

/* An int8 element means its product with the scale in float32. */
static inline double key_element(const key_row *k, int64_t e) {
    const int64_t at = k->at + e * k->stride;
    return k->scaled ? (double)(load_float(k->t, at) * k->scale) : load(k->t, at);
}

#endif
