/* SPDX-License-Identifier: Apache-2.0
 *
 * head_patterns.h. The kinds are those that introductions and studies of BERT's heads name (Clark,
 * Khandelwal, Levy, Manning 2019, "What does BERT look at?", sections 3.1 to 3.3). */
#include "view/head_patterns.h"

#include "cli.h"
#include "view/weight_set.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NEAR = 2 };

#define NUMBER(name)                                                                               \
    { #name, offsetof(head_patterns, name) }
const head_pattern_column head_pattern_columns[] = {
    NUMBER(entropy), NUMBER(distance), NUMBER(local),   NUMBER(diagonal), NUMBER(previous),
    NUMBER(next),    NUMBER(first),    NUMBER(special), NUMBER(block),    NUMBER(highest),
};
const size_t head_pattern_column_count =
    sizeof head_pattern_columns / sizeof head_pattern_columns[0];

double head_pattern_at(const head_patterns *patterns, size_t column) {
    double number = 0;
    memcpy(&number, (const char *)patterns + head_pattern_columns[column].offset, sizeof number);
    return number;
}

static double *number_at(head_patterns *patterns, size_t column) {
    return (double *)(void *)((char *)patterns + head_pattern_columns[column].offset);
}

/* ---- sentences --------------------------------------------------------------------------------
 */

static bool ends_sentence(const char *token) {
    static const char *const marks[] = {".", "!", "?", "。", "！", "？"};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; ++i)
        if (!strcmp(token, marks[i])) return true;
    return false;
}

/* A mark belongs to the sentence that it ends, marks that follow each other to the same one. */
static void number_sentences(const token_axis *axis, int *blocks) {
    int block = 0;
    bool open = false; /* the block has a token */
    for (size_t i = 0; i < axis->count; ++i) {
        const bool mark = !axis->special[i] && ends_sentence(axis->raw[i]);
        const bool again = mark && !open && i > 0 && blocks[i - 1] >= 0;
        blocks[i] = axis->special[i] ? -1 : again ? blocks[i - 1] : block;
        block += !again && (mark || (axis->special[i] && open));
        open = !mark && !axis->special[i];
    }
}

static int *make_blocks(const token_axis *axis, bool two_texts) {
    int *const blocks = cli_allocate(axis->count, sizeof *blocks);
    number_sentences(axis, blocks);
    int first = -1;
    bool several = false;
    for (size_t i = 0; i < axis->count; ++i) {
        if (two_texts && !axis->special[i]) blocks[i] = axis->second[i];
        if (first < 0) first = blocks[i];
        several = several || (blocks[i] >= 0 && blocks[i] != first);
    }
    if (several) return blocks;
    free(blocks);
    return NULL;
}

/* ---- one row ----------------------------------------------------------------------------------
 */

static size_t apart(const pattern_axes *axes, size_t row, size_t key) {
    const size_t a = axes->numbers[row], b = axes->numbers[key];
    return a > b ? a - b : b - a;
}

/* The row's shares that depend on where the weight is. */
static void add_places(pattern_sums *s, const pattern_axes *axes, size_t row, const double *weights,
                       double sum) {
    head_patterns *const p = &s->sums;
    double special = 0, block = 0, distance = 0, local = 0;
    const int own = axes->blocks ? axes->blocks[row] : -1;
    for (size_t k = 0; k < axes->keys; ++k) {
        if (axes->special[k]) special += weights[k];
        if (own >= 0 && axes->blocks[k] == own) block += weights[k];
        if (!axes->same) continue;
        const size_t far = apart(axes, row, k);
        distance += weights[k] * (double)far;
        if (far <= NEAR) local += weights[k];
    }
    p->first += weights[0] / sum;
    p->special += special / sum;
    p->block += block / sum;
    s->block_rows += own >= 0;
    if (!axes->same) return;
    p->distance += distance / sum;
    p->local += local / sum;
    p->diagonal += weights[row] / sum;
    if (row > 0) p->previous += weights[row - 1] / sum;
    if (row + 1 < axes->keys) p->next += weights[row + 1] / sum;
}

void pattern_sums_add(pattern_sums *s, const pattern_axes *axes, size_t row,
                      const double *weights) {
    double sum = 0, highest = 0, bits = 0;
    for (size_t k = 0; k < axes->keys; ++k) {
        sum += weights[k];
        if (weights[k] > highest) highest = weights[k];
    }
    if (!(sum > 0) || !isfinite(sum)) return;
    for (size_t k = 0; k < axes->keys; ++k)
        if (weights[k] > 0) bits -= weights[k] / sum * log(weights[k] / sum);
    s->sums.entropy += axes->keys > 1 ? bits / log((double)axes->keys) : 0;
    s->sums.highest += highest / sum;
    add_places(s, axes, row, weights, sum);
    ++s->rows;
}

/* ---- the means and what stands out ------------------------------------------------------------
 */

static head_patterns means(const pattern_sums *s, const pattern_axes *axes) {
    head_patterns p = s->sums;
    if (!axes->same) p.distance = p.local = p.diagonal = p.previous = p.next = (double)NAN;
    for (size_t i = 0; i < head_pattern_column_count; ++i) {
        double *const number = number_at(&p, i);
        const size_t rows = number == &p.block ? s->block_rows : s->rows;
        *number = rows ? *number / (double)rows : (double)NAN;
    }
    return p;
}

void pattern_axes_make(pattern_axes *axes, const token_axis *columns, size_t rows, bool same_axes,
                       bool two_texts) {
    *axes = (pattern_axes){.keys = columns->count,
                           .same = same_axes,
                           .special = columns->special,
                           .numbers = columns->numbers};
    if (same_axes) axes->blocks = make_blocks(columns, two_texts);
    double *const weights = cli_allocate(columns->count, sizeof *weights);
    for (size_t k = 0; k < columns->count; ++k)
        weights[k] = 1;
    pattern_sums even = {0};
    for (size_t row = 0; row < rows; ++row, ++even.rows)
        add_places(&even, axes, row, weights, (double)columns->count);
    free(weights);
    axes->even = means(&even, axes);
}

void pattern_axes_free(pattern_axes *axes) {
    free(axes->blocks);
    axes->blocks = NULL;
}

/* At least this much, and so many times what equal weights would give; the first that fits. */
static const struct rule {
    const char *kind;
    size_t offset;
    double least, times;
} rules[] = {
    {"previous", offsetof(head_patterns, previous), 0.4, 2},
    {"next", offsetof(head_patterns, next), 0.4, 2},
    {"diagonal", offsetof(head_patterns, diagonal), 0.4, 2},
    {"special", offsetof(head_patterns, special), 0.5, 2},
    {"first", offsetof(head_patterns, first), 0.5, 2},
    {"local", offsetof(head_patterns, local), 0.6, 1.5},
    {"block", offsetof(head_patterns, block), 0.75, 1.25},
    {"global", offsetof(head_patterns, entropy), 0.8, 0},
};

head_patterns pattern_sums_end(const pattern_sums *sums, const pattern_axes *axes) {
    head_patterns p = means(sums, axes);
    p.kind = sums->rows ? "mixed" : "none";
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; ++i) {
        double got = 0, even = 0;
        memcpy(&got, (const char *)&p + rules[i].offset, sizeof got);
        memcpy(&even, (const char *)&axes->even + rules[i].offset, sizeof even);
        if (!(got >= rules[i].least && got >= rules[i].times * even)) continue;
        p.kind = rules[i].kind;
        break;
    }
    return p;
}
