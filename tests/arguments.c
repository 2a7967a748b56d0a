/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory and checks of the tests of bad arguments. */
#include "arguments.h"

#include <stdio.h>
#include <string.h>

enum { BYTES = 1 << 16, PATTERN = 0xa5 };

attend_context *arguments_context, *arguments_other;
const attend_tensor arguments_none;

static union {
    double aligned;
    unsigned char bytes[BYTES];
} zeros, results;
static size_t results_used;
static attend_buffer *zero_buffer, *result_buffer, *foreign_buffer;
static bool on_device;

/* A device with memory of its own cannot see ours: its buffers hold the same, and are read back. */
static attend_status make_device_buffers(void) {
    on_device = true;
    attend_status status = attend_buffer_create(arguments_context, BYTES, &zero_buffer);
    if (status == ATTEND_OK) status = attend_buffer_write(zero_buffer, 0, zeros.bytes, BYTES);
    if (status == ATTEND_OK)
        status = attend_buffer_create(arguments_context, BYTES, &result_buffer);
    return status == ATTEND_OK ? attend_buffer_write(result_buffer, 0, results.bytes, BYTES)
                               : status;
}

int arguments_open(void **state) {
    (void)state;
    memset(results.bytes, PATTERN, sizeof results.bytes);
    if (attend_open(NULL, &arguments_context) || attend_open(NULL, &arguments_other)) {
        print_error("%s\n", attend_error_text());
        return -1;
    }
    attend_status status =
        attend_buffer_import(arguments_context, "host", zeros.bytes, 0, BYTES, &zero_buffer);
    if (status == ATTEND_OK)
        status = attend_buffer_import(arguments_context, "host", results.bytes, 0, BYTES,
                                      &result_buffer);
    else
        status = make_device_buffers();
    if (status == ATTEND_OK) status = attend_buffer_create(arguments_other, BYTES, &foreign_buffer);
    return status == ATTEND_OK ? 0 : -1;
}

int arguments_close(void **state) {
    (void)state;
    attend_buffer_release(zero_buffer);
    attend_buffer_release(result_buffer);
    attend_buffer_release(foreign_buffer);
    attend_close(arguments_context);
    attend_close(arguments_other);
    return 0;
}

attend_tensor arguments_input(attend_type type, int32_t rank, const int64_t *sizes) {
    return attend_tensor_nd(zeros.bytes, type, rank, sizes);
}

attend_tensor arguments_output(attend_type type, int32_t rank, const int64_t *sizes) {
    size_t bytes = attend_type_bytes(type);
    for (int32_t i = 0; i < rank; i++)
        bytes *= (size_t)sizes[i];
    attend_tensor t = attend_tensor_nd(results.bytes + results_used, type, rank, sizes);
    results_used += (bytes + 63) / 64 * 64;
    assert_true(results_used <= BYTES);
    return t;
}

void arguments_reset(void) {
    memset(results.bytes, PATTERN, results_used);
    results_used = 0;
    if (on_device)
        assert_int_equal(attend_buffer_write(result_buffer, 0, results.bytes, BYTES), ATTEND_OK);
}

static void check_pattern(const char *name, const unsigned char *bytes) {
    for (size_t i = 0; i < BYTES; i++) {
        if (bytes[i] != PATTERN)
            fail_msg("%s: refused, but byte %zu of an output was written", name, i);
    }
}

static attend_tensor inside(attend_tensor t, attend_buffer *buffer, const unsigned char *start) {
    const unsigned char *data = t.data;
    if (data >= start && data < start + BYTES)
        t.offset += (data - start) / (int64_t)attend_type_bytes(t.type);
    t.data = NULL;
    t.buffer = buffer;
    return t;
}

attend_tensor arguments_in_buffer(attend_tensor t) {
    const unsigned char *data = t.data;
    if (t.type == ATTEND_NO_TYPE || data == NULL || attend_type_bytes(t.type) == 0) return t;
    if (data >= results.bytes && data < results.bytes + BYTES)
        return inside(t, result_buffer, results.bytes);
    return inside(t, zero_buffer, zeros.bytes); /* tables of the test itself become zeros too */
}

attend_tensor arguments_foreign(attend_tensor t) {
    t.data = NULL;
    t.buffer = foreign_buffer;
    return t;
}

void arguments_refused(const char *name, attend_status got, attend_status wanted,
                       const char *words) {
    if (got != wanted || strstr(attend_error_text(), words) == NULL)
        fail_msg("%s: %s, \"%s\" instead of %s, \"..%s..\"", name, attend_status_name(got),
                 attend_error_text(), attend_status_name(wanted), words);
    check_pattern(name, results.bytes);
    if (!on_device) return;
    static unsigned char back[BYTES];
    assert_int_equal(attend_buffer_read(result_buffer, 0, back, BYTES), ATTEND_OK);
    check_pattern(name, back);
}
