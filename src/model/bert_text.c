/* SPDX-License-Identifier: Apache-2.0
 *
 * Normalization and splitting into words as BERT does; see bert_text.h. Steps, in this order:
 * clean, Chinese characters, accents (canonical decomposition, then marks go), lower case. */
#include "model/bert_text.h"

#include "model/bert_tables.h"
#include "model/model_error.h"

#include <stdlib.h>
#include <utf8proc.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- classes --------------------------------------------------------------------------------- */

static bool in_ranges(const bert_range *ranges, size_t count, int32_t code) {
    size_t low = 0, high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (code > ranges[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ranges[low].first <= code;
}

static bool is_removed(int32_t code) {
    return in_ranges(bert_removed, COUNT(bert_removed), code);
}

static bool is_punctuation(int32_t code) {
    return in_ranges(bert_punctuation, COUNT(bert_punctuation), code);
}

/* The blocks that tokenization.py lists; some Han characters of later Unicode versions lie outside.
 */
static bool is_chinese(int32_t code) {
    static const bert_range blocks[] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},
                                        {0x20000, 0x2a6df}, {0x2a700, 0x2b81f}, {0x2b920, 0x2ceaf},
                                        {0x2f800, 0x2fa1f}};
    return in_ranges(blocks, COUNT(blocks), code);
}

bool attend__is_white_space(int32_t code) {
    static const bert_range spaces[] = {
        {0x9, 0xd},       {0x20, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680},
        {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};
    return in_ranges(spaces, COUNT(spaces), code);
}

bool attend__is_word_character(int32_t code) {
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return in_ranges(bert_joined, COUNT(bert_joined), code);
    }
}

/* ---- accents --------------------------------------------------------------------------------- */

static bool append_decomposed(attend__text *text, attend__character c) {
    enum { LONGEST = 4 /* of all canonical decompositions; Unicode promises no longer ones */ };
    utf8proc_int32_t parts[LONGEST] = {c.code};
    utf8proc_ssize_t count = 1;
    if (!in_ranges(bert_whole, COUNT(bert_whole), c.code))
        count = utf8proc_decompose_char(c.code, parts, LONGEST, UTF8PROC_DECOMPOSE, NULL);
    if (count < 1 || count > LONGEST) return attend__text_append(text, c.code, c.begin, c.end);
    for (utf8proc_ssize_t i = 0; i < count; i++)
        if (!attend__text_append(text, parts[i], c.begin, c.end)) return false;
    return true;
}

/* The canonical combining class, 0 for marks that are newer than the tables. */
static int combining_class(int32_t code, bool stripped) {
    if (!stripped && !in_ranges(bert_ordered, COUNT(bert_ordered), code)) return 0;
    return utf8proc_get_property(code)->combining_class;
}

/* Puts a run of marks into the order of their classes, stable. A pass per class costs less than it
 * seems: runs that need it are rare, and a hostile run of a million marks stays linear. */
static bool order_run(attend__character *run, size_t count) {
    enum { CLASSES = 255 };
    bool ordered = true;
    for (size_t i = 1; i < count && ordered; i++)
        ordered = combining_class(run[i - 1].code, false) <= combining_class(run[i].code, false);
    if (ordered) return true;
    attend__character *const sorted =
        malloc(count * sizeof *sorted); /* part of an array that exists */
    if (!sorted) return false;
    size_t done = 0;
    for (int class = 1; class < CLASSES; class ++)
        for (size_t i = 0; i < count; i++)
            if (combining_class(run[i].code, false) == class) sorted[done++] = run[i];
    for (size_t i = 0; i < done; i++)
        run[i] = sorted[i];
    free(sorted);
    return true;
}

/* Drops the marks that are stripped and orders those that stay. A dropped mark of class 0 still
 * ends a run, as it does where marks are ordered before they are dropped. */
static bool strip_marks(attend__text *text) {
    size_t kept = 0, run = 0;
    for (size_t i = 0; i < text->count; i++) {
        const attend__character c = text->items[i];
        const bool stripped = in_ranges(bert_stripped, COUNT(bert_stripped), c.code);
        const bool starter = combining_class(c.code, stripped) == 0;
        if (starter && !order_run(text->items + run, kept - run)) return false;
        if (!stripped) text->items[kept++] = c;
        if (starter) run = kept;
    }
    text->count = kept;
    return order_run(text->items + run, kept - run);
}

/* ---- all together ---------------------------------------------------------------------------- */

static int32_t lower(int32_t code) {
    for (size_t i = 0; i < COUNT(bert_lowered); i++)
        if (code >= bert_lowered[i].first && code <= bert_lowered[i].last)
            return code + bert_lowered[i].distance;
    return utf8proc_tolower(code);
}

static bool append_lower(attend__text *out, attend__character c) {
    enum { CAPITAL_I_WITH_DOT = 0x130, DOT_ABOVE = 0x307 };
    /* The only character whose full lower case, as Unicode's SpecialCasing has it, is longer. */
    if (c.code == CAPITAL_I_WITH_DOT)
        return attend__text_append(out, 'i', c.begin, c.end) &&
               attend__text_append(out, DOT_ABOVE, c.begin, c.end);
    return attend__text_append(out, lower(c.code), c.begin, c.end);
}

static bool append_cleaned(const attend__bert_options *options, attend__text *text,
                           attend__character c) {
    if (options->clean_text) {
        if (is_removed(c.code)) return true;
        if (attend__is_white_space(c.code)) c.code = ' ';
    }
    const bool chinese = options->handle_chinese_chars && is_chinese(c.code);
    if (chinese && !attend__text_append(text, ' ', c.begin, c.end)) return false;
    const bool done = options->strip_accents ? append_decomposed(text, c)
                                             : attend__text_append(text, c.code, c.begin, c.end);
    return done && (!chinese || attend__text_append(text, ' ', c.begin, c.end));
}

static bool normalize(const attend__bert_options *options, const attend__character *characters,
                      size_t count, attend__text *work, attend__text *out) {
    for (size_t i = 0; i < count; i++)
        if (!append_cleaned(options, work, characters[i])) return false;
    if (options->strip_accents && work->count && !strip_marks(work)) return false;
    for (size_t i = 0; i < work->count; i++) {
        const attend__character c = work->items[i];
        const bool done = options->lowercase ? append_lower(out, c)
                                             : attend__text_append(out, c.code, c.begin, c.end);
        if (!done) return false;
    }
    return true;
}

attend_status attend__bert_normalize(const attend__bert_options *options,
                                     const attend__character *characters, size_t count,
                                     attend__text *out) {
    attend__text work = {0};
    const bool done = normalize(options, characters, count, &work, out);
    attend__text_free(&work);
    return done ? ATTEND_OK
                : attend__model_fail(ATTEND_OUT_OF_MEMORY,
                                     "text: not enough memory to normalize it");
}

bool attend__bert_next_word(const attend__character *characters, size_t count, size_t *begin,
                            size_t *end) {
    size_t i = *begin;
    while (i < count && attend__is_white_space(characters[i].code))
        i++;
    if (i == count) return false;
    *begin = i++;
    if (!is_punctuation(characters[*begin].code))
        while (i < count && !attend__is_white_space(characters[i].code) &&
               !is_punctuation(characters[i].code))
            i++;
    *end = i;
    return true;
}
