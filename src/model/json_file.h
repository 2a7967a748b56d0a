/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON files of a model folder and checked access to their members. Sentences name the file and the
 * member. */
#ifndef ATTEND_MODEL_JSON_FILE_H
#define ATTEND_MODEL_JSON_FILE_H

#include "attend/core.h"

#include <jansson.h>
#include <stdbool.h>

/* Reads an object. IO, FORMAT (no JSON, a key twice, no object), OUT_OF_MEMORY. */
attend_status attend__json_open(const char *path, json_t **root);

/* The member `key` of `object`. FORMAT where it is missing, of another type, or outside low..high.
 */
attend_status attend__json_integer(const char *path, const json_t *object, const char *key,
                                   int64_t low, int64_t high, int64_t *value);
attend_status attend__json_bool(const char *path, const json_t *object, const char *key,
                                bool *value);
/* Lives as long as the root. */
attend_status attend__json_text(const char *path, const json_t *object, const char *key,
                                const char **value);
/* OK where the member `key` is an object whose "type" is `type`; else UNSUPPORTED with both names.
 */
attend_status attend__json_expect_type(const char *path, const json_t *root, const char *key,
                                       const char *type, const json_t **member);

#endif
