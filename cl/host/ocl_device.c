/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening devices. One context per OpenCL device and process, whichever backend opens it and
 * however often: programs are built once, and memory can be handed from one backend to the other.
 * A context that an application brought is an entry of its own. */
#include "ocl_device.h"

#include "attend/opencl.h"
#include "ocl_facts.h"
#include "ocl_list.h"

#include <stdlib.h>
#include <string.h>

static attend__mutex lock = ATTEND__MUTEX_INIT; /* of the list and of the counts */
static ocl_device *opened;

static attend_status create(const attend_host *host, ocl_device **device) {
    ocl_device *const d = calloc(1, sizeof *d);
    if (d == NULL || !attend__mutex_create(&d->build_lock)) {
        free(d);
        return attend__ocl_refuse(host, ATTEND_OUT_OF_MEMORY, "opencl: no memory for a device");
    }
    d->references = 1;
    *device = d;
    return ATTEND_OK;
}

static void destroy(ocl_device *d) {
    if (d->rehearsals) (void)d->cl->clReleaseCommandQueue(d->rehearsals);
    attend__ocl_programs_release(d);
    if (d->context) (void)d->cl->clReleaseContext(d->context);
    attend__ocl_facts_release(&d->facts);
    attend__mutex_destroy(&d->build_lock);
    free(d);
}

static void enlist(ocl_device *d) {
    d->next = opened;
    opened = d;
}

/* One that uses the system's loader: an application's own functions serve its own context alone.
 * Not one that was lost: a context does not come back. */
static ocl_device *find(cl_device_id id, cl_context adopted) {
    for (ocl_device *d = opened; d != NULL; d = d->next)
        if (d->id == id && d->cl != &d->own_api && d->adopted == (adopted != NULL) &&
            (adopted == NULL || d->context == adopted) && !atomic_load(&d->lost))
            return d;
    return NULL;
}

/* Without a callback: texts of a driver must not reach the terminal. */
static attend_status create_context(ocl_device *d, const attend_host *host) {
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM,
                                                (cl_context_properties)d->platform, 0};
    cl_int error = CL_SUCCESS;
    d->context = d->cl->clCreateContext(properties, 1, &d->id, NULL, NULL, &error);
    return error == CL_SUCCESS ? ATTEND_OK : attend__ocl_fail(host, error, "clCreateContext");
}

static attend_status open_entry(const ocl_entry *e, const attend_host *host, ocl_device **device) {
    const char *reason = "";
    ocl_device *d = NULL;
    attend_status status = create(host, &d);
    if (status != ATTEND_OK) return status;
    d->cl = attend__ocl_api(&reason);
    d->platform = e->platform;
    d->id = e->device;
    if (!attend__ocl_facts_ask(d->cl, d->platform, d->id, &d->facts))
        status = attend__ocl_refuse(host, ATTEND_OUT_OF_MEMORY, "opencl: no memory for a device");
    if (status == ATTEND_OK) status = create_context(d, host);
    if (status == ATTEND_OK) {
        enlist(d);
        *device = d;
    } else {
        destroy(d);
    }
    return status;
}

attend_status attend__ocl_device_open(uint32_t index, const attend_host *host,
                                      ocl_device **device) {
    size_t count;
    const ocl_entry *const entries = attend__ocl_list(&count);
    if (entries == NULL || index >= count)
        return attend__ocl_refuse(host, ATTEND_NOT_FOUND, "opencl: there is no device %u", index);
    const ocl_entry *const e = &entries[index];
    if (e->reason) return attend__ocl_refuse(host, ATTEND_NO_DEVICE, "opencl: %s", e->reason);
    attend_status status = ATTEND_OK;
    attend__mutex_lock(&lock);
    *device = find(e->device, NULL);
    if (*device)
        (*device)->references++;
    else
        status = open_entry(e, host, device);
    attend__mutex_unlock(&lock);
    return status;
}

/* ---- adopting -------------------------------------------------------------------------------- */

static attend_status check_objects(const attend_opencl_objects *o, const attend_host *host) {
    if (o->size < offsetof(attend_opencl_objects, queue))
        return attend__ocl_refuse(host, ATTEND_INVALID,
                                  "attend_opencl_objects: size is %zu; set it to sizeof", o->size);
    const char *const missing = !o->platform  ? "platform"
                                : !o->device  ? "device"
                                : !o->context ? "context"
                                              : NULL;
    if (missing)
        return attend__ocl_refuse(host, ATTEND_NULL_POINTER, "attend_opencl_objects: %s is NULL",
                                  missing);
    return ATTEND_OK;
}

