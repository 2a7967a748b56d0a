/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of CLBlast where its own are poor. Those it has for CPUs use local memory and
 * barriers, the slowest that PoCL has. Here one work-item computes a tile of 32 x 8 in registers,
 * and the path that does so serves all sizes: measured on PoCL 3.1 with vectors of 16 floats, ratio
 * of times of CLBlast's own to these: products of attention 1.7 to 8, projections 2.5 to 11, of one
 * or ten rows 1.0 to 4. On Intel's runtime they are slower than its own, so that only what was
 * measured gets them. CLBlast's other kernel without local memory (GEMMK = 1) is left alone: with
 * it the strided-batched product of 1.5.3 writes outside of its matrices.
 *
 * Parameters belong to a device and the whole process, the application's own calls included. */
#include "clblast_gemm.h"
#include "clblast_operations.h"

#include <clblast_c.h>
#include <string.h>

enum { MOST_DEVICES = 32, MEASURED_WIDTH = 16 };

/* Name, value. */
#define GEMM_LIST(X)                                                                               \
    X(GEMMK, 0)                                                                                    \
    X(KREG, 1)                                                                                     \
    X(KWG, 32)                                                                                     \
    X(KWI, 4)                                                                                      \
    X(MDIMA, 1)                                                                                    \
    X(MDIMC, 1)                                                                                    \
    X(MWG, 32)                                                                                     \
    X(NDIMB, 1)                                                                                    \
    X(NDIMC, 1)                                                                                    \
    X(NWG, 8)                                                                                      \
    X(SA, 0)                                                                                       \
    X(SB, 0)                                                                                       \
    X(STRM, 0)                                                                                     \
    X(STRN, 0)                                                                                     \
    X(VWM, 16)                                                                                     \
    X(VWN, 1)
#define TURN_LIST(X)                                                                               \
    X(PADTRA_PAD, 0)                                                                               \
    X(PADTRA_TILE, 1)                                                                              \
    X(PADTRA_WPT, 8)
#define ROUTINE_LIST(X) X(XGEMM_MIN_INDIRECT_SIZE, 1)

/* A kernel of CLBlast's database, with its parameters. */
typedef struct kernel_parameters {
    const char *kernel;
    size_t count;
    const char **names;
    const size_t *values;
} kernel_parameters;

#define ATTEND_X(name, value) #name,
static const char *gemm_names[] = {GEMM_LIST(ATTEND_X)};
static const char *turn_names[] = {TURN_LIST(ATTEND_X)};
static const char *routine_names[] = {ROUTINE_LIST(ATTEND_X)};
#undef ATTEND_X
#define ATTEND_X(name, value) value,
static const size_t gemm_values[] = {GEMM_LIST(ATTEND_X)};
static const size_t turn_values[] = {TURN_LIST(ATTEND_X)};
static const size_t routine_values[] = {ROUTINE_LIST(ATTEND_X)};
#undef ATTEND_X

#define COUNT(list) (sizeof(list) / sizeof *(list))
static const kernel_parameters pocl[] = {
    {"Xgemm", COUNT(gemm_values), gemm_names, gemm_values},
    {"Padtranspose", COUNT(turn_values), turn_names, turn_values},
    {"GemmRoutine", COUNT(routine_values), routine_names, routine_values},
};

static bool measured(const attend_device *device) {
    const ocl_facts *const facts = &device->shared->facts;
    cl_uint width = 0;
    return facts->kind == ATTEND_DEVICE_CPU && strcmp(facts->suffix, "POCL") == 0 &&
           device->cl->clGetDeviceInfo(device->shared->id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT,
                                       sizeof width, &width, NULL) == CL_SUCCESS &&
           width == MEASURED_WIDTH;
}

/* Under CLBlast's lock. False where the device had them before. */
static bool first_time(cl_device_id id) {
    static cl_device_id done[MOST_DEVICES];
    static int count;
    for (int i = 0; i < count; i++)
        if (done[i] == id) return false;
    if (count == MOST_DEVICES) return false;
    done[count++] = id;
    return true;
}

static int override(cl_device_id id) {
    int code = CLBlastSuccess;
    for (size_t i = 0; i < COUNT(pocl) && code == CLBlastSuccess; i++)
        code = CLBlastOverrideParameters(id, pocl[i].kernel, CLBlastPrecisionSingle, pocl[i].count,
                                         pocl[i].names, pocl[i].values);
    return code;
}

attend_status attend__clblast_tune(attend_device *device) {
    const attend_host *const host = device->host;
    const char *const asked = host->config(host->self, "CLBLAST_TUNING");
    if (asked && strcmp(asked, "on") != 0 && strcmp(asked, "off") != 0)
        return attend__ocl_refuse(host, ATTEND_INVALID,
                                  "ATTEND_CLBLAST_TUNING: \"%.40s\" is neither on nor off", asked);
    if ((asked && strcmp(asked, "off") == 0) || device->shared->adopted || !measured(device))
        return ATTEND_OK;
    attend__clblast_lock();
    const bool mine = first_time(device->shared->id);
    const int code = mine ? override(device->shared->id) : CLBlastSuccess;
    attend__clblast_unlock();
    if (mine)
        host->log(
            host->self, code == CLBlastSuccess ? ATTEND_LOG_INFO : ATTEND_LOG_WARNING, "load",
            code == CLBlastSuccess
                ? "clblast: CLBlast's parameters for this device are set for the whole "
                  "process; ATTEND_CLBLAST_TUNING=off leaves them"
                : "clblast: CLBlast refused our parameters for this device and keeps its own");
    return ATTEND_OK;
}
