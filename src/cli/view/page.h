/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of weights as one HTML file that needs no other: page/ holds what the browser runs, this
 * puts tokens, patterns and weights into it. Nothing of a text becomes markup: tokens are JSON
 * without '<', and the page only ever shows them as text. */
#ifndef ATTEND_CLI_PAGE_H
#define ATTEND_CLI_PAGE_H

#include "view/weight_set.h"

#include <stdio.h>

typedef enum page_special { PAGE_SPECIAL_SHOW, PAGE_SPECIAL_FADE, PAGE_SPECIAL_HIDE } page_special;

/* What the page shows first; all of it can be changed there. The set's focus is pinned. */
typedef struct page_options {
    weight_scale scale;
    bool per_row;
    page_special special;
    size_t layer, head; /* indices into the set */
} page_options;

/* Cells of a head: browsers hold no text of more than 2^29 characters, and a cell takes 8 / 3. */
enum { PAGE_MOST_CELLS = 200000000 };

/* False after a sentence, or where the stream has an error. */
bool page_write(FILE *stream, const weight_set *set, const page_options *options);

extern const char page_template[]; /* page.html with style and script; ends with NUL */

#endif
