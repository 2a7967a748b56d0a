/* SPDX-License-Identifier: Apache-2.0
 *
 * own_opencl.h: what was called, and references. */
#include "own_opencl.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[4096];

bool own_log_start(void) {
    const int length = snprintf(path, sizeof path, "%s/calls-%s-%ld", ATTEND_TEST_SCRATCH,
                                own_backend, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof path) return false;
    own_log_end();
    return setenv("OPENCL_LAYERS", ATTEND_TEST_LAYER, 1) == 0 &&
           setenv("ATTEND_TEST_CALLS", path, 1) == 0;
}

void own_log_end(void) {
    (void)unlink(path);
}

bool own_log_exists(void) {
    return access(path, F_OK) == 0;
}

static FILE *open_log(long from, int whence) {
    FILE *const file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fseek(file, from, whence), 0);
    return file;
}

long own_log_position(void) {
    FILE *const file = open_log(0, SEEK_END);
    const long position = ftell(file);
    fclose(file);
    return position;
}

int own_calls(long from, const char *name, size_t number) {
    FILE *const file = open_log(from, SEEK_SET);
    char line[200], function[100];
    size_t of;
    int count = 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "%99s %zu", function, &of) == 2 && strcmp(function, name) == 0 &&
            (number == 0 || number == of))
            count++;
    fclose(file);
    return count;
}

/* ---- memory ---------------------------------------------------------------------------------- */

enum { MOST_HELD = 4096 };
typedef struct held {
    size_t object, bytes;
    int references;
} held;

static void change(held *all, int *count, size_t object, int by) {
    for (int i = 0; i < *count; i++) {
        if (all[i].object != object) continue;
        all[i].references += by;
        if (all[i].references == 0) all[i] = all[--*count];
        return;
    }
}

size_t own_bytes_held(void) {
    static held all[MOST_HELD];
    FILE *const file = open_log(0, SEEK_SET);
    char line[200], function[100];
    int count = 0;
    size_t number, bytes = 0, sum = 0;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%99s %zu", function, &number) != 2) continue;
        if (strcmp(function, "clCreateBuffer") == 0) bytes = number;
        if (strcmp(function, "clRetainMemObject") == 0) change(all, &count, number, 1);
        if (strcmp(function, "clReleaseMemObject") == 0) change(all, &count, number, -1);
        if (strcmp(function, "MEMORY") != 0 || number == 0) continue;
        assert_true(count < MOST_HELD);
        all[count++] = (held){number, bytes, 1};
    }
    fclose(file);
    for (int i = 0; i < count; i++)
        sum += all[i].bytes;
    return sum;
}

/* ---- references ------------------------------------------------------------------------------ */

static int taken(const char *retain, const char *release, const void *object) {
    if (object == NULL) return 0;
    return own_calls(0, retain, (size_t)object) - own_calls(0, release, (size_t)object);
}

own_counts own_count(const own_opencl *own, cl_mem memory, cl_event event) {
    own_counts c = {.driver = {0}};
    const size_t bytes = sizeof(cl_uint);
    c.calls[0] = taken("clRetainContext", "clReleaseContext", own->context);
    c.calls[1] = taken("clRetainCommandQueue", "clReleaseCommandQueue", own->queue);
    c.calls[2] = taken("clRetainMemObject", "clReleaseMemObject", memory);
    c.calls[3] = taken("clRetainEvent", "clReleaseEvent", event);
    int failures = 0;
    failures += clGetContextInfo(own->context, CL_CONTEXT_REFERENCE_COUNT, bytes, &c.driver[0], 0);
    failures += clGetCommandQueueInfo(own->queue, CL_QUEUE_REFERENCE_COUNT, bytes, &c.driver[1], 0);
    if (memory)
        failures += clGetMemObjectInfo(memory, CL_MEM_REFERENCE_COUNT, bytes, &c.driver[2], NULL);
    if (event)
        failures += clGetEventInfo(event, CL_EVENT_REFERENCE_COUNT, bytes, &c.driver[3], NULL);
    assert_int_equal(failures, 0);
    return c;
}

/* Whether the driver's counts are the same whenever work of the application's own has ended. */
static bool driver_counts(const own_opencl *own) {
    own_opencl other = *own;
    float value = 0;
    bool same = true;
    own_open(&other, 0);
    cl_mem memory = own_memory(&other, CL_MEM_READ_WRITE, &value, sizeof value);
    const own_counts before = own_count(&other, memory, NULL);
    for (int i = 0; i < 8; i++) {
        cl_event done;
        assert_int_equal(clEnqueueReadBuffer(other.queue, memory, CL_FALSE, 0, sizeof value, &value,
                                             0, NULL, &done),
                         CL_SUCCESS);
        assert_int_equal(clFinish(other.queue), CL_SUCCESS);
        assert_int_equal(clReleaseEvent(done), CL_SUCCESS);
        const own_counts after = own_count(&other, memory, NULL);
        same = same && memcmp(before.driver, after.driver, sizeof before.driver) == 0;
    }
    assert_int_equal(clReleaseMemObject(memory), CL_SUCCESS);
    own_close(&other);
    return same;
}

void own_check_counts(const own_opencl *own, const own_counts *before, cl_mem memory,
                      cl_event event) {
    static const char *const names[] = {"context", "queue", "memory", "event"};
    const bool exact = driver_counts(own);
    const own_counts after = own_count(own, memory, event);
    for (int i = 0; i < OWN_OBJECTS; i++) {
        if (after.calls[i] != before->calls[i])
            fail_msg("%s: %d references were not given back", names[i],
                     after.calls[i] - before->calls[i]);
        if (exact && after.driver[i] != before->driver[i])
            fail_msg("%s: the driver counts %u references, %u before", names[i], after.driver[i],
                     before->driver[i]);
    }
}
