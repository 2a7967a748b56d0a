/* SPDX-License-Identifier: Apache-2.0
 *
 * Reader of the safetensors format; see safetensors.h. The order is: split header from data, parse
 * the header, check each entry by itself, then check that the entries' ranges in ascending order
 * cover the data without holes or overlaps. Only then is a pointer into the data handed out. */
#include "model/safetensors.h"

#include "base/checked.h"
#include "model/model_error.h"
#include "model/model_file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
    LENGTH_BYTES = 8,
    MAX_HEADER_BYTES = 100 * 1000 * 1000 /* the limit of the format's own reader */
};

typedef struct entry {
    attend__stored_tensor tensor;
    size_t begin, end; /* bytes of the data section */
    void *copy;        /* where the file's own bytes are not aligned */
} entry;

struct attend__safetensors {
    char *path;
    unsigned char *bytes;
    size_t size, data_begin;
    json_t *header; /* owns names and metadata */
    entry *entries;
    size_t count;
    const char **keys; /* of __metadata__ */
    size_t key_count;
};

static const struct stored_fact {
    const char *name;
    size_t bytes;
    attend_type type;
} facts[ATTEND__STORED_TYPE_COUNT] = {
#define ATTEND_X(name, bytes, type) {#name, bytes, type},
    ATTEND__STORED_TYPE_LIST(ATTEND_X)
#undef ATTEND_X
};

/* Names are cut in sentences, so that a long one does not push out what is wrong. */
#define TENSOR "%s: tensor \"%.100s\": "

const char *attend__stored_type_name(attend__stored_type type) {
    return (unsigned)type < ATTEND__STORED_TYPE_COUNT ? facts[type].name : "?";
}

/* ---- one entry ------------------------------------------------------------------------------- */

static attend_status read_type(const char *path, const json_t *object, entry *e) {
    const char *const name = e->tensor.name;
    const char *const dtype = json_string_value(json_object_get(object, "dtype"));
    if (!dtype)
        return attend__model_fail(ATTEND_FORMAT, TENSOR "dtype is missing or no text", path, name);
    for (unsigned i = 0; i < ATTEND__STORED_TYPE_COUNT; i++) {
        if (strcmp(dtype, facts[i].name) != 0) continue;
        e->tensor.stored = (attend__stored_type)i;
        e->tensor.type = facts[i].type;
        return ATTEND_OK;
    }
    return attend__model_fail(ATTEND_UNSUPPORTED, TENSOR "dtype \"%.40s\" is not known", path, name,
                              dtype);
}

static attend_status read_shape(const char *path, const json_t *object, entry *e) {
    const char *const name = e->tensor.name;
    const json_t *const shape = json_object_get(object, "shape");
    if (!json_is_array(shape))
        return attend__model_fail(ATTEND_FORMAT, TENSOR "shape is missing or no list", path, name);
    const size_t rank = json_array_size(shape);
    if (rank > ATTEND__STORED_MAX_RANK)
        return attend__model_fail(ATTEND_UNSUPPORTED, TENSOR "%zu dimensions, at most %d are read",
                                  path, name, rank, ATTEND__STORED_MAX_RANK);
    size_t count = 1;
    bool fits = true, empty = false;
    for (size_t i = 0; i < rank; i++) {
        const json_t *const number = json_array_get(shape, i);
        const json_int_t n = json_integer_value(number);
        if (!json_is_integer(number) || n < 0)
            return attend__model_fail(ATTEND_FORMAT, TENSOR "shape[%zu] is not a whole number >= 0",
                                      path, name, i);
        e->tensor.sizes[i] = n;
        empty = empty || n == 0;
        fits = fits && (uint64_t)n <= SIZE_MAX && attend__mul_size(count, (size_t)n, &count);
    }
    if (empty) count = 0; /* whatever the other sizes are: nothing is stored */
    if (!attend__mul_size(count, facts[e->tensor.stored].bytes, &e->tensor.bytes) ||
        (!fits && !empty))
        return attend__model_fail(ATTEND_FORMAT, TENSOR "its shape does not fit into memory", path,
                                  name);
    e->tensor.rank = (int32_t)rank;
    e->tensor.count = count;
    return ATTEND_OK;
}

