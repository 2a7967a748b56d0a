/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls into CLBlast. */
#include "clblast_gemm.h"

#include "ocl_run.h"

#include <clblast_c.h>

static attend__mutex lock = ATTEND__MUTEX_INIT; /* of all of CLBlast */

void attend__clblast_lock(void) {
    attend__mutex_lock(&lock);
}

void attend__clblast_unlock(void) {
    attend__mutex_unlock(&lock);
}

bool attend__clblast_safe(const clblast_matrix *x, int64_t rows, int64_t columns) {
    return x->pitch != columns || (x->offset == 0 && x->stride == rows * columns);
}

static bool fits(const clblast_matrix *x, int64_t rows, int64_t columns, int64_t count) {
    return x->offset + (count - 1) * x->stride + (rows - 1) * x->pitch + columns <= INT32_MAX;
}

static bool all_fit(const clblast_product *p) {
    const int64_t count = p->batched ? p->count : 1;
    return fits(&p->a, p->m, p->k, count) && fits(&p->c, p->m, p->n, count) &&
           fits(&p->b, p->transposed ? p->n : p->k, p->transposed ? p->k : p->n, count);
}

/* Rows of ours are columns of CLBlast's kernels: asked for c^T = b^T a^T in column-major order, it
 * transposes at most a and b, and writes c where it belongs. In row-major order it would transpose
 * c, too, by way of a copy. */
static CLBlastTranspose of_b(const clblast_product *p) {
    return p->transposed ? CLBlastTransposeYes : CLBlastTransposeNo;
}

static CLBlastStatusCode one(cl_command_queue queue, const clblast_product *p, size_t i,
                             cl_event *event) {
    return CLBlastSgemm(
        CLBlastLayoutColMajor, of_b(p), CLBlastTransposeNo, (size_t)p->n, (size_t)p->m,
        (size_t)p->k, 1.0f, p->b.memory, (size_t)p->b.offset + i * (size_t)p->b.stride,
        (size_t)p->b.pitch, p->a.memory, (size_t)p->a.offset + i * (size_t)p->a.stride,
        (size_t)p->a.pitch, p->add ? 1.0f : 0.0f, p->c.memory,
        (size_t)p->c.offset + i * (size_t)p->c.stride, (size_t)p->c.pitch, &queue, event);
}

static CLBlastStatusCode several(cl_command_queue queue, const clblast_product *p,
                                 cl_event *event) {
    return CLBlastSgemmStridedBatched(
        CLBlastLayoutColMajor, of_b(p), CLBlastTransposeNo, (size_t)p->n, (size_t)p->m,
        (size_t)p->k, 1.0f, p->b.memory, (size_t)p->b.offset, (size_t)p->b.pitch,
        (size_t)p->b.stride, p->a.memory, (size_t)p->a.offset, (size_t)p->a.pitch,
        (size_t)p->a.stride, p->add ? 1.0f : 0.0f, p->c.memory, (size_t)p->c.offset,
        (size_t)p->c.pitch, (size_t)p->c.stride, (size_t)p->count, &queue, event);
}

static bool all_safe(const clblast_product *p) {
    return attend__clblast_safe(&p->a, p->m, p->k) && attend__clblast_safe(&p->c, p->m, p->n) &&
           attend__clblast_safe(&p->b, p->transposed ? p->n : p->k, p->transposed ? p->k : p->n);
}

/* `event`: of the last command of a single call into CLBlast; NULL is allowed. */
static int gemm(cl_command_queue queue, const clblast_product *p, cl_event *event) {
    const size_t count = p->batched ? (size_t)p->count : 1;
    if (p->m == 0 || p->n == 0 || p->k == 0 || count == 0) return CLBlastSuccess;
    if (!all_fit(p)) return CLBlastInvalidDimension;
    CLBlastStatusCode code = CLBlastSuccess;
    attend__clblast_lock();
    if (p->batched && all_safe(p))
        code = several(queue, p, event);
    else
        for (size_t i = 0; i < count && code == CLBlastSuccess; i++)
            code = one(queue, p, i, event);
    attend__clblast_unlock();
    return code;
}

