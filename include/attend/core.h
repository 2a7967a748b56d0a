/* SPDX-License-Identifier: Apache-2.0
 *
 * attend/core.h - what every call of the library is made of: status codes, tensor views, contexts,
 * devices, buffers, events and the record of why a call ran where it ran.
 *
 * Rules that hold for every function of the library, unless its comment says otherwise:
 *   - Units: strides, offsets and sizes of tensors count elements; a name that ends in `_bytes`
 *     counts bytes.
 *   - Errors: a function that can fail returns attend_status. On failure no output is written,
 *     nothing is leaked, and attend_error_text() of the calling thread holds a sentence that names
 *     the argument.
 *   - Structures that callers fill start with `size`, set by the structure's `_init` or `_default`
 *     function. Never set it by hand. A field added by a later version means "off" when zero.
 *   - Threads: a context and all that is made from it may be used from any number of threads at
 *     once; destroying an object while another thread uses it is the caller's fault.
 *   - The library prints nothing, installs no handler, and never ends the process.
 *   - Letters: B batch, H query heads, G key/value heads, L query length, S key length, D head
 *     size, E value head size, M model size. */
#ifndef ATTEND_CORE_H
#define ATTEND_CORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ATTEND_VERSION_MAJOR 1
#define ATTEND_VERSION_MINOR 0
#define ATTEND_VERSION_PATCH 0

#if defined(_WIN32) && defined(ATTEND_BUILDING)
#define ATTEND_API __declspec(dllexport)
#elif defined(_WIN32) && !defined(ATTEND_STATIC)
#define ATTEND_API __declspec(dllimport)
#elif defined(__GNUC__)
#define ATTEND_API __attribute__((visibility("default")))
#else
#define ATTEND_API
#endif

/* ---- status ------------------------------------------------------------------------------- */

/* Every status: name, pinned value, text. Values are never renumbered. */
#define ATTEND_STATUS_LIST(X)                                                                      \
    X(OK, 0, "success")                                                                            \
    X(INVALID, -1, "an argument has a value that is not allowed")                                  \
    X(NULL_POINTER, -2, "a required pointer or tensor is missing")                                 \
    X(SHAPE, -3, "ranks or sizes of tensors do not fit together")                                  \
    X(TYPE, -4, "an element type is not allowed here")                                             \
    X(STRIDE, -5, "a stride is negative, or zero where something is written")                      \
    X(OVERFLOW, -6, "a size does not fit into the address space")                                  \
    X(OVERLAP, -7, "an output overlaps an input or another output")                                \
    X(OUT_OF_RANGE, -8, "a length, position or index lies outside its tensor")                     \
    X(UNSUPPORTED, -9, "the backend in use cannot do this")                                        \
    X(NOT_FOUND, -10, "no backend, device, file or entry of that name")                            \
    X(AMBIGUOUS, -11, "a name fits more than one device")                                          \
    X(NO_DEVICE, -12, "the backend has no usable device")                                          \
    X(INCOMPATIBLE, -13, "a module or file was made for another version")                          \
    X(OUT_OF_MEMORY, -14, "memory could not be had")                                               \
    X(BUILD_FAILED, -15, "a kernel could not be built")                                            \
    X(DEVICE_LOST, -16, "the device stopped working")                                              \
    X(BUSY, -17, "the object is still in use")                                                     \
    X(TIMEOUT, -18, "the wait ended before the work did")                                          \
    X(SHUT_DOWN, -19, "the library was shut down")                                                 \
    X(FORKED, -20, "the object belongs to the parent process")                                     \
    X(IO, -21, "a file could not be read or written")                                              \
    X(FORMAT, -22, "a file does not hold what it should")                                          \
    X(DENIED, -23, "not allowed in this process")                                                  \
    X(INTERNAL, -24, "a fault inside the library or a backend")

typedef enum attend_status {
#define ATTEND_X(name, value, text) ATTEND_##name = value,
    ATTEND_STATUS_LIST(ATTEND_X)
#undef ATTEND_X
        ATTEND_STATUS_FORCE_32_BITS = 0x7fffffff
} attend_status;

/* "ATTEND_SHAPE" and its text. Both are static, never NULL; an unknown value gives "unknown
 * status". Any thread. */
