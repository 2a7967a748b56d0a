/* SPDX-License-Identifier: Apache-2.0
 *
 * Queries of one device. A driver that fails a query is taken to lack what was asked for. */
#include "ocl_facts.h"

#include "ocl_text.h"

#include "base/cpu_features.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_LOCAL_BYTES = 16 * 1024, TILE_WORK_ITEMS = 64 };

/* Names of later versions; their values are part of the ABI of OpenCL. */
enum {
    DEVICE_OPENCL_C_FEATURES = 0x106F,
    DEVICE_COMPUTE_CAPABILITY_MAJOR = 0x4000, /* cl_nv_device_attribute_query */
    DEVICE_SUB_GROUP_SIZES = 0x4108,          /* cl_intel_required_subgroup_size */
    PLATFORM_ICD_SUFFIX = 0x0920
};

static uint64_t number(const ocl_api *cl, cl_device_id device, cl_device_info what, size_t bytes) {
    uint64_t value = 0;
    uint32_t small = 0;
    if (bytes == sizeof small)
        return cl->clGetDeviceInfo(device, what, bytes, &small, NULL) == CL_SUCCESS ? small : 0;
    return cl->clGetDeviceInfo(device, what, bytes, &value, NULL) == CL_SUCCESS ? value : 0;
}

static attend_device_kind kind_of(cl_device_type type, bool unified) {
    if (type & CL_DEVICE_TYPE_GPU)
        return unified ? ATTEND_DEVICE_INTEGRATED_GPU : ATTEND_DEVICE_DISCRETE_GPU;
    if (type & CL_DEVICE_TYPE_CPU) return ATTEND_DEVICE_CPU;
    return type & CL_DEVICE_TYPE_ACCELERATOR ? ATTEND_DEVICE_ACCELERATOR : ATTEND_DEVICE_UNKNOWN;
}

static ocl_class class_of(const ocl_facts *facts, cl_device_local_mem_type local) {
    if (facts->kind == ATTEND_DEVICE_CPU) return OCL_CLASS_ROWS;
    const bool tiles = local == CL_LOCAL && facts->local_bytes >= LEAST_LOCAL_BYTES &&
                       facts->most_work_items >= TILE_WORK_ITEMS;
    return tiles ? OCL_CLASS_TILE : OCL_CLASS_PLAIN;
}

/* OpenCL 3 lists its features as records of a version and a name of 64 bytes. */
static bool has_feature(const ocl_api *cl, cl_device_id device, const char *name) {
    struct record {
        cl_uint version;
        char name[64];
    } * list;
    size_t bytes = 0;
    if (cl->clGetDeviceInfo(device, DEVICE_OPENCL_C_FEATURES, 0, NULL, &bytes) != CL_SUCCESS)
        return false;
    list = malloc(bytes + 1);
    bool found = false;
    if (list &&
        cl->clGetDeviceInfo(device, DEVICE_OPENCL_C_FEATURES, bytes, list, NULL) == CL_SUCCESS)
        for (size_t i = 0; i < bytes / sizeof *list && !found; i++)
            found = !strncmp(list[i].name, name, sizeof list[i].name);
    free(list);
    return found;
}

/* Of three dimensions, however many there are. */
static void ask_along(const ocl_api *cl, cl_device_id device, size_t along[3]) {
    size_t sizes[16], bytes = 0;
    const bool known = cl->clGetDeviceInfo(device, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof sizes,
                                           sizes, &bytes) == CL_SUCCESS &&
                       bytes >= 3 * sizeof *along;
    for (int i = 0; i < 3; i++)
        along[i] = known ? sizes[i] : 1;
}

static void ask_numbers(const ocl_api *cl, cl_device_id device, ocl_facts *f) {
    f->compute_units = (cl_uint)number(cl, device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint));
    f->most_work_items = (size_t)number(cl, device, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t));
    ask_along(cl, device, f->most_along);
    if (f->most_work_items > f->most_along[0]) f->most_work_items = f->most_along[0];
    f->memory_bytes = number(cl, device, CL_DEVICE_GLOBAL_MEM_SIZE, 8);
    f->largest_buffer_bytes = number(cl, device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, 8);
    f->local_bytes = number(cl, device, CL_DEVICE_LOCAL_MEM_SIZE, 8);
    f->base_align_bits =
        (cl_uint)number(cl, device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(cl_uint));
    f->unified = number(cl, device, CL_DEVICE_HOST_UNIFIED_MEMORY, sizeof(cl_bool)) != 0;
    f->fast_fma = (number(cl, device, CL_DEVICE_SINGLE_FP_CONFIG, 8) & CL_FP_FMA) != 0;
    f->kind = kind_of(number(cl, device, CL_DEVICE_TYPE, 8), f->unified);
    f->kernels = class_of(
        f, (cl_device_local_mem_type)number(cl, device, CL_DEVICE_LOCAL_MEM_TYPE, sizeof(cl_uint)));
}

