/* SPDX-License-Identifier: Apache-2.0
 *
 * The OpenCL host layer that the backends `opencl` and `clblast` share (libattend-cl).
 *
 *   platforms and devices --open--> ocl_device: one per OpenCL device and process, counted; holds
 *       the one cl_context and the programs built for it
 *   attend_device (plugin.h): one per open context of the application; holds the one command queue
 *   attend_device_plan: the kernels of one operation; `record` enqueues them for one description
 *   ocl_run: one enqueue under way: queue, waits, kernel objects, staged small arrays
 *
 * Order. All work of an attend_device goes through one queue in the order in which it was enqueued:
 * an in-order queue, or one of the application's that is out of order, where each command waits for
 * the one before. Work that waits for a user event that is still open does not reach the queue: it
 * is kept here and submitted when the event is completed (ocl_gate.c), so that nobody else's work
 * waits behind a gate, and no driver ever sees a failed event. (Setting a negative status on a user
 * event leaves the queues of a context undefined, OpenCL 1.2 section 5.9.)
 * Scratch memory therefore is one buffer per attend_device: two runs never overlap in time. */
#ifndef ATTEND_CL_HOST_OCL_H
#define ATTEND_CL_HOST_OCL_H

#include "attend/plugin.h"
#include "base/recycler.h"
#include "base/thread.h"
#include "ocl_api.h"

#include <stdatomic.h>
#include <stdbool.h>

/* ---- devices -------------------------------------------------------------------------------- */

/* Families of kernels, by query and never by a vendor's name. ATTEND_KERNELS names one for tests
 * and for comparing. Name, text. */
#define OCL_CLASS_LIST(X)                                                                          \
    X(ROWS, "rows")   /* a CPU: one work-item per group, explicit vectors, no local memory */      \
    X(TILE, "tile")   /* local memory is real: work-groups of 64, register tiles */                \
    X(PLAIN, "plain") /* a GPU whose local memory is plain memory: the kernels of `rows`, in       \
                         work-groups and with fewer rows */
typedef enum ocl_class {
#define ATTEND_X(name, text) OCL_CLASS_##name,
    OCL_CLASS_LIST(ATTEND_X)
#undef ATTEND_X
        OCL_CLASS_COUNT
} ocl_class;

/* Units that multiply matrices (ocl_matrix.h). Name; as texts have it; what cl/kernels/matrix.h
 * wants; work-items of a sub-group; rows and columns of a product; words that its emulation
 * exchanges for each work-item; whether it multiplies BF16, too. */
#define OCL_MATRIX_LIST(X)                                                                         \
    X(NVIDIA, "nvidia", "-DMATRIX_NVIDIA", 32, 16, 8, 6, true)                                     \
    X(INTEL16, "intel16", "-DMATRIX_INTEL=16", 16, 8, 16, 16, true)                                \
    X(INTEL8, "intel8", "-DMATRIX_INTEL=8", 8, 8, 8, 16, true)                                     \
    X(ARM, "arm", "-DMATRIX_ARM", 16, 8, 16, 12, false)
typedef enum ocl_matrix_unit {
#define ATTEND_X(name, ...) OCL_MATRIX_##name,
    OCL_MATRIX_LIST(ATTEND_X)
#undef ATTEND_X
        OCL_MATRIX_COUNT, /* stands for none, too */
} ocl_matrix_unit;

/* Ways in which neighbours of a sub-group exchange values (ocl_subgroup.h). Name; as texts have it;
 * what cl/kernels/subgroup.h wants. */
#define OCL_SUBGROUP_LIST(X)                                                                       \
    X(KHR, "subgroups", OCL_SUBGROUPS " -DSUBGROUP_KHR")                                           \
    X(NVIDIA, "subgroups_nvidia", "-DSUBGROUP_NVIDIA")                                             \
    X(AMD, "subgroups_amd", "-DSUBGROUP_AMD")                                                      \
    X(EMULATED, "subgroups_emulated", "-DSUBGROUP_EMULATED")
