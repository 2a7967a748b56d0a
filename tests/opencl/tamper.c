/* SPDX-License-Identifier: Apache-2.0
 *
 * An OpenCL layer (OPENCL_LAYERS of the loader, CL/cl_layer.h) that makes kernels worse than they
 * are. Candidates of the tuner, each variable names a part of the options that a program is built
 * with:
 *     ATTEND_TEST_WRONG   its kernel named ATTEND_TEST_KERNEL runs in one work-group only: most of
 *                         the result is missing, and nothing is faster
 *     ATTEND_TEST_CRASH   building it aborts (drivers catch segmentation faults)
 *     ATTEND_TEST_STUCK   building it does not return
 *     ATTEND_TEST_HANG    the calls of its kernel do not return any more after a while
 * Any kernel of the name ATTEND_TEST_NARROW runs in groups of 64 work-items at most, or of
 * ATTEND_TEST_NARROW_ITEMS, as where a driver's compiler needs many registers; of the name
 * ATTEND_TEST_SMALL, is said to have sub-groups of 8. Kernels of a program whose options have the
 * part ATTEND_TEST_SPILLS are said to need more private memory than any device has registers, and
 * devices to be GPUs. With ATTEND_TEST_FLAT a device has no groups but along dimension 0, as
 * Apple's for the CPU; with ATTEND_TEST_GROUPS commands have at most 65535 groups in dimensions 1
 * and 2, as NVIDIA's. As long as ATTEND_TEST_LOSE is set, a context that gets a queue or a command
 * is lost: its queues take no command any more, and it gets no queue. A device is said to have
 *     ATTEND_TEST_DEVICE  this name, and no fma, and its platform
 *     ATTEND_TEST_SUFFIX  this suffix, or
 *     ATTEND_TEST_EXTENSIONS  these extensions, and to be a GPU with fma. And of any program's text
 *     ATTEND_TEST_FROM    the first such part
 *     ATTEND_TEST_TO      is replaced by this */
#include "layer_info.h"
#include "opencl_calls.h"

#include <CL/cl_layer.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    GOOD_CALLS = 10,
    NARROW_ITEMS = 64,
    MOST_GROUPS = 65535,
    SMALL_ITEMS = 8,
    SPILLED_BYTES = 1 << 20,
    MOST_SUB_GROUP_SIZE_FOR = 0x2033,
    PLATFORM_ICD_SUFFIX = 0x0920
};

static const cl_icd_dispatch *target;
static cl_icd_dispatch mine;
static bool wrong, hangs; /* a process of the tuner builds one candidate */
static long calls;
static cl_context lost;

static bool named(const char *variable, const char *options) {
    const char *const part = getenv(variable);
    return part && options && strstr(options, part);
}

static void sleep_for_ever(void) {
    for (;;)
        (void)pause();
}

static cl_program CL_API_CALL create(cl_context context, cl_uint count, const char **texts,
                                     const size_t *lengths, cl_int *error) {
    const char *const from = getenv("ATTEND_TEST_FROM"), *const to = getenv("ATTEND_TEST_TO");
    const char *const at = from && to && count == 1 ? strstr(texts[0], from) : NULL;
    const size_t room = at ? strlen(texts[0]) + strlen(to) + 1 : 0;
    char *const text = at ? malloc(room) : NULL;
    if (text == NULL)
        return target->clCreateProgramWithSource(context, count, texts, lengths, error);
    (void)snprintf(text, room, "%.*s%s%s", (int)(at - texts[0]), texts[0], to, at + strlen(from));
    const char *only = text;
    const cl_program made = target->clCreateProgramWithSource(context, 1, &only, NULL, error);
    free(text);
    return made;
}

static cl_int CL_API_CALL build(cl_program p, cl_uint n, const cl_device_id *d, const char *options,
                                void(CL_CALLBACK *f)(cl_program, void *), void *u) {
    if (named("ATTEND_TEST_CRASH", options)) abort();
    if (named("ATTEND_TEST_STUCK", options)) sleep_for_ever();
    wrong |= named("ATTEND_TEST_WRONG", options);
    hangs |= named("ATTEND_TEST_HANG", options);
    return target->clBuildProgram(p, n, d, options, f, u);
}

typedef void(CL_CALLBACK *context_callback)(const char *, const void *, size_t, void *);

/* Another object may get the handle of one that is gone. */
static cl_context CL_API_CALL create_context(const cl_context_properties *p, cl_uint n,
                                             const cl_device_id *d, context_callback f, void *u,
                                             cl_int *error) {
    const cl_context made = target->clCreateContext(p, n, d, f, u, error);
    if (made == lost) lost = NULL;
    return made;
}

