/* SPDX-License-Identifier: Apache-2.0
 *
 * The file in which `attend tune` keeps what it found for one device and a backend reads it: a
 * sealed file of cache_folder.h whose key is the device, so that a damaged one or that of another
 * driver counts as absent, and whose contents are lines of text, one for each shape:
 *
 *     KERNEL SOURCE TYPE MASK PHASE HEAD A B C: NAME=VALUE .. (TIME s before, TIME s after)
 *
 * What stands before the colon is the backend's: it is compared, not understood, by whoever
 * writes. */
#ifndef ATTEND_BASE_TUNING_FILE_H
#define ATTEND_BASE_TUNING_FILE_H

#include "base/cache_folder.h"

/* The name of a device's file in the configuration folder. */
enum { ATTEND__TUNING_NAME = 32 };
void attend__tuning_name(const char *key, char name[ATTEND__TUNING_NAME]);
/* A path as a folder and a name; false without memory. The folder is freed by the caller. */
bool attend__tuning_split(const char *path, char **folder, const char **name);

/* The lines as a new text for free(), NULL unless FOUND. */
attend__cache_news attend__tuning_load(const char *folder, const char *name, const char *key,
                                       char **lines);
/* `old` (may be NULL) with the lines of `more` in the place of those of the same shape: a new text,
 * NULL without memory. */
char *attend__tuning_merge(const char *old, const char *more);

#endif
