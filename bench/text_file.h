/* SPDX-License-Identifier: Apache-2.0
 *
 * Small files of the system that hold a line or a few. */
#ifndef ATTEND_BENCH_TEXT_FILE_H
#define ATTEND_BENCH_TEXT_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* At most room - 1 bytes of the file, without line ends at the end. False: it cannot be read. */
bool text_file_read(const char *path, char *text, size_t room);

#endif