static cl_command_queue CL_API_CALL create_queue(cl_context c, cl_device_id d,
                                                 cl_command_queue_properties p, cl_int *error) {
    if (getenv("ATTEND_TEST_LOSE")) lost = c;
    if (lost == NULL || c != lost) return target->clCreateCommandQueue(c, d, p, error);
    *error = CL_INVALID_CONTEXT;
    return NULL;
}

static size_t narrow_items(void) {
    const char *const items = getenv("ATTEND_TEST_NARROW_ITEMS");
    return items ? strtoul(items, NULL, 10) : NARROW_ITEMS;
}

static bool is_narrow(const char *kernel) {
    const char *const narrow = getenv("ATTEND_TEST_NARROW");
    return narrow && !strcmp(kernel, narrow);
}

/* What a command's groups break of what the device is said to allow. */
static cl_int refusal(const char *kernel, cl_uint rank, const size_t *global, const size_t *local) {
    size_t items = 1;
    for (cl_uint i = 0; i < rank && local; i++) {
        items *= local[i];
        if (i > 0 && local[i] > 1 && getenv("ATTEND_TEST_FLAT")) return CL_INVALID_WORK_ITEM_SIZE;
        if (i > 0 && global[i] / local[i] > MOST_GROUPS && getenv("ATTEND_TEST_GROUPS"))
            return CL_INVALID_GLOBAL_WORK_SIZE;
    }
    return is_narrow(kernel) && items > narrow_items() ? CL_INVALID_WORK_GROUP_SIZE : CL_SUCCESS;
}

static bool is_lost(cl_command_queue queue) {
    cl_context context = NULL;
    (void)target->clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof context, &context, NULL);
    if (getenv("ATTEND_TEST_LOSE")) lost = context;
    return lost && context == lost;
}

/* OpenCL's, more than functions of ours have. */
#define ENQUEUE_PARAMETERS                                                                         \
    (cl_command_queue q, cl_kernel k, cl_uint rank, const size_t *offset, const size_t *global,    \
     const size_t *local, cl_uint n, const cl_event *waits, cl_event *event)

static cl_int CL_API_CALL enqueue ENQUEUE_PARAMETERS {
    char name[64] = "";
    const char *const tampered = getenv("ATTEND_TEST_KERNEL");
    (void)target->clGetKernelInfo(k, CL_KERNEL_FUNCTION_NAME, sizeof name, name, NULL);
    const bool chosen = tampered && !strcmp(name, tampered);
    if (chosen && hangs && ++calls > GOOD_CALLS) sleep_for_ever();
    if (is_lost(q)) return CL_INVALID_COMMAND_QUEUE;
    const cl_int refused = refusal(name, rank, global, local);
    if (refused != CL_SUCCESS) return refused;
    return target->clEnqueueNDRangeKernel(q, k, rank, offset, chosen && wrong ? local : global,
                                          local, n, waits, event);
}

static bool spills(cl_kernel k, cl_device_id d) {
    char options[1024] = "";
    cl_program p = NULL;
    return target->clGetKernelInfo(k, CL_KERNEL_PROGRAM, sizeof p, &p, NULL) == CL_SUCCESS &&
           target->clGetProgramBuildInfo(p, d, CL_PROGRAM_BUILD_OPTIONS, sizeof options, options,
                                         NULL) == CL_SUCCESS &&
           named("ATTEND_TEST_SPILLS", options);
}

static cl_int give(const char *text, size_t bytes, void *value, size_t *needed) {
    if (needed) *needed = strlen(text) + 1;
    if (value == NULL) return CL_SUCCESS;
    if (bytes <= strlen(text)) return CL_INVALID_VALUE;
    memcpy(value, text, strlen(text) + 1);
    return CL_SUCCESS;
}

static cl_int CL_API_CALL platform_info(cl_platform_id p, cl_platform_info what, size_t bytes,
                                        void *value, size_t *needed) {
    const char *const suffix = getenv("ATTEND_TEST_SUFFIX");
    return suffix && what == PLATFORM_ICD_SUFFIX
               ? give(suffix, bytes, value, needed)
               : target->clGetPlatformInfo(p, what, bytes, value, needed);
}

