/* SPDX-License-Identifier: Apache-2.0
 *
 * attend/plugin.h - all a backend needs. A module is one shared object named attend-<name>.so
 * (.dll, .dylib) that exports one function, ATTEND_PLUGIN_ENTRY. It exchanges tables with the host,
 * never links libattend, and may call none of the functions of the other headers; their types are
 * its vocabulary.
 *
 * The built-in backends fill the same tables. tests/plugin/ holds a complete module of a third
 * party.
 *
 * Rules of the tables:
 *   - Each starts with its size; members are only ever appended. The host copies a plugin's table
 *     into a zeroed one of its own: what an older plugin lacks is NULL, and NULL means
 *     "unsupported" for every member not marked "required". The plugin does the same with the
 *     host's.
 *   - Descriptions that the host passes have been validated and completed (see attend_operation
 *     below). They start with `size` too: a plugin built against an older header reads its own
 *     prefix. It cannot overlook a newer option, because the host refuses a call whose options or
 *     enum values the device's table does not declare.
 *   - Nothing aborts, exits or throws across this boundary. Every function that can fail returns
 *     attend_status and, on failure, has left a sentence with host->set_error.
 *   - Memory is released by the side that allocated it. */
#ifndef ATTEND_PLUGIN_H
#define ATTEND_PLUGIN_H

#include "attend.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ATTEND_PLUGIN_ABI 1u
#define ATTEND_PLUGIN_ENTRY attend_plugin_entry_v1
#define ATTEND_PLUGIN_ENTRY_NAME "attend_plugin_entry_v1"

#if defined(_WIN32)
#define ATTEND_PLUGIN_EXPORT __declspec(dllexport)
#elif defined(__GNUC__)
#define ATTEND_PLUGIN_EXPORT __attribute__((visibility("default")))
#else
#define ATTEND_PLUGIN_EXPORT
#endif

/* ---- what can be asked of a device ---------------------------------------------------------- */

/* Operations: name, pinned value, type of the description, name in texts.
 *
 * In every description that reaches a device: tensors hold a device address (see
 * attend_device_flags); offsets lie inside the memory; sizes fit together; outputs overlap nothing
 * (but the "in place" cases); no output has size 0 (the host returns early), though S, D, E or K
 * may be 0. attend_attention: q, k, v, out, weights, scores, mask and bias have rank 4, mask and
 * bias expanded to [B, H, L, n] with stride 0 where they broadcast and n < S where they cover only
 * n keys; has_scale is 1; position is TOP_LEFT, BOTTOM_RIGHT or AT_OFFSETS, and TOP_LEFT if no
 * position is used; alibi_slopes has rank 2 [B, H]; window bounds that no pair of a query and a key
 * reaches may have become -1, others may be as large as 2^63 - 1; scores_stage is valid;
 * max_query_length and max_key_length are L and S; `cache` is NULL, its keys and values stand in k,
 * v, scales and page_table, its lengths in key_lengths, its positions in query_offsets. Sample b
 * has query rows from cu_query_lengths[b] on where that is given, else those of batch b; keys by
 * cu_key_lengths, by page_table, or of batch b. There are attend_attention_samples (below) samples.
 * key_end is 0 or above key_begin. attend_append: counts or cu_counts given, and page_table or P =
 * B. Descriptions with rows "[.., N]": kept as given; the rows of all tensors have the same sizes.
 * attend_projection: either `w` is given, or `weights` holds what weights_prepare returned. */
#define ATTEND_OPERATION_LIST(X)                                                                   \
    X(ATTENTION, 0, attend_attention, "attention")                                                 \
    X(SCORES, 1, attend_attention, "scores")                                                       \
    X(SOFTMAX, 2, attend_attention, "softmax")                                                     \
    X(MIX, 3, attend_attention, "mix")                                                             \
    X(PROJECT, 4, attend_projection, "project")                                                    \
    X(COPY, 5, attend_copy, "copy")                                                                \
    X(NORM, 6, attend_norm, "norm")                                                                \
    X(ACTIVATE, 7, attend_elementwise, "activate")                                                 \
    X(ROPE, 8, attend_rope, "rope")                                                                \
    X(EMBED, 9, attend_embedding, "embed")                                                         \
    X(APPEND, 10, attend_append, "append")                                                         \
    X(MERGE, 11, attend_merging, "merge")