typedef enum ocl_subgroup_way {
#define ATTEND_X(name, text, options) OCL_SUBGROUP_##name,
    OCL_SUBGROUP_LIST(ATTEND_X)
#undef ATTEND_X
        OCL_SUBGROUP_COUNT, /* stands for none, too */
} ocl_subgroup_way;
/* An option of kernels that call functions of sub-groups: they are built by the OpenCL C that these
 * need, all others by 1.2. */
#define OCL_SUBGROUPS "-DSUBGROUPS"

/* What a self-test found out (ocl_trial.h). */
typedef struct ocl_verdict {
    bool known, good;
    char reason[200]; /* where it is not good */
} ocl_verdict;

/* What was asked of a device once. Strings live as long as the process. */
typedef struct ocl_facts {
    const char *name, *vendor, *version, *driver;     /* of the device */
    const char *platform, *platform_version, *suffix; /* suffix: of the ICD, "POCL" */
    attend_device_kind kind;
    ocl_class kernels;
    cl_uint compute_units;
    size_t most_work_items; /* in a work-group, all of them in dimension 0 */
    size_t most_along[3];   /* and along each dimension */
    uint64_t memory_bytes, largest_buffer_bytes, local_bytes;
    cl_uint base_align_bits;
    bool unified;           /* shares its memory with the host */
    bool fast_fma;          /* fma is an instruction */
    bool half;              /* cl_khr_fp16 */
    bool keeps_binaries;    /* the driver has a build cache of its own */
    bool compiles_late;     /* kernels when they are first launched, not when they are built */
    bool prefetch;          /* its compiler has clang's __builtin_prefetch, and runs it */
    ocl_matrix_unit matrix; /* that its extensions promise */
    ocl_subgroup_way subgroup;
    const char *standard; /* "-cl-std=CL1.2", or the newest that subgroups need */
} ocl_facts;

typedef struct ocl_program ocl_program;

typedef enum ocl_answer { OCL_NOT_ASKED, OCL_NO, OCL_YES } ocl_answer;

/* One OpenCL device and its one context, shared by both backends and by all that opened it. */
typedef struct ocl_device {
    struct ocl_device *next;
    int references;
    ocl_api own_api; /* of an application that brought its own functions */
    const ocl_api *cl;
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    bool adopted;     /* the context is an application's */
    atomic_bool lost; /* the device stopped working in this context: nobody opens it any more */
    ocl_facts facts;
    attend__mutex build_lock;
    ocl_program *programs;
    ocl_verdict matrix[OCL_MATRIX_COUNT][2][2]; /* [emulated or not][F16, BF16] */
    ocl_verdict subgroup[OCL_SUBGROUP_COUNT];
    cl_command_queue rehearsals; /* ocl_rehearse.c; NULL until it is needed */
    ocl_answer in_place;         /* under build_lock: commands write host memory itself */
} ocl_device;

/* Device `index` over all platforms, counted from 0; platforms without a device and those that
 * fail take a place of their own with a reason. NOT_FOUND ends the list. Any thread. */
attend_status attend__ocl_info(const char *backend, uint32_t index, attend_device_info *info);
/* Takes a reference. On failure the sentence is set. */
attend_status attend__ocl_device_open(uint32_t index, const attend_host *host, ocl_device **device);
/* The same for objects of an application; `objects` is an attend_opencl_objects (opencl.h). */
attend_status attend__ocl_device_adopt(const void *objects, const attend_host *host,
                                       ocl_device **device);
void attend__ocl_device_release(ocl_device *device);
/* Releases the contexts that nobody has open; plugin.h: shutdown. */
void attend__ocl_shutdown(void);
/* plugin.h: fingerprint. Of the ICD files and the libraries they name. */
attend_status attend__ocl_fingerprint(char *text, size_t bytes);

/* ---- programs ------------------------------------------------------------------------------- */

/* The text of cl/kernels/NAME.cl with its headers, embedded at build time. */
typedef struct ocl_source {
    const char *name;
    const char *text;
    const char *digest; /* the first 16 digits of the text's SHA-256 */
} ocl_source;

