/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranges of host memory. Tensors that share memory, or lie close to each other, share a range:
 * OpenCL leaves undefined what commands do with two buffers over the same host memory. */
#include "wrapped.h"

#include "staging.h"

#include <string.h>

enum {
    CLOSE = 256, /* bytes between two ranges that become one (plugin.h) */
    START = 16   /* ranges begin at multiples: no element is larger */
};

typedef struct attend__wrapped_range range;

static bool takes(const attend__field *field, const attend_tensor *t) {
    return attend__given(t) && t->data != NULL &&
           (field->role & (unsigned)(ATTEND__SMALL | ATTEND__SCRATCH)) == 0 &&
           attend__span_bytes(t) > 0;
}

/* Takes in all that `one` touches, which may touch more then. */
static void add(attend__wrapped *w, uintptr_t start, uintptr_t end, bool written) {
    for (size_t i = 0; i < w->count;) {
        const range *const other = &w->list[i];
        if (start > other->end + CLOSE || other->start > end + CLOSE) {
            i++;
            continue;
        }
        if (other->start < start) start = other->start;
        if (other->end > end) end = other->end;
        written = written || other->written;
        w->list[i] = w->list[--w->count];
        i = 0;
    }
    range *const r = &w->list[w->count++];
    memset(r, 0, sizeof *r);
    r->start = start;
    r->end = end;
    r->written = written;
}

static attend_status wrap(range *r, attend_context *context) {
    const size_t bytes = (size_t)(r->end - r->start);
    atomic_init(&r->buffer.references, 1);
    r->buffer.context = context;
    r->buffer.bytes = bytes;
    return context->table.buffer_wrap(context->device, (void *)r->start, bytes, r->written,
                                      &r->buffer.device);
}

attend_status attend__wrap(attend__wrapped *w, attend_context *context,
                           const attend__fields *fields, const void *arguments) {
    w->context = context;
    w->count = 0;
    if (context->table.buffer_wrap == NULL || context->table.buffer_unwrap == NULL)
        return ATTEND_OK;
    for (size_t i = 0; i < fields->count; i++) {
        const attend__field *const field = &fields->list[i];
        attend_tensor t;
        memcpy(&t, (const char *)arguments + field->offset, sizeof t);
        if (!takes(field, &t)) continue;
        const uintptr_t start = (uintptr_t)attend__tensor_start(&t);
        add(w, start / START * START, start + attend__span_bytes(&t),
            (field->role & (unsigned)ATTEND__OUTPUT) != 0);
    }
    attend_status status = ATTEND_OK;
    for (size_t i = 0; i < w->count && status == ATTEND_OK; i++)
        status = wrap(&w->list[i], context);
    return status;
}

bool attend__wrapped_use(attend__wrapped *w, attend_tensor *t) {
    const uintptr_t start = (uintptr_t)attend__tensor_start(t);
    for (size_t i = 0; i < w->count; i++) {
        range *const r = &w->list[i];
        if (r->buffer.device == NULL || start < r->start || start >= r->end) continue;
        if (attend__span_bytes(t) == 0) return false;
        t->data = NULL;
        t->buffer = &r->buffer;
        t->offset = (int64_t)((start - r->start) / attend_type_bytes(t->type));
        return true;
    }
    return false;
}

attend_status attend__unwrap(attend__wrapped *w, attend_status status) {
    const attend_device_table *const table = &w->context->table;
    for (size_t i = 0; i < w->count; i++) {
        attend_device_buffer *const buffer = w->list[i].buffer.device;
        if (buffer == NULL) continue;
        if (status == ATTEND_OK)
            status = table->buffer_unwrap(w->context->device, buffer);
        else
            table->buffer_release(w->context->device, buffer);
    }
    return status;
}
