/* SPDX-License-Identifier: Apache-2.0
 *
 * The error bound of one head; see trace_bound.h and docs/numerics.md, whose letters are used here.
 * The errors of q, k and v come through the scores and the values to the output. */
#include "model/trace_bound.h"

#include "base/checked.h"

#include <math.h>
#include <stdlib.h>

static const double u = 0x1p-24; /* half a unit in the last place of 1 */

enum { QUERY, KEY, VALUE };

/* Of every q, k and v how far it may be off, [3, L, D]; and room for one row of scores. */
typedef struct errors {
    double *projected[3];
    double *scores; /* [L] */
} errors;

static double projection_error(const attend__traced_head *h, int which, size_t row, size_t column) {
    const size_t M = h->model_size;
    const float *const x = h->x + row * M, *const w = h->w[which] + column * M;
    double sum = fabs((double)h->b[which][column]);
    for (size_t i = 0; i < M; i++)
        sum += fabs((double)x[i] * (double)w[i]);
    const double y = fabs((double)h->projected[which][row * h->head_size + column]);
    return u * (2 * sqrt((double)M) + 8) * sum + 8 * u * y + 1e-37;
}

/* ln of the sum of exp(s_j); -inf without a key. */
static double log_sum_exp(const float *scores, size_t count) {
    float highest =
        -INFINITY; /* as double it stops gcc 12 for 64-bit ARM, as in explain_numbers.c */
    double sum = 0;
    for (size_t j = 0; j < count; j++)
        highest = fmaxf(highest, scores[j]);
    if (!(highest > -INFINITY)) return (double)highest;
    for (size_t j = 0; j < count; j++)
        sum += exp((double)scores[j] - (double)highest);
    return (double)highest + log(sum);
}

/* What the score of key j may be off, by its own rounding and by that of q and k. */
static double score_error(const attend__traced_head *h, const errors *e, size_t i, size_t j,
                          double lse) {
    const size_t D = h->head_size;
    const float *const q = h->projected[QUERY] + i * D, *const k = h->projected[KEY] + j * D;
    const double *const q_error = e->projected[QUERY] + i * D, *const k_error =
                                                                   e->projected[KEY] + j * D;
    const double scale = 1 / sqrt((double)D), s = (double)h->masked[i * h->length + j];
    double product = 0, carried = 0;
    for (size_t d = 0; d < D; d++) {
        const double q_size = fabs((double)q[d]), k_size = fabs((double)k[d]);
        product += q_size * k_size;
        carried += q_size * k_error[d] + k_size * q_error[d];
    }
    return u * ((2 * sqrt((double)D) + 8) * scale * product + fabs(s) + fabs(lse)) +
           scale * carried;
}

static void bound_row(const attend__traced_head *h, const errors *e, size_t i, float *bound) {
    const size_t L = h->length, D = h->head_size;
    const float *const s = h->masked + i * L, *const w = h->weights + i * L;
    const double lse = log_sum_exp(s, L), t = fmax(sqrt((double)L), 64) + 8;
    double mean = 0;
    for (size_t j = 0; j < L; j++) {
        e->scores[j] = s[j] == -INFINITY ? 0 : score_error(h, e, i, j, lse);
        mean += (double)w[j] * e->scores[j];
    }
    for (size_t d = 0; d < D; d++) {
        double sum = 0;
        for (size_t j = 0; j < L; j++) {
            if (s[j] == -INFINITY) continue;
            const double v = fabs((double)h->projected[VALUE][j * D + d]);
            sum +=
                (double)w[j] * (v * (e->scores[j] + mean + u * t) + e->projected[VALUE][j * D + d]);
        }
        const double layer = 5e-5 + 5e-5 * fabs((double)h->mix[i * D + d]);
        bound[d] = (float)(2 * fmin(sum + 1e-37, layer)); /* each may be off to another side */
    }
}

bool attend__trace_bound(const attend__traced_head *head, float *bound) {
    const size_t L = head->length, D = head->head_size;
    size_t rows, count;
    if (!attend__mul_size(L, D, &rows) || !attend__mul_size(rows, 3, &count) ||
        !attend__add_size(count, L, &count))
        return false;
    double *const memory = calloc(count ? count : 1, sizeof *memory);
    if (!memory) return false;
    const errors e = {{memory, memory + rows, memory + 2 * rows}, memory + 3 * rows};
    for (int which = 0; which < 3; which++)
        for (size_t row = 0; row < L; row++)
            for (size_t d = 0; d < D; d++)
                e.projected[which][row * D + d] = projection_error(head, which, row, d);
    for (size_t i = 0; i < L; i++)
        bound_row(head, &e, i, bound + i * D);
    free(memory);
    return true;
}