/* What is worth a self-test; that a driver's compiler takes PTX, no query says. Intel's functions
 * are those of the smallest sub-groups that a device has. */
static ocl_matrix_unit matrix_of(const ocl_api *cl, cl_device_id device, const char *extensions) {
    if (attend__ocl_has_word(extensions, "cl_nv_device_attribute_query"))
        return number(cl, device, DEVICE_COMPUTE_CAPABILITY_MAJOR, sizeof(cl_uint)) >= 8
                   ? OCL_MATRIX_NVIDIA
                   : OCL_MATRIX_COUNT;
    if (attend__ocl_has_word(extensions, "cl_arm_matrix_multiply"))
        return attend__ocl_has_word(extensions, "cl_khr_fp16") ? OCL_MATRIX_ARM : OCL_MATRIX_COUNT;
    size_t sizes[16], bytes = 0, least = SIZE_MAX;
    if (!attend__ocl_has_word(extensions, "cl_intel_subgroup_matrix_multiply_accumulate") ||
        cl->clGetDeviceInfo(device, DEVICE_SUB_GROUP_SIZES, sizeof sizes, sizes, &bytes) !=
            CL_SUCCESS)
        return OCL_MATRIX_COUNT;
    for (size_t i = 0; i < bytes / sizeof *sizes; i++)
        least = sizes[i] < least ? sizes[i] : least;
    return least == 16 ? OCL_MATRIX_INTEL16 : least == 8 ? OCL_MATRIX_INTEL8 : OCL_MATRIX_COUNT;
}

/* What is worth a self-test, and by which a kernel's sub-groups can be asked for (OpenCL 2.1). */
static ocl_subgroup_way subgroup_of(const ocl_api *cl, cl_device_id device, const char *extensions,
                                    const ocl_facts *f) {
    const bool old = !strncmp(f->version, "OpenCL 1.", 9) || !strncmp(f->version, "OpenCL 2.0", 10);
    const bool shuffle = attend__ocl_has_word(extensions, "cl_khr_subgroup_shuffle") ||
                         attend__ocl_has_word(extensions, "cl_intel_subgroups");
    if (attend__ocl_has_word(extensions, "cl_nv_device_attribute_query") &&
        number(cl, device, DEVICE_COMPUTE_CAPABILITY_MAJOR, sizeof(cl_uint)) >= 3)
        return OCL_SUBGROUP_NVIDIA;
    if (attend__ocl_has_word(extensions, "cl_amd_device_attribute_query")) return OCL_SUBGROUP_AMD;
    const bool usable = !old && shuffle && strcmp(f->standard, "-cl-std=CL1.2") != 0;
    return usable && cl->kernel_sub_group_info ? OCL_SUBGROUP_KHR : OCL_SUBGROUP_COUNT;
}

/* The OpenCL C that sub-groups need: 2.0 with an extension, or 3.0 where they are a feature. */
static const char *standard_of(const ocl_api *cl, cl_device_id device, const char *extensions) {
    if (has_feature(cl, device, "__opencl_c_subgroups")) return "-cl-std=CL3.0";
    char *const language = attend__ocl_device_text(cl, device, CL_DEVICE_OPENCL_C_VERSION);
    const bool second = language && !strncmp(language, "OpenCL C 2", 10) &&
                        attend__ocl_has_word(extensions, "cl_khr_subgroups");
    free(language);
    return second ? "-cl-std=CL2.0" : "-cl-std=CL1.2";
}