typedef enum attend_operation {
#define ATTEND_X(name, value, type, text) ATTEND_OP_##name = value,
    ATTEND_OPERATION_LIST(ATTEND_X)
#undef ATTEND_X
        ATTEND_OP_COUNT,
    ATTEND_OP_FORCE_32_BITS = 0x7fffffff
} attend_operation;

/* Options of attend_attention that a call can use: name, bit, when it is in use. */
#define ATTEND_OPTION_LIST(X)                                                                      \
    X(CAUSAL, 0, "causal")                                                                         \
    X(WINDOW, 1, "window")                                                                         \
    X(MASK, 2, "mask")                                                                             \
    X(BIAS, 3, "bias")                                                                             \
    X(KEY_MASK, 4, "key_mask")                                                                     \
    X(KEY_LENGTHS, 5, "key_lengths")                                                               \
    X(QUERY_LENGTHS, 6, "query_lengths")                                                           \
    X(QUERY_OFFSETS, 7, "query_offsets")                                                           \
    X(ALIBI, 8, "alibi_slopes")                                                                    \
    X(SINKS, 9, "sinks")                                                                           \
    X(SOFTCAP, 10, "softcap")                                                                      \
    X(WEIGHTS, 11, "weights")                                                                      \
    X(WEIGHTS_MEAN, 12, "weights_mean")                                                            \
    X(SCORES_OUT, 13, "scores")                                                                    \
    X(LSE, 14, "lse")                                                                              \
    X(PACKED, 15, "cu_lengths")                                                                    \
    X(PAGES, 16, "cache or page_table")                                                            \
    X(FAST, 17, "precision FAST")                                                                  \
    X(GROUPED, 18, "grouped heads")                                                                \
    X(VALUE_SIZE, 19, "value size unlike head size")                                               \
    X(MIXED_TYPES, 20, "q of another type than k and v")                                           \
    X(WORKSPACE, 21, "workspace")                                                                  \
    X(SCALES, 22, "int8 keys and values")                                                          \
    X(KEY_RANGE, 23, "key_begin and key_end")

#define ATTEND_X(name, bit, text) static const uint64_t ATTEND_OPTION_##name = (uint64_t)1 << bit;
ATTEND_OPTION_LIST(ATTEND_X)
#undef ATTEND_X

/* Every option this header knows, for a device that understands them all. */
#define ATTEND_X(name, bit, text) | (uint64_t)1 << bit
static const uint64_t ATTEND_OPTIONS_KNOWN = 0 ATTEND_OPTION_LIST(ATTEND_X);
#undef ATTEND_X

/* ---- what the host offers ------------------------------------------------------------------- */

/* All members are required, `self` goes into each call; any thread may call them. The table given
 * to the entry serves the whole process and lives until it ends; the one given to device_open
 * belongs to that device and lives until its close. */
typedef struct attend_host {
    uint32_t size;
    uint32_t abi;
    void *self;
    void (*log)(void *self, attend_log_level level, const char *topic, const char *text);
    /* The sentence that attend_error_text will give on this thread; copied. */
    void (*set_error)(void *self, const char *text);
    void *(*allocate)(void *self, size_t bytes, size_t alignment);
    void (*release)(void *self, void *memory); /* NULL is allowed */
    /* Calls task(argument, i) once for each i in 0..count-1, in parallel where threads are free;
     * returns when all are done. Tasks may not call parallel again. thread_count: how many can run
     * at once. */
    int32_t (*thread_count)(void *self);
    void (*parallel)(void *self, int32_t count, void (*task)(void *argument, int32_t index),
                     void *argument);
    /* A setting by its name without ATTEND_ ("ISA", "CACHE_DIR"), after API, environment and
     * defaults were weighed; NULL when unset. Lives as long as the table. */
    const char *(*config)(void *self, const char *name);
} attend_host;

/* ---- what a device offers ------------------------------------------------------------------- */

/* The plugin's own objects; the host only carries the pointers. */
typedef struct attend_device attend_device;
typedef struct attend_device_buffer attend_device_buffer;
typedef struct attend_device_plan attend_device_plan;
typedef struct attend_device_weights attend_device_weights;
typedef struct attend_device_event attend_device_event;

/* HOST_MEMORY: tensors reach the device as pointers in `data` with offset 0, whatever they were; it
 * must have `run`, and the host makes the asynchronous forms of it. Without it every large tensor
 * reaches the device as `buffer`, which holds an attend_device_buffer, with `offset` in elements;
 * the small host arrays of attend_attention (lengths, offsets, slopes, sinks, cu_*) and of
 * attend_rope (position_ids, position_offsets) may be either, host memory then only until enqueue
 * returns; it must have `enqueue` and the buffer and event members. */
