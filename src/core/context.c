/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening and closing a context: settings, choice, host table, device, and what hangs on them. */
#include "context.h"

#include "base/memory.h"
#include "base/thread_pool.h"
#include "error.h"
#include "launch.h"
#include "launch_device.h"
#include "log.h"
#include "plan_cache.h"
#include "retired.h"
#include "select.h"
#include "worker.h"

#include <stdlib.h>
#include <string.h>

static atomic_uint_fast64_t serials;
static atomic_bool shut_down;
static attend__mutex life = ATTEND__MUTEX_INIT; /* guards the two below, and changes of shut_down */
static int open_contexts;
static int64_t
    counting_process; /* a forked child's count starts anew: it cannot close its parent's */

static attend_status count_open(void) {
    attend__mutex_lock(&life);
    if (counting_process != attend__process_id()) {
        counting_process = attend__process_id();
        open_contexts = 0;
    }
    const bool late = atomic_load(&shut_down);
    open_contexts += !late;
    attend__mutex_unlock(&life);
    return late ? attend__fail(ATTEND_SHUT_DOWN, "the library was shut down") : ATTEND_OK;
}

static void count_closed(void) {
    attend__mutex_lock(&life);
    open_contexts--;
    attend__mutex_unlock(&life);
}

/* ---- the table that a device gets ------------------------------------------------------------ */

static void host_log(void *self, attend_log_level level, const char *topic, const char *text) {
    attend__log(((attend_context *)self)->settings, level, topic, "%s", text);
}
static void host_set_error(void *self, const char *text) {
    (void)self;
    attend__set_error(text);
}
static void *host_allocate(void *self, size_t bytes, size_t alignment) {
    return attend__settings_allocate(((attend_context *)self)->settings, bytes, alignment);
}
static void host_release(void *self, void *memory) {
    attend__settings_free(((attend_context *)self)->settings, memory);
}
static int32_t host_thread_count(void *self) {
    return ((attend_context *)self)->settings->threads;
}
static void host_parallel(void *self, int32_t count, void (*task)(void *argument, int32_t index),
                          void *argument) {
    attend_context *context = self;
    const attend_options *options = &context->settings->options;
    if (options->parallel)
        options->parallel(options->parallel_user, count, task, argument);
    else
        attend__thread_pool_run(context->pool, count, task, argument);
}
static const char *host_config(void *self, const char *name) {
    return attend__settings_find(((attend_context *)self)->settings, name);
}

static attend_host host_of(attend_context *context) {
    return (attend_host){.size = sizeof(attend_host),
                         .abi = ATTEND_PLUGIN_ABI,
                         .self = context,
                         .log = host_log,
                         .set_error = host_set_error,
                         .allocate = host_allocate,
                         .release = host_release,
                         .thread_count = host_thread_count,
                         .parallel = host_parallel,
                         .config = host_config};
}

/* ---- life ------------------------------------------------------------------------------------ */

void *attend__context_allocate(attend_context *context, size_t bytes) {
    return attend__settings_allocate(context->settings, bytes, 64);
}

void attend__context_free(attend_context *context, void *memory) {
    attend__settings_free(context->settings, memory);
}

attend_status attend__context_check(const attend_context *context) {
    if (!context) return attend__fail(ATTEND_NULL_POINTER, "context: is NULL");
    if (context->process != attend__process_id())
        return attend__fail(ATTEND_FORKED, "context: opened by the parent process; open one here");
    if (atomic_load_explicit(&shut_down, memory_order_relaxed))
        return attend__fail(ATTEND_SHUT_DOWN, "the library was shut down");
    return ATTEND_OK;
}

void attend__context_retain(attend_context *context) {
    atomic_fetch_add(&context->references, 1);
}