/* Options of a program and those of every build for the device; false: longer than `bytes`. */
bool attend__ocl_build_options(const ocl_facts *facts, const char *options, char *all,
                               size_t bytes);
/* Builds `source` with `options` for the device, or finds it built: in memory, then in the build
 * cache on disk (ocl_cache.c). BUILD_FAILED carries the end of the log. Any thread. */
attend_status attend__ocl_program(ocl_device *device, const attend_host *host,
                                  const ocl_source *source, const char *options,
                                  cl_program *program);

/* ---- the device of one context --------------------------------------------------------------- */

struct attend_device_buffer {
    cl_mem memory;
    size_t byte_offset; /* of an imported buffer */
    size_t bytes;
    bool read_only;
    bool imported;                     /* others may lie over the same memory */
    struct attend_device_buffer *next; /* of those over host memory that are listed, ocl_buffer.c */
    const struct ocl_device *shared;   /* of one that is; and the memory under it */
    uintptr_t start, end;
};

typedef struct ocl_gate ocl_gate;

struct attend_device_event {
    atomic_int references;
    cl_event command; /* NULL while the work is kept behind a gate, and for user events */
    bool user;        /* completed by the application */
    bool imported;    /* `command` is the application's */
    bool complete;    /* known to have ended; then `status` says how */
    bool cut_short;   /* part of the work was refused: `status` holds once `command` has ended */
    attend_status status;
    cl_int state;                  /* of a command that failed */
    const char *refused;           /* not NULL: the call that failed, `state` its error */
    cl_event handed_out;           /* given out as "cl_event" where there was no command yet */
    struct ocl_follower *follower; /* carries the command's end over to it */
};

/* How host memory and the device's come together; ocl_transfer.h says what each means. */
typedef enum ocl_transfers {
    OCL_TRANSFERS_COPY,
    OCL_TRANSFERS_SHARE,
    OCL_TRANSFERS_STAGE
} ocl_transfers;
typedef struct ocl_piece {
    cl_mem memory;
    void *address; /* where it is mapped, as long as the device is open */
} ocl_piece;

struct attend_device {
    const attend_host *host;
    ocl_device *shared;
    const ocl_api *cl; /* shared->cl */
    cl_command_queue queue;
    bool chained; /* it is out of order: each command waits for the one before */
    bool lost;
    ocl_class kernels;      /* of the device, or what ATTEND_KERNELS asks */
    ocl_matrix_unit matrix; /* that plans may take, if it computes what it should */
    bool matrix_emulated;
    ocl_subgroup_way subgroup; /* the same of exchanges */
    struct ocl_tuning *tuning; /* what is known of kernels' parameters, ocl_tuning.c */
    ocl_transfers transfers;
    bool mapless;              /* what commands write in host memory is seen without a map */
    attend__mutex pieces_lock; /* of what the pieces hold */
    ocl_piece pieces[2];       /* OCL_TRANSFERS_STAGE */
    attend__mutex lock;        /* of everything below, and of the order of commands */
    attend__condition changed; /* events behind gates */
    cl_event tail;             /* the last command of ours, NULL = none */
    ocl_gate *gates, **last_gate;
    struct ocl_follower *followers; /* to be started when the lock is given back */
    attend__recycler records;       /* memory of events and buffers */
    cl_mem scratch;
    size_t scratch_bytes;
    attend_status failed;    /* first failure since the last finish */
    const char *failed_call; /* of the run that failed last, and its error */
    cl_int failed_error;
    const struct ocl_backend *backend;
};

/* ---- plans ---------------------------------------------------------------------------------- */

enum { OCL_MOST_KERNELS = 12 };

typedef struct ocl_run ocl_run;
typedef struct ocl_staging ocl_staging; /* memory for small arrays, ocl_run.c */

/* What an operation makes of its largest description. The first members are the operation's to
 * fill in plan_create, the rest belongs to ocl_plan.c. Operations that need more begin their own
 * structure with this one and are allocated by attend__ocl_plan_new with that size. */
