/* SPDX-License-Identifier: Apache-2.0
 *
 * The safetensors reader: what a good file gives, and that every way in which a file can lie about
 * itself ends in a status and a sentence. Run under the address sanitizer it also shows that
 * nothing beside the file is read. */
#include "model/safetensors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROOM = 4096 };

typedef struct image {
    unsigned char bytes[ROOM];
    size_t size;
} image;

/* A file with this header and `data_bytes` bytes 0, 1, 2 .. of data. */
static image make(const char *header, size_t data_bytes) {
    image file = {{0}, 8 + strlen(header) + data_bytes};
    assert_true(file.size <= ROOM);
    const size_t length = strlen(header);
    for (int i = 0; i < 8; i++)
        file.bytes[i] = (unsigned char)((uint64_t)length >> (8 * i));
    memcpy(file.bytes + 8, header, length);
    for (size_t i = 0; i < data_bytes; i++)
        file.bytes[8 + length + i] = (unsigned char)i;
    return file;
}

/* The copy is as long as the file, so that the sanitizer sees a byte read behind it. */
static attend_status parse(const void *bytes, size_t size, attend__safetensors **file) {
    void *const copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    const attend_status status = attend__safetensors_parse("x.safetensors", copy, size, file);
    free(copy);
    return status;
}

/* The odd metadata length puts the floats on an odd address. */
static const char good[] = "{\"__metadata__\":{\"b\":\"2\",\"a\":\"one\"},"
                           "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[3,27]},"
                           "\"flags\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]},"
                           "\"none\":{\"dtype\":\"F64\",\"shape\":[4,0],\"data_offsets\":[27,27]},"
                           "\"one\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[27,35]}}  ";
enum { GOOD_DATA = 35 };

static void reads_a_good_file(void **state) {
    (void)state;
    const image input = make(good, GOOD_DATA);
    attend__safetensors *file;
    assert_int_equal(parse(input.bytes, input.size, &file), ATTEND_OK);
    assert_int_equal(attend__safetensors_count(file), 4);
    static const char *const names[] = {"flags", "none", "one", "w"};
    for (size_t i = 0; i < 4; i++) {
        const attend__stored_tensor *const t = attend__safetensors_at(file, i);
        assert_string_equal(t->name, names[i]);
        assert_ptr_equal(attend__safetensors_find(file, names[i]), t);
        assert_non_null(t->data);
    }
    assert_null(attend__safetensors_at(file, 4));
    assert_null(attend__safetensors_find(file, "x"));

    const attend__stored_tensor *const w = attend__safetensors_find(file, "w");
    assert_int_equal(w->type, ATTEND_F32);
    assert_int_equal(w->rank, 2);
    assert_int_equal(w->sizes[0], 2);
    assert_int_equal(w->sizes[1], 3);
    assert_int_equal(w->count, 6);
    assert_int_equal(w->bytes, 24);
    assert_int_equal((uintptr_t)w->data % sizeof(float), 0);
    for (size_t i = 0; i < 24; i++)
        assert_int_equal(((const unsigned char *)w->data)[i], i + 3);

    const attend__stored_tensor *const one = attend__safetensors_find(file, "one");
    assert_int_equal(one->rank, 0);
    assert_int_equal(one->count, 1);
    assert_int_equal((uintptr_t)one->data % sizeof(int64_t), 0);
    assert_int_equal(attend__safetensors_find(file, "none")->count, 0);

    assert_int_equal(attend__safetensors_metadata_count(file), 2);
    assert_string_equal(attend__safetensors_metadata_key(file, 0), "a");
    assert_null(attend__safetensors_metadata_key(file, 2));
    assert_string_equal(attend__safetensors_metadata_find(file, "a"), "one");
    assert_null(attend__safetensors_metadata_find(file, "c"));
    attend__safetensors_close(file);
}

static void reads_every_type(void **state) {
    (void)state;
    static const struct {
        const char *name;
        size_t bytes;
        attend_type type;
    } types[] = {{"F64", 8, ATTEND_NO_TYPE}, {"F32", 4, ATTEND_F32}, {"F16", 2, ATTEND_F16},
                 {"BF16", 2, ATTEND_BF16},   {"I64", 8, ATTEND_I64}, {"I32", 4, ATTEND_I32},
                 {"I16", 2, ATTEND_NO_TYPE}, {"I8", 1, ATTEND_I8},   {"U8", 1, ATTEND_U8},
                 {"BOOL", 1, ATTEND_BOOL}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        char header[200];
        snprintf(header, sizeof header,
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":[3],\"data_offsets\":[0,%zu]}}", types[i].name,
                 3 * types[i].bytes);
        const image input = make(header, 3 * types[i].bytes);
        attend__safetensors *file;
        assert_int_equal(parse(input.bytes, input.size, &file), ATTEND_OK);
        const attend__stored_tensor *const t = attend__safetensors_at(file, 0);
        assert_int_equal(t->type, types[i].type);
        assert_int_equal(t->bytes, 3 * types[i].bytes);
        assert_string_equal(attend__stored_type_name(t->stored), types[i].name);
        attend__safetensors_close(file);
    }
}

