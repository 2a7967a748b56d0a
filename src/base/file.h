/* SPDX-License-Identifier: Apache-2.0
 *
 * Whole files, read with suspicion and replaced at once: what the cache (cache_folder.h) is made
 * of. */
#ifndef ATTEND_BASE_FILE_H
#define ATTEND_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

/* The contents with a 0 byte behind them, to be freed; NULL if the file is missing, unreadable, no
 * regular file, larger than `most`, owned by another user than this one or root, or writable by
 * every user. */
void *attend__file_load(const char *path, size_t most, size_t *bytes);

/* Readers see the old contents or all of the new, never a part: a temporary file beside it, then
 * renamed. Only this user may read it. False if it could not be written; nothing is left then. */
bool attend__file_write_atomic(const char *path, const void *data, size_t bytes);

/* Makes a folder that only this user may enter; true if it is there afterwards. */
bool attend__folder_make(const char *path);

#endif
