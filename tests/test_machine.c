/* SPDX-License-Identifier: Apache-2.0
 *
 * What the benchmark says of the machine, and when it warns. Control groups are made of files in a
 * folder of scratch, as Linux lays them out. */
#include "machine.h"
#include "warnings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

/* ---- context ---- */

static const char *text_at(const json_t *object, const char *key) {
    const char *const text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return text;
}

static void describes_this_machine(void **state) {
    (void)state;
    assert_int_equal(setenv("ATTEND_CACHE", "off", 1), 0);
    assert_int_equal(setenv("OMP_ATTEND_TEST", "a\n\xff", 1), 0);
    assert_int_equal(setenv("UNRELATED_ATTEND_TEST", "1", 1), 0);
    char program[] = "attend", word[] = "\xff\x1b";
    char *words[] = {program, word, NULL};
    json_t *const context = machine_context(2, words);
    assert_non_null(context);

    const json_t *const variables = json_object_get(context, "environment");
    assert_string_equal(text_at(variables, "OMP_ATTEND_TEST"), "a\\x0a\\xff");
    assert_null(json_object_get(variables, "UNRELATED_ATTEND_TEST"));
    assert_string_equal(text_at(context, "cache"), "off");
    const json_t *const command = json_object_get(context, "command");
    assert_int_equal(json_array_size(command), 2);
    assert_string_equal(json_string_value(json_array_get(command, 1)), "\\xff\\x1b");

    const json_t *const attend = json_object_get(context, "attend");
    int major = 0, minor = 0, patch = 0;
    assert_int_equal(sscanf(text_at(attend, "version"), "%d.%d.%d", &major, &minor, &patch), 3);
    assert_true(strlen(text_at(attend, "commit")) >= 7);
    static const char *const texts[] = {"compiler", "build_type", "cpu", "os", "flags"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i)
        text_at(context, texts[i]);
    assert_int_equal(strlen(text_at(context, "date")), strlen("2026-01-01T00:00:00Z"));
    assert_true(json_integer_value(json_object_get(context, "processors")) >= 1);
    static const char *const known[] = {"memory_bytes", "cache_bytes", "governor",
                                        "load",         "clock_s",     "cpu_quota"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i)
        assert_non_null(json_object_get(context, known[i]));
    json_decref(context);
}

/* ---- control groups ---- */

#define ROOT ATTEND_TEST_SCRATCH "/cgroup"

