/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads a whole file into memory. Files are read, not mapped: a mapped file that another process
 * cuts short kills the reader by a signal. */
#ifndef ATTEND_MODEL_MODEL_FILE_H
#define ATTEND_MODEL_MODEL_FILE_H

#include "attend/core.h"

/* *bytes (malloc; NULL only on failure) and *size. Not a regular file, missing, unreadable, or of
 * another size than it says: IO. Larger than memory: OUT_OF_MEMORY. */
attend_status attend__file_read(const char *path, unsigned char **bytes, size_t *size);
/* folder + "/" + name (malloc), or NULL without memory. */
char *attend__model_path(const char *folder, const char *name);

#endif
