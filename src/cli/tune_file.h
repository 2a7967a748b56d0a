/* SPDX-License-Identifier: Apache-2.0
 *
 * Where `attend tune` keeps what it found: a tuning file (base/tuning_file.h). */
#ifndef ATTEND_CLI_TUNE_FILE_H
#define ATTEND_CLI_TUNE_FILE_H

#include "tuner.h"

typedef struct tune_file {
    char *folder;
    const char *name; /* NULL: the device's */
    bool made, kept;  /* the folder was made for it; there is a file in it now */
} tune_file;

/* Looks before the run whether a file could be written: `out`, or NULL, which is the device's in
 * the configuration folder. False: it said why not. */
bool tune_file_find(tune_file *file, const char *out);
/* Keeps what is new beside what is there. False: it said why not. */
bool tune_file_keep(tune_file *file, const tune_report *report);
/* Removes a folder that was made for nothing. */
void tune_file_release(tune_file *file);

#endif
