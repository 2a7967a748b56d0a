/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding the word that the user names among the tokens of a text. */
#ifndef ATTEND_CLI_FOCUS_H
#define ATTEND_CLI_FOCUS_H

#include "attend/model.h"

#include <stdbool.h>
#include <stddef.h>

/* The tokens the word is made of, as whole words; "it:2" is its second occurrence, counted over
 * both texts of two. False: not there. */
bool focus_find(const attend_model *model, const attend_encoding *encoding,
                const char *const texts[2], const char *word, size_t *first, size_t *count);

#endif
