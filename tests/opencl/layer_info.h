/* SPDX-License-Identifier: Apache-2.0
 *
 * What a layer of the loader has to say of itself (CL/cl_layer.h), for the layers of the tests. */
#ifndef ATTEND_TESTS_OPENCL_LAYER_INFO_H
#define ATTEND_TESTS_OPENCL_LAYER_INFO_H

#include "opencl_calls.h" /* says which OpenCL, before any header of it */

#include <CL/cl_layer.h>

#include <string.h>

/* clGetLayerInfo of a layer of this name; `name_bytes` counts its end. */
static inline cl_int layer_info(const char *name, size_t name_bytes, cl_layer_info what,
                                size_t bytes, void *value, size_t *needed) {
    static const cl_layer_api_version version = CL_LAYER_API_VERSION_100;
    const void *const answer = what == CL_LAYER_NAME ? (const void *)name : &version;
    const size_t size = what == CL_LAYER_NAME ? name_bytes : sizeof version;
    if (what != CL_LAYER_NAME && what != CL_LAYER_API_VERSION) return CL_INVALID_VALUE;
    if (value != NULL && bytes < size) return CL_INVALID_VALUE;
    if (value != NULL) memcpy(value, answer, size);
    if (needed != NULL) *needed = size;
    return CL_SUCCESS;
}

#endif
