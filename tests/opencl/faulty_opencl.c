/* SPDX-License-Identifier: Apache-2.0
 *
 * faulty_opencl.h. */
#include "faulty_opencl.h"

#include "built_once.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define KIND_LIST(X) X(CONTEXT) X(QUEUE) X(MEMORY) X(PROGRAM) X(KERNEL) X(EVENT)
enum {
#define ATTEND_X(name) KIND_##name,
    KIND_LIST(ATTEND_X)
#undef ATTEND_X
        KINDS
};

static faulty_plan plan;
static atomic_bool active;
static atomic_long calls, passed, left[KINDS];
static _Atomic(const char *) failed;

void faulty_start(faulty_plan wanted) {
    plan = wanted;
    atomic_store(&calls, 0);
    atomic_store(&passed, 0);
    for (int i = 0; i < KINDS; i++)
        atomic_store(&left[i], 0);
    atomic_store(&failed, "");
    atomic_store(&active, true);
}

void faulty_stop(void) {
    atomic_store(&active, false);
}

long faulty_calls(void) {
    return atomic_load(&calls);
}

const char *faulty_failed(void) {
    return atomic_load(&failed);
}

static long write_left(char *text, size_t bytes) {
    static const char *const names[] = {
#define ATTEND_X(name) #name,
        KIND_LIST(ATTEND_X)
#undef ATTEND_X
    };
    long sum = 0;
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < KINDS; i++) {
        const long count = atomic_load(&left[i]);
        sum += count < 0 ? -count : count;
        if (count == 0 || used >= bytes) continue;
        const int length = snprintf(text + used, bytes - used, " %s %ld", names[i], count);
        if (length > 0) used += (size_t)length;
    }
    return sum;
}

long faulty_left(char *text, size_t bytes) {
    const struct timespec pause = {0, 2000000};
    for (int i = 0; i < 1000 && write_left(text, bytes) != 0; i++)
        (void)nanosleep(&pause, NULL);
    return write_left(text, bytes);
}

/* Whether this call has to fail. */
static bool fails(const char *name) {
    const long number = atomic_fetch_add(&calls, 1) + 1;
    const char *none = "";
    if (!atomic_load(&active)) return false;
    if (plan.name && strcmp(plan.name, name) == 0)
        return atomic_fetch_add(&passed, 1) >= plan.passed &&
               atomic_compare_exchange_strong(&failed, &none, name);
    if (plan.at == 0 || number < plan.at || (number > plan.at && !plan.from_there)) return false;
    (void)atomic_compare_exchange_strong(&failed, &none, name);
    return true;
}

static void *made(void *object, int kind) {
    if (object) atomic_fetch_add(&left[kind], 1);
    return object;
}

/* ---- the functions --------------------------------------------------------------------------- */

