/* SPDX-License-Identifier: Apache-2.0
 *
 * What a call compiled and made, as far as it can be seen from outside: calls of OpenCL, counted by
 * a layer of the loader (layer.c), and over PoCL, which compiles a kernel when it is launched, new
 * files in its folder of compiled kernels, which is empty when the program begins. */
#ifndef WATCH_H
#define WATCH_H

#include "own_opencl.h"

/* Before the first call of OpenCL in the process, after own_choose_backend; false: no folder. */
bool watch_start(void);
void watch_end(void);

/* Kernels that PoCL compiled so far, and the name of one of the newest. */
int watch_compiled(void);
const char *watch_newest(void);

typedef struct watch_mark {
    long calls;
    int libraries;
} watch_mark;
watch_mark watch_now(attend_context *context); /* when the context's work is done */

/* What must not have happened; each includes those before it. Over `clblast` the first alone is
 * looked at: CLBlast makes kernels and buffers in each of its calls. */
typedef enum watch_level {
    NOTHING_COMPILED, /* no program was made */
    NOTHING_MADE,     /* no kernel object, no queue */
    NOTHING_TAKEN     /* no memory of the device */
} watch_level;
/* Fails with `what` in its sentence; also where nothing ran. */
void watch_check(const watch_mark *before, watch_level level, const char *what);

#endif
