/* SPDX-License-Identifier: Apache-2.0
 *
 * What a tensor must hold by itself, and which tensors may share memory. Overlap is decided on
 * addresses, so that views of one packed array (Q, K and V of a [B, L, 3, H, D] array, or halves of
 * a row) may be written side by side: where two byte ranges meet, they are told apart modulo a
 * stride that both have. What cannot be told apart so is refused, even if no element should be
 * shared. */
#include "base/checked.h"
#include "error.h"
#include "validate.h"

#include <string.h>

/* Addresses [begin, end) of the elements in one address space: host memory (NULL) or one device
 * buffer. */
typedef struct span {
    const void *space;
    uintptr_t begin, end;
} span;

/* A dimension of size 0 makes the count 0 whatever the others are. */
static bool count_elements(const attend_tensor *t, int64_t *count) {
    *count = 1;
    for (int32_t i = 0; i < t->rank; i++) {
        if (t->sizes[i] == 0) {
            *count = 0;
            return true;
        }
    }
    for (int32_t i = 0; i < t->rank; i++) {
        if (!attend__mul_i64(*count, t->sizes[i], count)) return false;
    }
    return true;
}

int64_t attend__elements(const attend_tensor *tensor) {
    int64_t count = 0;
    (void)count_elements(tensor, &count); /* of a valid tensor it fits */
    return count;
}

size_t attend__span_bytes(const attend_tensor *tensor) {
    if (attend__elements(tensor) == 0) return 0; /* then the other extents may not fit */
    int64_t last = 0;
    for (int32_t i = 0; i < tensor->rank; i++)
        last += (tensor->sizes[i] - 1) * tensor->strides[i];
    return ((size_t)last + 1) * attend_type_bytes(tensor->type);
}

/* Bytes from `data` or the buffer's start to the end of the last element. */
static bool reach_bytes(const attend_tensor *t, size_t *bytes) {
    int64_t last = t->offset;
    for (int32_t i = 0; i < t->rank; i++) {
        int64_t extent = 0;
        if (!attend__mul_i64(t->sizes[i] - 1, t->strides[i], &extent) ||
            !attend__add_i64(last, extent, &last))
            return false;
    }
    int64_t total = 0;
    if (!attend__add_i64(last, 1, &total) ||
        !attend__mul_i64(total, (int64_t)attend_type_bytes(t->type), &total))
        return false;
    if ((uint64_t)total > PTRDIFF_MAX) return false;
    *bytes = (size_t)total;
    return true;
}

static attend_status check_form(const char *name, const attend_tensor *t) {
    if (attend_type_bytes(t->type) == 0)
        return attend__fail(ATTEND_TYPE, "%s: %d is no element type", name, (int)t->type);
    if (t->rank < 1 || t->rank > ATTEND_MAX_RANK)
        return attend__fail(ATTEND_SHAPE, "%s: rank %d is not in 1..%d", name, (int)t->rank,
                            ATTEND_MAX_RANK);
    if (t->scales != NULL || t->zero_points != NULL || t->reserved[0] != 0 || t->reserved[1] != 0)
        return attend__fail(ATTEND_UNSUPPORTED,
                            "%s: scales, zero_points and reserved must be 0 in this version", name);
    if (t->offset < 0)
        return attend__fail(ATTEND_OUT_OF_RANGE, "%s: offset %lld is negative", name,
                            (long long)t->offset);
    for (int32_t i = 0; i < t->rank; i++) {
        if (t->sizes[i] < 0)
            return attend__fail(ATTEND_SHAPE, "%s: size %lld of dimension %d is negative", name,
                                (long long)t->sizes[i], (int)i);
        if (t->strides[i] < 0)
            return attend__fail(ATTEND_STRIDE, "%s: stride %lld of dimension %d is negative", name,
                                (long long)t->strides[i], (int)i);
    }
    return ATTEND_OK;
}

/* Sufficient for no element to have two indices: sorted by stride, each stride passes all that the
 * smaller ones reach. */
