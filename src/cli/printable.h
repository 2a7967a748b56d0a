/* SPDX-License-Identifier: Apache-2.0
 *
 * Text for terminals: tokens, device names and file contents are other people's bytes, and columns
 * are not bytes. */
#ifndef ATTEND_CLI_PRINTABLE_H
#define ATTEND_CLI_PRINTABLE_H

#include <stddef.h>
#include <stdio.h>

/* A copy that can be printed: UTF-8 without control, format or separator characters, which become
 * escapes like \x1b and \u202e, so that no text can steer the terminal. Freed with free. */
char *printable_text(const char *bytes, size_t count);

/* Columns of a safe text. */
size_t printable_width(const char *safe);

/* Prints as many characters as fit into `width` columns, then spaces up to it; `width` larger than
 * the text only pads. */
void printable_put(FILE *stream, const char *safe, size_t width);

/* Text inside XML: markup characters become entities. */
void printable_put_xml(FILE *stream, const char *safe);

#endif
