/* SPDX-License-Identifier: Apache-2.0
 *
 * built_once.h. One list: each program that was made, and what it stands for. */
#include "built_once.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 256 };

typedef struct entry {
    cl_program program;
    cl_context context;
    char *source, *options; /* options NULL: not built */
    cl_program stands_for;  /* NULL: itself */
} entry;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static entry entries[MOST];
static int count;

/* The last one of this address: a driver may use it again. What was built by itself is retained
 * here, so that its address is not. */
static entry *find(cl_program program) {
    for (int i = count - 1; i >= 0; i--)
        if (entries[i].program == program) return &entries[i];
    return NULL;
}

static char *joined(cl_uint n, const char **texts, const size_t *lengths) {
    size_t bytes = 1, used = 0;
    for (cl_uint i = 0; i < n; i++)
        bytes += lengths && lengths[i] ? lengths[i] : strlen(texts[i]);
    char *const all = calloc(bytes, 1);
    for (cl_uint i = 0; i < n && all; i++) {
        const size_t length = lengths && lengths[i] ? lengths[i] : strlen(texts[i]);
        memcpy(all + used, texts[i], length);
        used += length;
    }
    return all;
}

void built_once_made(cl_program program, cl_context context, cl_uint n, const char **source,
                     const size_t *lengths) {
    if (program == NULL) return;
    (void)pthread_mutex_lock(&lock);
    entry *e = find(program);
    if (e == NULL && count < MOST) e = &entries[count++];
    if (e) {
        free(e->source);
        free(e->options);
        *e = (entry){program, context, source ? joined(n, source, lengths) : NULL, NULL, NULL};
    }
    (void)pthread_mutex_unlock(&lock);
}

static const entry *built_before(const entry *e, const char *options) {
    for (int i = 0; i < count; i++) {
        const entry *const other = &entries[i];
        if (other->options && other->context == e->context &&
            strcmp(other->source, e->source) == 0 && strcmp(other->options, options) == 0)
            return other;
    }
    return NULL;
}

cl_int built_once_build(cl_program program, const char *options) {
    cl_int error = CL_SUCCESS;
    (void)pthread_mutex_lock(&lock);
    entry *const e = find(program);
    const entry *const before = e && e->source ? built_before(e, options) : NULL;
    if (before) {
        e->stands_for = before->program;
    } else {
        error = clBuildProgram(program, 0, NULL, options, NULL, NULL);
        if (error == CL_SUCCESS && e && e->source && clRetainProgram(program) == CL_SUCCESS)
            e->options = joined(1, &options, NULL);
    }
    (void)pthread_mutex_unlock(&lock);
    return error;
}

cl_program built_once_meant(cl_program program) {
    (void)pthread_mutex_lock(&lock);
    const entry *const e = find(program);
    cl_program meant = e && e->stands_for ? e->stands_for : program;
    (void)pthread_mutex_unlock(&lock);
    return meant;
}
