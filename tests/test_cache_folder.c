/* SPDX-License-Identifier: Apache-2.0
 *
 * The cache folder: sealed files come back whole or not at all, and no folder or file that others
 * can change is believed. */
#include "base/cache_folder.h"
#include "base/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 1 << 20 };
static char folder[] = "/tmp/attend-cache-XXXXXX";
static char path[64];

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/one", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    (void)unlink(path);
    return rmdir(folder); /* fails if a temporary file was left */
}

static attend__cache_news load(const char *key, void **data, size_t *bytes) {
    return attend__cache_load(folder, "one", key, MOST, data, bytes);
}

static void comes_back(void **state) {
    (void)state;
    static const char mixed[] = "a\0b\nc";
    void *data;
    size_t bytes;
    assert_int_equal(load("key", &data, &bytes), ATTEND__CACHE_ABSENT);
    assert_true(attend__cache_store(folder, "one", "key\nof two lines", mixed, sizeof mixed));
    assert_int_equal(load("key\nof two lines", &data, &bytes), ATTEND__CACHE_FOUND);
    assert_int_equal(bytes, sizeof mixed);
    assert_memory_equal(data, mixed, sizeof mixed);
    free(data);
    assert_int_equal(load("key\nof two line", &data, &bytes), ATTEND__CACHE_OTHER_KEY);
    assert_null(data);
    assert_true(attend__cache_store(folder, "one", "", NULL, 0)); /* replaced, and nothing in it */
    assert_int_equal(load("", &data, &bytes), ATTEND__CACHE_FOUND);
    assert_int_equal(bytes, 0);
    free(data);
    assert_int_equal(attend__cache_load(folder, "one", "", 3, &data, &bytes),
                     ATTEND__CACHE_REFUSED); /* larger than allowed */
}

/* Each bit of the file matters, and so does each byte at its end. */
static void damage_is_seen(void **state) {
    (void)state;
    assert_true(attend__cache_store(folder, "one", "the key", "the data", 8));
    size_t total;
    char *sound = attend__file_load(path, MOST, &total);
    assert_non_null(sound);
    void *data;
    size_t bytes;
    for (size_t i = 0; i < total * 8; i++) {
        sound[i / 8] ^= (char)(1 << i % 8);
        assert_true(attend__file_write_atomic(path, sound, total));
        if (load("the key", &data, &bytes) == ATTEND__CACHE_FOUND) {
            /* an upper-case checksum digit says the same; nothing else may pass */
            assert_int_equal(i % 8, 5);
            assert_memory_equal(data, "the data", 8);
            free(data);
        }
        sound[i / 8] ^= (char)(1 << i % 8);
    }
    for (size_t length = 0; length < total; length++) {
        assert_true(attend__file_write_atomic(path, sound, length));
        assert_int_equal(load("the key", &data, &bytes), ATTEND__CACHE_DAMAGED);
    }
    sound[total] = 'x';
    assert_true(attend__file_write_atomic(path, sound, total + 1));
    assert_int_equal(load("the key", &data, &bytes), ATTEND__CACHE_DAMAGED);
    free(sound);
}

static void others_are_not_believed(void **state) {
    (void)state;
    void *data;
    size_t bytes;
    char reason[300] = "";
    assert_true(attend__cache_store(folder, "one", "key", "data", 4));
    assert_int_equal(chmod(path, 0606), 0);
    assert_int_equal(load("key", &data, &bytes), ATTEND__CACHE_REFUSED);
    assert_int_equal(chmod(folder, 0707), 0);
    assert_null(attend__cache_folder(folder, reason, sizeof reason));
    assert_non_null(strstr(reason, "every user may write"));
    assert_int_equal(chmod(folder, 0700), 0);
    assert_null(attend__cache_folder("relative", reason, sizeof reason));
    assert_non_null(strstr(reason, "not an absolute path"));
    assert_null(attend__cache_folder("/dev/null/x", reason, sizeof reason));
    assert_non_null(strstr(reason, "cannot be made"));
    assert_false(attend__cache_store("/nowhere", "one", "key", "data", 4));
}

static void found_by_the_environment(void **state) {
    (void)state;
    char below[64], *found;
    setenv("HOME", folder, 1);
    unsetenv("XDG_CACHE_HOME");
    found = attend__cache_folder(NULL, NULL, 0);
    assert_non_null(found);
    snprintf(below, sizeof below, "%s/.cache/attend", folder);
    assert_string_equal(found, below);
    struct stat info;
    assert_int_equal(stat(below, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    free(found);
    assert_int_equal(rmdir(below), 0);
    setenv("XDG_CACHE_HOME", "not/absolute", 1);
    found = attend__cache_folder(NULL, NULL, 0);
    assert_string_equal(found, below);
    free(found);
    assert_int_equal(rmdir(below), 0);
    snprintf(below, sizeof below, "%s/.cache", folder);
    setenv("XDG_CACHE_HOME", below, 1);
    found = attend__cache_folder(NULL, NULL, 0);
    assert_int_equal(rmdir(found), 0);
    free(found);
    assert_int_equal(rmdir(below), 0);
    unsetenv("HOME");
    unsetenv("XDG_CACHE_HOME");
    char reason[64];
    assert_null(attend__cache_folder(NULL, reason, sizeof reason));
    assert_string_equal(reason, "no home folder is known");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back),
        cmocka_unit_test(damage_is_seen),
        cmocka_unit_test(others_are_not_believed),
        cmocka_unit_test(found_by_the_environment),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
