/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts dispatch lines ("opencl: attention_f32__rows; B1 H8 ..") by their kernel. */
#include "check_kernels.h"

#include "base/thread.h"
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_KERNELS = 64, NAME_BYTES = 128 };

struct check_kernels {
    attend__mutex lock; /* lines may come from any thread */
    size_t count;
    struct {
        char name[NAME_BYTES];
        size_t calls;
    } list[MOST_KERNELS];
    attend_log_fn *next;
    void *next_user;
};

check_kernels *check_kernels_create(void) {
    check_kernels *const k = cli_allocate(1, sizeof *k);
    if (!attend__mutex_create(&k->lock)) {
        free(k);
        return NULL;
    }
    return k;
}

static void count(check_kernels *k, const char *name, size_t length) {
    size_t i = 0;
    if (length >= NAME_BYTES) length = NAME_BYTES - 1;
    while (i < k->count && (strncmp(k->list[i].name, name, length) != 0 || k->list[i].name[length]))
        i++;
    if (i == MOST_KERNELS) return;
    if (i == k->count) {
        memcpy(k->list[i].name, name, length);
        k->count++;
    }
    k->list[i].calls++;
}

static void on_line(void *user, attend_log_level level, const char *topic, const char *text) {
    check_kernels *const k = user;
    if (strcmp(topic, "dispatch") != 0) {
        if (k->next) k->next(k->next_user, level, topic, text);
        return;
    }
    const char *const kernel = strstr(text, ": ");
    if (!kernel) return;
    attend__mutex_lock(&k->lock);
    count(k, kernel + 2, strcspn(kernel + 2, ";"));
    attend__mutex_unlock(&k->lock);
}

void check_kernels_listen(check_kernels *kernels, attend_options *options) {
    kernels->next = options->log;
    kernels->next_user = options->log_user;
    options->log = on_line;
    options->log_user = kernels;
    options->verbose = "dispatch";
}

static int by_name(const void *one, const void *other) {
    return strcmp(one, other); /* the name comes first in an entry */
}

void check_kernels_print(const check_kernels *kernels, const attend_context *context) {
    attend_decision d = {.size = sizeof d};
    check_kernels sorted = *kernels;
    qsort(sorted.list, sorted.count, sizeof sorted.list[0], by_name);
    if (attend_context_decision(context, &d) != ATTEND_OK) return;
    printf("ran on %s, %s:\n", d.backend, d.device);
    for (size_t i = 0; i < sorted.count; i++)
        printf("%7zu x %s\n", sorted.list[i].calls, sorted.list[i].name);
}

void check_kernels_release(check_kernels *kernels) {
    if (!kernels) return;
    attend__mutex_destroy(&kernels->lock);
    free(kernels);
}
