/* SPDX-License-Identifier: Apache-2.0
 *
 * Where parameters of kernels come from: ATTEND_TUNING, a tuning file, defaults. A file that is
 * damaged, or another driver's, counts as absent. What a plan takes is in the log. */
#include "base/tuning_file.h"

#include <attend/attend.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LOG_BYTES = 32768 };
static char folder[] = "/tmp/attend-tuning-XXXXXX";
static char key[1024], name[ATTEND__TUNING_NAME], path[128], shape[512], lines[LOG_BYTES];

static void note(void *user, attend_log_level level, const char *topic, const char *text) {
    const size_t used = strlen(lines);
    (void)user, (void)level;
    if (strcmp(topic, "tuning") == 0)
        (void)snprintf(lines + used, sizeof lines - used, "%s\n", text);
}

static attend_context *open_context(attend_status want) {
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    options.backend = "opencl";
    options.device = "opencl:0";
    options.log = note;
    lines[0] = 0;
    assert_int_equal(attend_open(&options, &context), want);
    return context;
}

/* One query of eight heads over `keys` keys of one: as many rows as one work-item can take. */
static void plan(int64_t keys) {
    attend_context *const context = open_context(ATTEND_OK);
    static float some; /* nothing is read */
    attend_attention a = attend_attention_default();
    attend_plan *made = NULL;
    a.q = a.out = attend_tensor_4d(&some, ATTEND_F32, 1, 8, 1, 16);
    a.k = a.v = attend_tensor_4d(&some, ATTEND_F32, 1, 1, keys, 16);
    assert_int_equal(attend_plan_create(context, &a, &made), ATTEND_OK);
    attend_plan_release(made);
    attend_close(context);
}

static bool says(const char *text) {
    return strstr(lines, text) != NULL;
}

static void store(const char *of, const char *of_shape, const char *values) {
    char line[1024];
    (void)snprintf(line, sizeof line, "%s: %s (0.002 s before, 0.001 s after)\n", of_shape, values);
    assert_true(attend__cache_store(folder, name, of, line, strlen(line)));
}

/* What stands between two texts of the log. */
static void copy_between(const char *from, const char *to, char *text, size_t bytes) {
    const char *const start = strstr(lines, from);
    assert_non_null(start);
    const char *const end = strstr(start, to);
    assert_non_null(end);
    const size_t length = (size_t)(end - start) - strlen(from);
    assert_true(length < bytes);
    memcpy(text, start + strlen(from), length);
    text[length] = 0;
}

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder) || setenv("ATTEND_CONFIG_DIR", folder, 1)) return -1;
    plan(256);
    copy_between("device ", "\n", key, sizeof key);
    copy_between("plan ", ": ", shape, sizeof shape);
    attend__tuning_name(key, name);
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return says("rows=0 (default)") ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    (void)unlink(path);
    return rmdir(folder); /* fails if a temporary file was left */
}

/* ---- the file -------------------------------------------------------------------------------- */

static void is_used(void **state) {
    (void)state;
    store(key, shape, "rows=2");
    plan(256);
    assert_true(says("rows=2 (file)"));
    assert_int_equal(setenv("ATTEND_TUNING", "off", 1), 0);
    plan(256);
    assert_true(says("rows=0 (default)"));
    assert_int_equal(setenv("ATTEND_TUNING", "attention_few:rows=4", 1), 0);
    plan(256);
    assert_true(says("rows=4 (asked)"));
    assert_int_equal(unsetenv("ATTEND_TUNING"), 0);
}

static void is_found_by_its_path(void **state) {
    char moved[160], setting[200];
    (void)state;
    store(key, shape, "rows=2");
    (void)snprintf(moved, sizeof moved, "%s/elsewhere", folder);
    (void)snprintf(setting, sizeof setting, "file:%s", moved);
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(setenv("ATTEND_TUNING", setting, 1), 0);
    plan(256);
    assert_true(says("rows=2 (file)"));
    assert_int_equal(unlink(moved), 0);
    plan(256); /* not there: a miss */
    assert_true(says("rows=0 (default)"));
    assert_int_equal(unsetenv("ATTEND_TUNING"), 0);
}

static void serves_shapes_nearby(void **state) {
    (void)state;
    store(key, shape, "rows=2");
    plan(300); /* the same power of two */
    assert_true(says("rows=2 (file)"));
    plan(1500);
    assert_true(says("rows=2 (nearest)"));
    plan(1 << 20);
    assert_true(says("rows=0 (default)"));
}

/* Of two shapes the nearer one counts, wherever it stands. */
static void nearest_counts(void **state) {
    char text[2048], far[512];
    (void)state;
    for (int order = 0; order < 2; order++) {
        plan(4096);
        copy_between("plan ", ": ", far, sizeof far);
        (void)snprintf(text, sizeof text, "%s: rows=%d\n%s: rows=%d\n", order ? far : shape,
                       order ? 4 : 2, order ? shape : far, order ? 2 : 4);
        assert_true(attend__cache_store(folder, name, key, text, strlen(text)));
        plan(2048);
        assert_true(says("rows=4 (nearest)"));
        plan(512);
        assert_true(says("rows=2 (nearest)"));
        assert_int_equal(unlink(path), 0);
    }
}

static void of_another_driver(void **state) {
    char other[1100];
    (void)state;
    (void)snprintf(other, sizeof other, "%s ", key);
    store(other, shape, "rows=2");
    plan(256);
    assert_true(says("is about another device or driver"));
    assert_true(says("rows=0 (default)"));
}

