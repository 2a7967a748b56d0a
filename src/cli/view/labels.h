/* SPDX-License-Identifier: Apache-2.0
 *
 * Labels for the rows and columns of weights that come from a file. */
#ifndef ATTEND_CLI_LABELS_H
#define ATTEND_CLI_LABELS_H

#include "view/weight_set.h"

/* The lines of a file as `count` tokens, those that stand for no text marked; `what` is "rows" or
 * "columns". Without a path the tokens are numbers from 0. False after a sentence: not UTF-8,
 * another number of lines. */
bool labels_read(token_axis *axis, const char *path, size_t count, const char *what);

#endif
