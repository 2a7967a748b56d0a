/* SPDX-License-Identifier: Apache-2.0
 *
 * out = activation(x W^T + bias) * multiplier + residual. The product is cut into tiles of rows and
 * columns that threads take one by one. A tile packs its rows of x once, so that they stay in the
 * second-level cache, and streams the panels of weights past them; what follows the product (bias,
 * activation, ..) is done a panel at a time, while its results are in the first-level cache. How
 * the tiles are cut depends on the number of threads, the bits of the results do not: each element
 * is summed along K in the one order of gemm_tmpl.h. */
#include <stdbool.h>
#include <stdio.h>

#include "ranges.h"
#include "rows.h"
#include "weights.h"

/* Of a tile. Prepared weights pass few rows of x, PREPARED_X elements at most, which take a third
 * of a second-level cache of 1 MB. Weights packed on the way want more rows to share the packing.
 * Where K is too long for that it is cut, and the results of the tile wait in memory: no more
 * columns then. Weights that many rows read again are taken CHUNK_BYTES at a time, which stay in
 * the third-level cache. */
enum {
    PREPARED_ROWS = 56,
    PREPARED_DEPTH = 3072,
    PREPARED_X = 28 * PREPARED_DEPTH,
    PLAIN_ROWS = 224,
    PLAIN_DEPTH = 512,
    WAITING_COLUMNS = 512,
    CHUNK_BYTES = 16 << 20
};
enum { TILES_PER_THREAD = 4 };
/* Of a tile worth giving to a thread, and of one worth the packing of its rows a second time. */
enum { LEAST_PRODUCTS = 128 * 1024, FAIR_PRODUCTS = 512 * 1024 };

typedef struct project_job {
    const attend__stage_kernels *kernels;
    attend__rows x, multiplier, residual, out;
    attend__span bias;
    bool prepared;
    attend__w_block w; /* element [0, 0], when not prepared */
    const attend_device_weights *weights;
    attend_activation activation;
    int64_t rows, columns, depth, panels;
    int64_t row_tiles, column_tiles;
    int64_t
        tapered;  /* strips of the first of tiles that get smaller to the end; 0: all are alike */
    int64_t step; /* elements of K at a time */
    int32_t threads;
} project_job;

/* The addresses of a tile's rows. */
typedef struct project_rows {
    char **x, **multiplier, **residual, **out;
} project_rows;

/* One worker's memory: x as attend__tile wants it, one strip after the other; results of the tile,
 * or of the panels that are multiplied at once where K is one step; panels packed on the way. */
typedef struct project_scratch {
    float *x, *c, *panel;
    project_rows rows;
} project_scratch;

typedef struct project_tile {
    int64_t next_row, next_rows; /* of the tile that this thread most likely takes next */
    int64_t row, rows, strips, panel, panels;
    project_scratch scratch;
} project_tile;

/* A part of a tile: `count` panels from `panel` on, elements k .. k + depth - 1. */
typedef struct project_part {
    int64_t panel, count, k, depth;
    attend__tile block;
} project_part;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t parts(int64_t size, int64_t part) {
    return size / part + (size % part != 0);
}

static int64_t padded(int64_t size, int64_t part) {
    return parts(size, part) * part;
}

static int64_t most_rows(const project_job *job) {
    return least(job->rows, job->prepared ? PREPARED_ROWS : PLAIN_ROWS);
}

/* Fewer where K is long; a tile that K is cut for keeps its rows. */
static int64_t tile_rows(const project_job *job) {
    if (!job->prepared) return most_rows(job);
    const int64_t depth = least(most(job->depth, 1), PREPARED_DEPTH);
    return least(most_rows(job), PREPARED_X / depth);
}

/* K is not cut up to here; with few rows not for longer. */
static int64_t safe_depth(const project_job *job) {
    return job->prepared ? PREPARED_DEPTH : PLAIN_DEPTH;
}

static int64_t most_of_x(const project_job *job) {
    return job->prepared ? PREPARED_X : PLAIN_ROWS * PLAIN_DEPTH;
}

static char *next_part(char *memory, size_t *used, int64_t bytes) {
    char *const part = memory != NULL ? memory + *used : NULL;
    *used += (size_t)padded(bytes, ATTEND__CPU_ALIGNMENT);
    return part;
}