static void refuses_a_file_cut_anywhere(void **state) {
    (void)state;
    const image input = make(good, GOOD_DATA);
    for (size_t size = 0; size < input.size; size++) {
        attend__safetensors *file;
        assert_int_equal(parse(input.bytes, size, &file), ATTEND_FORMAT);
        assert_null(file);
        assert_non_null(strstr(attend_error_text(), "x.safetensors"));
    }
}

static void refuses_bytes_behind_the_data(void **state) {
    (void)state;
    const image input = make(good, GOOD_DATA + 1);
    attend__safetensors *file;
    assert_int_equal(parse(input.bytes, input.size, &file), ATTEND_FORMAT);
    assert_non_null(strstr(attend_error_text(), "end at byte 35 of 36"));
}

/* Every byte of the file set to every value: whatever comes of it, it comes without a fault, and
 * what is handed out can be read to its end. */
static void survives_any_byte_changed(void **state) {
    (void)state;
    image input = make(good, GOOD_DATA);
    unsigned sum = 0;
    for (size_t at = 0; at < input.size - GOOD_DATA; at++) {
        const unsigned char before = input.bytes[at];
        for (int value = 0; value < 256; value++) {
            input.bytes[at] = (unsigned char)value;
            attend__safetensors *file;
            const attend_status status = parse(input.bytes, input.size, &file);
            if (status) {
                assert_null(file);
                assert_true(status == ATTEND_FORMAT || status == ATTEND_UNSUPPORTED);
                continue;
            }
            for (size_t i = 0; i < attend__safetensors_count(file); i++) {
                const attend__stored_tensor *const t = attend__safetensors_at(file, i);
                for (size_t b = 0; b < t->bytes; b++)
                    sum += ((const unsigned char *)t->data)[b];
            }
            attend__safetensors_close(file);
        }
        input.bytes[at] = before;
    }
    assert_true(sum > 0);
}

/* Header lengths that lie. */
static void refuses_lying_header_lengths(void **state) {
    (void)state;
    static const uint64_t lengths[] = {
        0,          1,          sizeof good, 100000000,  100000001,
        0x80000000, UINT32_MAX, INT64_MAX,   UINT64_MAX, UINT64_MAX - 8};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        image input = make(good, GOOD_DATA);
        for (int b = 0; b < 8; b++)
            input.bytes[b] = (unsigned char)(lengths[i] >> (8 * b));
        attend__safetensors *file;
        assert_int_equal(parse(input.bytes, input.size, &file), ATTEND_FORMAT);
        assert_null(file);
    }
}

