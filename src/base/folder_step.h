/* SPDX-License-Identifier: Apache-2.0
 *
 * Stepping through the names of a folder: what folder.c needs from each system. */
#ifndef ATTEND_BASE_FOLDER_STEP_H
#define ATTEND_BASE_FOLDER_STEP_H

typedef struct attend__folder_step attend__folder_step;

attend__folder_step *attend__folder_open(const char *path); /* NULL if it cannot be read */
const char *
attend__folder_next(attend__folder_step *step); /* NULL at the end; valid until the next call */
void attend__folder_close(attend__folder_step *step);

#endif
