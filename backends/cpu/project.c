/* SPDX-License-Identifier: Apache-2.0
 *
 * out = activation(x W^T + bias) * multiplier + residual. The product is cut into tiles of rows and
 * columns that threads take one by one; inside a tile K advances in steps of GEMM_DEPTH, so that
 * the rows of x (copied, widened) stay in the second-level cache, a panel of weights in the first,
 * and a block of results in registers. How the tiles are cut depends on the number of threads, the
 * bits of the results do not: each element is summed along K in the one order of gemm_tmpl.h. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ranges.h"
#include "rows.h"
#include "weights.h"

/* Of the tiles: strips of tile_rows rows, and columns. Weights that are packed on the way want more
 * rows to share the packing, prepared ones want fewer bytes of x and results in the cache. */
enum { PREPARED_STRIPS = 8, PREPARED_COLUMNS = 768, PLAIN_STRIPS = 16, PLAIN_COLUMNS = 256 };
enum { TILES_PER_THREAD = 4, LEAST_PRODUCTS = 128 * 1024 }; /* of a tile worth giving to a thread */
enum { PAD = 16 }; /* floats: rows of results start in different cache sets */

typedef struct project_job {
    const attend__stage_kernels *kernels;
    attend__rows x, multiplier, residual, out;
    attend__span bias;
    attend__w_block w; /* element [0, 0]; used when `weights` is NULL */
    const attend_device_weights *weights;
    attend_activation activation;
    int64_t rows, columns, depth, panels;
    int64_t row_tiles, column_tiles;
    int64_t tile_rows, tile_columns; /* of the largest tile, as the scratch was sized */
} project_job;

/* One worker's memory: x [tile rows][X_STRIDE], results [tile rows][tile columns + PAD], panels
 * [WIDEST][DEPTH][panel columns], and four rows for what is not float32 in memory. */
typedef struct project_scratch {
    float *x, *c, *panel, *bias, *multiplier, *residual, *out;
} project_scratch;

typedef struct project_tile {
    int64_t row, rows, panel, panels;
} project_tile;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t parts(int64_t size, int64_t part) {
    return size / part + (size % part != 0);
}

static size_t aligned_bytes(int64_t floats) {
    return ((size_t)floats * sizeof(float) + 63) / 64 * 64;
}

/* Lays the parts out from `at`; returns the bytes. With at NULL only the size is of use. */
static size_t lay_out(const attend__stage_kernels *kernels, int64_t tile_rows, int64_t tile_columns,
                      char *at, project_scratch *s) {
    const int64_t panel = (int64_t)ATTEND__GEMM_DEPTH * kernels->panel_columns;
    const struct {
        float **part;
        int64_t floats;
    } list[] = {
        {&s->x, tile_rows * ATTEND__GEMM_X_STRIDE},
        {&s->c, tile_rows * (tile_columns + PAD)},
        {&s->panel, ATTEND__GEMM_WIDEST * panel},
        {&s->bias, tile_columns},
        {&s->multiplier, tile_columns},
        {&s->residual, tile_columns},
        {&s->out, tile_columns},
    };
    size_t used = 0;
    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        *list[i].part = at != NULL ? (float *)(void *)(at + used) : NULL;
        used += aligned_bytes(list[i].floats);
    }
    return used;
}

static void largest_tile(const attend__stage_kernels *kernels, bool prepared, int64_t rows,
                         int64_t columns, int64_t *tile_rows, int64_t *tile_columns) {
    const int64_t strips = prepared ? PREPARED_STRIPS : PLAIN_STRIPS;
    const int64_t width = prepared ? PREPARED_COLUMNS : PLAIN_COLUMNS;
    *tile_rows = least(rows, strips * kernels->tile_rows);
    *tile_columns = least(parts(columns, kernels->panel_columns) * kernels->panel_columns, width);
}

/* Splits until each thread has a few tiles, the longer side first; tiles of one strip are split by
 * columns. */
