/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON files of a model folder; see json_file.h. */
#include "model/json_file.h"

#include "model/model_error.h"
#include "model/model_file.h"

#include <stdlib.h>
#include <string.h>

attend_status attend__json_open(const char *path, json_t **root) {
    *root = NULL;
    unsigned char *bytes;
    size_t size;
    const attend_status status = attend__file_read(path, &bytes, &size);
    if (status) return status;
    json_error_t error;
    json_t *const value = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, &error);
    free(bytes);
    if (!value && json_error_code(&error) == json_error_out_of_memory)
        return attend__model_no_memory(path);
    if (!value)
        return attend__model_fail(ATTEND_FORMAT, "%s: %s (line %d, column %d)", path, error.text,
                                  error.line, error.column);
    if (!json_is_object(value)) {
        json_decref(value);
        return attend__model_fail(ATTEND_FORMAT, "%s: is not a JSON object", path);
    }
    *root = value;
    return ATTEND_OK;
}

attend_status attend__json_integer(const char *path, const json_t *object, const char *key,
                                   int64_t low, int64_t high, int64_t *value) {
    const json_t *const member = json_object_get(object, key);
    if (!json_is_integer(member))
        return attend__model_fail(ATTEND_FORMAT, "%s: %s is missing or no whole number", path, key);
    const int64_t n = json_integer_value(member);
    if (n < low || n > high)
        return attend__model_fail(ATTEND_FORMAT, "%s: %s is %lld, allowed are %lld to %lld", path,
                                  key, (long long)n, (long long)low, (long long)high);
    *value = n;
    return ATTEND_OK;
}

attend_status attend__json_bool(const char *path, const json_t *object, const char *key,
                                bool *value) {
    const json_t *const member = json_object_get(object, key);
    if (!json_is_boolean(member))
        return attend__model_fail(ATTEND_FORMAT, "%s: %s is missing or neither true nor false",
                                  path, key);
    *value = json_is_true(member);
    return ATTEND_OK;
}

attend_status attend__json_text(const char *path, const json_t *object, const char *key,
                                const char **value) {
    const json_t *const member = json_object_get(object, key);
    if (!json_is_string(member))
        return attend__model_fail(ATTEND_FORMAT, "%s: %s is missing or no text", path, key);
    *value = json_string_value(member);
    return ATTEND_OK;
}

attend_status attend__json_expect_type(const char *path, const json_t *root, const char *key,
                                       const char *type, const json_t **member) {
    const json_t *const object = json_object_get(root, key);
    const char *const given = json_string_value(json_object_get(object, "type"));
    if (!given || strcmp(given, type) != 0)
        return attend__model_fail(ATTEND_UNSUPPORTED,
                                  "%s: %s is \"%.40s\", only \"%s\" is supported", path, key,
                                  given ? given : "none", type);
    *member = object;
    return ATTEND_OK;
}
