/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of sharing have in common: OpenCL as an application holds it, with functions of
 * the loader the test is linked with, and small problems of attention in it. The backend is the
 * program's argument, else `opencl`. */
#ifndef OWN_OPENCL_H
#define OWN_OPENCL_H

#include <attend/attend.h>
#include <attend/opencl.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <stdbool.h>

typedef struct own_opencl {
    cl_platform_id platform;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
} own_opencl;

extern const char *own_backend; /* "opencl" or "clblast" */
void own_choose_backend(int argc, char **argv);

/* Whether a platform with a device is there; otherwise main returns 77. */
bool own_find(own_opencl *own);
/* Of what own_find found: PoCL compiles a kernel when it is launched. */
bool own_is_pocl(const own_opencl *own);
/* Both on what own_find found; they assert success. */
void own_open(own_opencl *own, cl_command_queue_properties properties);
void own_close(own_opencl *own);

/* The application's objects for attend/opencl.h, and a context on them. */
attend_opencl_objects own_objects(const own_opencl *own);
attend_context *own_attend(const own_opencl *own);
/* One of its own that copies operands, whatever the device: ATTEND_TRANSFERS is `way`. */
attend_context *own_copying(const char *way);

/* ---- what was called, by the layer (layer.c) ------------------------------------------------- */

/* Before the first call of OpenCL in the process; false if the environment cannot be set. */
bool own_log_start(void);
void own_log_end(void);
bool own_log_exists(void);
long own_log_position(void);
/* Calls of `name` behind a position; `number` 0 = with any number. */
int own_calls(long from, const char *name, size_t number);
/* Bytes of the buffers that were made and not released yet, of a program of one thread. */
size_t own_bytes_held(void);

enum { OWN_OBJECTS = 4 };
/* References of context, queue, memory and event: taken and given back by calls so far, and what
 * the driver says. Some drivers keep references of their own for work that has ended (PoCL: the
 * queue's last command); there only the calls count. */
typedef struct own_counts {
    int calls[OWN_OBJECTS];
    cl_uint driver[OWN_OBJECTS];
} own_counts;
own_counts own_count(const own_opencl *own, cl_mem memory, cl_event event);
void own_check_counts(const own_opencl *own, const own_counts *before, cl_mem memory,
                      cl_event event);

/* Memory that holds `bytes` of `data` (NULL: of 0x5a). */
cl_mem own_memory(const own_opencl *own, cl_mem_flags flags, const void *data, size_t bytes);
void own_read(const own_opencl *own, cl_mem memory, size_t offset, void *data, size_t bytes);

/* ---- one small problem ----------------------------------------------------------------------- */

enum { OWN_B = 2, OWN_H = 2, OWN_L = 7, OWN_S = 9, OWN_D = 16 };
enum {
    OWN_QUERIES = OWN_B * OWN_H * OWN_L * OWN_D,
    OWN_KEYS = OWN_B * OWN_H * OWN_S * OWN_D,
    OWN_LEAD = 5, /* elements before each tensor in its memory */
    OWN_SUM = 4 * OWN_LEAD + 2 * OWN_QUERIES + 2 * OWN_KEYS
};

/* q, k, v and out, one behind the other in one array of OWN_SUM floats. */
void own_fill(float *values, unsigned seed);
/* Causal attention in host memory, or in buffers; `buffers` are those of q, k, v, out. */
attend_attention own_on_host(float *values);
attend_attention own_in_buffers(attend_buffer *const buffers[4], const int64_t offsets[4]);
/* Where tensor i (q, k, v, out) begins, in elements, and how many it has. */
int64_t own_start(int i);
int64_t own_size(int i);
/* What the backend cpu makes of it, into values. */
void own_expect(float *values);
/* Each of `count` values is within 1e-5 of the expected one, which the small sizes allow. */
void own_check_close(const float *values, const float *expected, int64_t count);

/* Asserts the status and that the thread's sentence contains `text`. */
void own_refused(attend_status status, attend_status expected, const char *text);

#endif