static void put_file(const char *path, const char *text) {
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_tree(void) {
    static const char *const folders[] = {ROOT,         ROOT "/a",           ROOT "/a/b",
                                          ROOT "/zero", ROOT "/cpu,cpuacct", ROOT "/cpu,cpuacct/c"};
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; ++i)
        (void)mkdir(folders[i], 0777);
    put_file(ROOT "/a/cpu.max", "150000 100000\n");
    put_file(ROOT "/a/b/cpu.max", "max 100000\n");
    put_file(ROOT "/zero/cpu.max", "100000 0\n");
    put_file(ROOT "/cpu,cpuacct/c/cpu.cfs_quota_us", "50000\n");
    put_file(ROOT "/cpu,cpuacct/c/cpu.cfs_period_us", "100000\n");
    put_file(ROOT "/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    put_file(ROOT "/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
}

static void finds_quotas(void **state) {
    (void)state;
    make_tree();
    static const struct {
        const char *membership;
        double quota;
    } cases[] = {
        {"0::/a\n", 1.5},
        {"0::/a/b\n", 1.5},          /* of the group above */
        {"0::/a/b/not/here\n", 1.5}, /* a path of the machine outside */
        {"0::/\n", 0},
        {"0::/zero\n", 0},
        {"5:memory:/c\n3:cpu,cpuacct:/c\n", 0.5},
        {"3:cpuset:/c\n", 0},
        {"3:cpu,cpuacct:/\n", 0},
        {"3:cpu,cpuacct:/c\n0::/a\n", 0.5},
        {"", 0},
        {"nothing\n:\n::\n", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        put_file(ROOT "/membership", cases[i].membership);
        const double quota = machine_find_quota(ROOT, ROOT "/membership");
        assert_true(quota == cases[i].quota);
    }
    assert_true(machine_find_quota(ROOT, ROOT "/absent") == 0);
}

/* ---- warnings ---- */

/* A run that nothing is wrong with. */
static json_t *make_document(void) {
    json_t *const document = json_pack(
        "{s:{s:s, s:i, s:n, s:s, s:f, s:f, s:s, s:{s:s}}, s:[], s:[s]}", "context", "build_type",
        "Release", "processors", 4, "cpu_quota", "governor", "performance", "load", 0.4, "clock_s",
        1e-9, "flags", "-O3", "environment", "OMP_NUM_THREADS", "2", "results", "warnings", "old");
    assert_non_null(document);
    return document;
}

/* Rounds of two samples of 1 s, with the last third of the rounds slower by `slower`. */
static void add_result(json_t *document, int threads, double mad, int rounds, double slower) {
    json_t *const samples = json_array(), *const sizes = json_array();
    for (int i = 0; i < rounds; ++i) {
        const double seconds = 3 * i >= 2 * rounds ? slower : 1;
        json_array_append_new(samples, json_real(seconds));
        json_array_append_new(samples, json_real(seconds));
        json_array_append_new(sizes, json_integer(2));
    }
    json_t *const result =
        json_pack("{s:s, s:s, s:s, s:b, s:i, s:f, s:f, s:o, s:o}", "case", "bert", "dtype", "f32",
                  "backend", "cpu", "ok", 1, "threads", threads, "median_s", 1.0, "mad_s", mad,
                  "samples_s", samples, "round_sizes", sizes);
    assert_non_null(result);
    json_array_append_new(json_object_get(document, "results"), result);
}

/* The document's warnings are none (part NULL), or one that has this in it. Takes the document. */
static void expect_warning(json_t *document, const char *part) {
    assert_true(add_warnings(document));
    const json_t *const list = json_object_get(document, "warnings");
    if (part && json_array_size(list) == 1 &&
        !strstr(json_string_value(json_array_get(list, 0)), part))
        fail_msg("\"%s\" lacks \"%s\"", json_string_value(json_array_get(list, 0)), part);
    assert_int_equal(json_array_size(list), part != NULL);
    json_decref(document);
}

static void expect_of_context(const char *key, json_t *value, const char *part) {
    json_t *const document = make_document();
    add_result(document, 2, 0.01, 9, 1);
    json_object_set_new(json_object_get(document, "context"), key, value);
    expect_warning(document, part);
}

static void warns_of_the_machine(void **state) {
    (void)state;
    expect_of_context("load", json_real(0.4), NULL);
    expect_of_context("load", json_null(), NULL);
    expect_of_context("load", json_real(2.4), NULL); /* room for both beside 2 threads of 4 */
    expect_of_context("load", json_real(3), "load was 3 on 4 processors");
    expect_of_context("governor", json_null(), NULL);
    expect_of_context("governor", json_string("powersave"), "\"powersave\"");
    expect_of_context("processors", json_integer(1), "2 threads ran on 1 processor, all");
    expect_of_context("cpu_quota", json_real(2), NULL);
    expect_of_context("cpu_quota", json_real(1.5), "the time of 1.5 processors");
    expect_of_context("clock_s", json_real(1e-6), NULL);
    expect_of_context("clock_s", json_real(15e-3), "steps of 1.5e+04 us");
    expect_of_context("build_type", json_string("RelWithDebInfo"), NULL);
    expect_of_context("build_type", json_string("Debug"), "built as Debug");
    expect_of_context("flags", json_string("-O2 -fsanitize=address"), "sanitizers");
    expect_of_context("environment", json_pack("{s:s}", "ATTEND_VERBOSE", "0"), NULL);
    expect_of_context("environment", json_pack("{s:s}", "ATTEND_VERBOSE", "all"), "ATTEND_VERBOSE");
}

static void warns_of_noise(void **state) {
    (void)state;
    json_t *document = make_document();
    add_result(document, 2, 0.05, 3, 1);
    expect_warning(document, NULL);
    document = make_document();
    add_result(document, 2, 0.04, 3, 1);
    add_result(document, 1, 0.126, 3, 1);
    add_result(document, 2, 0.07, 3, 1);
    expect_warning(document, "2 of 3 rows are noisy");
    document = make_document();
    add_result(document, 1, 0.126, 3, 1);
    expect_warning(document, "at worst 13 % (bert, f32, on cpu with 1 thread)");
}

static void warns_of_throttling(void **state) {
    (void)state;
    json_t *document = make_document();
    add_result(document, 2, 0.01, 9, 1.2);
    add_result(document, 2, 0.01, 10, 1);
    expect_warning(document, NULL); /* in one of two rows */
    document = make_document();
    add_result(document, 2, 0.01, 9, 1.2);
    add_result(document, 2, 0.01, 12, 1.1);
    add_result(document, 2, 0.01, 9, 1.04);
    add_result(document, 2, 0.01, 8, 1);
    expect_warning(document, "in 2 of 3 rows");
    document = make_document();
    add_result(document, 2, 0.01, 8, 2); /* too few rounds to tell */
    expect_warning(document, NULL);
    document = make_document();
    add_result(document, 2, 0.01, 9, 2);
    json_t *const result = json_array_get(json_object_get(document, "results"), 0);
    json_array_append_new(json_object_get(result, "round_sizes"), json_integer(1000000));
    expect_warning(document, NULL); /* more than there are samples: damaged, not read */
}

static void warns_of_nothing_known(void **state) {
    (void)state;
    json_t *const document = json_loads("{\"results\": [{}, 1], \"context\": 3}", 0, NULL);
    assert_non_null(document);
    expect_warning(document, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(describes_this_machine), cmocka_unit_test(finds_quotas),
        cmocka_unit_test(warns_of_the_machine),   cmocka_unit_test(warns_of_noise),
        cmocka_unit_test(warns_of_throttling),    cmocka_unit_test(warns_of_nothing_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