static void choose_tiles(project_job *job, int32_t threads) {
    const attend__stage_kernels *const kernels = job->kernels;
    job->row_tiles = parts(job->rows, job->tile_rows);
    job->column_tiles = parts(job->panels, job->tile_columns / kernels->panel_columns);
    const double products = (double)job->rows * (double)job->columns * (double)job->depth;
    const int64_t wanted = threads > 1 ? (int64_t)threads * TILES_PER_THREAD : 1;
    while (job->row_tiles * job->column_tiles < wanted) {
        const int64_t tiles = job->row_tiles * job->column_tiles;
        const int64_t rows = job->rows / job->row_tiles;
        const int64_t panels = job->panels / job->column_tiles;
        const bool by_rows = job->weights != NULL && rows > panels * kernels->panel_columns;
        if (products / (double)(tiles + 1) < LEAST_PRODUCTS) break;
        if (rows >= 2 * kernels->tile_rows && (by_rows || panels < 2))
            job->row_tiles++;
        else if (panels >= 2)
            job->column_tiles++;
        else
            break;
    }
}

static void read_rows(const project_job *job, const project_scratch *s, const project_tile *tile,
                      int64_t k, int64_t depth) {
    for (int64_t r = 0; r < tile->rows; r++) {
        const attend__span row = attend__row(&job->x, tile->row + r, k);
        job->kernels->widen(row, depth, s->x + r * ATTEND__GEMM_X_STRIDE);
    }
}

/* `count` panels from `panel` on, as float32; their distance in floats in *distance. */
static const float *read_panels(const project_job *job, const project_scratch *s, int64_t panel,
                                int64_t count, int64_t k, int64_t depth, int64_t *distance) {
    const attend__stage_kernels *const kernels = job->kernels;
    const int64_t width = kernels->panel_columns;
    const attend_device_weights *const weights = job->weights;
    if (weights != NULL && weights->type == ATTEND_F32) {
        *distance = job->depth * width;
        return (const float *)(const void *)weights->panels + panel * *distance + k * width;
    }
    *distance = ATTEND__GEMM_DEPTH * width;
    for (int64_t p = 0; p < count; p++) {
        float *const to = s->panel + p * *distance;
        if (weights != NULL) {
            const int64_t at = (panel + p) * job->depth * width + k * width;
            const attend__span packed = {
                weights->panels + at * attend__element_bytes(weights->type), weights->type, 1};
            kernels->widen(packed, depth * width, to);
        } else {
            const int64_t column = (panel + p) * width;
            attend__w_block block = job->w;
            block.first +=
                (column * block.n_stride + k * block.k_stride) * attend__element_bytes(block.type);
            block.count = (int32_t)least(job->columns - column, width);
            block.depth = (int32_t)depth;
            kernels->pack_panel(&block, to);
        }
    }
    return s->panel;
}

static void multiply_step(const project_job *job, const project_scratch *s,
                          const project_tile *tile, int64_t k) {
    const attend__stage_kernels *const kernels = job->kernels;
    const int64_t depth = least(job->depth - k, ATTEND__GEMM_DEPTH);
    const int64_t strips = parts(tile->rows, kernels->tile_rows);
    const int64_t group = strips == 1 ? ATTEND__GEMM_WIDEST : 1;
    attend__tile block = {
        .c_stride = job->tile_columns + PAD, .depth = (int32_t)depth, .add = k > 0};
    read_rows(job, s, tile, k, depth);
    for (int64_t p = 0; p < tile->panels; p += group) {
        const int64_t count = least(tile->panels - p, group);
        block.panel = read_panels(job, s, tile->panel + p, count, k, depth, &block.panel_distance);
        block.panels = (int32_t)count;
        for (int64_t strip = 0; strip < strips; strip++) {
            const int64_t begin = attend__cut(tile->rows, strips, strip);
            block.rows = (int32_t)(attend__cut(tile->rows, strips, strip + 1) - begin);
            block.x = s->x + begin * ATTEND__GEMM_X_STRIDE;
            block.c = s->c + begin * block.c_stride + p * kernels->panel_columns;
            kernels->multiply(&block);
        }
    }
}

static void finish_row(const project_job *job, const project_scratch *s, int64_t row,
                       int64_t column, int64_t n, float *c) {
    const attend__stage_kernels *const kernels = job->kernels;
    const attend__span out = attend__row(&job->out, row, column);
    const attend__span multiplier = attend__row(&job->multiplier, row, column);
    const attend__span residual = attend__row(&job->residual, row, column);
    const float *m = NULL, *r = NULL;
    float *const y = attend__span_target(out, s->out);
    const float *sum = c;
    if (multiplier.first != NULL) m = attend__span_read(kernels, multiplier, n, s->multiplier);
    if (residual.first != NULL) r = attend__span_read(kernels, residual, n, s->residual);
    const bool more = m != NULL || r != NULL || job->activation != ATTEND_NO_ACTIVATION;
    if (job->bias.first != NULL) {
        float *const biased = more ? c : y;
        kernels->combine(c, NULL, s->bias, n, biased);
        sum = biased;
    }
    if (job->activation != ATTEND_NO_ACTIVATION) {
        float *const activated = m != NULL || r != NULL ? c : y;
        kernels->activate(job->activation, sum, n, activated);
        sum = activated;
    }
    if (sum != y) kernels->combine(sum, m, r, n, y);
    attend__span_write(kernels, y, n, out);
}

