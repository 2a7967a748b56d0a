/* SPDX-License-Identifier: Apache-2.0
 *
 * The options of cases as words: "causal", "len=128", "mask=pad:64". The same words stand in texts
 * after the type and in JSON as keys, there with true or the text behind the equals sign. */
#ifndef ATTEND_BENCH_WORDS_H
#define ATTEND_BENCH_WORDS_H

#include "bench_case.h"

/* The word's number, -1 for one that is none; `length` bytes of it count. */
int bench_word_find(const char *word, size_t length);
const char *bench_word_text(int word); /* NULL behind the last one */

/* Reads an option's value ("" for a word without one) into the case, whose sizes are known. */
bool bench_word_read(int word, const char *value, bench_case *c, char *reason, size_t bytes);
/* False where the case does not have the option; value[bytes] is "" for a word without one. */
bool bench_word_write(int word, const bench_case *c, char *value, size_t bytes);

/* Whether the options of a case go with each other and with its sizes. */
bool bench_words_check(const bench_case *c, char *reason, size_t bytes);

#endif