typedef enum attend_device_flags {
    ATTEND_DEVICE_HOST_MEMORY = 1,
    ATTEND_DEVICE_FLAGS_FORCE_32_BITS = 0x7fffffff
} attend_device_flags;

static inline attend_device_buffer *attend_tensor_device_buffer(const attend_tensor *t) {
    return (attend_device_buffer *)(void *)t->buffer;
}
static inline attend_device_weights *attend_projection_device_weights(const attend_projection *p) {
    return (attend_device_weights *)(void *)p->weights;
}
/* Element i of a host tensor of rank 1 and type I32 or I64. */
static inline int64_t attend_tensor_index(const attend_tensor *t, int64_t i) {
    const int64_t at = t->offset + i * t->strides[0];
    return t->type == ATTEND_I64 ? ((const int64_t *)t->data)[at] : ((const int32_t *)t->data)[at];
}

/* B of a completed attend_attention or step of it. */
static inline int64_t attend_attention_samples(const attend_attention *a) {
    if (a->cu_query_lengths.type != ATTEND_NO_TYPE) return a->cu_query_lengths.sizes[0] - 1;
    if (a->q.type != ATTEND_NO_TYPE) return a->q.sizes[0];
    return a->scores.type != ATTEND_NO_TYPE ? a->scores.sizes[0] : a->weights.sizes[0];
}

/* What a plan will do, filled by plan_create. */
typedef struct attend_plan_info {
    size_t workspace_bytes;
    char kernel[96]; /* "attention_f32_12x32__avx512" */
    char note[160];  /* why a better kernel was refused, "" */
} attend_plan_info;

/* Strides in elements of [page, head, token, element]. */
typedef struct attend_cache_layout {
    uint32_t size;
    uint32_t reserved;
    int64_t page_size;
    int64_t k_strides[4], v_strides[4];
} attend_cache_layout;