static bool nested(const attend_tensor *t) {
    int32_t order[ATTEND_MAX_RANK];
    int32_t count = 0;
    for (int32_t i = 0; i < t->rank; i++) {
        if (t->sizes[i] < 2) continue;
        int32_t at = count++;
        for (; at > 0 && t->strides[order[at - 1]] > t->strides[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    int64_t reach = 0;
    for (int32_t i = 0; i < count; i++) {
        if (t->strides[order[i]] <= reach) return false;
        reach += (t->sizes[order[i]] - 1) * t->strides[order[i]];
    }
    return true;
}

static attend_status check_written(const char *name, const attend_tensor *t) {
    for (int32_t i = 0; i < t->rank; i++) {
        if (t->strides[i] == 0 && t->sizes[i] > 1)
            return attend__fail(ATTEND_STRIDE,
                                "%s: stride 0 of dimension %d, but the tensor is written", name,
                                (int)i);
    }
    if (!nested(t))
        return attend__fail(ATTEND_OVERLAP,
                            "%s: its strides let elements share memory, but it is written", name);
    return ATTEND_OK;
}

static attend_status check_memory(attend_context *context, const char *name, const attend_tensor *t,
                                  span *where) {
    const size_t element = attend_type_bytes(t->type);
    size_t reach = 0;
    if (!reach_bytes(t, &reach))
        return attend__fail(ATTEND_OVERFLOW, "%s: sizes and strides reach beyond the address space",
                            name);
    uintptr_t base = (uintptr_t)t->data;
    where->space = NULL;
    if (t->buffer != NULL) {
        if (t->buffer->context != context)
            return attend__fail(ATTEND_INVALID, "%s: its buffer belongs to another context", name);
        if (reach > t->buffer->bytes)
            return attend__fail(ATTEND_OUT_OF_RANGE, "%s: reaches byte %zu of a buffer of %zu",
                                name, reach, t->buffer->bytes);
        base = (uintptr_t)t->buffer->host;
        if (base == 0) where->space = t->buffer;
    }
    if (base > UINTPTR_MAX - reach)
        return attend__fail(ATTEND_OVERFLOW, "%s: sizes and strides reach beyond the address space",
                            name);
    if (base % element != 0)
        return attend__fail(ATTEND_INVALID, "%s: memory is not aligned to its %zu-byte elements",
                            name, element);
    where->begin = base + (uintptr_t)t->offset * element;
    where->end = base + reach;
    return ATTEND_OK;
}

/* `where` NULL: only the form counts, as when a plan is made before there is memory. */
static attend_status check_tensor(attend_context *context, const char *name, const attend_tensor *t,
                                  unsigned role, span *where) {
    attend_status status = check_form(name, t);
    if (status != ATTEND_OK) return status;
    const unsigned types = role >> ATTEND__TYPES_SHIFT;
    if (types != 0 && (types >> t->type & 1u) == 0)
        return attend__fail(ATTEND_TYPE, "%s: type %s is not allowed here", name,
                            attend_type_text(t->type));
    int64_t count = 0;
    if (!count_elements(t, &count))
        return attend__fail(ATTEND_OVERFLOW, "%s: the number of elements does not fit", name);
    if (t->data != NULL && t->buffer != NULL)
        return attend__fail(ATTEND_INVALID, "%s: both data and buffer are set", name);
    if (t->buffer != NULL && t->buffer->context != context)
        return attend__fail(ATTEND_INVALID, "%s: its buffer belongs to another context", name);
    if (count == 0 || where == NULL) return ATTEND_OK;
    if (t->data == NULL && t->buffer == NULL)
        return attend__fail(ATTEND_NULL_POINTER, "%s: has elements but neither data nor buffer",
                            name);
    if ((role & ATTEND__OUTPUT) != 0) {
        int64_t bytes = 0; /* before `nested`, which adds up extents */
        size_t reach = 0;
        if (!attend__mul_i64(count, (int64_t)attend_type_bytes(t->type), &bytes) ||
            !reach_bytes(t, &reach))
            return attend__fail(ATTEND_OVERFLOW,
                                "%s: sizes and strides reach beyond the address space", name);
        status = check_written(name, t);
        if (status != ATTEND_OK) return status;
    }
    return check_memory(context, name, t, where);
}

/* Bytes of a block of `t` that repeats every `period` bytes. */
static size_t width(const attend_tensor *t, size_t period) {
    const size_t element = attend_type_bytes(t->type);
    size_t bytes = element;
    for (int32_t i = 0; i < t->rank; i++) {
        const size_t stride = (size_t)t->strides[i] * element;
        if (stride % period != 0) bytes += (size_t)(t->sizes[i] - 1) * stride;
    }
    return bytes;
}

/* Both tensors lie, modulo `period`, in two intervals that do not wrap around and do not meet. */
static bool apart_modulo(const attend_tensor *a, uintptr_t a_begin, const attend_tensor *b,
                         uintptr_t b_begin, size_t period) {
    const size_t a_width = width(a, period), b_width = width(b, period);
    if (a_width > period || b_width > period) return false;
    const size_t forward = b_begin >= a_begin ? (b_begin - a_begin) % period
                                              : (period - (a_begin - b_begin) % period) % period;
    return forward >= a_width && forward + b_width <= period;
}

static bool apart(const attend_tensor *a, uintptr_t a_begin, const attend_tensor *b,
                  uintptr_t b_begin) {
    const attend_tensor *const both[2] = {a, b};
    for (int k = 0; k < 2; k++) {
        const size_t element = attend_type_bytes(both[k]->type);
        for (int32_t i = 0; i < both[k]->rank; i++) {
            const size_t period = (size_t)both[k]->strides[i] * element;
            if (both[k]->sizes[i] > 1 && period > 0 && apart_modulo(a, a_begin, b, b_begin, period))
                return true;
        }
    }
    return false;
}

static bool spans_meet(const span *a, const span *b) {
    return a->space == b->space && a->begin < b->end && b->begin < a->end;
}

static span span_of(const attend_tensor *t) {
    const size_t bytes = attend__span_bytes(t);
    if (bytes == 0) return (span){NULL, 0, 0}; /* meets nothing */
    const uintptr_t base = t->buffer != NULL ? (uintptr_t)t->buffer->host : (uintptr_t)t->data;
    span s = {.space = t->buffer != NULL && base == 0 ? t->buffer : NULL};
    s.begin = base + (uintptr_t)t->offset * attend_type_bytes(t->type);
    s.end = s.begin + bytes;
    return s;
}

bool attend__tensors_overlap(const attend_tensor *a, const attend_tensor *b) {
    const span x = span_of(a), y = span_of(b);
    return spans_meet(&x, &y) && !apart(a, x.begin, b, y.begin);
}

bool attend__tensors_same(const attend_tensor *a, const attend_tensor *b) {
    const span x = span_of(a), y = span_of(b);
    if (x.space != y.space || x.begin != y.begin || a->type != b->type || a->rank != b->rank)
        return false;
    for (int32_t i = 0; i < a->rank; i++) {
        if (a->sizes[i] != b->sizes[i] || (a->sizes[i] > 1 && a->strides[i] != b->strides[i]))
            return false;
    }
    return true;
}

/* The output at `index` against every input, and every output before it. */
static attend_status check_overlaps(const attend__fields *fields, void *description,
                                    const span *spans, size_t index) {
    const attend__field *out = &fields->list[index];
    const attend_tensor *t = attend__field_tensor(description, out);
    for (size_t i = 0; i < fields->count; i++) {
        const attend__field *field = &fields->list[i];
        const bool output = (field->role & ATTEND__OUTPUT) != 0;
        if (i == index || (output && i > index) || !spans_meet(&spans[index], &spans[i])) continue;
        const attend_tensor *other = attend__field_tensor(description, field);
        if ((field->role & ATTEND__IN_PLACE) != 0 && attend__tensors_same(t, other)) continue;
        if (apart(t, spans[index].begin, other, spans[i].begin)) continue;
        return attend__fail(ATTEND_OVERLAP, "%s: overlaps %s", out->name, field->name);
    }
    return ATTEND_OK;
}

static attend_status check_fields(attend_context *context, const attend__fields *fields,
                                  const void *description, bool memory) {
    span spans[ATTEND__MAX_FIELDS];
    memset(spans, 0, fields->count * sizeof *spans); /* an empty range meets nothing */
    /* the lists serve readers and writers of descriptions alike; nothing is written here */
    void *members = (void *)(uintptr_t)description;
    for (size_t i = 0; i < fields->count; i++) {
        const attend__field *field = &fields->list[i];
        const attend_tensor *t = attend__field_tensor(members, field);
        if (t->type == ATTEND_NO_TYPE) {
            if (t->data != NULL || t->buffer != NULL)
                return attend__fail(ATTEND_TYPE, "%s: has memory but no element type", field->name);
            if ((field->role & ATTEND__REQUIRED) != 0)
                return attend__fail(ATTEND_NULL_POINTER, "%s: is required", field->name);
            continue;
        }
        const attend_status status =
            check_tensor(context, field->name, t, field->role, memory ? &spans[i] : NULL);
        if (status != ATTEND_OK) return status;
    }
    for (size_t i = 0; i < fields->count; i++) {
        if ((fields->list[i].role & ATTEND__OUTPUT) == 0 || spans[i].end == spans[i].begin)
            continue;
        const attend_status status = check_overlaps(fields, members, spans, i);
        if (status != ATTEND_OK) return status;
    }
    return ATTEND_OK;
}

attend_status attend__fields_check(attend_context *context, const attend__fields *fields,
                                   const void *description) {
    return check_fields(context, fields, description, true);
}

attend_status attend__forms_check(attend_context *context, const attend__fields *fields,
                                  const void *description) {
    return check_fields(context, fields, description, false);
}

attend_status attend__index_check(const char *name, const attend_tensor *indices, int64_t lowest,
                                  int64_t highest) {
    if (indices->data == NULL) return ATTEND_OK;
    /* what repeats is read once: a stride of 0 makes any number of elements of one */
    int64_t sizes[ATTEND_MAX_RANK] = {0}, total = 1;
    for (int32_t d = 0; d < indices->rank; d++) {
        const bool repeats = indices->strides[d] == 0 && indices->sizes[d] > 0;
        sizes[d] = repeats ? 1 : indices->sizes[d];
        total *= sizes[d];
    }
    for (int64_t i = 0; i < total; i++) {
        int64_t at = indices->offset, rest = i;
        for (int32_t d = indices->rank - 1; d >= 0; d--) {
            at += rest % sizes[d] * indices->strides[d];
            rest /= sizes[d];
        }
        const int64_t value = indices->type == ATTEND_I64 ? ((const int64_t *)indices->data)[at]
                                                          : ((const int32_t *)indices->data)[at];
        if (value < lowest || value > highest)
            return attend__fail(
                ATTEND_OUT_OF_RANGE, "%s: value %lld of element %lld is not in %lld..%lld", name,
                (long long)value, (long long)i, (long long)lowest, (long long)highest);
    }
    return ATTEND_OK;
}