static void of_another_source(void **state) {
    char other[512];
    (void)state;
    (void)snprintf(other, sizeof other, "%s", shape);
    char *const digest = strchr(other, ' ');
    assert_non_null(digest);
    digest[1] = digest[1] == '0' ? '1' : '0';
    store(key, other, "rows=2");
    plan(256);
    assert_true(says("rows=0 (default)"));
}

static void of_nonsense(void **state) {
    static const char *const values[] = {"rows=3",  "rows=-1",   "rows=99999999999999999999",
                                         "rows",    "columns=2", "",
                                         "rows=2,", "=",         "rows=2=2"};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        store(key, shape, values[i]);
        plan(256);
        if (strcmp(values[i], "rows=2,") != 0) assert_true(says("rows=0 (default)"));
    }
    assert_true(attend__cache_store(folder, name, key, "\n\n: \n(:\nx", 8));
    plan(256);
    assert_true(says("rows=0 (default)"));
}

/* ---- damage ---------------------------------------------------------------------------------- */

static size_t read_file(char *text, size_t room) {
    FILE *const file = fopen(path, "rb");
    assert_non_null(file);
    const size_t bytes = fread(text, 1, room, file);
    (void)fclose(file);
    assert_true(bytes > 0 && bytes < room);
    return bytes;
}

static void write_file(const char *text, size_t bytes) {
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static void is_a_miss(void) {
    attend_close(open_context(ATTEND_OK));
    assert_true(says("is damaged") || says("is about another device or driver"));
}

static void damage_is_a_miss(void **state) {
    char whole[4096], bad[4096];
    (void)state;
    store(key, shape, "rows=2");
    const size_t bytes = read_file(whole, sizeof whole);
    for (size_t cut = 0; cut < bytes; cut += 17) {
        write_file(whole, cut);
        is_a_miss();
    }
    for (size_t at = 0; at < bytes; at += 5) {
        memcpy(bad, whole, bytes);
        bad[at] = (char)(bad[at] ^ 1 << at % 8);
        write_file(bad, bytes);
        is_a_miss();
    }
    plan(256);
    assert_true(says("rows=0 (default)"));
    write_file(whole, bytes);
    plan(256);
    assert_true(says("rows=2 (file)"));
}

/* ---- the variable ---------------------------------------------------------------------------- */

static void refuses(const char *setting, const char *reason) {
    assert_int_equal(setenv("ATTEND_TUNING", setting, 1), 0);
    assert_null(open_context(ATTEND_INVALID));
    assert_non_null(strstr(attend_error_text(), "ATTEND_TUNING"));
    if (!strstr(attend_error_text(), reason)) fail_msg("%s: %s", setting, attend_error_text());
    assert_int_equal(unsetenv("ATTEND_TUNING"), 0);
}

static void the_variable_is_read_strictly(void **state) {
    (void)state;
    refuses("on", "none of off, file:PATH");
    refuses("attention:rows=2", "\"attention\" is no kernel with parameters; these are: ");
    refuses("attention_few:columns=2", "attention_few has no parameter \"columns\" but rows");
    refuses("attention_few:rows=3", "rows of attention_few cannot be \"3\" but 0, 1, 2, 4, 8");
    refuses("attention_few:rows", "rows of attention_few cannot be \"\" but 0, 1");
    refuses("attention_few:rows=2;project", "none of off, file:PATH");
    refuses("attention_few:rows=2,,rows=4", "no parameter \"\"");
    refuses("attention_few:rows=0x2", "cannot be \"0x2\"");
    refuses("attention_few:rows=4294967298", "cannot be \"4294967298\"");
}

/* ---- merging --------------------------------------------------------------------------------- */

static void merges(const char *old, const char *more, const char *want) {
    char *const merged = attend__tuning_merge(old, more);
    assert_string_equal(merged, want);
    free(merged);
}

static void lines_replace_those_of_their_shape(void **state) {
    (void)state;
    merges(NULL, "a 1: x=1\n", "a 1: x=1\n");
    merges("a 1: x=1\nb 1: x=2\n", "a 1: x=3\n", "b 1: x=2\na 1: x=3\n");
    merges("a 1: x=1\na 12: x=2\n", "a 1: x=3\nc: x=4\n", "a 12: x=2\na 1: x=3\nc: x=4\n");
}

int main(void) {
    attend_options options = attend_options_default();
    attend_context *context = NULL;
    options.backend = "opencl";
    (void)unsetenv("ATTEND_TUNING");
    if (attend_open(&options, &context)) return 77; /* no device */
    attend_close(context);
    (void)setenv("ATTEND_KERNELS", "rows", 1); /* the family that attention_few belongs to */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_used),
        cmocka_unit_test(is_found_by_its_path),
        cmocka_unit_test(serves_shapes_nearby),
        cmocka_unit_test(nearest_counts),
        cmocka_unit_test(of_another_driver),
        cmocka_unit_test(of_another_source),
        cmocka_unit_test(of_nonsense),
        cmocka_unit_test(damage_is_a_miss),
        cmocka_unit_test(the_variable_is_read_strictly),
        cmocka_unit_test(lines_replace_those_of_their_shape),
    };
    return cmocka_run_group_tests_name("tuning", tests, set_up, tear_down);
}