struct attend_device_plan {
    attend_operation operation;
    size_t description_bytes;
    /* Enqueues the work of one validated description; failures stick to the run. Called under the
     * device's lock. */
    void (*record)(ocl_run *run, const void *description);
    void (*release)(attend_device *device, attend_device_plan *plan); /* NULL is allowed */
    size_t small_bytes;   /* room for small host arrays of one run, see attend__ocl_small */
    size_t scratch_bytes; /* of one run at the largest sizes */
    /* Used under the device's lock alone, which every run holds while it enqueues: a kernel object
     * with its arguments is never shared between threads. */
    int kernel_count;
    cl_kernel kernels[OCL_MOST_KERNELS];
    size_t most_items[OCL_MOST_KERNELS]; /* of its groups; 0: it has those of its launches */
    unsigned wide; /* bits of kernels whose largest grid is one of the wide ones, ocl_rehearse.c */
    ocl_staging *stagings;
};

/* A zeroed plan of `bytes`; NULL with the sentence set. */
void *attend__ocl_plan_new(attend_device *device, attend_operation operation, size_t bytes);
/* Adds a kernel of a source built with options; returns its number, or -1 with the sentence and
 * *status set. `status` not OK on entry: does nothing. `items`: of a work-group, in dimension 0,
 * which the kernel counts on: UNSUPPORTED where the driver does not run it so. OCL_ANY_GROUP: it
 * asks for its place in the grid alone, and may come in smaller groups than a launch names. */
enum { OCL_ANY_GROUP = 0 };
int attend__ocl_plan_kernel(attend_device *device, attend_device_plan *plan,
                            const ocl_source *source, const char *options, const char *name,
                            size_t items, attend_status *status);
/* Takes the last kernel out again, for a smaller one. */
void attend__ocl_plan_drop(attend_device *device, attend_device_plan *plan);
/* Creates kernel objects for a first run, grows the device's scratch memory. */
attend_status attend__ocl_plan_finish(attend_device *device, attend_device_plan *plan);
/* Enqueues the plan for one description and waits until it is done: for plans that are used once,
 * so that their work takes its place in the order of the queue. */
attend_status attend__ocl_plan_once(attend_device *device, attend_device_plan *plan,
                                    const void *description);
/* Where the driver compiles late: has every kernel that the plan may launch compiled on return.
 * Not on objects of an application: nothing but its work is enqueued there. */
attend_status attend__ocl_rehearse(attend_device *device, attend_device_plan *plan,
                                   const void *largest);
void attend__ocl_plan_release(attend_device *device, attend_device_plan *plan);

/* ---- runs ----------------------------------------------------------------------------------- */

typedef enum ocl_purpose {
    OCL_WORK,
    OCL_SIZES, /* nothing is called; how large the grids are is noted in the plan */
    OCL_IDLE   /* each kernel is launched with one work-group, which has nothing to do */
} ocl_purpose;

struct ocl_run {
    attend_device *device;
    attend_device_plan *plan;
    cl_command_queue queue; /* of its kernels */
    ocl_purpose purpose;
    ocl_staging *staging;
    attend_status status; /* the first failure; what follows does nothing */
    cl_uint wait_count;   /* of the first command */
    const cl_event *waits;
    cl_event last;          /* of the last command, owned */
    cl_mem scratch;         /* the device's, or the caller's workspace */
    int64_t scratch_offset; /* bytes; a multiple of 64 */
    size_t scratch_used;    /* bytes handed out by attend__ocl_scratch */
    size_t small_used;
};

/* Where a tensor lies: the element offset counts the import's byte offset in. memory NULL: not
 * given. */
typedef struct ocl_memory {
    cl_mem memory;
    int64_t offset; /* elements of the tensor's type */
} ocl_memory;

static inline bool attend__ocl_given(const attend_tensor *t) {
    return t->type != ATTEND_NO_TYPE;
}
static inline void attend__ocl_strides(int64_t *to, const attend_tensor *from, int count) {
    for (int i = 0; i < count; i++)
        to[i] = from->strides[i];
}
/* 1 for an unknown type. */
size_t attend__ocl_element_bytes(attend_type type);
/* A tensor of a description; `output`: refuses memory the device may not write. */
ocl_memory attend__ocl_input(ocl_run *run, const attend_tensor *tensor);
ocl_memory attend__ocl_output(ocl_run *run, const attend_tensor *tensor);
/* A small array, which may lie in host memory: then it is copied now, packed, and *packed says
 * with which strides. Call attend__ocl_small_flush before the first kernel that reads one. */