/* Lays the parts out from `memory`; returns the bytes. With NULL only those are of use. They grow
 * with the sizes of the job: the memory of the largest is enough for all. */
static size_t lay_out(const project_job *job, char *memory, project_scratch *s) {
    const int64_t width = job->kernels->panel_columns, rows = most_rows(job);
    const int64_t x = least(rows * padded(job->depth, ATTEND__GEMM_LINE), most_of_x(job));
    const int64_t c = ATTEND__GEMM_WIDEST * job->kernels->tile_rows * width;
    const int64_t columns = least(job->panels * width, WAITING_COLUMNS);
    const int64_t waiting = job->depth > safe_depth(job) ? rows * columns : 0;
    const int64_t step = job->prepared ? 0 : least(job->depth, safe_depth(job));
    size_t used = 0;
    s->x = (float *)(void *)next_part(memory, &used, x * 4);
    s->c = (float *)(void *)next_part(memory, &used, most(waiting, c) * 4);
    s->panel = (float *)(void *)next_part(memory, &used, ATTEND__GEMM_WIDEST * step * width * 4);
    char ***const lists[] = {&s->rows.x, &s->rows.multiplier, &s->rows.residual, &s->rows.out};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        *lists[i] = (char **)(void *)next_part(memory, &used, rows * (int64_t)sizeof(char *));
    return used;
}

/* A multiple of the threads, so that threads of one speed end together; more than one for each, so
 * that others do. */
static int64_t tiles_wanted(const project_job *job, int32_t threads) {
    const double products = (double)job->rows * (double)job->columns * (double)job->depth;
    if (products < (double)threads * LEAST_PRODUCTS || threads == 1) return 1;
    const int64_t fair = (int64_t)(products / FAIR_PRODUCTS) / threads;
    return threads * least(most(fair, 1), TILES_PER_THREAD);
}

/* Strips of the next tile of those that are left. */
static int64_t next_strips(const project_job *job, int64_t left) {
    return least(job->tapered, most(left / (job->threads + 1), 1));
}

static int64_t all_strips(const project_job *job) {
    return parts(job->rows, job->kernels->tile_rows);
}

/* Where tile `down` begins. */
static int64_t first_row(const project_job *job, int64_t down) {
    if (job->tapered == 0) return attend__cut(job->rows, job->row_tiles, down);
    const int64_t strips = all_strips(job);
    int64_t strip = 0;
    for (int64_t i = 0; i < down; i++)
        strip += next_strips(job, strips - strip);
    return attend__cut(job->rows, strips, strip);
}

/* Tiles that get smaller to the end let threads end together: what one waits for the other is lost,
 * and one that waits long falls asleep and is late for the next product. */
static void taper(project_job *job) {
    job->tapered = most(tile_rows(job) / job->kernels->tile_rows, 1);
    job->row_tiles = 0;
    for (int64_t left = all_strips(job); left > 0; job->row_tiles++)
        left -= next_strips(job, left);
}

/* Columns are cut first: no two tiles then pack the same weights. */
static void choose_tiles(project_job *job) {
    const int64_t width = job->kernels->panel_columns, strip = job->kernels->tile_rows;
    const int64_t wanted = tiles_wanted(job, job->threads);
    job->row_tiles = parts(job->rows, tile_rows(job));
    if (job->row_tiles > job->threads) job->row_tiles = padded(job->row_tiles, job->threads);
    int64_t across = wanted / job->row_tiles;
    if (job->row_tiles > 1)
        across = most(across, parts(job->depth * job->columns * 4, CHUNK_BYTES));
    if (job->depth > safe_depth(job))
        across = most(across, parts(job->panels, WAITING_COLUMNS / width));
    job->column_tiles = least(most(across, 1), job->panels);
    if (job->row_tiles * job->column_tiles < wanted)
        job->row_tiles = most(job->row_tiles, least(wanted / job->column_tiles, job->rows / strip));
    int64_t rows = parts(job->rows, job->row_tiles);
    if (job->prepared && job->column_tiles == 1 && job->threads > 1 &&
        job->row_tiles > job->threads) {
        taper(job);
        rows = job->tapered * strip;
    }
    const int64_t longest = job->prepared ? most_of_x(job) / rows : PLAIN_DEPTH;
    const int64_t steps = parts(job->depth, longest - longest % ATTEND__GEMM_SUM);
    job->step = steps < 2 ? job->depth : padded(parts(job->depth, steps), ATTEND__GEMM_SUM);
}

