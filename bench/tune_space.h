/* SPDX-License-Identifier: Apache-2.0
 *
 * What a plan says can be tuned (the lines of cl/host/ocl_tuning.h, which workers pass on), as a
 * space of points, and which of them are worth a trial. Knows no kernel by name. */
#ifndef ATTEND_BENCH_TUNE_SPACE_H
#define ATTEND_BENCH_TUNE_SPACE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    TUNE_MOST_PARAMETERS = 16,
    TUNE_MOST_VALUES = 16,
    TUNE_NAME = 40,
    TUNE_TEXT = 600, /* bytes of a line or of a point's text */
    TUNE_MOST_SPACES = 8
};

typedef struct tune_parameter {
    char name[TUNE_NAME];
    int values[TUNE_MOST_VALUES], count;
    int first; /* index of the default */
} tune_parameter;

/* A kernel in a plan. */
typedef struct tune_space {
    char kernel[TUNE_NAME];
    char shape[TUNE_TEXT];    /* as it stands before the colon of the file's line */
    char in_force[TUNE_TEXT]; /* "NAME=VALUE .. (from)" */
    tune_parameter parameters[TUNE_MOST_PARAMETERS];
    int count;
} tune_space;

/* A point: an index into the values of each parameter. */
typedef struct tune_point {
    int at[TUNE_MOST_PARAMETERS];
} tune_point;

/* Of a worker's answer to prepare, kernels that the case itself runs. Returns how many; what is
 * not understood is left out. */
int tune_spaces_read(const char *lines, tune_space spaces[TUNE_MOST_SPACES]);

tune_point tune_default(const tune_space *s);
bool tune_same(const tune_space *s, const tune_point *a, const tune_point *b);
/* "NAME=VALUE NAME=VALUE", with `between` for the blank. */
void tune_point_text(const tune_space *s, const tune_point *p, char between, char text[TUNE_TEXT]);

/* Points in the order of their trial, each once. Starts with the shortlist: all of a small space,
 * else the default with one parameter changed; what is near the default comes first. False without
 * memory. */
typedef struct tune_queue {
    tune_point *points;
    size_t count, next, room;
} tune_queue;
bool tune_shortlist(const tune_space *s, tune_queue *q);
/* Adds what is one step from `p` in one parameter. */
bool tune_neighbours(const tune_space *s, const tune_point *p, tune_queue *q);
void tune_queue_release(tune_queue *q);

#endif