/* Entries of one tensor "t" over 8 bytes of data, and a word of the sentence. */
static const struct lie {
    const char *header;
    attend_status status;
    const char *said;
} lies[] = {
#define T(dtype, shape, range)                                                                     \
    "{\"t\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" range "}}"
    {T("\"F8\"", "[2]", "[0,8]"), ATTEND_UNSUPPORTED, "\"F8\""},
    {T("4", "[2]", "[0,8]"), ATTEND_FORMAT, "dtype"},
    {T("\"F32\"", "2", "[0,8]"), ATTEND_FORMAT, "shape"},
    {T("\"F32\"", "[2.0]", "[0,8]"), ATTEND_FORMAT, "shape[0]"},
    {T("\"F32\"", "[1,\"2\"]", "[0,8]"), ATTEND_FORMAT, "shape[1]"},
    {T("\"F32\"", "[-2]", "[0,8]"), ATTEND_FORMAT, "shape[0]"},
    {T("\"F32\"", "[-1,-2]", "[0,8]"), ATTEND_FORMAT, "shape[0]"},
    {T("\"F32\"", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), ATTEND_UNSUPPORTED, "9 dimensions"},
    {T("\"F32\"", "[3]", "[0,8]"), ATTEND_FORMAT, "needs 12"},
    {T("\"F32\"", "[1]", "[0,8]"), ATTEND_FORMAT, "needs 4"},
    {T("\"F32\"", "[0]", "[0,8]"), ATTEND_FORMAT, "needs 0"},
    {T("\"F32\"", "[4611686018427387905,1]", "[0,8]"), ATTEND_FORMAT, "memory"},
    {T("\"F32\"", "[4294967296,4294967296]", "[0,8]"), ATTEND_FORMAT, "memory"},
    {T("\"F32\"", "[4294967296,4294967297,2]", "[0,8]"), ATTEND_FORMAT, "memory"},
    {T("\"F32\"", "[9223372036854775807,2]", "[0,8]"), ATTEND_FORMAT, "memory"},
    {T("\"F32\"", "[99999999999999999999]", "[0,8]"), ATTEND_FORMAT, "header"},
    {T("\"F32\"", "[2]", "[8,0]"), ATTEND_FORMAT, "not a range"},
    {T("\"F32\"", "[2]", "[-8,0]"), ATTEND_FORMAT, "not a range"},
    {T("\"F32\"", "[2]", "[0,9]"), ATTEND_FORMAT, "end at 9"},
    {T("\"F32\"", "[2]", "[0,9223372036854775807]"), ATTEND_FORMAT, "end at"},
    {T("\"F32\"", "[2]", "[9223372036854775800,9223372036854775807]"), ATTEND_FORMAT, "end at"},
    {T("\"F32\"", "[2]", "[0]"), ATTEND_FORMAT, "data_offsets"},
    {T("\"F32\"", "[2]", "[0,8,8]"), ATTEND_FORMAT, "data_offsets"},
    {T("\"F32\"", "[2]", "[0,8.0]"), ATTEND_FORMAT, "data_offsets"},
    {T("\"F32\"", "[2]", "{\"0\":0}"), ATTEND_FORMAT, "data_offsets"},
    {T("\"F32\"", "[1]", "[4,8]"), ATTEND_FORMAT, "gap"},
    {T("\"F32\"", "[1]", "[0,4]"), ATTEND_FORMAT, "end at byte 4 of 8"},
#undef T
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[2]}}", ATTEND_FORMAT, "data_offsets"},
    {"{\"t\":{\"shape\":[2],\"data_offsets\":[0,8]}}", ATTEND_FORMAT, "dtype"},
    {"{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", ATTEND_FORMAT, "shape"},
    {"{\"t\":[1,2]}", ATTEND_FORMAT, "not an object"},
    {"{\"t\":null}", ATTEND_FORMAT, "not an object"},
    {"{}", ATTEND_FORMAT, "byte 0 of 8"},
    {"[]", ATTEND_FORMAT, "\"{\""},
    {" {}", ATTEND_FORMAT, "\"{\""},
    {"{\"t\":1", ATTEND_FORMAT, "header"},
    {"{\"t\\u0000\":1}", ATTEND_FORMAT, "header"},
    {"{\"\xff\":1}", ATTEND_FORMAT, "header"},
    {"{\"__metadata__\":[]}", ATTEND_FORMAT, "__metadata__"},
    {"{\"__metadata__\":{\"k\":1}}", ATTEND_FORMAT, "\"k\""},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
     "\"t\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
     ATTEND_FORMAT, "uplicate"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},"
     "\"u\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}",
     ATTEND_FORMAT, "another tensor"},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[5],\"data_offsets\":[0,5]},"
     "\"u\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
     ATTEND_FORMAT, "\"u\""},
    {"{\"t\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
     "\"u\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
     ATTEND_FORMAT, "gap"},
};

static void refuses_lies(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        const image input = make(lies[i].header, 8);
        attend__safetensors *file;
        const attend_status status = parse(input.bytes, input.size, &file);
        if (status != lies[i].status || !strstr(attend_error_text(), lies[i].said))
            fail_msg("%s: status %d, \"%s\"", lies[i].header, (int)status, attend_error_text());
        assert_null(file);
    }
}

/* A deeply nested header must not use up the stack. */
static void refuses_deep_nesting(void **state) {
    (void)state;
    enum { DEPTH = 1000000 };
    unsigned char *const bytes = malloc(8 + DEPTH);
    assert_non_null(bytes);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((uint64_t)DEPTH >> (8 * i));
    memset(bytes + 8, '[', DEPTH);
    memcpy(bytes + 8, "{\"a\":", 5);
    attend__safetensors *file;
    assert_int_equal(attend__safetensors_parse("x", bytes, 8 + DEPTH, &file), ATTEND_FORMAT);
    free(bytes);
}

static void reads_files_and_says_what_is_none(void **state) {
    (void)state;
    char path[1024];
    attend__safetensors *file;
    snprintf(path, sizeof path, "%s/test.safetensors", ATTEND_TEST_SCRATCH);
    const image input = make(good, GOOD_DATA);
    FILE *const out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(input.bytes, 1, input.size, out), input.size);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(attend__safetensors_open(path, &file), ATTEND_OK);
    assert_string_equal(attend__safetensors_path(file), path);
    attend__safetensors_close(file);
    remove(path);

    assert_int_equal(attend__safetensors_open(path, &file), ATTEND_IO);
    assert_non_null(strstr(attend_error_text(), path));
    assert_null(file);
    assert_int_equal(attend__safetensors_open(ATTEND_TEST_SCRATCH, &file), ATTEND_IO);
    assert_non_null(strstr(attend_error_text(), "not a file"));
    attend__safetensors_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_good_file),
        cmocka_unit_test(reads_every_type),
        cmocka_unit_test(refuses_a_file_cut_anywhere),
        cmocka_unit_test(refuses_bytes_behind_the_data),
        cmocka_unit_test(survives_any_byte_changed),
        cmocka_unit_test(refuses_lying_header_lengths),
        cmocka_unit_test(refuses_lies),
        cmocka_unit_test(refuses_deep_nesting),
        cmocka_unit_test(reads_files_and_says_what_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
