/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing of host tensors. The order of strides is kept, so that a dense array stays dense whatever
 * the order of its dimensions, and needs no packing at all. */
#include "staging.h"

#include <string.h>

/* Dimensions along which `strides` says that memory differs, smallest stride first. */
static int32_t order_by_stride(const attend_tensor *t, const int64_t *strides, int32_t *order) {
    int32_t count = 0;
    for (int32_t i = t->rank - 1; i >= 0; i--) {
        if (t->sizes[i] < 2 || strides[i] == 0) continue;
        int32_t at = count++;
        for (; at > 0 && strides[order[at - 1]] > strides[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    return count;
}

size_t attend__compact_view(const attend_tensor *tensor, attend_tensor *view) {
    int32_t order[ATTEND_MAX_RANK];
    const int32_t count = order_by_stride(tensor, tensor->strides, order);
    *view = *tensor;
    view->data = NULL;
    view->buffer = NULL;
    view->offset = 0;
    for (int32_t i = 0; i < tensor->rank; i++) {
        if (tensor->sizes[i] == 0) return 0;
        view->strides[i] = 0;
    }
    int64_t stride = 1;
    for (int32_t i = 0; i < count; i++) {
        view->strides[order[i]] = stride;
        stride *= tensor->sizes[order[i]];
    }
    return (size_t)stride * attend_type_bytes(tensor->type);
}

bool attend__is_compact(const attend_tensor *tensor, const attend_tensor *view) {
    for (int32_t i = 0; i < tensor->rank; i++) {
        if (tensor->sizes[i] > 1 && tensor->strides[i] != view->strides[i]) return false;
    }
    return true;
}

/* One level of a strided copy; levels count down to the dimension with the smallest stride in the
 * packed view, which says too which dimensions are stored once. */
typedef struct walk {
    int32_t order[ATTEND_MAX_RANK];
    const int64_t *sizes, *from_strides, *to_strides;
    size_t element;
} walk;

static void copy_elements(const walk *w, int32_t level, const char *from, char *to) {
    if (level < 0) {
        memcpy(to, from, w->element);
        return;
    }
    const int32_t d = w->order[level];
    const size_t from_step = (size_t)w->from_strides[d] * w->element;
    const size_t to_step = (size_t)w->to_strides[d] * w->element;
    if (level == 0 && from_step == w->element && to_step == w->element) {
        memcpy(to, from, (size_t)w->sizes[d] * w->element);
        return;
    }
    for (int64_t i = 0; i < w->sizes[d]; i++)
        copy_elements(w, level - 1, from + (size_t)i * from_step, to + (size_t)i * to_step);
}

static void copy(const attend_tensor *tensor, const attend_tensor *view,
                 const int64_t *from_strides, const char *from, const int64_t *to_strides,
                 char *to) {
    for (int32_t i = 0; i < tensor->rank; i++) {
        if (tensor->sizes[i] == 0) return;
    }
    walk w = {.sizes = tensor->sizes,
              .from_strides = from_strides,
              .to_strides = to_strides,
              .element = attend_type_bytes(tensor->type)};
    const int32_t count = order_by_stride(tensor, view->strides, w.order);
    copy_elements(&w, count - 1, from, to);
}

void attend__gather(const attend_tensor *tensor, const attend_tensor *view, void *memory) {
    copy(tensor, view, tensor->strides, attend__tensor_start(tensor), view->strides, memory);
}

void attend__scatter(const attend_tensor *tensor, const attend_tensor *view, const void *memory) {
    copy(tensor, view, view->strides, memory, tensor->strides, attend__tensor_start(tensor));
}
