/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies between host memory and buffers, behind all of the context's work that the queue has. The
 * lock of the device is held while a command is enqueued and never while one is waited for. */
#include "ocl_transfer.h"

#include "ocl_buffer.h"
#include "ocl_event.h"
#include "ocl_run.h"

#include <string.h>

enum {
    PIECE = 2 << 20,          /* bytes of each of the two buffers that copies go through */
    LEAST_STAGED = 2 * PIECE, /* shorter copies go at once */
    PAGE = 4096,
    LINE = 64
};

/* One command's part of a copy: into `to` from the buffer, or from `from` into it. */
typedef struct part {
    cl_mem memory;
    size_t offset, bytes;
    void *to;
    const void *from;
} part;

static attend_status failure(attend_device *device, cl_int error, const char *call) {
    const attend_status status = attend__ocl_fail(device->host, error, call);
    attend__mutex_lock(&device->lock);
    if (status == ATTEND_DEVICE_LOST) attend__ocl_lose(device);
    attend__mutex_unlock(&device->lock);
    return status;
}

/* Under the lock. */
static cl_int enqueue_part(attend_device *device, const part *p, cl_event *event) {
    const ocl_api *const cl = device->cl;
    const cl_uint count = device->chained && device->tail ? 1 : 0;
    const cl_event *const waits = count ? &device->tail : NULL;
    return p->to ? cl->clEnqueueReadBuffer(device->queue, p->memory, CL_FALSE, p->offset, p->bytes,
                                           p->to, count, waits, event)
                 : cl->clEnqueueWriteBuffer(device->queue, p->memory, CL_FALSE, p->offset, p->bytes,
                                            p->from, count, waits, event);
}

static const char *name_of(const part *p) {
    return p->to ? "clEnqueueReadBuffer" : "clEnqueueWriteBuffer";
}

/* *event is owned by the caller. */
static attend_status start(attend_device *device, const part *p, cl_event *event) {
    attend__mutex_lock(&device->lock);
    if (device->lost) {
        attend__mutex_unlock(&device->lock);
        return attend__ocl_lost(device);
    }
    const cl_int error = enqueue_part(device, p, event);
    if (error == CL_SUCCESS) attend__ocl_set_tail(device, *event);
    attend__ocl_unlock(device);
    return error == CL_SUCCESS ? ATTEND_OK : failure(device, error, name_of(p));
}

/* Takes the event; NULL is allowed. */
static attend_status finish(attend_device *device, cl_event *event, const char *call) {
    if (*event == NULL) return ATTEND_OK;
    const cl_int error = device->cl->clWaitForEvents(1, event);
    (void)device->cl->clReleaseEvent(*event);
    *event = NULL;
    return error == CL_SUCCESS ? ATTEND_OK : failure(device, error, call);
}

static attend_status copy_at_once(attend_device *device, const part *p) {
    cl_event event = NULL;
    const attend_status status = start(device, p, &event);
    return status == ATTEND_OK ? finish(device, &event, name_of(p)) : status;
}

/* ---- through two buffers --------------------------------------------------------------------- */

static attend_status make_piece(attend_device *device, ocl_piece *piece) {
    const ocl_api *const cl = device->cl;
    cl_int error = CL_SUCCESS;
    piece->memory = cl->clCreateBuffer(
        device->shared->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, PIECE, NULL, &error);
    if (error != CL_SUCCESS)
        return attend__ocl_fail(device->host, error, "clCreateBuffer for transfers");
    piece->address =
        cl->clEnqueueMapBuffer(device->queue, piece->memory, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0,
                               PIECE, 0, NULL, NULL, &error);
    return error == CL_SUCCESS ? ATTEND_OK
                               : attend__ocl_fail(device->host, error, "clEnqueueMapBuffer");
}

static attend_status make_pieces(attend_device *device) {
    attend_status status = ATTEND_OK;
    for (int i = 0; i < 2 && status == ATTEND_OK; i++)
        status = make_piece(device, &device->pieces[i]);
    if (status != ATTEND_OK) attend__ocl_transfers_close(device);
    return status;
}