static void find_rows(const attend__rows *rows, const project_tile *tile, char **first) {
    if (rows->first == NULL) return;
    for (int64_t r = 0; r < tile->rows; r++)
        first[r] = attend__row(rows, tile->row + r, 0).first;
}

static attend__lines lines_from(const attend__rows *rows, char *const *first, int64_t begin,
                                int64_t column) {
    const attend__lines lines = {rows->first != NULL ? first + begin : NULL, rows->type,
                                 rows->stride, column};
    return lines;
}

static int64_t strip_begin(const project_tile *tile, int64_t strip) {
    return attend__cut(tile->rows, tile->strips, strip);
}

static void pack_x(const project_job *job, const project_tile *tile, int64_t k, int64_t depth) {
    const int64_t width = padded(depth, ATTEND__GEMM_LINE);
    for (int64_t strip = 0; strip < tile->strips; strip++) {
        const int64_t begin = strip_begin(tile, strip);
        const attend__lines x = lines_from(&job->x, tile->scratch.rows.x, begin, k);
        job->kernels->pack_rows(&x, (int32_t)(strip_begin(tile, strip + 1) - begin), (int32_t)depth,
                                tile->scratch.x + begin * width);
    }
}

static void find_panels(const project_job *job, const project_tile *tile, project_part *part) {
    const attend__stage_kernels *const kernels = job->kernels;
    const int64_t width = kernels->panel_columns;
    attend__tile *const block = &part->block;
    if (job->prepared) {
        block->type = job->weights->type;
        block->panel_distance = job->depth * width;
        block->panel =
            job->weights->panels + (part->panel * block->panel_distance + part->k * width) *
                                       attend__element_bytes(block->type);
        return;
    }
    block->type = ATTEND_F32;
    block->panel_distance = part->depth * width;
    block->panel = (const char *)tile->scratch.panel;
    for (int64_t p = 0; p < part->count; p++) {
        const int64_t column = (part->panel + p) * width;
        attend__w_block w = job->w;
        w.first += (column * w.n_stride + part->k * w.k_stride) * attend__element_bytes(w.type);
        w.count = (int32_t)least(job->columns - column, width);
        w.depth = (int32_t)part->depth;
        kernels->pack_panel(&w, tile->scratch.panel + p * block->panel_distance);
    }
}

static void finish_strip(const project_job *job, const project_tile *tile, const project_part *part,
                         int64_t begin) {
    const int64_t width = job->kernels->panel_columns;
    const project_rows *const rows = &tile->scratch.rows;
    for (int64_t p = 0; p < part->count; p++) {
        const int64_t column = (part->panel + p) * width;
        const attend__results results = {
            .c = part->block.c + p * part->block.c_distance,
            .rows = part->block.rows,
            .columns = (int32_t)least(job->columns - column, width),
            .activation = job->activation,
            .bias = attend__span_after(job->bias, column),
            .multiplier = lines_from(&job->multiplier, rows->multiplier, begin, column),
            .residual = lines_from(&job->residual, rows->residual, begin, column),
            .out = lines_from(&job->out, rows->out, begin, column)};
        job->kernels->finish(&results);
    }
}

/* One row a product, so that packing the next tile finds its rows in the second-level cache. */
static const char *next_of_x(const project_job *job, const project_tile *tile, int64_t product) {
    if (product >= tile->next_rows) return NULL;
    return attend__row(&job->x, tile->next_row + product, 0).first;
}

static void run_part(const project_job *job, const project_tile *tile, project_part *part) {
    const int64_t width = job->kernels->panel_columns;
    const bool waits = job->step < job->depth;
    attend__tile *const block = &part->block;
    find_panels(job, tile, part);
    block->panels = (int32_t)part->count;
    block->depth = (int32_t)part->depth;
    block->add = part->k > 0;
    block->c_distance = (waits ? tile->rows : job->kernels->tile_rows) * width;
    for (int64_t strip = 0; strip < tile->strips; strip++) {
        const int64_t begin = strip_begin(tile, strip);
        block->rows = (int32_t)(strip_begin(tile, strip + 1) - begin);
        block->x = tile->scratch.x + begin * padded(part->depth, ATTEND__GEMM_LINE);
        block->c = tile->scratch.c;
        block->next = next_of_x(job, tile, (part->panel - tile->panel) * tile->strips + strip);
        if (waits) block->c += (part->panel - tile->panel) * block->c_distance + begin * width;
        job->kernels->multiply(block);
        if (part->k + part->depth == job->depth) finish_strip(job, tile, part, begin);
    }
}

