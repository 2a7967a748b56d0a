/* SPDX-License-Identifier: Apache-2.0
 *
 * The text that tells whether a verdict about drivers still holds: it stays while nothing changes,
 * and is another when a driver, its place or a setting that chooses devices is. No driver is
 * loaded: the libraries here are none. */
#define _XOPEN_SOURCE 700 /* nftw */
#include "ocl.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

enum { MOST = 200 };
static char folder[] = "/tmp/attend-fingerprint-XXXXXX";

static void put(const char *name, const char *text) {
    char path[MOST];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && !fclose(file));
}

static void name_library(const char *name) {
    put("vendor.icd", name);
}

typedef struct fingerprint {
    char text[MOST];
} fingerprint;

static fingerprint now(void) {
    fingerprint f = {{0}};
    assert_int_equal(attend__ocl_fingerprint(f.text, sizeof f.text), ATTEND_OK);
    return f;
}

static void same_as(fingerprint before) {
    const fingerprint after = now();
    assert_string_equal(before.text, after.text);
}

/* The text is another than `before`, and stays so. */
static fingerprint changed(fingerprint before) {
    const fingerprint after = now();
    assert_string_not_equal(before.text, after.text);
    same_as(after);
    return after;
}

static void same_while_nothing_changes(void **state) {
    (void)state;
    name_library("libvendor-of-none.so");
    const fingerprint f = now();
    same_as(f);
    assert_non_null(strstr(f.text, "1 vendor files"));
}

static void path(void **state) {
    (void)state;
    char library[MOST];
    (void)snprintf(library, sizeof library, "%s/a/libvendor.so", folder);
    name_library(library);
    const fingerprint absent = now();
    put("a/libvendor.so", "one");
    const fingerprint old = changed(absent);
    put("a/libvendor.so", "another size");
    (void)changed(old);
}

static void searched_name(void **state) {
    (void)state;
    char folders[2 * MOST];
    (void)snprintf(folders, sizeof folders, ":%s/none::%s/a:%s/b", folder, folder, folder);
    put("a/libvendor.so", "one");
    put("b/libvendor.so", "another");
    name_library("libvendor.so");
    const fingerprint nowhere = now();
    assert_int_equal(setenv("LD_LIBRARY_PATH", folders, 1), 0);
    const fingerprint first = changed(nowhere);
    put("b/libvendor.so", "changed, but found second");
    same_as(first);
    put("a/libvendor.so", "changed");
    (void)changed(first);
    assert_int_equal(unsetenv("LD_LIBRARY_PATH"), 0);
}

static void added_file(void **state) {
    (void)state;
    name_library("libvendor.so");
    const fingerprint one = now();
    put("second.icd", "libvendor.so");
    const fingerprint two = changed(one);
    put("text", "no vendor file");
    same_as(two);
}

/* libOpenCL(7) of ocl-icd. */
static void vendor_path(void **state) {
    (void)state;
    put("a/other.icd", "libvendor.so");
    put("a/third.icd", "libvendor.so");
    char other[MOST];
    (void)snprintf(other, sizeof other, "%s/a", folder);
    assert_int_equal(unsetenv("OCL_ICD_VENDORS"), 0);
    const fingerprint usual = now();
    assert_int_equal(setenv("OPENCL_VENDOR_PATH", other, 1), 0);
    const fingerprint two = changed(usual);
    assert_non_null(strstr(two.text, "2 vendor files"));
    assert_int_equal(setenv("OCL_ICD_VENDORS", "other.icd", 1), 0);
    const fingerprint one = changed(two);
    put("a/third.icd", "libvendor-of-none.so");
    same_as(one);
    put("a/other.icd", "libvendor-of-none.so");
    (void)changed(one);
    assert_int_equal(unsetenv("OPENCL_VENDOR_PATH"), 0);
    assert_int_equal(setenv("OCL_ICD_VENDORS", folder, 1), 0);
}

static void settings(void **state) {
    (void)state;
    static const char *const names[] = {"CUDA_VISIBLE_DEVICES", "POCL_DEVICES", "RUSTICL_ENABLE",
                                        "OPENCL_LAYERS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const fingerprint was = now();
        assert_int_equal(setenv(names[i], "1", 1), 0);
        (void)changed(was);
        assert_int_equal(unsetenv(names[i]), 0);
        same_as(was);
    }
}

static void short_buffer(void **state) {
    (void)state;
    char text[8];
    assert_int_equal(attend__ocl_fingerprint(text, sizeof text), ATTEND_OVERFLOW);
}

static int make_folders(void **state) {
    (void)state;
    char a[MOST], b[MOST];
    if (mkdtemp(folder) == NULL) return -1;
    (void)snprintf(a, sizeof a, "%s/a", folder);
    (void)snprintf(b, sizeof b, "%s/b", folder);
    return mkdir(a, 0700) || mkdir(b, 0700) || setenv("OCL_ICD_VENDORS", folder, 1);
}

static int erase(const char *path, const struct stat *facts, int kind, struct FTW *where) {
    (void)facts;
    (void)kind;
    (void)where;
    return remove(path);
}

static int remove_folders(void **state) {
    (void)state;
    return nftw(folder, erase, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_while_nothing_changes),
        cmocka_unit_test(path),
        cmocka_unit_test(searched_name),
        cmocka_unit_test(added_file),
        cmocka_unit_test(vendor_path),
        cmocka_unit_test(settings),
        cmocka_unit_test(short_buffer),
    };
    return cmocka_run_group_tests(tests, make_folders, remove_folders);
}