/* Copes with a context that was only half made. */
static void destroy(attend_context *context) {
    attend__worker_release(context);
    if (context->plans) attend__plan_cache_destroy(context);
    attend__scratch_pool_release(context->staging);
    if (context->device) {
        context->table.close(context->device);
        atomic_fetch_sub(&context->module->open_devices, 1);
    }
    attend__thread_pool_release(context->pool);
    attend__recycler_destroy(&context->calls);
    attend__mutex_destroy(&context->lock);
    free(context->backend_name);
    free(context->device_name);
    free(context->reason);
    free(context->refused);
    attend__settings *settings = context->settings;
    attend__settings_free(settings, context);
    attend__settings_release(settings);
    count_closed();
}

void attend__context_release(attend_context *context) {
    if (context->process != attend__process_id()) return;
    if (atomic_fetch_sub(&context->references, 1) == 1) destroy(context);
}

static attend_status wait_for_work(attend_context *context) {
    if (attend__host_memory(context)) return attend__worker_finish(context);
    const attend_status status = context->table.finish(context->device);
    attend__retired_reap(context, true);
    return status;
}

void attend_close(attend_context *context) {
    if (!context || context->process != attend__process_id()) return;
    (void)wait_for_work(context); /* how it ended is for its events to say */
    attend__context_release(context);
}

attend_status attend_finish(attend_context *context) {
    const attend_status status = attend__context_check(context);
    if (status != ATTEND_OK) return status;
    const attend_status work = wait_for_work(context);
    return work == ATTEND_OK
               ? work
               : attend__fail(work, "enqueued work failed: %s", attend_status_text(work));
}

attend_status attend_shutdown(void) {
    attend__mutex_lock(&life);
    const int open = counting_process == attend__process_id() ? open_contexts : 0;
    const bool first = open == 0 && !atomic_exchange(&shut_down, true);
    attend__mutex_unlock(&life);
    if (open > 0) return attend__fail(ATTEND_BUSY, "%d contexts are open", open);
    if (first) attend__registry_shutdown();
    return ATTEND_OK;
}

/* ---- opening --------------------------------------------------------------------------------- */

static bool make_locks(attend_context *context) {
    if (!attend__mutex_create(&context->lock)) return false;
    context->calls.allocate = host_allocate;
    context->calls.release = host_release;
    context->calls.self = context;
    if (attend__recycler_create(&context->calls)) return true;
    attend__mutex_destroy(&context->lock);
    return false;
}

/* A context without a device; takes the settings over, also when it fails. */
static attend_status make(attend__settings *settings, attend_context **made) {
    attend_status status = count_open();
    attend_context *context = NULL;
    if (status == ATTEND_OK) {
        context = attend__settings_allocate(settings, sizeof *context, 64);
        if (context) memset(context, 0, sizeof *context);
        if (!context || !make_locks(context)) {
            count_closed();
            status = attend__fail(ATTEND_OUT_OF_MEMORY, "context: no memory");
        }
    }
    if (status != ATTEND_OK) {
        attend__settings_free(settings, context);
        attend__settings_release(settings);
        return status;
    }
    context->settings = settings;
    atomic_init(&context->references, 1);
    context->process = attend__process_id();
    context->serial = atomic_fetch_add(&serials, 1) + 1;
    context->host = host_of(context);
    context->pool = attend__thread_pool_create(settings->threads);
    *made = context;
    if (context->pool) return ATTEND_OK;
    return attend__fail(ATTEND_OUT_OF_MEMORY, "context: no memory for a thread pool");
}

static attend_status note_choice(attend_context *context, const attend__choice *choice) {
    context->backend_name = attend__string_copy(choice->module->name);
    context->device_name = attend__string_copy(choice->info.name);
    context->reason = attend__string_copy(choice->reason);
    context->refused = attend__string_copy(choice->refused);
    if (context->backend_name && context->device_name && context->reason && context->refused)
        return ATTEND_OK;
    return attend__fail(ATTEND_OUT_OF_MEMORY, "context: no memory");
}