ocl_memory attend__ocl_small(ocl_run *run, const attend_tensor *tensor, attend_tensor *packed);
void attend__ocl_small_flush(ocl_run *run);
/* The next `bytes` of scratch: an offset in bytes into run->scratch, a multiple of 64. */
int64_t attend__ocl_scratch(ocl_run *run, size_t bytes);
/* Bytes as attend__ocl_scratch rounds them, for the sum in plan_create. */
static inline size_t attend__ocl_scratch_round(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

/* A failure of an operation's own: keeps the first, sets the sentence. */
void attend__ocl_run_fail(ocl_run *run, attend_status status, const char *sentence);

/* One kernel: begin, arguments in order, enqueue. */
typedef struct ocl_launch {
    ocl_run *run;
    cl_kernel kernel;
    int number;   /* of the kernel in the plan */
    cl_uint next; /* argument */
} ocl_launch;
ocl_launch attend__ocl_begin(ocl_run *run, int kernel);
void attend__ocl_memory(ocl_launch *launch, cl_mem memory); /* NULL is allowed */
void attend__ocl_value(ocl_launch *launch, const void *value, size_t bytes);
void attend__ocl_local(ocl_launch *launch, size_t bytes);
/* groups[i] work-groups of local[i] work-items each; a count of 0 enqueues nothing. Dimensions 1
 * and 2 may come in several commands (ocl_run.h), through all of which get_global_id counts. */
void attend__ocl_enqueue(ocl_launch *launch, const size_t groups[3], const size_t local[3]);

/* For libraries that enqueue by themselves (CLBlast): everything enqueued on run->device->queue
 * between these two belongs to the run. `event`: of the last of it, taken over; NULL: all that the
 * queue holds is waited for, which on a queue out of order may be work of the application's that
 * waits for ours. */
void attend__ocl_foreign_begin(ocl_run *run);
void attend__ocl_foreign_end(ocl_run *run, cl_event event);

/* ---- backends -------------------------------------------------------------------------------- */

/* What differs between `opencl` and `clblast`. */
typedef struct ocl_backend {
    const char *name;
    /* Fills *plan as plan_create of plugin.h. */
    attend_status (*plan_create)(attend_device *device, attend_operation operation,
                                 const void *largest, attend_plan_info *info,
                                 attend_device_plan **plan);
    attend_status (*weights_create)(attend_device *device, const attend_tensor *w,
                                    attend_device_weights **weights);
    void (*weights_release)(attend_device *device, attend_device_weights *weights);
    /* As in plugin.h; NULL is allowed. */
    void (*cache_layout)(attend_device *device, const attend_cache_desc *description,
                         attend_cache_layout *layout);
    attend_status (*open)(attend_device *device); /* NULL is allowed */
    void (*close)(attend_device *device);         /* NULL is allowed */
} ocl_backend;

/* Fill the plugin's table. `backend` lives as long as the process; each module has its own small
 * functions that hand it in. */
attend_status attend__ocl_open(const ocl_backend *backend, uint32_t index, const attend_host *host,
                               attend_device_table *table, attend_device **device);
attend_status attend__ocl_adopt(const ocl_backend *backend, const char *kind, const void *native,
                                const attend_host *host, attend_device_table *table,
                                attend_device **device);

/* "rows": a family of kernels in texts. */
const char *attend__ocl_class_text(ocl_class kernels);

/* The failure of an OpenCL call as a status and a sentence: "clCreateBuffer: CL_OUT_OF_..". */
attend_status attend__ocl_fail(const attend_host *host, cl_int error, const char *call);
#ifdef __GNUC__
__attribute__((format(printf, 3, 4)))
#endif
attend_status
attend__ocl_refuse(const attend_host *host, attend_status status, const char *format, ...);

#endif
