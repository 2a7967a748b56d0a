/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokens on their way into pages (attend/cache.h): each row of k and v is widened to float32, k
 * turned by its position where that is asked for, and stored in the type of the pages. Every
 * backend stores the same bytes, hence the plain float arithmetic. */
#include <stdbool.h>
#include <stdio.h>

#include "base/half.h"
#include "ranges.h"
#include "rows.h"

enum { CHUNK = 256, PARTS_PER_THREAD = 4 };

typedef struct append_job {
    const attend__stage_kernels *kernels;
    const attend_append *d;
    int64_t samples, heads, tokens; /* tokens: of a sample at most, or of all where packed */
    int64_t parts;
} append_job;

/* One row of k and v, and where it goes. */
typedef struct token {
    int64_t batch, head, row;
    int64_t position, page, slot;
} token;

/* The sample of a packed row, searched from `hint` on; -1 for rows behind the last. */
static int64_t sample_of(const append_job *job, int64_t row, int64_t hint) {
    const attend_tensor *const cu = &job->d->cu_counts;
    for (int64_t i = 0; i < job->samples; i++) {
        const int64_t b = (hint + i) % job->samples;
        if (row >= attend_tensor_index(cu, b) && row < attend_tensor_index(cu, b + 1)) return b;
    }
    return -1;
}

/* Counts, starts and tables that lay in a buffer were not checked by the host: what has no place in
 * the pages is dropped. *sample: that of the row before. */
static bool token_at(const append_job *job, int64_t index, int64_t *sample, token *t) {
    const attend_append *const d = job->d;
    const attend_tensor *const table = &d->page_table;
    const int64_t pages = d->k_pages.sizes[0], size = d->k_pages.sizes[2];
    const int64_t i = index % job->tokens, outer = index / job->tokens;
    int64_t b = outer / job->heads, nth = i;
    *t = (token){.batch = b, .head = outer % job->heads, .row = i};
    if (attend__given(&d->cu_counts)) {
        b = sample_of(job, i, *sample);
        if (b < 0) return false;
        *sample = b;
        t->batch = 0;
        nth = i - attend__between(attend_tensor_index(&d->cu_counts, b), 0, job->tokens);
    } else if (i >= attend_tensor_index(&d->counts, b)) {
        return false;
    }
    t->position = attend__between(attend_tensor_index(&d->starts, b), 0, INT64_MAX / 2) + nth;
    if (pages == 0 || size == 0) return false;
    const int64_t entry = t->position / size;
    t->slot = t->position % size;
    t->page = b;
    if (!attend__given(table)) return entry == 0;
    if (entry >= table->sizes[1]) return false;
    const int64_t at = table->offset + b * table->strides[0] + entry * table->strides[1];
    t->page = attend__between(((const int32_t *)table->data)[at], 0, pages - 1);
    return true;
}

/* As rope.c does it. */
static void turn(const append_job *job, int64_t position, float *x) {
    const attend_append *const d = job->d;
    const attend__rows cos_rows = attend__rows_of(&d->rope_cos);
    const attend__rows sin_rows = attend__rows_of(&d->rope_sin);
    const int64_t pairs = (d->rotary_dim > 0 ? d->rotary_dim : d->k.sizes[3]) / 2;
    const int64_t row = attend__between(position, 0, d->rope_cos.sizes[0] - 1);
    const int64_t step = d->interleaved ? 2 : 1, second = d->interleaved ? 1 : pairs;
    float c[CHUNK], s[CHUNK];
    for (int64_t begin = 0; begin < pairs; begin += CHUNK) {
        const int64_t left = pairs - begin, n = left < CHUNK ? left : CHUNK;
        job->kernels->widen(attend__row(&cos_rows, row, begin), n, c);
        job->kernels->widen(attend__row(&sin_rows, row, begin), n, s);
        float *const pair = x + begin * step;
        for (int64_t r = 0; r < n; r++) {
            const float x1 = pair[r * step], x2 = pair[r * step + second];
            pair[r * step] = c[r] * x1 - s[r] * x2;
            pair[r * step + second] = s[r] * x1 + c[r] * x2;
        }
    }
}

/* Returns the scale. Magnitudes of floats are in the order of their bits. Where a scale is so small
 * that it was rounded far, to 0 even, elements stay within -127..127. */
