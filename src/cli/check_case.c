/* SPDX-License-Identifier: Apache-2.0
 *
 * check_case.h: access to attributes and tensors of a case. Everything in a case comes from a file.
 */
#include "check_case.h"

#include "base/checked.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check_damaged(check_case *c, const char *format, ...) {
    if (c->sentence[0]) return;
    va_list list;
    va_start(list, format);
    vsnprintf(c->sentence, sizeof c->sentence, format, list);
    va_end(list);
}

/* ---- attributes ---- */

bool check_has_attribute(const check_case *c, const char *name) {
    return json_object_get(c->attributes, name) != NULL;
}

bool check_flag(check_case *c, const char *name, bool otherwise) {
    const json_t *const value = json_object_get(c->attributes, name);
    if (!value) return otherwise;
    if (!json_is_boolean(value)) check_damaged(c, "attribute %s is neither true nor false", name);
    return json_is_true(value);
}

int64_t check_integer(check_case *c, const char *name, int64_t otherwise) {
    const json_t *const value = json_object_get(c->attributes, name);
    if (!value) return otherwise;
    if (!json_is_integer(value)) check_damaged(c, "attribute %s is not a whole number", name);
    return (int64_t)json_integer_value(value);
}

double check_number(check_case *c, const char *name, double otherwise) {
    const json_t *const value = json_object_get(c->attributes, name);
    if (!value) return otherwise;
    if (!json_is_number(value)) check_damaged(c, "attribute %s is not a number", name);
    return json_number_value(value);
}

const char *check_string(check_case *c, const char *name, const char *otherwise) {
    const json_t *const value = json_object_get(c->attributes, name);
    if (!value) return otherwise;
    if (!json_is_string(value)) check_damaged(c, "attribute %s is not a text", name);
    return json_is_string(value) ? json_string_value(value) : otherwise;
}

attend_position check_position(check_case *c) {
    const char *const name = check_string(c, "position", NULL);
    if (!name) return ATTEND_POSITION_UNSET;
    if (!strcmp(name, "top_left")) return ATTEND_TOP_LEFT;
    if (!strcmp(name, "bottom_right")) return ATTEND_BOTTOM_RIGHT;
    check_damaged(c, "position '%s' is not known", name);
    return ATTEND_POSITION_UNSET;
}

/* ---- memory ---- */

/* A block behind a link to the one before. The link is as wide as the strictest alignment of an
 * element. */
typedef union block {
    union block *previous;
    int64_t alignment[2];
} block;

static void *take(check_case *c, size_t bytes) {
    size_t whole = 0;
    if (!attend__add_size(bytes, sizeof(block), &whole)) whole = SIZE_MAX;
    block *const b = cli_allocate(whole, 1);
    b->previous = c->memory;
    c->memory = b;
    return b + 1;
}

void check_release(check_case *c) {
    for (block *b = c->memory; b;) {
        block *const previous = b->previous;
        free(b);
        b = previous;
    }
    c->memory = NULL;
}

/* ---- tensors ---- */

int64_t check_count(const attend_tensor *tensor) {
    int64_t count = 1;
    for (int32_t i = 0; i < tensor->rank; ++i)
        if (!attend__mul_i64(count, tensor->sizes[i], &count)) return -1;
    return count;
}

static const attend__stored_tensor *find(const check_case *c, const char *role) {
    const size_t room = strlen(c->name) + strlen(role) + 2;
    char *const name = cli_allocate(room, 1);
    snprintf(name, room, "%s/%s", c->name, role);
    const attend__stored_tensor *const stored = attend__safetensors_find(c->file, name);
    free(name);
    return stored;
}

bool check_has(const check_case *c, const char *role) {
    return find(c, role) != NULL;
}

attend_tensor check_input(const check_case *c, const char *role) {
    const attend__stored_tensor *const stored = find(c, role);
    if (!stored) return (attend_tensor){0};
    /* the driver has refused types and ranks that a view cannot have */
    return attend_tensor_nd(stored->data, stored->type, stored->rank, stored->sizes);
}

attend_tensor check_scratch(check_case *c, attend_type type, int32_t rank, const int64_t *sizes) {
    attend_tensor tensor = attend_tensor_nd(NULL, type, rank, sizes);
    const int64_t count = check_count(&tensor);
    size_t bytes = 0;
    if (count < 0 || !attend__mul_size((size_t)count, attend_type_bytes(type), &bytes)) {
        check_damaged(c, "a tensor would not fit into memory");
        return (attend_tensor){0};
    }
    tensor.data = take(c, bytes);
    memset(tensor.data, 0xff, bytes); /* NaN in every floating-point type */
    return tensor;
}

attend_tensor check_output(check_case *c, const char *role) {
    const attend_tensor want = check_input(c, role);
    if (!want.type) return want;
    if (c->output_count == CHECK_MOST_OUTPUTS) {
        check_damaged(c, "more than %d outputs", CHECK_MOST_OUTPUTS);
        return (attend_tensor){0};
    }
    const attend_tensor got = check_scratch(c, want.type, want.rank, want.sizes);
    c->outputs[c->output_count++] = (check_output_pair){role, want, got};
    return got;
}

attend_tensor check_heads(check_case *c, const char *role, attend_tensor flat, int64_t heads) {
    if (!flat.type) return flat;
    if (flat.rank != 3 || heads < 1 || flat.sizes[2] % heads != 0) {
        check_damaged(c, "%s: not [B, L, %lld * D]", role, (long long)heads);
        return flat;
    }
    return attend_tensor_heads(flat.data, flat.type, flat.sizes[0], flat.sizes[1], heads,
                               flat.sizes[2] / heads);
}

/* ---- calls ---- */

bool check_ready(const check_case *c) {
    return !c->sentence[0];
}

bool check_called(check_case *c, attend_status status) {
    if (status && !c->sentence[0]) {
        c->status = status;
        snprintf(c->sentence, sizeof c->sentence, "%s", attend_error_text());
    }
    return !status;
}