#define ATTEND_X(type, name, parameters, arguments, kind)                                          \
    static type CL_API_CALL faulty_##name parameters {                                             \
        if (!fails(#name)) return made(name arguments, KIND_##kind);                               \
        if (error) *error = plan.error;                                                            \
        return NULL;                                                                               \
    }
CREATING_CALLS(ATTEND_X)
#undef ATTEND_X
#define ATTEND_X(name, type, kind, change)                                                         \
    static cl_int CL_API_CALL faulty_##name(type object) {                                         \
        const bool failing = fails(#name);                                                         \
        if (failing && change > 0) return plan.error;                                              \
        atomic_fetch_add(&left[KIND_##kind], change);                                              \
        const cl_int error = name(object);                                                         \
        return failing ? plan.error : error;                                                       \
    }
REFERENCE_CALLS(ATTEND_X)
#undef ATTEND_X
#define ATTEND_X(name, parameters, arguments)                                                      \
    static cl_int CL_API_CALL faulty_##name parameters {                                           \
        if (fails(#name)) return plan.error;                                                       \
        const cl_int error = name arguments;                                                       \
        if (error == CL_SUCCESS && event) (void)made(*event, KIND_EVENT);                          \
        return error;                                                                              \
    }
ENQUEUEING_CALLS(ATTEND_X)
#undef ATTEND_X
#define ATTEND_X(name, parameters, arguments)                                                      \
    static cl_int CL_API_CALL faulty_##name parameters {                                           \
        return fails(#name) ? plan.error : name arguments;                                         \
    }
PLAIN_CALLS(ATTEND_X)
#undef ATTEND_X

#define ATTEND_X(name, parameters, arguments)                                                      \
    static void *CL_API_CALL faulty_##name parameters {                                            \
        if (fails(#name)) {                                                                        \
            if (error) *error = plan.error;                                                        \
            return NULL;                                                                           \
        }                                                                                          \
        void *const mapped = name arguments;                                                       \
        if (mapped && event) (void)made(*event, KIND_EVENT);                                       \
        return mapped;                                                                             \
    }
MAPPING_CALLS(ATTEND_X)
#undef ATTEND_X

static cl_int CL_API_CALL wait_and_fail(cl_uint count, const cl_event *events) {
    const cl_int error = clWaitForEvents(count, events);
    return fails("clWaitForEvents") ? plan.error : error;
}

static cl_int CL_API_CALL event_info(cl_event event, cl_event_info what, size_t bytes, void *value,
                                     size_t *needed) {
    const cl_int error = faulty_clGetEventInfo(event, what, bytes, value, needed);
    const bool ended = error == CL_SUCCESS && what == CL_EVENT_COMMAND_EXECUTION_STATUS && value &&
                       *(const cl_int *)value == CL_COMPLETE;
    if (ended && plan.state < 0 && atomic_load(&active)) *(cl_int *)value = plan.state;
    return error;
}

/* ---- programs, which are built once for all passes ------------------------------------------- */

static cl_program CL_API_CALL from_source(cl_context context, cl_uint count, const char **texts,
                                          const size_t *lengths, cl_int *error) {
    cl_program program = faulty_clCreateProgramWithSource(context, count, texts, lengths, error);
    built_once_made(program, context, count, texts, lengths);
    return program;
}

static cl_program CL_API_CALL from_binary(cl_context context, cl_uint count,
                                          const cl_device_id *devices, const size_t *lengths,
                                          const unsigned char **data, cl_int *states,
                                          cl_int *error) {
    cl_program program =
        faulty_clCreateProgramWithBinary(context, count, devices, lengths, data, states, error);
    built_once_made(program, context, 0, NULL, NULL);
    return program;
}

/* The host layer builds for one device, the context's, and waits. */
static cl_int CL_API_CALL build(cl_program program, cl_uint count, const cl_device_id *devices,
                                const char *options, void(CL_CALLBACK *told)(cl_program, void *),
                                void *user) {
    (void)devices;
    (void)user;
    if (count != 1 || told) return CL_INVALID_VALUE;
    return fails("clBuildProgram") ? plan.error : built_once_build(program, options);
}

static cl_int CL_API_CALL program_info(cl_program program, cl_program_info what, size_t bytes,
                                       void *value, size_t *needed) {
    return faulty_clGetProgramInfo(built_once_meant(program), what, bytes, value, needed);
}

static cl_kernel CL_API_CALL create_kernel(cl_program program, const char *name, cl_int *error) {
    return faulty_clCreateKernel(built_once_meant(program), name, error);
}

static const struct {
    const char *name;
    void (*function)(void);
} functions[] = {{"clGetEventInfo", (void (*)(void))event_info},
                 {"clWaitForEvents", (void (*)(void))wait_and_fail},
                 {"clCreateProgramWithSource", (void (*)(void))from_source},
                 {"clCreateProgramWithBinary", (void (*)(void))from_binary},
                 {"clBuildProgram", (void (*)(void))build},
                 {"clGetProgramInfo", (void (*)(void))program_info},
                 {"clCreateKernel", (void (*)(void))create_kernel},
#define ATTEND_X(type, name, parameters, arguments, kind) {#name, (void (*)(void))faulty_##name},
                 CREATING_CALLS(ATTEND_X)
#undef ATTEND_X
#define ATTEND_X(name, type, kind, change) {#name, (void (*)(void))faulty_##name},
                     REFERENCE_CALLS(ATTEND_X)
#undef ATTEND_X
#define ATTEND_X(name, parameters, arguments) {#name, (void (*)(void))faulty_##name},
                         ENQUEUEING_CALLS(ATTEND_X) PLAIN_CALLS(ATTEND_X) MAPPING_CALLS(ATTEND_X)
#undef ATTEND_X
};

void *faulty_symbol(void *user, const char *name) {
    (void)user;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        if (strcmp(functions[i].name, name) != 0) continue;
        void *address;
        memcpy(&address, &functions[i].function, sizeof address);
        return address;
    }
    return NULL;
}