static float quantise(const float *x, int64_t n, int8_t *to, int64_t stride) {
    int32_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        const int32_t magnitude = (int32_t)(attend__float_bits(x[i]) & 0x7fffffffu);
        if (magnitude > most) most = magnitude;
    }
    const bool finite = most < 0x7f800000;
    const float scale = finite ? attend__bits_float((uint32_t)most) / 127.0f : 0.0f;
    for (int64_t i = 0; i < n; i++) {
        const float ratio = scale > 0.0f ? x[i] / scale : 0.0f;
        /* at 1.5 * 2^23 floats are the whole numbers: the sum rounds half to even */
        const float whole = ratio + 12582912.0f - 12582912.0f;
        to[i * stride] = (int8_t)(whole < -127.0f ? -127.0f : whole > 127.0f ? 127.0f : whole);
    }
    return finite ? scale : attend__bits_float(0x7fc00000u);
}

static void write_row(const append_job *job, const attend_tensor *pages,
                      const attend_tensor *scales, const token *t, const float *x) {
    const int64_t at = pages->offset + t->page * pages->strides[0] + t->head * pages->strides[1] +
                       t->slot * pages->strides[2];
    const attend__span to = {(char *)pages->data + at * attend__element_bytes(pages->type),
                             pages->type, pages->strides[3]};
    if (pages->type != ATTEND_I8) {
        job->kernels->narrow(x, pages->sizes[3], to);
        return;
    }
    ((float *)scales->data)[scales->offset + t->page * scales->strides[0] +
                            t->head * scales->strides[1] + t->slot * scales->strides[2]] =
        quantise(x, pages->sizes[3], (int8_t *)to.first, to.stride);
}

static void read_row(const append_job *job, const attend_tensor *x, const token *t, float *to) {
    const int64_t at =
        x->offset + t->batch * x->strides[0] + t->head * x->strides[1] + t->row * x->strides[2];
    const attend__span from = {(char *)x->data + at * attend__element_bytes(x->type), x->type,
                               x->strides[3]};
    job->kernels->widen(from, x->sizes[3], to);
}

static void append_rows(void *argument, int64_t part, void *memory) {
    const append_job *const job = argument;
    const attend_append *const d = job->d;
    const int64_t rows =
        (attend__given(&d->cu_counts) ? 1 : job->samples) * job->heads * job->tokens;
    const int64_t end = attend__cut(rows, job->parts, part + 1);
    float *const x = memory;
    int64_t sample = 0;
    for (int64_t index = attend__cut(rows, job->parts, part); index < end; index++) {
        token t;
        if (!token_at(job, index, &sample, &t)) continue;
        read_row(job, &d->k, &t, x);
        if (attend__given(&d->rope_cos)) turn(job, t.position, x);
        write_row(job, &d->k_pages, &d->k_scales, &t, x);
        read_row(job, &d->v, &t, x);
        write_row(job, &d->v_pages, &d->v_scales, &t, x);
    }
}

attend_status attend__cpu_append_plan(attend_device *device, const void *largest,
                                      attend__cpu_needs *needs) {
    (void)device;
    const attend_append *const d = largest;
    const int64_t longest = d->k.sizes[3] > d->v.sizes[3] ? d->k.sizes[3] : d->v.sizes[3];
    needs->scratch_bytes = (size_t)longest * sizeof(float);
    snprintf(needs->kernel, sizeof needs->kernel, "append");
    return ATTEND_OK;
}

attend_status attend__cpu_append_run(attend_device *device, attend_device_plan *plan,
                                     const void *description) {
    const attend_append *const d = description;
    append_job job = {.kernels = device->kernels->stages,
                      .d = d,
                      .samples = d->starts.sizes[0],
                      .heads = d->k.sizes[1],
                      .tokens = d->k.sizes[2]};
    const int64_t rows = d->k.sizes[0] * job.heads * job.tokens;
    job.parts = device->threads > 1 ? (int64_t)device->threads * PARTS_PER_THREAD : 1;
    if (job.parts > rows) job.parts = rows;
    const attend__cpu_work work = {.task = append_rows,
                                   .argument = &job,
                                   .count = job.parts,
                                   .work = 8.0 * (double)rows *
                                           (double)(d->k.sizes[3] + d->v.sizes[3])};
    attend__cpu_tasks(device, plan, &work);
    return ATTEND_OK;
}
