/* SPDX-License-Identifier: Apache-2.0
 *
 * What the options say of layers, heads and tokens, against what there is. */
#ifndef ATTEND_CLI_VIEW_CHOICE_H
#define ATTEND_CLI_VIEW_CHOICE_H

#include "view/weight_source.h"
#include "view/weights_of.h"

/* Layers and heads, from 1, of so many; false after a sentence. */
bool view_choose_heads(view_choice *choice, const view_wishes *wishes, size_t layers, size_t heads);
/* Queries and keys, from 0, texts and special tokens. */
bool view_choose_tokens(view_choice *choice, const view_wishes *wishes,
                        const weight_source *source);
/* The rows that show tokens first .. first + count - 1 of the text; false if the first is hidden.
 */
bool view_set_focus(weight_set *set, size_t first, size_t count);
/* The sentence for a word that is not there, with the tokens that are. */
void view_report_focus(const weight_set *set, const char *word);
/* The name of a file or folder without what leads to it, printable; freed with free. */
char *view_last_part(const char *path);

#endif