typedef struct attend_device_table {
    uint32_t size;
    uint32_t flags; /* attend_device_flags */

    /* What the device can do. operations: bit per attend_operation; types: bit per attend_type;
     * options: bits of ATTEND_OPTION_LIST that attention and its steps understand (the second word
     * is reserved). The highest enum values it knows. A missing ATTENTION is composed by the host
     * of SCORES, SOFTMAX and MIX. */
    uint64_t operations;
    uint64_t options, options_reserved;
    uint32_t types;
    uint32_t highest_position, highest_stage, highest_precision, highest_activation, highest_norm;

    /* required. No call on the device follows. */
    void (*close)(attend_device *device);

    /* required. `largest`: the description (its type fixed by the operation) with the largest
     * sizes; data pointers, buffers and values of options may be missing or change from run to run.
     * Compiles and allocates what running needs. Any thread. */
    attend_status (*plan_create)(attend_device *device, attend_operation operation,
                                 const void *largest, attend_plan_info *info,
                                 attend_device_plan **plan);
    void (*plan_release)(attend_device *device, attend_device_plan *plan);

    /* HOST_MEMORY: required. Finished on return; several threads at once, also with one plan;
     * neither compiles nor allocates. */
    attend_status (*run)(attend_device *device, attend_device_plan *plan, const void *description);

    /* Prepared weights; absent: the host keeps a plain contiguous copy and passes it as `w`. w is
     * [N, K] and read before return. */
    attend_status (*weights_create)(attend_device *device, const attend_tensor *w,
                                    attend_device_weights **weights);
    void (*weights_release)(attend_device *device, attend_device_weights *weights);

    /* Devices with memory of their own: all required except buffer_import. write and read return
     * when done, ordered after what was enqueued before and uses the buffer. */
    attend_status (*buffer_create)(attend_device *device, size_t bytes,
                                   attend_device_buffer **buffer);
    attend_status (*buffer_import)(attend_device *device, const char *kind, void *native,
                                   size_t byte_offset, size_t bytes, attend_device_buffer **buffer);
    void (*buffer_release)(attend_device *device, attend_device_buffer *buffer);
    attend_status (*buffer_write)(attend_device *device, attend_device_buffer *buffer,
                                  size_t offset_bytes, const void *data, size_t bytes);
    attend_status (*buffer_read)(attend_device *device, attend_device_buffer *buffer,
                                 size_t offset_bytes, void *data, size_t bytes);

    /* Starts when all waits are complete, returns at once; *event has one reference for the caller.
     * The device keeps buffers, plan and weights usable until the work ended; the host releases
     * none before. Work that waits for failed work fails with its status. Any thread; work enqueued
     * by one thread runs as if in that order. */
    attend_status (*enqueue)(attend_device *device, attend_device_plan *plan,
                             const void *description, size_t wait_count,
                             attend_device_event *const *waits, attend_device_event **event);
    attend_status (*event_wait)(attend_device *device, attend_device_event *event,
                                int64_t nanoseconds);
    attend_status (*event_query)(attend_device *device, attend_device_event *event,
                                 int32_t *complete);
    void (*event_release)(attend_device *device, attend_device_event *event);
    attend_status (*user_event_create)(attend_device *device, attend_device_event **event);
    attend_status (*user_event_complete)(attend_device *device, attend_device_event *event,
                                         attend_status status);
    attend_status (*finish)(attend_device *device);
    /* absent: no native objects */
    attend_status (*event_native)(attend_device *device, attend_device_event *event,
                                  const char *kind, void **native);
    /* absent: none can be waited for. Holds a reference on the native event. */
    attend_status (*event_import)(attend_device *device, const char *kind, void *native,
                                  attend_device_event **event);
    /* absent: pages of [G, C, D], one block is one page. Chooses how the host lays a new cache out:
     * *layout holds that choice and may be changed. Any strides of distinct elements in pages of
     * their own; page_size only where `description` asks for one block. */
    void (*cache_layout)(attend_device *device, const attend_cache_desc *description,
                         attend_cache_layout *layout);
    /* absent: host memory of a run is copied. Host memory as a buffer, for a device that computes
     * in it as it lies; with ATTEND_OK and *buffer NULL where it does not: then it is copied.
     * `written`: work may write some of it; the rest must stay untouched, since other threads may
     * use it. Ranges of one call lie 256 bytes apart at least. buffer_unwrap comes when the work
     * has ended well and releases the buffer; what work wrote is in the memory on return. Without
     * that end buffer_release comes instead. */
    attend_status (*buffer_wrap)(attend_device *device, void *memory, size_t bytes, int32_t written,
                                 attend_device_buffer **buffer);
    attend_status (*buffer_unwrap)(attend_device *device, attend_device_buffer *buffer);
} attend_device_table;

/* ---- what a plugin offers ------------------------------------------------------------------- */

typedef struct attend_plugin {
    uint32_t size;
    uint32_t abi;      /* ATTEND_PLUGIN_ABI */
    uint64_t required; /* features without which the plugin must not run: a bit the host does not
                          know refuses the plugin. None is defined yet. */
    const char *name;  /* "opencl": what ATTEND_BACKEND calls it; letters, digits, '-', '_' */
    const char *version;

    /* required. Describes device `index`, counted from 0; NOT_FOUND ends the list. info->size is
     * set; strings live as long as the process. info->reason non-NULL: listed, but cannot be
     * opened. Any thread. */
    attend_status (*device_info)(uint32_t index, attend_device_info *info);
    /* required. Fills *table (its size is set to the host's) and *device. */
    attend_status (*device_open)(uint32_t index, const attend_host *host,
                                 attend_device_table *table, attend_device **device);
    /* absent: attend_open_native does not know this backend. UNSUPPORTED for a kind that is not its
     * own. */
    attend_status (*device_adopt)(const char *kind, const void *native, const attend_host *host,
                                  attend_device_table *table, attend_device **device);
    /* After the last device was closed; may be absent. device_info may be called again later. */
    void (*shutdown)(void);
    /* absent: "auto" never takes this module's devices. Writes a text that changes whenever what
     * the devices depend on does: the files of the drivers with their sizes and times, settings
     * that choose among them. Must load no driver. OVERFLOW if `bytes`, 0 at the end included, do
     * not hold it. Any thread, before and after device_info. */
    attend_status (*fingerprint)(char *text, size_t bytes);
} attend_plugin;

/* The one exported function. plugin->size is set to the host's; the plugin fills what it has and
 * may refuse with a status and a sentence (set_error). Called once per process, without locks held.
 */
typedef attend_status attend_plugin_entry_fn(const attend_host *host, attend_plugin *plugin);

#ifdef __cplusplus
}
#endif
#endif
