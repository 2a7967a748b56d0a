/* SPDX-License-Identifier: Apache-2.0
 *
 * Prose for terminals: lines that end between words, or between the characters of a script that
 * writes none. */
#ifndef ATTEND_CLI_PARAGRAPH_H
#define ATTEND_CLI_PARAGRAPH_H

#include <stddef.h>
#include <stdio.h>

/* Prints a safe text in lines of at most `columns` columns and a line end. A word that is longer
 * than a line gets one of its own. No line begins with a closing mark or ends with an opening one.
 */
void paragraph_put(FILE *stream, const char *safe, size_t columns);

#endif
