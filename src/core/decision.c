/* SPDX-License-Identifier: Apache-2.0
 *
 * decision.h: one record per thread, of its last call. */
#include "decision.h"

#include "error.h"
#include "log.h"

#include <stdio.h>
#include <string.h>

/* Of the contexts a thread used last; contexts whose serials share a place push each other out. */
enum { PLACES = 8 };
typedef struct record {
    uint64_t serial; /* of the context; 0 = no call yet */
    char kernel[96];
    attend__shape shape;
} record;
static _Thread_local record records[PLACES];
static _Thread_local struct moved { uint64_t serial, copied, in_place; } moves[PLACES];

static _Thread_local char shape_store[256], line_store[512];

void attend__decision_note(attend_context *context, const char *kernel,
                           const attend__shape *shape) {
    record *last = &records[context->serial % PLACES];
    last->serial = context->serial;
    const size_t length = strlen(kernel);
    const size_t kept = length < sizeof last->kernel ? length : sizeof last->kernel - 1;
    memcpy(last->kernel, kernel, kept);
    last->kernel[kept] = 0;
    last->shape = *shape;
    if (!attend__log_wanted(context->settings, "dispatch")) return;
    char text[256];
    attend__shape_text(shape, text, sizeof text);
    attend__log(context->settings, ATTEND_LOG_INFO, "dispatch", "%s: %s; %s", context->backend_name,
                last->kernel, text);
}

void attend__decision_moved(attend_context *context, uint64_t copied, uint64_t in_place) {
    moves[context->serial % PLACES] = (struct moved){context->serial, copied, in_place};
    if (copied + in_place == 0 || !attend__log_wanted(context->settings, "dispatch")) return;
    attend__log(context->settings, ATTEND_LOG_INFO, "dispatch",
                "%s: host memory of the call: %llu bytes copied, %llu used in place",
                context->backend_name, (unsigned long long)copied, (unsigned long long)in_place);
}

static const char *const operation_texts[ATTEND_OP_COUNT] = {
#define ATTEND_X(name, value, type, text) [value] = text,
    ATTEND_OPERATION_LIST(ATTEND_X)
#undef ATTEND_X
};

/* The fields' names, save where those are more than a word. */
static const char *const option_texts[] = {
#define ATTEND_X(name, bit, text) [bit] = text,
    ATTEND_OPTION_LIST(ATTEND_X)
#undef ATTEND_X
};
enum { OPTIONS = sizeof option_texts / sizeof *option_texts };

/* The sizes and the type say these themselves, or kv= does. */
static const uint64_t implied = ATTEND_OPTION_GROUPED | ATTEND_OPTION_VALUE_SIZE |
                                ATTEND_OPTION_MIXED_TYPES | ATTEND_OPTION_WORKSPACE |
                                ATTEND_OPTION_SCALES;
static const uint64_t by_position =
    ATTEND_OPTION_CAUSAL | ATTEND_OPTION_WINDOW | ATTEND_OPTION_ALIBI;

/* " window=7:0"; returns what snprintf does. */
static int option_text(const attend__shape *shape, uint64_t option, const char *name, char *text,
                       size_t bytes) {
    if (option == ATTEND_OPTION_WINDOW && shape->window_right < 0)
        return snprintf(text, bytes, " window=%lld", (long long)shape->window_left);
    if (option == ATTEND_OPTION_WINDOW)
        return snprintf(text, bytes, " window=%lld:%lld", (long long)shape->window_left,
                        (long long)shape->window_right);
    if (option == ATTEND_OPTION_SOFTCAP)
        return snprintf(text, bytes, " softcap=%.10g", shape->softcap);
    if (option == ATTEND_OPTION_PAGES) name = "cache";
    if (option == ATTEND_OPTION_FAST) name = "fast";
    if (option == ATTEND_OPTION_KEY_RANGE) name = "key_range";
    return snprintf(text, bytes, " %s", name);
}

static void option_texts_of(const attend__shape *shape, char *text, size_t bytes) {
    size_t at = 0;
    for (size_t i = 0; i < OPTIONS && at < bytes; i++) {
        const uint64_t option = (uint64_t)1 << i;
        if ((shape->options & ~implied & option) != 0)
            at += (size_t)option_text(shape, option, option_texts[i], text + at, bytes - at);
    }
    const bool at_end =
        shape->position == ATTEND_BOTTOM_RIGHT || shape->position == ATTEND_AFTER_CACHE;
    if ((shape->options & by_position) != 0 && at_end && at < bytes)
        at += (size_t)snprintf(text + at, bytes - at, " end");
    const uint64_t unlike = ATTEND_OPTION_MIXED_TYPES | ATTEND_OPTION_SCALES;
    if ((shape->options & unlike) != 0 && at < bytes)
        snprintf(text + at, bytes - at, " kv=%s", attend_type_text(shape->kv_type));
}

void attend__shape_text(const attend__shape *shape, char *text, size_t bytes) {
    size_t at = 0;
    if (shape->operation != ATTEND_OP_ATTENTION)
        at += (size_t)snprintf(text, bytes, "%s ", operation_texts[shape->operation]);
    for (int i = 0; shape->letters[i] && at < bytes; i++)
        at += (size_t)snprintf(text + at, bytes - at, "%c%lld ", shape->letters[i],
                               (long long)shape->values[i]);
    if (at < bytes)
        at += (size_t)snprintf(text + at, bytes - at, "%s", attend_type_text(shape->type));
    if (shape->operation <= ATTEND_OP_MIX && at < bytes)
        option_texts_of(shape, text + at, bytes - at);
}

attend_status attend__decision_give(const attend_decision *full, attend_decision *decision) {
    if (!decision) return attend__fail(ATTEND_NULL_POINTER, "decision: is NULL");
    const size_t size = decision->size;
    if (size < sizeof size) return attend__fail(ATTEND_INVALID, "decision: size is not set");
    memcpy(decision, full, size < sizeof *full ? size : sizeof *full);
    decision->size = size;
    return ATTEND_OK;
}

attend_status attend_context_decision(const attend_context *context, attend_decision *decision) {
    const attend_status status = attend__context_check(context);
    if (status != ATTEND_OK) return status;
    const record *last = &records[context->serial % PLACES];
    const bool known = last->serial == context->serial;
    const struct moved *moved = &moves[context->serial % PLACES];
    const bool counted = moved->serial == context->serial;
    shape_store[0] = 0;
    if (known) attend__shape_text(&last->shape, shape_store, sizeof shape_store);
    const attend_decision full = {.size = sizeof full,
                                  .backend = context->backend_name,
                                  .device = context->device_name,
                                  .kernel = known ? last->kernel : "",
                                  .reason = context->reason,
                                  .refused = context->refused,
                                  .shape = shape_store,
                                  .copied_bytes = counted ? moved->copied : 0,
                                  .in_place_bytes = counted ? moved->in_place : 0};
    return attend__decision_give(&full, decision);
}

const char *attend_describe(const attend_context *context) {
    attend_decision d = {.size = sizeof d};
    if (attend_context_decision(context, &d) != ATTEND_OK) return attend_error_text();
    snprintf(line_store, sizeof line_store, "%s: %s%s%s; %s", d.backend, d.device,
             *d.kernel ? ", kernel " : "", d.kernel, d.reason);
    return line_store;
}
