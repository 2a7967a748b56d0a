/* SPDX-License-Identifier: Apache-2.0
 *
 * Where tests find the model all-MiniLM-L6-v2 (scripts/get_model.sh) and the data files of tests/.
 */
#ifndef ATTEND_TESTS_MODEL_FOLDER_H
#define ATTEND_TESTS_MODEL_FOLDER_H

#include <stdio.h>
#include <stdlib.h>

enum { SKIPPED = 77 };

static inline const char *model_folder(void) {
    const char *const given = getenv("ATTEND_TEST_MODEL");
    return given ? given : ATTEND_TEST_MODEL_FOLDER;
}

/* folder/name in memory of the caller's. */
static inline const char *in_folder(char path[1024], const char *folder, const char *name) {
    snprintf(path, 1024, "%s/%s", folder, name);
    return path;
}

/* 1 if the model is there; else says why a test is skipped. */
static inline int have_model(void) {
    char path[1024];
    FILE *const file = fopen(in_folder(path, model_folder(), "model.safetensors"), "rb");
    if (file)
        fclose(file);
    else
        printf("skipped: no model at %s (scripts/get_model.sh)\n", path);
    return file != NULL;
}

#endif
