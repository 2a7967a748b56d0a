/* SPDX-License-Identifier: Apache-2.0
 *
 * What the program asks of the operating system, so that the rest of it is plain C. */
#ifndef ATTEND_CLI_SYSTEM_H
#define ATTEND_CLI_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>

/* Makes a closed pipe a failed write, and a closed stream one that fails: a file opened later must
 * not become standard output. */
void system_prepare_streams(void);
bool system_output_is_terminal(void);
bool system_error_is_terminal(void);
/* Columns of the terminal that standard output is, 0 if it is none. */
int system_terminal_columns(void);
/* The encoding of the user's locale is UTF-8. */
bool system_speaks_utf8(void);
/* Writes the file so that a reader sees the old content or all of the new one. A path that is a
 * device or a pipe is written to directly. Who may read it is the user's mask's to say; never may
 * every user write it. False: errno says why, and nothing new is left behind. */
bool system_replace_file(const char *path, const void *data, size_t bytes);

/* Whether system_replace_file could write that path now; errno says why not. */
bool system_can_replace(const char *path);
/* Waits until no other process holds the lock of that file, which is made; -1: errno says why. A
 * process that ends gives it back. */
int system_lock(const char *path);
/* Removes the file, too; -1 is allowed. */
void system_unlock(const char *path, int lock);
/* Where it is empty. */
void system_remove_folder(const char *path);
/* The file of this program, to start it again; freed by the caller, NULL without memory. */
char *system_own_program(void);

#endif
