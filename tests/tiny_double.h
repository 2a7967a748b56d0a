/* SPDX-License-Identifier: Apache-2.0
 *
 * The tiny model in double precision, written from the formulas of BERT (Devlin et al. 2018) and
 * not from the library: what its results are held against. */
#ifndef ATTEND_TESTS_TINY_DOUBLE_H
#define ATTEND_TESTS_TINY_DOUBLE_H

#include "tiny_model.h"

#include <math.h>
#include <stddef.h>

enum { TINY_HEADS = 2, TINY_D = M / TINY_HEADS };

/* Of a layer's tensors, in the order of layer_shapes. */
enum {
    TINY_Q = 0,
    TINY_K = 2,
    TINY_V = 4,
    TINY_O = 6,
    TINY_NORM_1 = 8,
    TINY_INNER = 10,
    TINY_OUTER = 12,
    TINY_NORM_2 = 14
};

/* Values of a tensor, as make_weights writes them. */
static inline const double *tiny_tensor(int index) {
    static double all[TENSORS][WORDS * M];
    static int filled;
    unsigned state = 1;
    for (int i = 0; !filled && i < TENSORS; i++) {
        char name[128];
        const struct shape s = tensor_shape(i, name);
        for (int k = 0; k < s.rows * (s.columns ? s.columns : 1); k++)
            all[i][k] = (double)value(&state);
    }
    filled = 1;
    return all[index];
}

static inline const double *tiny_layer(int layer, int which) {
    return tiny_tensor(TABLE_SHAPES + layer * LAYER_SHAPES + which);
}

/* y[i] = w[i] . x + b[i], `rows` of them. */
static inline void tiny_linear(const double *x, int columns, const double *w, const double *b,
                               int rows, double *y) {
    for (int i = 0; i < rows; i++) {
        y[i] = b[i];
        for (int c = 0; c < columns; c++)
            y[i] += w[i * columns + c] * x[c];
    }
}

static inline void tiny_norm(double *x, const double *weight, const double *bias) {
    double mean = 0, variance = 0;
    for (int c = 0; c < M; c++)
        mean += x[c] / M;
    for (int c = 0; c < M; c++)
        variance += (x[c] - mean) * (x[c] - mean) / M;
    for (int c = 0; c < M; c++)
        x[c] = (x[c] - mean) / sqrt(variance + 1e-12) * weight[c] + bias[c];
}

/* What masks the keys of a head. */
typedef struct tiny_mask {
    int causal, keys; /* keys from `keys` on are padding */
} tiny_mask;

static inline int tiny_allowed(const tiny_mask *mask, int i, int j) {
    return j < mask->keys && (!mask->causal || j <= i);
}

/* Softmax of row i of q k^T / sqrt(D), to w[n]. */
static inline void tiny_weights(const double *q, const double *k, int n, int i,
                                const tiny_mask *mask, double *w) {
    double highest = -INFINITY, sum = 0;
    for (int j = 0; j < n; j++) {
        w[j] = 0;
        for (int d = 0; d < TINY_D; d++)
            w[j] += q[i * TINY_D + d] * k[j * TINY_D + d] / sqrt(TINY_D);
        /* at fmax gcc 12 for 64-bit ARM stops with an internal error */
        if (tiny_allowed(mask, i, j) && w[j] > highest) highest = w[j];
    }
    for (int j = 0; j < n; j++) {
        w[j] = tiny_allowed(mask, i, j) ? exp(w[j] - highest) : 0;
        sum += w[j];
    }
    for (int j = 0; j < n; j++)
        w[j] /= sum;
}

/* The head's q, k or v [n, D] of x [n, M]. */
static inline void tiny_project(const double *x, int n, int layer, int head, int which,
                                double *result) {
    const double *const w = tiny_layer(layer, which) + head * TINY_D * M;
    const double *const b = tiny_layer(layer, which + 1) + head * TINY_D;
    for (int i = 0; i < n; i++)
        tiny_linear(x + i * M, M, w, b, TINY_D, result + i * TINY_D);
}

/* The head's output [n, D]. */
static inline void tiny_head(const double *x, int n, int layer, int head, const tiny_mask *mask,
                             double *out) {
    static double q[POSITIONS * M], k[POSITIONS * M], v[POSITIONS * M], w[POSITIONS];
    tiny_project(x, n, layer, head, TINY_Q, q);
    tiny_project(x, n, layer, head, TINY_K, k);
    tiny_project(x, n, layer, head, TINY_V, v);
    for (int i = 0; i < n; i++) {
        tiny_weights(q, k, n, i, mask, w);
        for (int d = 0; d < TINY_D; d++) {
            out[i * TINY_D + d] = 0;
            for (int j = 0; j < n; j++)
                out[i * TINY_D + d] += w[j] * v[j * TINY_D + d];
        }
    }
}

static inline void tiny_run_layer(double *x, int n, int layer, const tiny_mask *mask) {
    static double heads[TINY_HEADS][POSITIONS * TINY_D];
    double merged[M], y[M], inner[F];
    for (int h = 0; h < TINY_HEADS; h++)
        tiny_head(x, n, layer, h, mask, heads[h]);
    for (int i = 0; i < n; i++) {
        double *const row = x + i * M;
        for (int c = 0; c < M; c++)
            merged[c] = heads[c / TINY_D][i * TINY_D + c % TINY_D];
        tiny_linear(merged, M, tiny_layer(layer, TINY_O), tiny_layer(layer, TINY_O + 1), M, y);
        for (int c = 0; c < M; c++)
            row[c] += y[c];
        tiny_norm(row, tiny_layer(layer, TINY_NORM_1), tiny_layer(layer, TINY_NORM_1 + 1));
        tiny_linear(row, M, tiny_layer(layer, TINY_INNER), tiny_layer(layer, TINY_INNER + 1), F,
                    inner);
        for (int c = 0; c < F; c++)
            inner[c] *= 0.5 * (1 + erf(inner[c] / sqrt(2)));
        tiny_linear(inner, F, tiny_layer(layer, TINY_OUTER), tiny_layer(layer, TINY_OUTER + 1), M,
                    y);
        for (int c = 0; c < M; c++)
            row[c] += y[c];
        tiny_norm(row, tiny_layer(layer, TINY_NORM_2), tiny_layer(layer, TINY_NORM_2 + 1));
    }
}

/* The hidden states [n, M] that come to `layer`; tokens from `keys` on are padding. */
static inline void tiny_states(const int32_t *ids, const int32_t *types, int n, int keys, int layer,
                               double *x) {
    const tiny_mask mask = {0, keys};
    for (int i = 0; i < n; i++) {
        for (int c = 0; c < M; c++)
            x[i * M + c] = tiny_tensor(0)[ids[i] * M + c] + tiny_tensor(1)[i * M + c] +
                           tiny_tensor(2)[types[i] * M + c];
        tiny_norm(x + i * M, tiny_tensor(3), tiny_tensor(4));
    }
    for (int l = 0; l < layer; l++)
        tiny_run_layer(x, n, l, &mask);
}

#endif
