/* SPDX-License-Identifier: Apache-2.0
 *
 * An OpenCL layer (OPENCL_LAYERS of the loader, CL/cl_layer.h) that writes a line for each call to
 * the file that ATTEND_TEST_CALLS names: the function, and a number, which is the bytes of a buffer
 * that is made (a line "MEMORY" with the object follows), the object whose references change,
 * else 0. A program that calls no function of
 * OpenCL never loads the layer, so there is no file then. */
#include "layer_info.h"
#include "opencl_calls.h"

#include <CL/cl_layer.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cl_icd_dispatch *target;
static cl_icd_dispatch mine;
static FILE *log_file;

/* One call of stdio for a line: several threads write. */
static void note(const char *name, size_t number) {
    (void)fprintf(log_file, "%s %zu\n", name, number);
    (void)fflush(log_file);
}

#define ATTEND_X(type, name, parameters, arguments, kind)                                          \
    static type CL_API_CALL log_##name parameters {                                                \
        note(#name, bytes);                                                                        \
        const type made = target->name arguments;                                                  \
        note(#kind, (size_t)made);                                                                 \
        return made;                                                                               \
    }
BUFFER_CALL(ATTEND_X)
#undef ATTEND_X
#define ATTEND_X(type, name, parameters, arguments, kind)                                          \
    static type CL_API_CALL log_##name parameters {                                                \
        note(#name, 0);                                                                            \
        return target->name arguments;                                                             \
    }
OTHER_CREATING_CALLS(ATTEND_X)
#undef ATTEND_X
#define ATTEND_X(name, type, kind, change)                                                         \
    static cl_int CL_API_CALL log_##name(type object) {                                            \
        note(#name, (size_t)object);                                                               \
        return target->name(object);                                                               \
    }
REFERENCE_CALLS(ATTEND_X)
#undef ATTEND_X
#define ATTEND_X(name, parameters, arguments)                                                      \
    static cl_int CL_API_CALL log_##name parameters {                                              \
        note(#name, 0);                                                                            \
        return target->name arguments;                                                             \
    }
ENQUEUEING_CALLS(ATTEND_X)
PLAIN_CALLS(ATTEND_X)
#undef ATTEND_X

static void fill(void) {
    mine = *target;
#define ATTEND_X(type, name, parameters, arguments, kind) mine.name = log_##name;
    CREATING_CALLS(ATTEND_X)
#undef ATTEND_X
#define ATTEND_X(name, parameters, arguments) mine.name = log_##name;
    ENQUEUEING_CALLS(ATTEND_X)
    PLAIN_CALLS(ATTEND_X)
#undef ATTEND_X
#define ATTEND_X(name, type, kind, change) mine.name = log_##name;
    REFERENCE_CALLS(ATTEND_X)
#undef ATTEND_X
}

CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(cl_layer_info what, size_t bytes, void *value,
                                               size_t *needed) {
    static const char name[] = "calls of attend's tests";
    return layer_info(name, sizeof name, what, bytes, value, needed);
}

CL_API_ENTRY cl_int CL_API_CALL clInitLayer(cl_uint count, const cl_icd_dispatch *next,
                                            cl_uint *mine_count, const cl_icd_dispatch **table) {
    const char *const path = getenv("ATTEND_TEST_CALLS");
    if (path == NULL || next == NULL || (log_file = fopen(path, "w")) == NULL)
        return CL_INVALID_VALUE;
    if (count < sizeof mine / sizeof(void *)) return CL_INVALID_VALUE;
    target = next;
    fill();
    *table = &mine;
    *mine_count = (cl_uint)(sizeof mine / sizeof(void *));
    return CL_SUCCESS;
}
