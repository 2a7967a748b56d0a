/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels of the stages around attention: the product of projections and its packing, norms,
 * activations. */
#include "kernels.h"

#include <math.h>

static const attend__stage_kernels *table(const kernel_work *w) {
    return w->kernels->stages;
}

/* ---- c = x w, size = K: strips of rows against one panel, as in a projection ---- */

enum { TILE_X, TILE_PANEL, TILE_C };
enum { STRIPS = 4, LINE = ATTEND__GEMM_LINE };

static void make_tile(kernel_work *w) {
    const int64_t strip = table(w)->tile_rows, columns = table(w)->panel_columns;
    const int64_t rows = STRIPS * strip, x_count = rows * ((w->size + LINE - 1) / LINE * LINE);
    float *const x = kernel_memory(w, x_count), *const panel = kernel_memory(w, w->size * columns);
    float *const c = kernel_memory(w, rows * columns);
    kernel_fill(x, x_count, -1, 1);
    kernel_fill(panel, w->size * columns, -1, 1);
    w->call.tile = (attend__tile){.panel = (const char *)panel,
                                  .type = ATTEND_F32,
                                  .c = c,
                                  .rows = (int32_t)strip,
                                  .panels = 1,
                                  .depth = (int32_t)w->size};
    w->flops = 2.0 * (double)(rows * columns) * (double)w->size;
    w->bytes = 4.0 * ((double)(rows + columns) * (double)w->size + (double)(rows * columns));
}

/* x of the strip. */
static const float *strip_of(const kernel_work *w, int64_t strip) {
    return w->block[TILE_X] + strip * table(w)->tile_rows * ((w->size + LINE - 1) / LINE * LINE);
}

static bool run_tile(void *work, char *reason) {
    kernel_work *const w = work;
    attend__tile *const t = &w->call.tile;
    (void)reason;
    for (int64_t strip = 0; strip < STRIPS; strip++) {
        t->x = strip_of(w, strip);
        t->c = w->block[TILE_C] + strip * t->rows * table(w)->panel_columns;
        table(w)->multiply(t);
    }
    return true;
}

static void check_tile(kernel_work *w) {
    const int64_t strip = table(w)->tile_rows, columns = table(w)->panel_columns;
    for (int64_t r = 0; r < STRIPS * strip; ++r)
        for (int64_t c = 0; c < columns; ++c) {
            const float *const x = strip_of(w, r / strip) + r % strip * LINE;
            double sum = 0, size = 0;
            for (int64_t k = 0; k < w->size; ++k) {
                const double term = (double)x[k / LINE * strip * LINE + k % LINE] *
                                    (double)w->block[TILE_PANEL][k * columns + c];
                sum += term;
                size += fabs(term);
            }
            kernel_compare(w, (double)w->block[TILE_C][r * columns + c], sum,
                           KERNEL_UNIT * (2 * sqrt((double)w->size) + 8) * size);
        }
}

/* ---- packing one panel of weights [N, K], size = K ---- */

enum { PACK_WEIGHTS, PACK_PANEL };
enum { DEPTH = 256 };

static void make_pack(kernel_work *w) {
    const int32_t columns = table(w)->panel_columns;
    float *const weights = kernel_memory(w, w->size * columns);
    kernel_memory(w, (int64_t)DEPTH * columns);
    kernel_fill(weights, w->size * columns, -1, 1);
    w->call.w_block = (attend__w_block){(char *)weights, ATTEND_F32, w->size, 1, columns, DEPTH};
    w->bytes = 8.0 * DEPTH * columns;
}

static bool run_pack(void *work, char *reason) {
    kernel_work *const w = work;
    (void)reason;
    table(w)->pack_panel(&w->call.w_block, w->block[PACK_PANEL]);
    return true;
}

static void check_pack(kernel_work *w) {
    const int32_t columns = table(w)->panel_columns;
    for (int32_t k = 0; k < DEPTH; ++k)
        for (int32_t n = 0; n < columns; ++n)
            kernel_compare(w, (double)w->block[PACK_PANEL][k * columns + n],
                           (double)w->block[PACK_WEIGHTS][n * w->size + k], 0);
}

/* ---- norms, size = the row's length; several rows, as one alone is over too soon ---- */

enum { NORM_X, NORM_OUT, NORM_WEIGHT, NORM_BIAS };
enum { NORM_ROWS = 8 };
static const float CENTER = 0.25f;

static void make_norm_sum(kernel_work *w) {
    const int64_t count = NORM_ROWS * w->size;
    kernel_fill(kernel_memory(w, count), count, -1, 2);
    kernel_memory(w, 2 * NORM_ROWS * sizeof(double) / sizeof(float));
    w->flops = 4.0 * (double)count; /* difference, sum, square, sum */
    w->bytes = 4.0 * (double)count;
}