int attend__clblast_gemm(cl_command_queue queue, const clblast_product *p) {
    return gemm(queue, p, NULL);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static attend_status status_of(int code) {
    switch (code) {
    case CLBlastTempBufferAllocFailure:
    case CLBlastOpenCLOutOfResources:
    case CLBlastOpenCLOutOfHostMemory:
    case CLBlastInvalidBufferSize:
        return ATTEND_OUT_OF_MEMORY;
    case CLBlastOpenCLCompilerNotAvailable:
    case CLBlastOpenCLBuildProgramFailure:
    case CLBlastInvalidBinary:
    case CLBlastInvalidBuildOptions:
    case CLBlastInvalidLocalMemUsage:
    case CLBlastInvalidLocalThreadsTotal:
    case CLBlastInvalidLocalThreadsDim:
        return ATTEND_BUILD_FAILED;
    case CLBlastInvalidCommandQueue:
        return ATTEND_DEVICE_LOST;
    default:
        return ATTEND_INTERNAL;
    }
}

static int multiply(ocl_run *run, const clblast_product *p) {
    cl_event event = NULL;
    attend__ocl_foreign_begin(run);
    const int code = gemm(run->device->queue, p, run->device->chained ? &event : NULL);
    attend__ocl_foreign_end(run, event);
    return code;
}

void attend__clblast_multiply(ocl_run *run, const clblast_product *p) {
    if (run->status != ATTEND_OK || run->purpose != OCL_WORK) return;
    if (!all_fit(p)) {
        run->status = attend__ocl_refuse(run->device->host, ATTEND_UNSUPPORTED,
                                         "clblast: a matrix that ends beyond 2^31 elements of its "
                                         "buffer; CLBlast counts up to there");
        return;
    }
    /* out of order an event stands for one call of CLBlast */
    const bool calls = run->device->chained && p->batched && !all_safe(p);
    clblast_product part = *p;
    int code = CLBlastSuccess;
    part.batched = p->batched && !calls;
    for (int64_t i = 0; i < (calls ? p->count : 1) && code == CLBlastSuccess; i++) {
        code = multiply(run, &part);
        part.a.offset += p->a.stride;
        part.b.offset += p->b.stride;
        part.c.offset += p->c.stride;
    }
    if (code == CLBlastSuccess || run->status != ATTEND_OK) return;
    run->device->failed_call = "a product of CLBlast";
    run->device->failed_error = code;
    run->status = attend__ocl_refuse(
        run->device->host, status_of(code),
        "clblast: a product of %lld x %lld x %lld failed with CLBlast's status %d", (long long)p->m,
        (long long)p->n, (long long)p->k, code);
    if (run->status == ATTEND_DEVICE_LOST) attend__ocl_lose(run->device);
}

int attend__clblast_rows_to_warm_up(int64_t most, int64_t rows[CLBLAST_WARM_UPS]) {
    /* CLBlast turns whole tiles of 32 by a kernel of its own, products' tiles have up to 128 */
    enum { TILE = 32, WHOLE_TILES = 128, ODD = 1 };
    const int64_t whole = most > WHOLE_TILES ? WHOLE_TILES : most / TILE * TILE;
    int count = 0;
    rows[count++] = most;
    if (whole > 0 && whole < most) rows[count++] = whole;
    if (most > ODD) rows[count++] = ODD;
    return count;
}

/* Not as a plan's enqueue: that could be kept behind a gate of the application's, and nothing is
 * waited for here. Scratch holds no result between runs. */
attend_status attend__clblast_warm_up(attend_device *device, attend_device_plan *plan,
                                      void (*record)(ocl_run *run, const void *description),
                                      const void *largest) {
    void (*const own)(ocl_run * run, const void *description) = plan->record;
    cl_event last = NULL;
    attend__mutex_lock(&device->lock);
    plan->record = record;
    const cl_event tail = device->tail;
    const bool wait = device->chained && tail != NULL;
    const attend_status status =
        attend__ocl_submit(device, plan, largest, wait ? 1 : 0, wait ? &tail : NULL, &last);
    plan->record = own;
    if (last) (void)device->cl->clReleaseEvent(last);
    attend__mutex_unlock(&device->lock);
    return status;
}

void attend__clblast_clear(void) {
    attend__clblast_lock();
    (void)CLBlastClearCache();
    attend__clblast_unlock();
}

int64_t attend__clblast_partial(int64_t k) {
    int64_t partial = 64;
    while ((partial + 32) * (partial + 32) <= 64 * k) /* 8 sqrt(k) */
        partial += 32;
    return partial;
}
