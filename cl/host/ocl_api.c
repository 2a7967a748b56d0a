/* SPDX-License-Identifier: Apache-2.0
 *
 * Fills the function table, and says what an OpenCL error means. */
#include "ocl.h"

#include "base/dynlib.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t place;
} functions[] = {
#define ATTEND_X(name) {#name, offsetof(ocl_api, name)},
    OCL_FUNCTION_LIST(ATTEND_X)
#undef ATTEND_X
};

bool attend__ocl_api_fill(ocl_api *api, ocl_symbol_fn *symbol, void *user, const char **missing) {
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *const address = symbol(user, functions[i].name);
        if (address == NULL) {
            *missing = functions[i].name;
            return false;
        }
        memcpy((char *)api + functions[i].place, &address, sizeof address);
    }
    void *const later = symbol(user, "clGetKernelSubGroupInfo");
    memcpy(&api->kernel_sub_group_info, &later, sizeof later);
    return true;
}

static void *library_symbol(void *library, const char *name) {
    attend__function *const function = attend__dynlib_symbol(library, name);
    void *address;
    memcpy(&address, &function, sizeof address);
    return address;
}

/* The first name is what a system without development packages has. */
static const char *const library_names[] = {
#if defined(_WIN32)
    "OpenCL.dll",
#elif defined(__APPLE__)
    "/System/Library/Frameworks/OpenCL.framework/OpenCL",
#else
    "libOpenCL.so.1",
    "libOpenCL.so",
#endif
};

static struct {
    attend__once once;
    ocl_api table;
    bool found;
    char reason[600];
} system_loader = {.once = ATTEND__ONCE_INIT};

static void load(void) {
    char error[400] = "";
    void *library = NULL;
    for (size_t i = 0; i < sizeof library_names / sizeof *library_names && !library; i++)
        library = attend__dynlib_open(library_names[i], error, sizeof error);
    const char *missing = NULL;
    if (library == NULL)
        (void)snprintf(system_loader.reason, sizeof system_loader.reason,
                       "no OpenCL loader: %s; install one (apt-get install ocl-icd-libopencl1, or "
                       "the driver of the vendor)",
                       error);
    else if (!attend__ocl_api_fill(&system_loader.table, library_symbol, library, &missing))
        (void)snprintf(system_loader.reason, sizeof system_loader.reason,
                       "the OpenCL loader lacks %s: OpenCL 1.2 is needed", missing);
    else
        system_loader.found = true;
}

const ocl_api *attend__ocl_api(const char **reason) {
    attend__once_run(&system_loader.once, load);
    *reason = system_loader.reason;
    return system_loader.found ? &system_loader.table : NULL;
}

/* ---- errors --------------------------------------------------------------------------------- */

/* Name and the status of the library; what is not named here is INTERNAL, since the arguments of
 * our calls are ours. */
#define ERROR_LIST(X)                                                                              \
    X(CL_DEVICE_NOT_FOUND, NO_DEVICE)                                                              \
    X(CL_DEVICE_NOT_AVAILABLE, DEVICE_LOST)                                                        \
    X(CL_COMPILER_NOT_AVAILABLE, BUILD_FAILED)                                                     \
    X(CL_MEM_OBJECT_ALLOCATION_FAILURE, OUT_OF_MEMORY)                                             \
    X(CL_OUT_OF_RESOURCES, OUT_OF_MEMORY)                                                          \
    X(CL_OUT_OF_HOST_MEMORY, OUT_OF_MEMORY)                                                        \
    X(CL_BUILD_PROGRAM_FAILURE, BUILD_FAILED)                                                      \
    X(CL_MAP_FAILURE, OUT_OF_MEMORY)                                                               \
    X(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, DEVICE_LOST)                                   \
    X(CL_INVALID_VALUE, INTERNAL)                                                                  \
    X(CL_INVALID_PLATFORM, NO_DEVICE)                                                              \
    X(CL_INVALID_DEVICE, NO_DEVICE)                                                                \
    X(CL_INVALID_CONTEXT, DEVICE_LOST)                                                             \
    X(CL_INVALID_COMMAND_QUEUE, DEVICE_LOST)                                                       \
    X(CL_INVALID_HOST_PTR, INTERNAL)                                                               \
    X(CL_INVALID_MEM_OBJECT, INTERNAL)                                                             \
    X(CL_INVALID_BINARY, BUILD_FAILED)                                                             \
    X(CL_INVALID_BUILD_OPTIONS, BUILD_FAILED)                                                      \
    X(CL_INVALID_PROGRAM, INTERNAL)                                                                \
    X(CL_INVALID_PROGRAM_EXECUTABLE, BUILD_FAILED)                                                 \
    X(CL_INVALID_KERNEL_NAME, BUILD_FAILED)                                                        \
    X(CL_INVALID_KERNEL, INTERNAL)                                                                 \
    X(CL_INVALID_ARG_INDEX, INTERNAL)                                                              \
    X(CL_INVALID_ARG_VALUE, INTERNAL)                                                              \
    X(CL_INVALID_ARG_SIZE, INTERNAL)                                                               \
    X(CL_INVALID_KERNEL_ARGS, INTERNAL)                                                            \
    X(CL_INVALID_WORK_DIMENSION, INTERNAL)                                                         \
    X(CL_INVALID_WORK_GROUP_SIZE, INTERNAL)                                                        \
    X(CL_INVALID_WORK_ITEM_SIZE, INTERNAL)                                                         \
    X(CL_INVALID_GLOBAL_OFFSET, INTERNAL)                                                          \
    X(CL_INVALID_EVENT_WAIT_LIST, INTERNAL)                                                        \
    X(CL_INVALID_EVENT, INTERNAL)                                                                  \
    X(CL_INVALID_OPERATION, INTERNAL)                                                              \
    X(CL_INVALID_BUFFER_SIZE, OUT_OF_MEMORY)                                                       \
    X(CL_INVALID_GLOBAL_WORK_SIZE, INTERNAL)                                                       \
    X(CL_PLATFORM_NOT_FOUND_KHR, NO_DEVICE)                                                        \
    X(NVIDIA_ILLEGAL_ACCESS, DEVICE_LOST)

#ifndef CL_PLATFORM_NOT_FOUND_KHR
#define CL_PLATFORM_NOT_FOUND_KHR -1001
#endif
/* No header has it: a kernel read or wrote where it may not. From then on any call on the context
 * may give it, those that enqueue too. */
#define NVIDIA_ILLEGAL_ACCESS -9999

static const struct {
    cl_int error;
    attend_status status;
    const char *name;
} errors[] = {
#define ATTEND_X(name, status) {name, ATTEND_##status, #name},
    ERROR_LIST(ATTEND_X)
#undef ATTEND_X
};

const char *attend__ocl_error_name(cl_int error) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].error == error) return errors[i].name;
    return "an OpenCL error";
}

attend_status attend__ocl_status(cl_int error) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].error == error) return errors[i].status;
    return ATTEND_INTERNAL;
}

attend_status attend__ocl_fail(const attend_host *host, cl_int error, const char *call) {
    return attend__ocl_refuse(host, attend__ocl_status(error), "%s: %s (%d)", call,
                              attend__ocl_error_name(error), (int)error);
}
