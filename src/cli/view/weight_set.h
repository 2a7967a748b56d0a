/* SPDX-License-Identifier: Apache-2.0
 *
 * What is to be shown: the weights of the chosen layers and heads of a model's run, or of a file,
 * with the tokens they belong to. Terminal, SVG, PNG, HTML and the table of patterns all read this.
 *
 *     view_command.c -> weights_of_model.c, weights_of_file.c -> weight_fill.c -> weight_set
 *     weight_set -> picture_*.c, page.c, patterns_table.c */
#ifndef ATTEND_CLI_WEIGHT_SET_H
#define ATTEND_CLI_WEIGHT_SET_H

#include "cli.h"
#include "view/head_patterns.h"
#include "view/weight_code.h"

#include <stdbool.h>
#include <stddef.h>

/* The tokens of the rows (queries) or of the columns (keys). */
typedef struct token_axis {
    size_t count;
    char **raw;      /* UTF-8 as it came; what is not UTF-8 is U+FFFD. For HTML */
    char **safe;     /* printable_text of it, for terminals and XML */
    size_t *numbers; /* their places in the text, from 0, which stay when others are left out */
    bool *special;   /* stands for no text, as [CLS] */
    bool *second;    /* belongs to the second text of two */
} token_axis;

typedef struct weight_set {
    token_axis rows, columns;
    bool same_axes; /* rows and columns are the same tokens */
    bool two_texts;
    size_t layers, heads;    /* chosen; heads is 1 for a mean or maximum */
    int *layer_numbers;      /* [layers] as users count them, from 1 */
    int *head_numbers;       /* [heads]; unused if combined */
    const char *combined;    /* NULL, "mean" or "max" over all heads of a layer */
    size_t model_heads;      /* how many were combined */
    uint16_t *codes;         /* [layers, heads, rows, columns] */
    int exponent;            /* values are those of the codes times 10^exponent */
    head_patterns *patterns; /* [layers, heads] */
    char *caption;           /* the text, or the file's tensor, printable */
    char *text;              /* the text as it came, UTF-8; NULL for a file */
    char *source;            /* the name of the model's folder, or of the file, printable */
    char *backend, *device;  /* that computed them; empty for a file */
    char **notices;          /* sentences about what is left out, cut or odd, printable; shown
                                with every picture */
    size_t notice_count;
    size_t focus, focus_count; /* rows the user asked for; focus_count 0 = none */
} weight_set;

/* The codes of one head, [rows, columns]. */
const uint16_t *weight_set_head(const weight_set *set, size_t layer, size_t head);
enum { WEIGHT_TITLE_BYTES = 64 };
/* "layer 6, head 12" or "layer 6, mean of 12 heads" or "layer 6, maximum of 12 heads". */
void weight_set_title(const weight_set *set, size_t layer, size_t head,
                      char title[WEIGHT_TITLE_BYTES]);
void weight_set_notice(weight_set *set, const char *format, ...) CLI_PRINTF(2, 3);
void weight_set_free(weight_set *set);

/* Room for `count` tokens, all of them empty; token_axis_put copies `bytes` of text into one. */
void token_axis_make(token_axis *axis, size_t count);
void token_axis_put(token_axis *axis, size_t index, const char *text, size_t bytes);
void token_axis_free(token_axis *axis);

/* ---- how weights become colours (weight_scale.c); the page's scale.js does the same -----------
 */

typedef enum weight_scale { SCALE_LINEAR, SCALE_SQRT, SCALE_LOG } weight_scale;

typedef struct weight_style {
    weight_scale scale;
    bool per_row;      /* each row by its own maximum instead of the head's */
    bool fade_special; /* columns and rows of special tokens are mixed with the background */
} weight_style;

/* The palette's entry, 0..255, of a value in 0..highest: floor(255 t + 0.5), t = x, sqrt(x) or
 * 1 + log10(x) / 4, not below 0 (the log scale shows four decades), x = value / highest, not above
 * 1; 0 if highest is 0. */
int weight_level(weight_scale scale, double value, double highest);
/* The largest value of a head's row, or of the whole head, as weight_value gives it. Where special
 * tokens are faded their rows and columns do not count: such a row has 0. */
double weight_highest_of_row(const weight_set *set, size_t layer, size_t head, size_t row,
                             const weight_style *style);
double weight_highest(const weight_set *set, size_t layer, size_t head, const weight_style *style);
/* The row or the column is a special token's. */
bool weight_is_special(const weight_set *set, size_t row, size_t column);

#endif
