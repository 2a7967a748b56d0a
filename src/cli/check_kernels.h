/* SPDX-License-Identifier: Apache-2.0
 *
 * Which kernels the cases ran, counted from the library's dispatch lines. */
#ifndef ATTEND_CLI_CHECK_KERNELS_H
#define ATTEND_CLI_CHECK_KERNELS_H

#include <attend/core.h>

typedef struct check_kernels check_kernels;

check_kernels *check_kernels_create(void);
/* Makes `options` tell `kernels` of each call; lines of other topics go where they went before. */
void check_kernels_listen(check_kernels *kernels, attend_options *options);
/* A line for each kernel: how often it ran, and on what. Nothing may run any more. */
void check_kernels_print(const check_kernels *kernels, const attend_context *context);
void check_kernels_release(check_kernels *kernels);

#endif