ATTEND_API const char *attend_status_name(attend_status status);
ATTEND_API const char *attend_status_text(attend_status status);

/* The sentence of the calling thread's last failure, "" before the first; never NULL. Owned by the
 * library; valid until the thread's next call into it. Any thread. */
ATTEND_API const char *attend_error_text(void);
/* For libraries built on this one, so that their failures read like its own: stores `text` (copied;
 * NULL is
 * "") as the calling thread's sentence and returns `status`. Any thread. */
ATTEND_API attend_status attend_error_set(attend_status status, const char *text);

/* Version of the library that runs, as 10000 * major + 100 * minor + patch. Any thread. */
ATTEND_API uint32_t attend_version(void);

/* ---- tensors ------------------------------------------------------------------------------ */

/* Element types: name, pinned value, bytes, name in texts. F16 is IEEE binary16, BF16 the upper
 * half of F32; BOOL is a byte, nonzero = true. */
#define ATTEND_TYPE_LIST(X)                                                                        \
    X(F32, 1, 4, "f32")                                                                            \
    X(F16, 2, 2, "f16")                                                                            \
    X(BF16, 3, 2, "bf16")                                                                          \
    X(I8, 4, 1, "int8")                                                                            \
    X(I32, 5, 4, "i32")                                                                            \
    X(I64, 6, 8, "i64")                                                                            \
    X(BOOL, 7, 1, "bool")                                                                          \
    X(U8, 8, 1, "u8")

typedef enum attend_type {
    ATTEND_NO_TYPE = 0,
#define ATTEND_X(name, value, bytes, text) ATTEND_##name = value,
    ATTEND_TYPE_LIST(ATTEND_X)
#undef ATTEND_X
        ATTEND_TYPE_FORCE_32_BITS = 0x7fffffff
} attend_type;

/* Bytes of one element, 0 for an unknown type; its name in texts ("f32"), "?" if unknown. */
ATTEND_API size_t attend_type_bytes(attend_type type);
ATTEND_API const char *attend_type_text(attend_type type);

#define ATTEND_MAX_RANK 6

typedef struct attend_buffer attend_buffer;

/* A view of elements in host memory or in a buffer; it owns nothing. Frozen: never grows.
 * Element (i0, i1, ..) lies `offset` + i0 * strides[0] + i1 * strides[1] + .. elements behind
 * `data`, or behind the start of `buffer`. A view with type ATTEND_NO_TYPE (all zero) is "not
 * given". Exactly one of `data` and `buffer` is set, unless the view has no elements. Sizes >= 0;
 * strides >= 0, 0 repeats the element along that dimension (inputs only); any order of strides.
 * Host memory is aligned to its element type. The memory must stay valid until the call returns,
 * or, for enqueue calls, until the event is complete; what is created from a view copies it. */
typedef struct attend_tensor {
    void *data;
    attend_buffer *buffer;
    int64_t offset;
    attend_type type;
    int32_t rank;
    int64_t sizes[ATTEND_MAX_RANK];
    int64_t strides[ATTEND_MAX_RANK];
    const struct attend_tensor *scales;      /* reserved for quantised types: must be NULL */
    const struct attend_tensor *zero_points; /* reserved: must be NULL */
    int64_t reserved[2];                     /* must be 0 */
} attend_tensor;

/* A contiguous view (last dimension fastest) over host memory. `data` is const so that inputs need
 * no cast; a view used as an output is written through. No check is made here: the call that uses
 * the view checks it. `rank` beyond ATTEND_MAX_RANK gives a view that every call refuses. */
ATTEND_API attend_tensor attend_tensor_nd(const void *data, attend_type type, int32_t rank,
                                          const int64_t *sizes);
ATTEND_API attend_tensor attend_tensor_1d(const void *data, attend_type type, int64_t n0);
ATTEND_API attend_tensor attend_tensor_2d(const void *data, attend_type type, int64_t n0,
                                          int64_t n1);
ATTEND_API attend_tensor attend_tensor_3d(const void *data, attend_type type, int64_t n0,
                                          int64_t n1, int64_t n2);
ATTEND_API attend_tensor attend_tensor_4d(const void *data, attend_type type, int64_t n0,
                                          int64_t n1, int64_t n2, int64_t n3);