static attend_status copy_in_pieces(attend_device *device, const part *whole) {
    cl_event events[2] = {NULL, NULL};
    part parts[2] = {{0}};
    attend_status status = ATTEND_OK;
    /* each turn ends what the buffer held two turns before; two more empty both */
    for (size_t at = 0, i = 0; at < whole->bytes || events[0] || events[1]; i ^= 1) {
        part *const p = &parts[i];
        char *const piece = device->pieces[i].address;
        const bool pending = events[i] != NULL;
        const attend_status ended = finish(device, &events[i], name_of(whole));
        if (status == ATTEND_OK) status = ended;
        if (pending && whole->to && status == ATTEND_OK)
            memcpy((char *)whole->to + (p->offset - whole->offset), piece, p->bytes);
        if (at >= whole->bytes || status != ATTEND_OK) {
            at = whole->bytes;
            continue;
        }
        const size_t left = whole->bytes - at, bytes = left < PIECE ? left : PIECE;
        *p = (part){.memory = whole->memory,
                    .offset = whole->offset + at,
                    .bytes = bytes,
                    .to = whole->to ? piece : NULL,
                    .from = piece};
        if (whole->to == NULL) memcpy(piece, (const char *)whole->from + at, bytes);
        status = start(device, p, &events[i]);
        at += bytes;
    }
    return status;
}

/* Through memory of our own, a piece after the other: drivers treat memory that a command copies
 * as they do what a buffer lies over, and it must not lie under one then. */
static attend_status copy_apart(attend_device *device, const part *whole) {
    const attend_host *const host = device->host;
    char *const piece = host->allocate(host->self, PIECE, PAGE);
    if (piece == NULL)
        return attend__ocl_refuse(host, ATTEND_OUT_OF_MEMORY, "opencl: no memory for a copy");
    attend_status status = ATTEND_OK;
    for (size_t at = 0; at < whole->bytes && status == ATTEND_OK; at += PIECE) {
        const size_t left = whole->bytes - at, bytes = left < PIECE ? left : PIECE;
        const part p = {.memory = whole->memory,
                        .offset = whole->offset + at,
                        .bytes = bytes,
                        .to = whole->to ? piece : NULL,
                        .from = piece};
        if (whole->to == NULL) memcpy(piece, (const char *)whole->from + at, bytes);
        status = copy_at_once(device, &p);
        if (whole->to && status == ATTEND_OK) memcpy((char *)whole->to + at, piece, bytes);
    }
    host->release(host->self, piece);
    return status;
}

static attend_status copy_listed(attend_device *device, const part *p) {
    ocl_copied copied;
    if (!attend__ocl_copy_begins(&copied, p->to ? p->to : p->from, p->bytes))
        return copy_apart(device, p);
    const attend_status status = copy_at_once(device, p);
    attend__ocl_copy_ended(&copied);
    return status;
}

/* Waits for work behind gates that uses the buffer, and for no other: that may be another thread's,
 * and its gate opened by who waits for us. Before the pieces are taken, for the same reason. */
static attend_status copy(attend_device *device, const attend_device_buffer *buffer,
                          const part *p) {
    if (p->bytes == 0) return ATTEND_OK;
    attend__mutex_lock(&device->lock);
    attend__ocl_gates_wait_for(device, buffer);
    attend__ocl_unlock(device);
    if (device->transfers != OCL_TRANSFERS_STAGE || p->bytes < LEAST_STAGED)
        return device->shared->facts.kind == ATTEND_DEVICE_CPU ? copy_at_once(device, p)
                                                               : copy_listed(device, p);
    attend__mutex_lock(&device->pieces_lock);
    const attend_status status = copy_in_pieces(device, p);
    attend__mutex_unlock(&device->pieces_lock);
    return status;
}

attend_status attend__ocl_buffer_write(attend_device *device, attend_device_buffer *buffer,
                                       size_t offset_bytes, const void *data, size_t bytes) {
    const part p = {.memory = buffer->memory,
                    .offset = buffer->byte_offset + offset_bytes,
                    .bytes = bytes,
                    .from = data};
    return copy(device, buffer, &p);
}