/* The device and its table are the context's from here on, whatever the table is worth. */
static attend_status adopt_device(attend_context *context, attend__module *module,
                                  const attend_device_table *table, attend_device *device) {
    const attend_status status = attend__device_table_accept(table, &context->table);
    if (status != ATTEND_OK) {
        if (context->table.close) context->table.close(device);
        return status;
    }
    context->device = device;
    context->module = module;
    atomic_fetch_add(&module->open_devices, 1);
    return ATTEND_OK;
}

static attend_status open_device(void *argument, const attend__choice *choice) {
    attend_context *context = argument;
    attend_device_table table = {.size = sizeof table};
    attend_device *device = NULL;
    attend__set_error("");
    const attend_status status =
        choice->module->plugin.device_open(choice->device, &context->host, &table, &device);
    if (status == ATTEND_OK) return adopt_device(context, choice->module, &table, device);
    return *attend_error_text()
               ? status
               : attend__fail(status, "%s: %s", choice->info.id, attend_status_text(status));
}

/* What the context keeps for calls. */
static attend_status make_pools(attend_context *context) {
    const attend_status status = attend__plan_cache_create(context);
    return status == ATTEND_OK ? attend__staging_create(context) : status;
}

static attend_status open_chosen(attend_context *context) {
    attend__choice choice;
    attend_status status = attend__select(context->settings, open_device, context, &choice);
    if (status == ATTEND_OK) status = note_choice(context, &choice);
    if (status == ATTEND_OK) status = make_pools(context);
    if (status == ATTEND_OK)
        attend__log(context->settings, ATTEND_LOG_INFO, "select", "%s on %s: %s", choice.info.id,
                    choice.info.name, choice.reason);
    return status;
}

static attend_status adopt_native(attend_context *context, const char *kind, const void *native) {
    size_t count;
    attend__module **modules = attend__registry_all(context->settings, &count);
    attend_status status =
        attend__fail(ATTEND_UNSUPPORTED, "kind: no backend knows \"%.40s\"", kind);
    for (size_t i = 0; i < count && status == ATTEND_UNSUPPORTED; i++) {
        attend__module *m = modules[i];
        if (m->status != ATTEND_OK || !m->plugin.device_adopt) continue;
        attend_device_table table = {.size = sizeof table};
        attend_device *device = NULL;
        status = m->plugin.device_adopt(kind, native, &context->host, &table, &device);
        if (status != ATTEND_OK) continue;
        attend__choice choice = {
            .module = m, .info.name = kind, .reason = "the application's own objects"};
        status = note_choice(context, &choice);
        if (status == ATTEND_OK) status = adopt_device(context, m, &table, device);
    }
    free(modules);
    return status == ATTEND_OK ? make_pools(context) : status;
}

static attend_status open_with(const char *kind, const void *native, const attend_options *options,
                               attend_context **opened) {
    *opened = NULL;
    attend__settings *settings = NULL;
    attend_context *context = NULL;
    attend_status status = attend__settings_create(options, &settings);
    if (status != ATTEND_OK) return status;
    status = make(settings, &context);
    if (status == ATTEND_OK)
        status = kind ? adopt_native(context, kind, native) : open_chosen(context);
    if (status == ATTEND_OK)
        *opened = context;
    else if (context)
        destroy(context);
    return status;
}

attend_status attend_open(const attend_options *options, attend_context **context) {
    if (!context) return attend__fail(ATTEND_NULL_POINTER, "context: is NULL");
    return open_with(NULL, NULL, options, context);
}

attend_status attend_open_native(const char *kind, const void *native,
                                 const attend_options *options, attend_context **context) {
    if (!context) return attend__fail(ATTEND_NULL_POINTER, "context: is NULL");
    *context = NULL;
    if (!kind || !native)
        return attend__fail(ATTEND_NULL_POINTER, "%s: is NULL", kind ? "native" : "kind");
    return open_with(kind, native, options, context);
}