/* The [B, heads, L, D] view of a contiguous [B, L, heads * D] array: the layout that projections
 * write and read, so heads need no copy to be split or merged. */
ATTEND_API attend_tensor attend_tensor_heads(const void *data, attend_type type, int64_t batch,
                                             int64_t length, int64_t heads, int64_t head_size);
/* A view inside a buffer, `offset` in elements of `type`. strides NULL = contiguous. */
ATTEND_API attend_tensor attend_tensor_in(attend_buffer *buffer, int64_t offset, attend_type type,
                                          int32_t rank, const int64_t *sizes,
                                          const int64_t *strides);

/* ---- context ------------------------------------------------------------------------------ */

typedef struct attend_context attend_context;

typedef enum attend_log_level {
    ATTEND_LOG_ERROR = 1,
    ATTEND_LOG_WARNING = 2,
    ATTEND_LOG_INFO = 3,
    ATTEND_LOG_FORCE_32_BITS = 0x7fffffff
} attend_log_level;

/* Receives what the library would like to say. `topic` is one of "load", "select", "dispatch",
 * "build", "config"; texts are one line without line end, valid during the call. May be called from
 * any thread, several at once; must not call the library back. Tensor data is never logged. Lines
 * of the topic "dispatch", one a call, come only where `verbose` or ATTEND_VERBOSE names it. */
typedef void attend_log_fn(void *user, attend_log_level level, const char *topic, const char *text);

/* An application's own thread pool: calls task(argument, i) once for each i in 0..count-1, possibly
 * in parallel, and returns when all are done. */
typedef void attend_parallel_fn(void *user, int32_t count,
                                void (*task)(void *argument, int32_t index), void *argument);

/* An application's own allocator. allocate returns memory aligned to `alignment` (a power of two),
 * or NULL; release gets what allocate returned. Both must be callable from any thread. Used for
 * objects and workspace of the context; error texts and thread-local state use the C library. */
typedef struct attend_allocator {
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *memory);
    void *user;
} attend_allocator;

/* How a context is opened. A field that is NULL or 0 leaves the choice to the environment, then to
 * the default. Strings and pointers need to live until attend_open returns; `log`, `parallel` and
 * `allocator` are called until the context is closed. */
typedef struct attend_options {
    size_t size;
    const char *backend; /* as ATTEND_BACKEND: "cpu", "reference", a list "opencl,cpu", "auto" */
    const char *device;  /* as ATTEND_DEVICE: an id, a part of a name, "gpu" or "cpu" */
    const char *plugin_path; /* as ATTEND_PLUGIN_PATH: folders of modules, ':' (';') between */
    const char *isa;         /* as ATTEND_ISA: "scalar", "avx2", "avx512bf16", ..; only lowers */
    int32_t threads;         /* as ATTEND_NUM_THREADS; 0 = the processors this process may use */
    const char *verbose;     /* as ATTEND_VERBOSE: topics, "all"; with `log` they go there alone */
    int32_t ignore_environment; /* 1: no ATTEND_* variable is read for this context */
    attend_log_fn *log;
    void *log_user;
    attend_parallel_fn *parallel; /* NULL: the library's own threads, started at the first run */
    void *parallel_user;
    const attend_allocator *allocator;
} attend_options;

ATTEND_API void attend_options_init(void *options, size_t size);
static inline attend_options attend_options_default(void) {
    attend_options o;
    attend_options_init(&o, sizeof o);
    return o;
}

/* Chooses backend and device and opens them. `options` NULL = all from the environment, read now.
 * One name is strict: that backend or the reason why not. A list permits falling back in its order,
 * with one warning. "auto" (default) takes a GPU only where a stored verdict calls its driver good,
 * else "cpu". Errors: NOT_FOUND and AMBIGUOUS name the candidates; NO_DEVICE, INCOMPATIBLE, DENIED
 * say why; INVALID for a bad thread count or ISA; OUT_OF_MEMORY. *context is NULL after a failure.
 * Allocates. */
ATTEND_API attend_status attend_open(const attend_options *options, attend_context **context);

/* Opens a context on objects the application already has. `kind` names what `native` points to; the
 * kinds are a backend's ("opencl": attend_opencl_objects of opencl.h). References are taken and
 * given back at close; nothing else of the application's is touched. UNSUPPORTED if no backend
 * knows `kind`. */