attend_status attend__ocl_buffer_read(attend_device *device, attend_device_buffer *buffer,
                                      size_t offset_bytes, void *data, size_t bytes) {
    const part p = {.memory = buffer->memory,
                    .offset = buffer->byte_offset + offset_bytes,
                    .bytes = bytes,
                    .to = data};
    return copy(device, buffer, &p);
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* Whether the device's commands write host memory itself, and not a copy that only a map brings
 * back: what one of them wrote is looked at without a map. As little aligned as memory will be. A
 * driver that cannot do it says no. */
static bool writes_in_place(attend_device *device, char *memory) {
    enum { BYTES = PAGE + 2 * LINE, AT = PAGE + 3 };
    static const char want[LINE] = "written by a command";
    const ocl_api *const cl = device->cl;
    const cl_context context = device->shared->context;
    cl_event event = NULL;
    cl_int error = CL_SUCCESS;
    memset(memory, 0, BYTES);
    cl_mem from = cl->clCreateBuffer(context, CL_MEM_READ_ONLY | CL_MEM_COPY_HOST_PTR, sizeof want,
                                     (void *)(uintptr_t)want, &error);
    cl_mem to = NULL;
    if (error == CL_SUCCESS)
        to = cl->clCreateBuffer(context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, BYTES, memory,
                                &error);
    if (error == CL_SUCCESS)
        error =
            cl->clEnqueueCopyBuffer(device->queue, from, to, 0, AT, sizeof want, 0, NULL, &event);
    if (event) {
        error = cl->clWaitForEvents(1, &event);
        (void)cl->clReleaseEvent(event);
    }
    const bool seen = error == CL_SUCCESS && memcmp(memory + AT, want, sizeof want) == 0;
    if (from) (void)cl->clReleaseMemObject(from);
    if (to) (void)cl->clReleaseMemObject(to);
    return seen;
}

/* Tried once a device, in our own context and before the queue has other work. */
static attend_status ask_in_place(attend_device *device, bool *in_place) {
    const attend_host *const host = device->host;
    ocl_device *const shared = device->shared;
    attend_status status = ATTEND_OK;
    attend__mutex_lock(&shared->build_lock);
    if (shared->in_place == OCL_NOT_ASKED) {
        const size_t align = attend__ocl_wrap_alignment(device);
        char *const memory = host->allocate(host->self, align + 2 * PAGE, 2 * align);
        if (memory)
            shared->in_place = writes_in_place(device, memory + align) ? OCL_YES : OCL_NO;
        else
            status =
                attend__ocl_refuse(host, ATTEND_OUT_OF_MEMORY, "opencl: no memory for a trial");
        host->release(host->self, memory);
    }
    *in_place = shared->in_place == OCL_YES;
    attend__mutex_unlock(&shared->build_lock);
    return status;
}

static attend_status try_pieces(attend_device *device) {
    const attend_status status = make_pieces(device);
    if (status == ATTEND_OK) device->transfers = OCL_TRANSFERS_STAGE;
    if (status == ATTEND_OK || status == ATTEND_DEVICE_LOST) return status;
    device->host->log(device->host->self, ATTEND_LOG_WARNING, "opencl",
                      "no memory that the driver maps: copies go at once");
    return ATTEND_OK;
}

static attend_status choose_suited(attend_device *device) {
    const ocl_facts *const facts = &device->shared->facts;
    bool in_place = false;
    attend_status status = ATTEND_OK;
    device->transfers = OCL_TRANSFERS_COPY;
    if (device->shared->adopted) return ATTEND_OK;
    if (facts->kind == ATTEND_DEVICE_CPU || facts->unified)
        status = ask_in_place(device, &in_place);
    else
        status = try_pieces(device);
    if (in_place) device->transfers = OCL_TRANSFERS_SHARE;
    device->mapless = in_place && facts->kind == ATTEND_DEVICE_CPU;
    return status;
}

attend_status attend__ocl_transfers_open(attend_device *device) {
    static const char *const names[] = {[OCL_TRANSFERS_COPY] = "copy",
                                        [OCL_TRANSFERS_SHARE] = "share",
                                        [OCL_TRANSFERS_STAGE] = "stage"};
    const attend_host *const host = device->host;
    const char *const asked = host->config(host->self, "TRANSFERS");
    if (asked == NULL) return choose_suited(device);
    for (int i = 0; i < 3; i++) {
        if (strcmp(asked, names[i]) != 0) continue;
        device->transfers = (ocl_transfers)i;
        return i == OCL_TRANSFERS_STAGE ? make_pieces(device) : ATTEND_OK;
    }
    return attend__ocl_refuse(host, ATTEND_INVALID,
                              "ATTEND_TRANSFERS: \"%.40s\" is none of copy, share, stage", asked);
}

void attend__ocl_transfers_close(attend_device *device) {
    const ocl_api *const cl = device->cl;
    for (int i = 0; i < 2; i++) {
        ocl_piece *const piece = &device->pieces[i];
        if (piece->address)
            (void)cl->clEnqueueUnmapMemObject(device->queue, piece->memory, piece->address, 0, NULL,
                                              NULL);
        if (piece->memory) (void)cl->clReleaseMemObject(piece->memory);
        *piece = (ocl_piece){NULL, NULL};
    }
}

/* ---- host memory where it lies --------------------------------------------------------------- */

/* A CPU's buffer begins where the device's alignment wants it, before the memory: nothing there is
 * touched. A GPU's driver copies, or shares caches with the neighbours, where pages are not whole.
 */
attend_status attend__ocl_buffer_wrap(attend_device *device, void *memory, size_t bytes,
                                      int32_t written, attend_device_buffer **buffer) {
    const bool cpu = device->shared->facts.kind == ATTEND_DEVICE_CPU;
    const size_t before = (uintptr_t)memory % attend__ocl_wrap_alignment(device);
    const bool whole = before == 0 && bytes % LINE == 0;
    *buffer = NULL;
    if (device->transfers != OCL_TRANSFERS_SHARE || (!cpu && !whole) ||
        bytes + before > device->shared->facts.largest_buffer_bytes)
        return ATTEND_OK;
    return attend__ocl_buffer_over(device, (char *)memory - before, before, bytes, written != 0,
                                   buffer);
}

/* A map is OpenCL's way to see in host memory what commands wrote there. It costs a small call as
 * much as its work, and a CPU that was seen to write host memory itself needs none. */
static bool needs_map(const attend_device *device, const attend_device_buffer *b) {
    return !b->read_only && !device->mapless;
}

static attend_status bring_back(attend_device *device, const attend_device_buffer *b) {
    const ocl_api *const cl = device->cl;
    cl_event events[2] = {NULL, NULL};
    cl_int error = CL_SUCCESS;
    attend__mutex_lock(&device->lock);
    if (device->lost) {
        attend__mutex_unlock(&device->lock);
        return attend__ocl_lost(device);
    }
    const cl_uint count = device->chained && device->tail ? 1 : 0;
    void *const mapped =
        cl->clEnqueueMapBuffer(device->queue, b->memory, CL_FALSE, CL_MAP_READ, b->byte_offset,
                               b->bytes, count, count ? &device->tail : NULL, &events[0], &error);
    if (error == CL_SUCCESS)
        error = cl->clEnqueueUnmapMemObject(device->queue, b->memory, mapped, 1, &events[0],
                                            &events[1]);
    if (events[1]) attend__ocl_set_tail(device, events[1]);
    attend__ocl_unlock(device);
    if (events[0] && error != CL_SUCCESS) /* a driver that copies writes to the memory until then */
        (void)cl->clWaitForEvents(1, &events[0]);
    if (events[0]) (void)cl->clReleaseEvent(events[0]);
    if (error != CL_SUCCESS) return failure(device, error, "clEnqueueMapBuffer");
    return finish(device, &events[1], "clEnqueueUnmapMemObject");
}

attend_status attend__ocl_buffer_unwrap(attend_device *device, attend_device_buffer *buffer) {
    const attend_status status = needs_map(device, buffer) ? bring_back(device, buffer) : ATTEND_OK;
    attend__ocl_buffer_release(device, buffer);
    return status;
}