static attend_status read_range(const char *path, const json_t *object, size_t data_bytes,
                                entry *e) {
    const char *const name = e->tensor.name;
    const json_t *const range = json_object_get(object, "data_offsets");
    const json_t *const first = json_array_get(range, 0), *const second = json_array_get(range, 1);
    if (!json_is_array(range) || json_array_size(range) != 2 || !json_is_integer(first) ||
        !json_is_integer(second))
        return attend__model_fail(
            ATTEND_FORMAT, TENSOR "data_offsets is not a list of two whole numbers", path, name);
    const json_int_t begin = json_integer_value(first), end = json_integer_value(second);
    if (begin < 0 || end < begin)
        return attend__model_fail(ATTEND_FORMAT, TENSOR "data_offsets %lld..%lld are not a range",
                                  path, name, (long long)begin, (long long)end);
    if ((uint64_t)end > data_bytes)
        return attend__model_fail(
            ATTEND_FORMAT, TENSOR "data_offsets end at %lld, but the file has %zu bytes of data",
            path, name, (long long)end, data_bytes);
    e->begin = (size_t)begin;
    e->end = (size_t)end;
    if (e->end - e->begin != e->tensor.bytes)
        return attend__model_fail(ATTEND_FORMAT,
                                  TENSOR "data_offsets give it %zu bytes, its shape needs %zu",
                                  path, name, e->end - e->begin, e->tensor.bytes);
    return ATTEND_OK;
}

static attend_status read_entry(const attend__safetensors *file, const json_t *object, entry *e) {
    if (!json_is_object(object))
        return attend__model_fail(ATTEND_FORMAT, TENSOR "its entry is not an object", file->path,
                                  e->tensor.name);
    attend_status status = read_type(file->path, object, e);
    if (!status) status = read_shape(file->path, object, e);
    if (!status) status = read_range(file->path, object, file->size - file->data_begin, e);
    return status;
}

/* ---- the header ------------------------------------------------------------------------------ */

static attend_status split(attend__safetensors *file, size_t *header_bytes) {
    if (file->size < LENGTH_BYTES)
        return attend__model_fail(ATTEND_FORMAT, "%s: %zu bytes are too few for a safetensors file",
                                  file->path, file->size);
    uint64_t length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        length |= (uint64_t)file->bytes[i] << (8 * i);
    if (length > MAX_HEADER_BYTES)
        return attend__model_fail(ATTEND_FORMAT, "%s: header of %llu bytes, at most %d are allowed",
                                  file->path, (unsigned long long)length, MAX_HEADER_BYTES);
    if (length > file->size - LENGTH_BYTES)
        return attend__model_fail(ATTEND_FORMAT, "%s: header of %llu bytes in a file of %zu",
                                  file->path, (unsigned long long)length, file->size);
    *header_bytes = (size_t)length;
    file->data_begin = LENGTH_BYTES + (size_t)length;
    return ATTEND_OK;
}

static attend_status parse_header(attend__safetensors *file) {
    size_t header_bytes = 0;
    const attend_status status = split(file, &header_bytes);
    if (status) return status;
    const char *const text = (const char *)file->bytes + LENGTH_BYTES;
    if (header_bytes == 0 || text[0] != '{')
        return attend__model_fail(ATTEND_FORMAT, "%s: the header does not start with \"{\"",
                                  file->path);
    json_error_t error;
    file->header = json_loadb(text, header_bytes, JSON_REJECT_DUPLICATES, &error);
    if (file->header) return ATTEND_OK;
    if (json_error_code(&error) == json_error_out_of_memory)
        return attend__model_no_memory(file->path);
    return attend__model_fail(ATTEND_FORMAT, "%s: header: %s (byte %d)", file->path, error.text,
                              error.position);
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static attend_status read_metadata(attend__safetensors *file) {
    json_t *const metadata = json_object_get(file->header, "__metadata__");
    if (!metadata) return ATTEND_OK;
    if (!json_is_object(metadata))
        return attend__model_fail(ATTEND_FORMAT, "%s: __metadata__ is not an object", file->path);
    const size_t count = json_object_size(metadata);
    if (count == 0) return ATTEND_OK;
    file->keys = calloc(count, sizeof *file->keys);
    if (!file->keys) return attend__model_no_memory(file->path);
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value))
            return attend__model_fail(ATTEND_FORMAT, "%s: __metadata__: \"%.100s\" is not a text",
                                      file->path, key);
        file->keys[file->key_count++] = key;
    }
    qsort(file->keys, count, sizeof *file->keys, compare_keys);
    return ATTEND_OK;
}

static attend_status read_entries(attend__safetensors *file) {
    const size_t most = json_object_size(file->header);
    if (most == 0) return ATTEND_OK;
    file->entries = calloc(most, sizeof *file->entries);
    if (!file->entries) return attend__model_no_memory(file->path);
    const char *key;
    json_t *value;
    json_object_foreach(file->header, key, value) {
        if (strcmp(key, "__metadata__") == 0) continue;
        entry *const e = &file->entries[file->count];
        e->tensor.name = key;
        const attend_status status = read_entry(file, value, e);
        if (status) return status;
        file->count++;
    }
    return ATTEND_OK;
}

