/* SPDX-License-Identifier: Apache-2.0
 *
 * Another program, run to its end or to a deadline: for code that may crash or hang, such as a
 * vendor's driver. Nothing of this process's state is changed and no handler is installed, since a
 * library starts it. */
#ifndef ATTEND_BASE_CHILD_H
#define ATTEND_BASE_CHILD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct attend__child {
    bool well;       /* it ended by itself with status 0, as far as the system let us know */
    bool killed;     /* at the deadline */
    char ended[160]; /* else how it ended: "crashed (signal 11, Segmentation fault)" */
    char *output;    /* what it and its children wrote to standard output and standard error, with a
                        0 byte behind it; to be freed; NULL if it did not start */
    size_t bytes;
    double seconds;
} attend__child;

/* argv[0] is the path of the program; NULL ends the list. At the deadline, and if it writes more
 * than `most` bytes, it and what it started are killed. It reads nothing from standard input. */
void attend__child_run(const char *const *argv, double seconds, size_t most, attend__child *child);

/* For the program itself: ends this process after about `seconds` if nobody else does, since its
 * parent may die first. */
void attend__child_limit_self(double seconds);

#endif