static void ask_extensions(const ocl_api *cl, cl_device_id device, ocl_facts *f) {
    char *const list = attend__ocl_device_text(cl, device, CL_DEVICE_EXTENSIONS);
    if (list == NULL) return;
    f->matrix = matrix_of(cl, device, list);
    f->half = attend__ocl_has_word(list, "cl_khr_fp16");
    f->standard = standard_of(cl, device, list);
    f->subgroup = subgroup_of(cl, device, list, f);
    /* AMD's GPUs have it where it is four times slower than a product and a sum, too; their
     * compiler says by itself where it is fast (FP_FAST_FMAF). */
    if (f->kind != ATTEND_DEVICE_CPU && attend__ocl_has_word(list, "cl_amd_device_attribute_query"))
        f->fast_fma = false;
    free(list);
}

/* Intel's driver denies that it has fma and makes it one instruction all the same, where the
 * processor has it. Its devices have their processor's name; one of another name need not be this
 * machine's. */
static bool has_hidden_fma(const ocl_facts *f) {
    char processor[49];
    attend__cpu_name(processor);
    return f->kind == ATTEND_DEVICE_CPU && !strcmp(f->suffix, "INTEL") &&
           !strcmp(f->name + strspn(f->name, " "), processor) &&
           (attend__cpu_features() & ATTEND__CPU_FMA) != 0;
}

bool attend__ocl_facts_ask(const ocl_api *cl, cl_platform_id platform, cl_device_id device,
                           ocl_facts *f) {
    memset(f, 0, sizeof *f);
    f->name = attend__ocl_device_text(cl, device, CL_DEVICE_NAME);
    f->vendor = attend__ocl_device_text(cl, device, CL_DEVICE_VENDOR);
    f->version = attend__ocl_device_text(cl, device, CL_DEVICE_VERSION);
    f->driver = attend__ocl_device_text(cl, device, CL_DRIVER_VERSION);
    f->platform = attend__ocl_platform_text(cl, platform, CL_PLATFORM_NAME);
    f->platform_version = attend__ocl_platform_text(cl, platform, CL_PLATFORM_VERSION);
    f->suffix = attend__ocl_platform_text(cl, platform, PLATFORM_ICD_SUFFIX);
    f->standard = "-cl-std=CL1.2";
    f->matrix = OCL_MATRIX_COUNT;
    f->subgroup = OCL_SUBGROUP_COUNT;
    if (!f->name || !f->vendor || !f->version || !f->driver || !f->platform ||
        !f->platform_version || !f->suffix) {
        attend__ocl_facts_release(f);
        return false;
    }
    ask_numbers(cl, device, f);
    ask_extensions(cl, device, f);
    /* What no query says is asked by the driver's name. PoCL keeps what it compiled, and asking it
     * for binaries compiles every kernel once more for any work-group size; otherwise it compiles
     * kernels as they are launched. Both drivers for CPUs take clang's prefetch; others accept it
     * when they compile and fail later (Oclgrind). */
    const bool pocl = !strcmp(f->suffix, "POCL"), intel = !strcmp(f->suffix, "INTEL");
    f->keeps_binaries = f->compiles_late = pocl;
    f->prefetch = f->kind == ATTEND_DEVICE_CPU && (pocl || intel);
    f->fast_fma |= has_hidden_fma(f);
    return true;
}

void attend__ocl_facts_release(ocl_facts *f) {
    const char *const texts[] = {f->name,     f->vendor,           f->version, f->driver,
                                 f->platform, f->platform_version, f->suffix};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        free((void *)(uintptr_t)texts[i]);
    memset(f, 0, sizeof *f);
}

const char *attend__ocl_unusable(const ocl_api *cl, cl_device_id device) {
    if (!number(cl, device, CL_DEVICE_AVAILABLE, sizeof(cl_bool)))
        return "the driver says that the device is not available";
    if (!number(cl, device, CL_DEVICE_COMPILER_AVAILABLE, sizeof(cl_bool)))
        return "the driver has no compiler for OpenCL C";
    if (!number(cl, device, CL_DEVICE_ENDIAN_LITTLE, sizeof(cl_bool))) return "a big-endian device";
    char *const version = attend__ocl_device_text(cl, device, CL_DEVICE_VERSION);
    const bool old =
        version && (!strncmp(version, "OpenCL 1.0", 10) || !strncmp(version, "OpenCL 1.1", 10));
    free(version);
    return old ? "OpenCL 1.2 is needed" : NULL;
}