/* ---- the data -------------------------------------------------------------------------------- */

static int compare_ranges(const void *a, const void *b) {
    const entry *const x = a, *const y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return 0;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const entry *)a)->tensor.name, ((const entry *)b)->tensor.name);
}

static attend_status check_cover(attend__safetensors *file) {
    size_t position = 0;
    if (file->count) qsort(file->entries, file->count, sizeof *file->entries, compare_ranges);
    for (size_t i = 0; i < file->count; i++) {
        const entry *const e = &file->entries[i];
        if (e->begin != position)
            return attend__model_fail(
                ATTEND_FORMAT, TENSOR "starts at byte %zu of the data, but %s %zu", file->path,
                e->tensor.name, e->begin,
                e->begin < position ? "another tensor reaches to" : "a gap starts at", position);
        position = e->end;
    }
    if (position != file->size - file->data_begin)
        return attend__model_fail(ATTEND_FORMAT,
                                  "%s: the tensors end at byte %zu of %zu bytes of data",
                                  file->path, position, file->size - file->data_begin);
    return ATTEND_OK;
}

static attend_status place_data(attend__safetensors *file) {
    for (size_t i = 0; i < file->count; i++) {
        entry *const e = &file->entries[i];
        const unsigned char *const data = file->bytes + file->data_begin + e->begin;
        e->tensor.data = data;
        if ((uintptr_t)data % facts[e->tensor.stored].bytes == 0) continue;
        e->copy =
            malloc(e->tensor.bytes + 1); /* + 1: a tensor without elements has an address too */
        if (!e->copy) return attend__model_no_memory(file->path);
        memcpy(e->copy, data, e->tensor.bytes);
        e->tensor.data = e->copy;
    }
    return ATTEND_OK;
}

/* ---- open and close -------------------------------------------------------------------------- */

/* Takes `bytes`, also on failure. */
static attend_status read_file(const char *path, unsigned char *bytes, size_t size,
                               attend__safetensors **result) {
    attend__safetensors *const file = calloc(1, sizeof *file);
    char *const name = malloc(strlen(path) + 1);
    if (!file || !name) {
        free(file);
        free(name);
        free(bytes);
        return attend__model_no_memory(path);
    }
    memcpy(name, path, strlen(path) + 1);
    file->path = name;
    file->bytes = bytes;
    file->size = size;
    attend_status status = parse_header(file);
    if (!status) status = read_metadata(file);
    if (!status) status = read_entries(file);
    if (!status) status = check_cover(file);
    if (!status) status = place_data(file);
    if (status) {
        attend__safetensors_close(file);
        return status;
    }
    if (file->count) qsort(file->entries, file->count, sizeof *file->entries, compare_names);
    *result = file;
    return ATTEND_OK;
}

attend_status attend__safetensors_open(const char *path, attend__safetensors **file) {
    *file = NULL;
    unsigned char *bytes;
    size_t size;
    const attend_status status = attend__file_read(path, &bytes, &size);
    return status ? status : read_file(path, bytes, size, file);
}

attend_status attend__safetensors_parse(const char *path, const void *bytes, size_t size,
                                        attend__safetensors **file) {
    *file = NULL;
    unsigned char *const copy = malloc(size ? size : 1);
    if (!copy) return attend__model_no_memory(path);
    if (size) memcpy(copy, bytes, size);
    return read_file(path, copy, size, file);
}

void attend__safetensors_close(attend__safetensors *file) {
    if (!file) return;
    for (size_t i = 0; i < file->count; i++)
        free(file->entries[i].copy);
    free(file->entries);
    free(file->keys);
    json_decref(file->header);
    free(file->bytes);
    free(file->path);
    free(file);
}

/* ---- what is inside -------------------------------------------------------------------------- */

size_t attend__safetensors_count(const attend__safetensors *file) {
    return file->count;
}

const attend__stored_tensor *attend__safetensors_at(const attend__safetensors *file, size_t index) {
    return index < file->count ? &file->entries[index].tensor : NULL;
}

const attend__stored_tensor *attend__safetensors_find(const attend__safetensors *file,
                                                      const char *name) {
    size_t low = 0, high = file->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(file->entries[middle].tensor.name, name);
        if (order == 0) return &file->entries[middle].tensor;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const char *attend__safetensors_path(const attend__safetensors *file) {
    return file->path;
}

size_t attend__safetensors_metadata_count(const attend__safetensors *file) {
    return file->key_count;
}

const char *attend__safetensors_metadata_key(const attend__safetensors *file, size_t index) {
    return index < file->key_count ? file->keys[index] : NULL;
}

const char *attend__safetensors_metadata_find(const attend__safetensors *file, const char *key) {
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}
