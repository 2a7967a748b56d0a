/* SPDX-License-Identifier: Apache-2.0
 *
 * What few query rows, and softmax by itself, need of an instruction set: one table for each,
 * filled by attention_tmpl.h. The keys of a row are taken in blocks of 256, query rows in strips
 * that fill the registers; the product with the values is mix_list of decode_kernels.h:
 *
 *            keys of a block, in panels of `lanes`          values of a block
 *            +---------+---------+-   -+---------+          +- columns -+
 *            | [D]     |         |     |         |      key |           |
 *            | [lanes] |         | ... |         |          |           |
 *   strip    +---------+---------+-   -+---------+          |           |
 *   [D]      | scores = scale * q . k, softened  |--------> | out = out * shrink
 *   [strip_  | to weights: [rows][SCORE_STRIDE]  |          |     + weights values
 *     rows]  +-----------------------------------+          +-----------+
 *
 * Bits: each element is one chain of operations in an order that depends on D, on its key's place
 * in the block and on nothing else, so that rows may be grouped in any way. Buffers need the
 * alignment of float. Columns are counted from the block's first key. */
#ifndef ATTEND_CPU_ATTENTION_KERNELS_H
#define ATTEND_CPU_ATTENTION_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "stage_kernels.h"

enum {
    ATTEND__BLOCK_KEYS = 256,
    ATTEND__SCORE_STRIDE = 256 + 16, /* 16: rows of a strip start in different sets of a cache */
    ATTEND__STRIP_MOST = 12          /* largest strip_rows of all tables */
};

/* scores[r][c] = scale * sum over d of strip[d][r] panels[c / lanes][d][c % lanes], all lanes of
 * `panel_count` panels. Writes up to strip_rows rows. */
typedef struct attend__dots {
    const float *strip;
    const float *panels;
    float *scores; /* column 0 is the first panel's first key */
    int64_t depth;
    int32_t rows, panel_count;
    float scale;
} attend__dots;

/* Online softmax of columns from .. to - 1 (`from` a multiple of lanes): scores become exp(score -
 * highest), highest and sum take the block in, shrink = exp(old highest - new highest) is what the
 * row's output so far must be multiplied by. -inf scores get weight 0; a row of them alone leaves
 * highest -inf and sum 0. NaN or +inf among the scores makes sum NaN. The lanes between `to` and
 * the next multiple of lanes become 0. */
typedef struct attend__soften {
    float *scores;
    float *highest, *sum, *shrink; /* one of each per row */
    int32_t rows, from, to;
} attend__soften;

typedef struct attend__attention_kernels {
    int32_t strip_rows;
    int32_t lanes;
    /* strip[d][strip_rows] = row r's element d; rows from `count` on are 0. */
    void (*pack_strip)(const attend__span *rows, int32_t count, int64_t depth, float *strip);
    void (*dots)(const attend__dots *dots);
    void (*soften)(const attend__soften *soften);

    /* On n consecutive floats. */
    void (*scale_row)(float *x, int64_t n, float factor); /* x * factor + 0: no -0 */
    bool (*finite_row)(const float *x, int64_t n);
    void (*cap_row)(float *x, int64_t n, float cap);      /* cap * tanh(x / cap), 0 < cap < inf */
    void (*add_row)(float *x, const float *y, int64_t n); /* x + y */
    void (*slope_row)(float *x, int64_t n, float slope,
                      float distance); /* x - slope |distance - i| */
    void (*select_row)(float *x, const uint8_t *keep, int64_t n,
                       float other); /* keep ? x : other */
    /* x == -inf ? 0 : exp(x - highest) * factor */
    void (*weigh_row)(float *x, int64_t n, float highest, float factor);
    void (*widen)(attend__span from, int64_t n, float *to);
    void (*narrow)(const float *from, int64_t n,
                   attend__span to); /* one rounding, to nearest even */
} attend__attention_kernels;

#endif