/* Few rows need several panels at once to hide the latency of a sum; more rows keep one panel in
 * the caches. */
static void run_tile(void *argument, int64_t index, void *scratch) {
    const project_job *const job = argument;
    const int64_t down = index % job->row_tiles, across = index / job->row_tiles;
    const int64_t next = least(down + job->threads, job->row_tiles);
    project_tile tile = {.row = first_row(job, down),
                         .next_row = first_row(job, next),
                         .panel = attend__cut(job->panels, job->column_tiles, across)};
    tile.rows = first_row(job, down + 1) - tile.row;
    tile.next_rows = first_row(job, least(next + 1, job->row_tiles)) - tile.next_row;
    tile.panels = attend__cut(job->panels, job->column_tiles, across + 1) - tile.panel;
    tile.strips = parts(tile.rows, job->kernels->tile_rows);
    lay_out(job, scratch, &tile.scratch);
    find_rows(&job->x, &tile, tile.scratch.rows.x);
    find_rows(&job->multiplier, &tile, tile.scratch.rows.multiplier);
    find_rows(&job->residual, &tile, tile.scratch.rows.residual);
    find_rows(&job->out, &tile, tile.scratch.rows.out);
    const int64_t group = tile.strips == 1 ? ATTEND__GEMM_WIDEST : 1;
    int64_t k = 0;
    do {
        project_part part = {.k = k, .depth = least(job->depth - k, job->step)};
        pack_x(job, &tile, k, part.depth);
        for (int64_t p = 0; p < tile.panels; p += group) {
            part.panel = tile.panel + p;
            part.count = least(tile.panels - p, group);
            run_part(job, &tile, &part);
        }
        k += part.depth;
    } while (k < job->depth);
}

static project_job job_of(attend_device *device, const attend_projection *p) {
    project_job job = {.kernels = device->kernels->stages, .activation = p->activation};
    job.x = attend__rows_of(&p->x);
    job.multiplier = attend__rows_of(&p->multiplier);
    job.residual = attend__rows_of(&p->residual);
    job.out = attend__rows_of(&p->out);
    job.prepared = p->weights != NULL;
    job.rows = attend__row_count(&job.out);
    job.columns = job.out.columns;
    job.depth = job.x.columns;
    job.panels = parts(job.columns, job.kernels->panel_columns);
    return job;
}

attend_status attend__cpu_project_plan(attend_device *device, const void *largest,
                                       attend__cpu_needs *needs) {
    const project_job job = job_of(device, largest);
    project_scratch s;
    needs->scratch_bytes = lay_out(&job, NULL, &s);
    snprintf(needs->kernel, sizeof needs->kernel, "project_%s_%dx%d",
             job.prepared ? "prepared" : "plain", (int)job.kernels->tile_rows,
             (int)job.kernels->panel_columns);
    return ATTEND_OK;
}

attend_status attend__cpu_project_run(attend_device *device, attend_device_plan *plan,
                                      const void *description) {
    const attend_projection *const p = description;
    project_job job = job_of(device, p);
    const attend__rows bias = attend__rows_of(&p->bias);
    job.bias = attend__row(&bias, 0, 0);
    job.weights = attend_projection_device_weights(p);
    if (job.weights == NULL) {
        char *const first = (char *)p->w.data + p->w.offset * attend__element_bytes(p->w.type);
        job.w = (attend__w_block){first, p->w.type, p->w.strides[0], p->w.strides[1], 0, 0};
    }
    if (job.rows == 0 || job.columns == 0) return ATTEND_OK;
    job.threads = device->threads;
    choose_tiles(&job);
    const double products = (double)job.rows * (double)job.columns * (double)(job.depth + 1);
    const attend__cpu_work work = {run_tile, &job, job.row_tiles * job.column_tiles, products,
                                   NULL};
    attend__cpu_tasks(device, plan, &work);
    return ATTEND_OK;
}