static attend_status check_context(const ocl_device *d, const attend_host *host) {
    cl_device_id devices[64];
    size_t bytes = 0;
    const cl_int error =
        d->cl->clGetContextInfo(d->context, CL_CONTEXT_DEVICES, sizeof devices, devices, &bytes);
    if (error != CL_SUCCESS) return attend__ocl_fail(host, error, "clGetContextInfo");
    for (size_t i = 0; i < bytes / sizeof *devices; i++)
        if (devices[i] == d->id) return ATTEND_OK;
    return attend__ocl_refuse(host, ATTEND_INVALID,
                              "attend_opencl_objects: the device is not one of the context's");
}

static attend_status choose_api(ocl_device *d, const attend_opencl_objects *o,
                                const attend_host *host) {
    const char *reason = "";
    d->cl = &d->own_api;
    if (o->symbol) {
        if (attend__ocl_api_fill(&d->own_api, o->symbol, o->symbol_user, &reason)) return ATTEND_OK;
        return attend__ocl_refuse(host, ATTEND_INCOMPATIBLE,
                                  "attend_opencl_objects: symbol does not know %s", reason);
    }
    d->cl = attend__ocl_api(&reason);
    return d->cl ? ATTEND_OK : attend__ocl_refuse(host, ATTEND_NO_DEVICE, "opencl: %s", reason);
}

static attend_status adopt_new(const attend_opencl_objects *o, const attend_host *host,
                               ocl_device **device) {
    ocl_device *d = NULL;
    attend_status status = create(host, &d);
    if (status != ATTEND_OK) return status;
    status = choose_api(d, o, host);
    cl_context context = o->context;
    if (status == ATTEND_OK) {
        const cl_int error = d->cl->clRetainContext(context);
        if (error == CL_SUCCESS)
            d->context = context;
        else
            status = attend__ocl_fail(host, error, "attend_opencl_objects: context");
    }
    d->adopted = true;
    d->platform = o->platform;
    d->id = o->device;
    if (status == ATTEND_OK) status = check_context(d, host);
    if (status == ATTEND_OK && !attend__ocl_facts_ask(d->cl, d->platform, d->id, &d->facts))
        status = attend__ocl_refuse(host, ATTEND_OUT_OF_MEMORY, "opencl: no memory for a device");
    const char *const reason = status == ATTEND_OK ? attend__ocl_unusable(d->cl, d->id) : NULL;
    if (reason) status = attend__ocl_refuse(host, ATTEND_NO_DEVICE, "opencl: %s", reason);
    if (status == ATTEND_OK) {
        enlist(d);
        *device = d;
    } else {
        destroy(d);
    }
    return status;
}

attend_status attend__ocl_device_adopt(const void *objects, const attend_host *host,
                                       ocl_device **device) {
    attend_opencl_objects o = {0};
    const attend_opencl_objects *const given = objects;
    attend_status status = check_objects(given, host);
    if (status != ATTEND_OK) return status;
    memcpy(&o, given, given->size < sizeof o ? given->size : sizeof o);
    attend__mutex_lock(&lock);
    *device = o.symbol ? NULL : find(o.device, o.context);
    if (*device)
        (*device)->references++;
    else
        status = adopt_new(&o, host, device);
    attend__mutex_unlock(&lock);
    return status;
}

static ocl_device *take_out(const ocl_device *device) {
    ocl_device **link = &opened;
    while (*link != device)
        link = &(*link)->next;
    ocl_device *const d = *link;
    *link = d->next;
    return d;
}

/* A context of our own stays, with what was built for it, until the shutdown or until it is lost:
 * the next to open the device finds it, and CLBlast's caches never see one context's handle become
 * another's. */
void attend__ocl_device_release(ocl_device *device) {
    attend__mutex_lock(&lock);
    const bool last =
        --device->references == 0 && (device->adopted || atomic_load(&device->lost));
    ocl_device *const unused = last ? take_out(device) : NULL;
    attend__mutex_unlock(&lock);
    if (unused) destroy(unused);
}

void attend__ocl_shutdown(void) {
    attend__mutex_lock(&lock);
    ocl_device *unused = NULL, *next;
    for (ocl_device *d = opened; d != NULL; d = next) {
        next = d->next;
        if (d->references > 0) continue;
        d = take_out(d);
        d->next = unused;
        unused = d;
    }
    attend__mutex_unlock(&lock);
    for (; unused != NULL; unused = next) {
        next = unused->next;
        destroy(unused);
    }
}
