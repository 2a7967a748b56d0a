/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors of the form [.., N] as numbered rows: rank 1 to 4, any strides, any element type. A span
 * is one row of such a tensor, or a part of it. The stages walk rows, and leave types and strides
 * to two kernels (widen, narrow) that turn a span into float32 and back. */
#ifndef ATTEND_CPU_ROWS_H
#define ATTEND_CPU_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attend/plugin.h"
#include "stage_kernels.h"

static inline int64_t attend__element_bytes(attend_type type) {
    switch (type) {
#define ATTEND_X(name, value, bytes, text)                                                         \
    case ATTEND_##name:                                                                            \
        return bytes;
        ATTEND_TYPE_LIST(ATTEND_X)
#undef ATTEND_X
    default:
        return 0;
    }
}

static inline int64_t attend__between(int64_t x, int64_t low, int64_t high) {
    return x < low ? low : x > high ? high : x;
}

static inline bool attend__given(const attend_tensor *t) {
    return t->type != ATTEND_NO_TYPE;
}

typedef struct attend__rows {
    char *first; /* NULL: not given */
    attend_type type;
    int64_t bytes;  /* of one element */
    int64_t stride; /* along a row */
    int64_t columns;
    int64_t sizes[3];   /* of the leading dimensions, 1 where the rank has none */
    int64_t strides[3]; /* in bytes */
} attend__rows;

static inline attend__rows attend__rows_of(const attend_tensor *t) {
    attend__rows rows = {0};
    if (!attend__given(t)) return rows;
    const int32_t last = t->rank - 1;
    rows.type = t->type;
    rows.bytes = attend__element_bytes(t->type);
    rows.first =
        t->data ? (char *)t->data + t->offset * rows.bytes : NULL; /* planning has no data */
    rows.stride = t->strides[last];
    rows.columns = t->sizes[last];
    for (int32_t d = 0; d < 3; d++) {
        const int32_t from = last - 3 + d;
        rows.sizes[d] = from >= 0 ? t->sizes[from] : 1;
        rows.strides[d] = from >= 0 ? t->strides[from] * rows.bytes : 0;
    }
    return rows;
}

static inline int64_t attend__row_count(const attend__rows *rows) {
    return rows->sizes[0] * rows->sizes[1] * rows->sizes[2];
}

/* `column` .. of row `i`; a span without memory when the tensor is not given. */
static inline attend__span attend__row(const attend__rows *rows, int64_t i, int64_t column) {
    attend__span span = {NULL, rows->type, rows->stride};
    if (rows->first == NULL) return span;
    const int64_t i2 = i % rows->sizes[2];
    const int64_t rest = i / rows->sizes[2];
    span.first = rows->first + rest / rows->sizes[1] * rows->strides[0] +
                 rest % rows->sizes[1] * rows->strides[1] + i2 * rows->strides[2] +
                 column * rows->stride * rows->bytes;
    return span;
}

static inline attend__span attend__span_after(attend__span span, int64_t columns) {
    if (span.first != NULL) span.first += columns * span.stride * attend__element_bytes(span.type);
    return span;
}

static inline bool attend__span_plain(const attend__span *span) {
    return span->type == ATTEND_F32 && span->stride == 1;
}

/* n elements as float32: the span's own memory where it is float32 already, else copied into
 * `buffer`. */
static inline const float *attend__span_read(const attend__stage_kernels *kernels,
                                             attend__span span, int64_t n, float *buffer) {
    if (attend__span_plain(&span)) return (const float *)(const void *)span.first;
    kernels->widen(span, n, buffer);
    return buffer;
}

/* Where results may be computed before attend__span_write: the span's own memory, or `buffer`. */
static inline float *attend__span_target(attend__span span, float *buffer) {
    return attend__span_plain(&span) ? (float *)(void *)span.first : buffer;
}

static inline void attend__span_write(const attend__stage_kernels *kernels, const float *values,
                                      int64_t n, attend__span span) {
    if ((const char *)values != span.first) kernels->narrow(values, n, span);
}

#endif
