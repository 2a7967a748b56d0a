/* SPDX-License-Identifier: Apache-2.0
 *
 * ocl_matrix.h: the choice of a unit, and what is known of it. */
#include "ocl_matrix.h"

#include <stdio.h>
#include <string.h>

extern const ocl_source attend__ocl_source_matrix_check;

const ocl_matrix_shape attend__ocl_matrix_shapes[OCL_MATRIX_COUNT] = {
#define ATTEND_X(name, ...) {__VA_ARGS__},
    OCL_MATRIX_LIST(ATTEND_X)
#undef ATTEND_X
};

attend_status attend__ocl_matrix_open(attend_device *device) {
    static const char emulated[] = "emulated-";
    const attend_host *const host = device->host;
    const char *const asked = host->config(host->self, "MATRIX");
    device->matrix = device->shared->facts.matrix;
    if (asked == NULL) return ATTEND_OK;
    device->matrix = OCL_MATRIX_COUNT;
    if (!strcmp(asked, "off")) return ATTEND_OK;
    device->matrix_emulated = !strncmp(asked, emulated, sizeof emulated - 1);
    for (int i = 0; i < OCL_MATRIX_COUNT && device->matrix_emulated; i++)
        if (!strcmp(asked + sizeof emulated - 1, attend__ocl_matrix_shapes[i].name)) {
            device->matrix = (ocl_matrix_unit)i;
            return ATTEND_OK;
        }
    return attend__ocl_refuse(host, ATTEND_INVALID,
                              "ATTEND_MATRIX: \"%.40s\" is none of off"
#define ATTEND_X(name, text, ...) ", emulated-" text
                              OCL_MATRIX_LIST(ATTEND_X),
#undef ATTEND_X
                              asked);
}

static ocl_matrix_use use_of(const attend_device *device, attend_type type) {
    ocl_matrix_use use = {.shape = &attend__ocl_matrix_shapes[device->matrix], .type = type};
    const bool emulated = device->matrix_emulated;
    const bool subgroups =
        !emulated && (device->matrix == OCL_MATRIX_INTEL16 || device->matrix == OCL_MATRIX_INTEL8);
    if (emulated)
        use.exchange_bytes = (size_t)use.shape->exchanged * OCL_MATRIX_ITEMS * sizeof(cl_uint);
    (void)snprintf(use.options, sizeof use.options, "%s%s -DMATRIX_TYPE=%d%s", use.shape->options,
                   emulated ? " -DMATRIX_EMULATED" : "", (int)type,
                   subgroups ? " " OCL_SUBGROUPS : "");
    (void)snprintf(use.name, sizeof use.name, "matrix_%s%s", use.shape->name,
                   emulated ? "_emulated" : "");
    return use;
}

ocl_matrix_use attend__ocl_matrix(attend_device *device, attend_type type, char *note,
                                  size_t bytes) {
    const ocl_matrix_use none = {.shape = NULL};
    if (device->matrix == OCL_MATRIX_COUNT) return none;
    if (type != ATTEND_F16 &&
        (type != ATTEND_BF16 || !attend__ocl_matrix_shapes[device->matrix].bf16))
        return none;
    const ocl_matrix_use use = use_of(device, type);
    const bool is_bf16 = type == ATTEND_BF16;
    char name[sizeof use.name + 8];
    (void)snprintf(name, sizeof name, "%s of %s", use.name, is_bf16 ? "bf16" : "f16");
    const ocl_question question = {.name = name,
                                   .options = use.options,
                                   .source = &attend__ocl_source_matrix_check,
                                   .test = attend__ocl_matrix_check,
                                   .what = &use};
    ocl_verdict *const verdict =
        &device->shared->matrix[device->matrix][device->matrix_emulated][is_bf16];
    return attend__ocl_verdict(device, verdict, &question, note, bytes) ? use : none;
}
