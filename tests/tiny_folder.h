/* SPDX-License-Identifier: Apache-2.0
 *
 * The folder of the tiny model that several tests write and open. */
#ifndef ATTEND_TESTS_TINY_FOLDER_H
#define ATTEND_TESTS_TINY_FOLDER_H

#include "attend/model.h"
#include "model_folder.h"
#include "tiny_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[512];
static attend_context *context;

static inline void write_file(const char *name, const void *bytes, size_t size) {
    char path[1024];
    FILE *const file = fopen(in_folder(path, folder, name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void copy_tokenizer(void) {
    json_t *const root = json_load_file(ATTEND_TEST_DATA "/tokenizer_small.json", 0, NULL);
    assert_non_null(root);
    char path[1024];
    assert_int_equal(json_dump_file(root, in_folder(path, folder, "tokenizer.json"), 0), 0);
    json_decref(root);
}

static inline void write_weights(const form *how) {
    static unsigned char file[TINY_ROOM];
    write_file("model.safetensors", file, make_weights(how, file));
}

static inline int write_folder(void **state) {
    (void)state;
    write_file("config.json", config, strlen(config));
    copy_tokenizer();
    write_weights(&plain);
    return 0;
}

static inline attend_model *open_good(void) {
    attend_model *model;
    if (attend_model_open(context, folder, &model)) fail_msg("%s", attend_error_text());
    return model;
}

static inline void assert_refused(attend_status status, const char *said) {
    attend_model *model;
    const attend_status got = attend_model_open(context, folder, &model);
    assert_null(model);
    if (got != status || !strstr(attend_error_text(), said))
        fail_msg("wanted %s with \"%s\", got %s: \"%s\"", attend_status_name(status), said,
                 attend_status_name(got), attend_error_text());
}

/* A folder of this name and process in the tests' scratch folder, since programs run at the same
 * time with several backends, and a context; 0 after a failure. */
static inline int open_scratch(const char *name, const char *backend) {
    snprintf(folder, sizeof folder, "%s/%s-%ld", ATTEND_TEST_SCRATCH, name, (long)getpid());
    mkdir(folder, 0700);
    attend_options options = attend_options_default();
    options.backend = backend;
    if (!attend_open(&options, &context)) return 1;
    fprintf(stderr, "%s\n", attend_error_text());
    return 0;
}

static inline void close_scratch(void) {
    static const char *const names[] = {"config.json", "tokenizer.json", "model.safetensors"};
    char path[1024];
    attend_close(context);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)remove(in_folder(path, folder, names[i]));
    (void)rmdir(folder);
}

#endif