static cl_int CL_API_CALL device_info(cl_device_id d, cl_device_info what, size_t bytes,
                                      void *value, size_t *needed) {
    const char *const name = getenv("ATTEND_TEST_DEVICE");
    const char *const extensions = getenv("ATTEND_TEST_EXTENSIONS");
    if (name && what == CL_DEVICE_NAME) return give(name, bytes, value, needed);
    if (extensions && what == CL_DEVICE_EXTENSIONS) return give(extensions, bytes, value, needed);
    const cl_int error = target->clGetDeviceInfo(d, what, bytes, value, needed);
    if (error != CL_SUCCESS || value == NULL) return error;
    if (what == CL_DEVICE_TYPE && (extensions || getenv("ATTEND_TEST_SPILLS")))
        *(cl_device_type *)value = CL_DEVICE_TYPE_GPU;
    if (what == CL_DEVICE_SINGLE_FP_CONFIG && name)
        *(cl_device_fp_config *)value &= ~(cl_device_fp_config)CL_FP_FMA;
    if (what == CL_DEVICE_SINGLE_FP_CONFIG && extensions)
        *(cl_device_fp_config *)value |= CL_FP_FMA;
    if (what == CL_DEVICE_MAX_WORK_ITEM_SIZES && getenv("ATTEND_TEST_FLAT"))
        ((size_t *)value)[1] = ((size_t *)value)[2] = 1;
    return error;
}

static cl_int CL_API_CALL group_info(cl_kernel k, cl_device_id d, cl_kernel_work_group_info what,
                                     size_t bytes, void *value, size_t *needed) {
    char name[64] = "";
    (void)target->clGetKernelInfo(k, CL_KERNEL_FUNCTION_NAME, sizeof name, name, NULL);
    const cl_int error = target->clGetKernelWorkGroupInfo(k, d, what, bytes, value, needed);
    if (error == CL_SUCCESS && value && what == CL_KERNEL_WORK_GROUP_SIZE && is_narrow(name))
        *(size_t *)value = narrow_items();
    if (error == CL_SUCCESS && value && what == CL_KERNEL_PRIVATE_MEM_SIZE && spills(k, d))
        *(cl_ulong *)value = SPILLED_BYTES;
    return error;
}

/* clGetKernelSubGroupInfo of OpenCL 2.1, of which the headers know no more than the place. */
typedef cl_int(CL_API_CALL *sub_group_fn)(cl_kernel, cl_device_id, cl_uint, size_t, const void *,
                                          size_t, void *, size_t *);
static sub_group_fn next_sub_group_info;

#define SUB_GROUP_PARAMETERS                                                                       \
    (cl_kernel k, cl_device_id d, cl_uint what, size_t given_bytes, const void *given,             \
     size_t bytes, void *value, size_t *needed)

static cl_int CL_API_CALL sub_group_info SUB_GROUP_PARAMETERS {
    char name[64] = "";
    const char *const narrow = getenv("ATTEND_TEST_SMALL");
    (void)target->clGetKernelInfo(k, CL_KERNEL_FUNCTION_NAME, sizeof name, name, NULL);
    const cl_int error = next_sub_group_info(k, d, what, given_bytes, given, bytes, value, needed);
    if (error != CL_SUCCESS || !narrow || strcmp(name, narrow) != 0) return error;
    size_t items;
    memcpy(&items, given, sizeof items);
    *(size_t *)value = what == MOST_SUB_GROUP_SIZE_FOR ? SMALL_ITEMS : items / SMALL_ITEMS;
    return error;
}

CL_API_ENTRY cl_int CL_API_CALL clGetLayerInfo(cl_layer_info what, size_t bytes, void *value,
                                               size_t *needed) {
    static const char name[] = "kernels that fail";
    return layer_info(name, sizeof name, what, bytes, value, needed);
}

CL_API_ENTRY cl_int CL_API_CALL clInitLayer(cl_uint count, const cl_icd_dispatch *next,
                                            cl_uint *mine_count, const cl_icd_dispatch **table) {
    if (next == NULL || count < sizeof mine / sizeof(void *)) return CL_INVALID_VALUE;
    target = next;
    mine = *target;
    mine.clCreateProgramWithSource = create;
    mine.clBuildProgram = build;
    mine.clCreateContext = create_context;
    mine.clCreateCommandQueue = create_queue;
    mine.clEnqueueNDRangeKernel = enqueue;
    mine.clGetPlatformInfo = platform_info;
    mine.clGetDeviceInfo = device_info;
    mine.clGetKernelWorkGroupInfo = group_info;
    const sub_group_fn replaced = sub_group_info;
    memcpy(&next_sub_group_info, &target->clGetKernelSubGroupInfo, sizeof next_sub_group_info);
    memcpy(&mine.clGetKernelSubGroupInfo, &replaced, sizeof replaced);
    *table = &mine;
    *mine_count = (cl_uint)(sizeof mine / sizeof(void *));
    return CL_SUCCESS;
}