/* Tiles that share rows of x follow each other: those are in the second-level cache then. */
static void run_tile(void *argument, int64_t index, void *scratch) {
    const project_job *const job = argument;
    const attend__stage_kernels *const kernels = job->kernels;
    const int64_t down = index / job->column_tiles, across = index % job->column_tiles;
    project_tile tile = {.row = attend__cut(job->rows, job->row_tiles, down),
                         .panel = attend__cut(job->panels, job->column_tiles, across)};
    tile.rows = attend__cut(job->rows, job->row_tiles, down + 1) - tile.row;
    tile.panels = attend__cut(job->panels, job->column_tiles, across + 1) - tile.panel;
    const int64_t column = tile.panel * kernels->panel_columns;
    const int64_t n = least(tile.panels * kernels->panel_columns, job->columns - column);
    const int64_t c_stride = job->tile_columns + PAD;
    project_scratch s;
    lay_out(kernels, job->tile_rows, job->tile_columns, scratch, &s);
    if (job->depth == 0) memset(s.c, 0, (size_t)(tile.rows * c_stride) * sizeof(float));
    for (int64_t k = 0; k < job->depth; k += ATTEND__GEMM_DEPTH)
        multiply_step(job, &s, &tile, k);
    if (job->bias.first != NULL) kernels->widen(attend__span_after(job->bias, column), n, s.bias);
    for (int64_t r = 0; r < tile.rows; r++)
        finish_row(job, &s, tile.row + r, column, n, s.c + r * c_stride);
}

attend_status attend__cpu_project_plan(attend_device *device, const void *largest,
                                       attend__cpu_needs *needs) {
    const attend_projection *const p = largest;
    const attend__stage_kernels *const kernels = device->kernels->stages;
    const bool prepared = p->weights != NULL;
    const attend__rows out = attend__rows_of(&p->out);
    int64_t tile_rows, tile_columns;
    project_scratch s;
    largest_tile(kernels, prepared, attend__row_count(&out), out.columns, &tile_rows,
                 &tile_columns);
    needs->scratch_bytes = lay_out(kernels, tile_rows, tile_columns, NULL, &s);
    snprintf(needs->kernel, sizeof needs->kernel, "project_%s_%dx%d",
             prepared ? "prepared" : "plain", (int)kernels->tile_rows, (int)kernels->panel_columns);
    return ATTEND_OK;
}

attend_status attend__cpu_project_run(attend_device *device, attend_device_plan *plan,
                                      const void *description) {
    const attend_projection *const p = description;
    project_job job = {.kernels = device->kernels->stages, .activation = p->activation};
    job.x = attend__rows_of(&p->x);
    job.multiplier = attend__rows_of(&p->multiplier);
    job.residual = attend__rows_of(&p->residual);
    job.out = attend__rows_of(&p->out);
    const attend__rows bias = attend__rows_of(&p->bias);
    job.bias = attend__row(&bias, 0, 0);
    job.weights = attend_projection_device_weights(p);
    if (job.weights == NULL) {
        char *const first = (char *)p->w.data + p->w.offset * attend__element_bytes(p->w.type);
        job.w = (attend__w_block){first, p->w.type, p->w.strides[0], p->w.strides[1], 0, 0};
    }
    job.rows = attend__row_count(&job.out);
    job.columns = job.out.columns;
    job.depth = job.x.columns;
    job.panels = parts(job.columns, job.kernels->panel_columns);
    largest_tile(job.kernels, job.weights != NULL, job.rows, job.columns, &job.tile_rows,
                 &job.tile_columns);
    choose_tiles(&job, device->threads);
    const double products = (double)job.rows * (double)job.columns * (double)(job.depth + 1);
    const attend__cpu_work work = {run_tile, &job, job.row_tiles * job.column_tiles, products,
                                   NULL};
    attend__cpu_tasks(device, plan, &work);
    return ATTEND_OK;
}