ATTEND_API attend_status attend_open_native(const char *kind, const void *native,
                                            const attend_options *options,
                                            attend_context **context);

/* Waits for the context's work, then releases it. NULL is allowed. Plans, layers, buffers and
 * events made from it keep it alive until they are released too. */
ATTEND_API void attend_close(attend_context *context);

/* Ends the library: waits for work, shuts the modules' devices. Later calls return SHUT_DOWN;
 * release functions stay allowed. BUSY while contexts are open. Modules stay mapped. Not needed
 * before exit. */
ATTEND_API attend_status attend_shutdown(void);

/* Why and where something ran. Strings are never NULL, owned by the library, and valid until the
 * calling thread's next call into it. */
typedef struct attend_decision {
    size_t size;
    const char *backend; /* "cpu" */
    const char *device;  /* name of the device */
    const char *kernel; /* what ran last, "attention_f32_12x32__avx512"; "" before the first call */
    const char *reason; /* why this backend: "ATTEND_BACKEND asked", "default" */
    const char *refused; /* why better ones were not taken, one a line; "" if none was refused */
    const char *shape;   /* sizes, type and options of the call: "B1 H8 G8 L10 S10 D64 f32" */
    /* Bytes of the call's tensors in host memory that were copied to or from the device, and that
     * the device used where they lie. 0 where it works on host memory anyway (`cpu`). */
    uint64_t copied_bytes, in_place_bytes;
} attend_decision;

/* The calling thread's last call on this context; before the first call kernel and shape are "".
 * decision->size must be set by the caller. */
ATTEND_API attend_status attend_context_decision(const attend_context *context,
                                                 attend_decision *decision);
/* The same on one line: "cpu: AMD EPYC, kernel attention_f32_12x32__avx512; ATTEND_BACKEND asked".
 */
ATTEND_API const char *attend_describe(const attend_context *context);

/* ---- devices ------------------------------------------------------------------------------ */

typedef enum attend_device_kind {
    ATTEND_DEVICE_UNKNOWN = 0,
    ATTEND_DEVICE_CPU = 1,
    ATTEND_DEVICE_INTEGRATED_GPU = 2,
    ATTEND_DEVICE_DISCRETE_GPU = 3,
    ATTEND_DEVICE_ACCELERATOR = 4,
    ATTEND_DEVICE_KIND_FORCE_32_BITS = 0x7fffffff
} attend_device_kind;

/* One line of the listing: a device, or a module that cannot be used and why. */
typedef struct attend_device_info {
    size_t size;
    const char *id;      /* unique and stable: "cpu:0", "opencl:0"; a module's name when unusable */
    const char *backend; /* "cpu"; the file for a module that could not be read */
    const char *name;
    const char *vendor;
    const char *version;
    const char *platform; /* "" where the backend has none */
    const char *reason;   /* NULL for a usable device, else why not */
    attend_device_kind kind;
    uint32_t types;        /* bit (1 << attend_type) for each float type it computes with */
    uint64_t memory_bytes; /* 0 = unknown */
    const char *file;      /* of the module, "" for a built-in backend; not a plugin's to set */
    attend_status status;  /* of `reason`: OK without one; NO_DEVICE, INCOMPATIBLE, BUILD_FAILED,
                              DEVICE_LOST for a crash, TIMEOUT for a hang, .. */
    double seconds;        /* what attend_probe's test of the device took; else 0 */
} attend_device_info;

typedef struct attend_device_list attend_device_list;

/* Lists what can run here and why the rest cannot, as attend_open with these options would see it.
 * A broken module is a line with a reason, never a failure. Release with
 * attend_device_list_release. */
ATTEND_API attend_status attend_device_list_create(const attend_options *options,
                                                   attend_device_list **list);
ATTEND_API size_t attend_device_list_count(const attend_device_list *list);
/* info->size must be set by the caller. The strings in *info live as long as the list. OUT_OF_RANGE
 * for index >= count. */
ATTEND_API attend_status attend_device_list_get(const attend_device_list *list, size_t index,
                                                attend_device_info *info);
ATTEND_API void attend_device_list_release(attend_device_list *list);