static bool run_norm_sum(void *work, char *reason) {
    kernel_work *const w = work;
    attend__norm_sums *const sums = (attend__norm_sums *)(void *)w->block[NORM_OUT];
    (void)reason;
    for (int64_t r = 0; r < NORM_ROWS; ++r) {
        sums[r] = (attend__norm_sums){0.0, 0.0};
        table(w)->norm_sum(w->block[NORM_X] + r * w->size, w->size, CENTER, &sums[r]);
    }
    return true;
}

/* Each term is rounded, then sums of at most w->size / 4 terms. */
static void check_norm_sum(kernel_work *w) {
    const attend__norm_sums *const sums = (attend__norm_sums *)(void *)w->block[NORM_OUT];
    const double unit = KERNEL_UNIT * (4 + 2 * sqrt((double)w->size));
    for (int64_t r = 0; r < NORM_ROWS; ++r) {
        double sum = 0, squares = 0, size = 0;
        for (int64_t i = 0; i < w->size; ++i) {
            const double d = (double)w->block[NORM_X][r * w->size + i] - (double)CENTER;
            sum += d;
            squares += d * d;
            size += fabs(d);
        }
        kernel_compare(w, sums[r].sum, sum, unit * size);
        kernel_compare(w, sums[r].squares, squares, 2 * unit * squares);
    }
}

static void make_norm_apply(kernel_work *w) {
    const int64_t count = NORM_ROWS * w->size;
    kernel_fill(kernel_memory(w, count), count, -1, 2);
    kernel_memory(w, count);
    float *const weight = kernel_memory(w, w->size), *const bias = kernel_memory(w, w->size);
    kernel_fill(weight, w->size, 0.5f, 1.5f);
    kernel_fill(bias, w->size, -1, 1);
    w->call.scale = (attend__norm_scale){CENTER, 0.001f, 1.25f, weight, bias};
    w->flops = 5.0 * (double)count; /* two differences, two products, a sum */
    w->bytes = 8.0 * (double)(count + w->size);
}

static bool run_norm_apply(void *work, char *reason) {
    kernel_work *const w = work;
    (void)reason;
    for (int64_t i = 0; i < NORM_ROWS * w->size; i += w->size)
        table(w)->norm_apply(w->block[NORM_X] + i, w->size, &w->call.scale, w->block[NORM_OUT] + i);
    return true;
}

/* Four roundings of the product at most, one of the sum. */
static void check_norm_apply(kernel_work *w) {
    const attend__norm_scale *const s = &w->call.scale;
    for (int64_t i = 0; i < NORM_ROWS * w->size; ++i) {
        const double x = (double)w->block[NORM_X][i] - (double)s->center;
        const double factor = (double)s->factor * (double)s->weight[i % w->size];
        const double y = (x - (double)s->shift) * factor + (double)s->bias[i % w->size];
        const double size = 4 * (fabs(x) + (double)s->shift) * factor + 2 * fabs(y);
        kernel_compare(w, (double)w->block[NORM_OUT][i], y, KERNEL_UNIT * size);
    }
}

/* ---- activation, size = the row's length ---- */

enum { GELU_X, GELU_Y };

static void make_gelu(kernel_work *w) {
    kernel_fill(kernel_memory(w, w->size), w->size, -6, 6);
    kernel_memory(w, w->size);
    w->flops = 4.0 * (double)w->size; /* scale, erf, sum, product */
    w->bytes = 8.0 * (double)w->size;
}

static bool run_gelu(void *work, char *reason) {
    kernel_work *const w = work;
    (void)reason;
    table(w)->activate(ATTEND_GELU, w->block[GELU_X], w->size, w->block[GELU_Y]);
    return true;
}

/* The units that vec_math.h promises; the scalar table does not fuse. */
static void check_gelu(kernel_work *w) {
    const bool fused = w->kernels->attention->lanes > 1;
    for (int64_t i = 0; i < w->size; ++i) {
        const double x = (double)w->block[GELU_X][i];
        const double y = x * erfc(-x * sqrt(0.5)) / 2, places = 6 + (fused || x > -1 ? 0 : x * x);
        kernel_compare(w, (double)w->block[GELU_Y][i], y, 2 * KERNEL_UNIT * places * fabs(y));
    }
}

const kernel_kind kernel_kinds_stages[] = {
    {"gemm-tile", {64, 768}, true, make_tile, run_tile, check_tile},
    {"pack-weights", {768}, true, make_pack, run_pack, check_pack},
    {"norm-sum", {768}, true, make_norm_sum, run_norm_sum, check_norm_sum},
    {"norm-apply", {768}, true, make_norm_apply, run_norm_apply, check_norm_apply},
    {"gelu", {3072}, true, make_gelu, run_gelu, check_gelu},
    {0},
};