/* The same listing, made and tested outside this process, because a vendor's driver can crash or
 * hang its host: the program attend-probe, which lies beside the modules, loads each module, lists
 * its devices and runs a small attention on each of them, one process a device. A device whose
 * `reason` is NULL computed the right numbers; else the reason says what went wrong: a crash, a
 * hang, wrong numbers, attend-probe missing. A `backend` option of one name or a list restricts the
 * probe to those; `reference` is what the others are compared with and not listed otherwise. Each
 * process is killed after `seconds` (0 = 60). What is found out about a module with drivers is
 * stored in the cache folder as the verdict that "auto" reads; ATTEND_CACHE=off stores nothing.
 * Errors: INVALID for bad options or negative seconds, OUT_OF_MEMORY. Starts processes. */
ATTEND_API attend_status attend_probe(const attend_options *options, double seconds,
                                      attend_device_list **list);

/* ---- buffers ------------------------------------------------------------------------------ */

/* Memory of the context's device, contents undefined. bytes 0 is allowed. Reference counted;
 * release may be called while work is under way. Errors: OUT_OF_MEMORY. */
ATTEND_API attend_status attend_buffer_create(attend_context *context, size_t bytes,
                                              attend_buffer **buffer);

/* Wraps memory that exists: `kind` "host" (native = the pointer; must outlive the buffer), or a
 * backend's own kind ("cl_mem"). The range is `bytes` from `byte_offset` on. UNSUPPORTED if this
 * device cannot use the kind without a copy. A reference is held on native objects that count them.
 */
ATTEND_API attend_status attend_buffer_import(attend_context *context, const char *kind,
                                              void *native, size_t byte_offset, size_t bytes,
                                              attend_buffer **buffer);

/* Copies between host memory and a buffer; both return when the copy is done and wait for work that
 * was enqueued before on this context; of what itself waits for an event that is not complete only
 * for what uses the buffer. OUT_OF_RANGE if the range does not lie within the buffer. */
ATTEND_API attend_status attend_buffer_write(attend_buffer *buffer, size_t offset_bytes,
                                             const void *data, size_t bytes);
ATTEND_API attend_status attend_buffer_read(attend_buffer *buffer, size_t offset_bytes, void *data,
                                            size_t bytes);
ATTEND_API size_t attend_buffer_size_bytes(const attend_buffer *buffer);
ATTEND_API void attend_buffer_release(attend_buffer *buffer); /* NULL is allowed */

/* ---- events ------------------------------------------------------------------------------- */

/* What an enqueue call returns: complete when its work is, with that work's status. Reference
 * counted, starts at 1. An event of one context can be waited for by work of the same context only.
 */
typedef struct attend_event attend_event;

/* Waits at most `nanoseconds` (negative = without end) and returns the work's status, or TIMEOUT.
 * Work that waited for failed work fails with the same status and does not run. */
ATTEND_API attend_status attend_event_wait(attend_event *event, int64_t nanoseconds);
/* 1 in *complete once the work ended; returns its status then, OK before. Does not block. */
ATTEND_API attend_status attend_event_query(attend_event *event, int32_t *complete);
/* The backend's own object of that kind ("cl_event"), owned by the event. UNSUPPORTED where none.
 */
ATTEND_API attend_status attend_event_native(attend_event *event, const char *kind, void **native);
/* An event of the application's own OpenCL or the like, so that work can wait for it: kinds as
 * attend_event_native. A reference is held on it. INVALID for an event that the device cannot wait
 * for, UNSUPPORTED for a kind it does not know. */
ATTEND_API attend_status attend_event_import(attend_context *context, const char *kind,
                                             void *native, attend_event **event);
ATTEND_API void attend_event_release(attend_event *event); /* NULL is allowed */

/* An event that the application completes: work that waits for it starts then, and fails with
 * `status` if that is not OK. Completing twice is INVALID. Complete it before it is released: what
 * waits for it, attend_finish and attend_close among that, would wait for ever. */
ATTEND_API attend_status attend_user_event_create(attend_context *context, attend_event **event);
ATTEND_API attend_status attend_user_event_complete(attend_event *event, attend_status status);

/* Waits for all that was enqueued on this context; the status of the first work that failed since
 * the last finish. */
ATTEND_API attend_status attend_finish(attend_context *context);

#ifdef __cplusplus
}
#endif
#endif
