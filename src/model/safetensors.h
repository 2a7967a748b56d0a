/* SPDX-License-Identifier: Apache-2.0
 *
 * Reader of the safetensors format: 8 bytes length of the header (little endian), the header (a
 * JSON object that maps a tensor's name to dtype, shape and the range of its bytes), then the
 * tensors' bytes without gaps. A file comes from anywhere, so every number in it is checked before
 * it is used. Format: the README of github.com/huggingface/safetensors, section "Format". Used by
 * the models and by `attend check`. */
#ifndef ATTEND_MODEL_SAFETENSORS_H
#define ATTEND_MODEL_SAFETENSORS_H

#include "attend/core.h"

/* Every element type that is read: name in the file, bytes, type of a tensor view (none for what
 * views lack). */
#define ATTEND__STORED_TYPE_LIST(X)                                                                \
    X(F64, 8, ATTEND_NO_TYPE)                                                                      \
    X(F32, 4, ATTEND_F32)                                                                          \
    X(F16, 2, ATTEND_F16)                                                                          \
    X(BF16, 2, ATTEND_BF16)                                                                        \
    X(I64, 8, ATTEND_I64)                                                                          \
    X(I32, 4, ATTEND_I32)                                                                          \
    X(I16, 2, ATTEND_NO_TYPE)                                                                      \
    X(I8, 1, ATTEND_I8)                                                                            \
    X(U8, 1, ATTEND_U8)                                                                            \
    X(BOOL, 1, ATTEND_BOOL)

typedef enum attend__stored_type {
#define ATTEND_X(name, bytes, type) ATTEND__STORED_##name,
    ATTEND__STORED_TYPE_LIST(ATTEND_X)
#undef ATTEND_X
        ATTEND__STORED_TYPE_COUNT
} attend__stored_type;

#define ATTEND__STORED_MAX_RANK 8

typedef struct attend__stored_tensor {
    const char *name;
    attend__stored_type stored;
    attend_type type; /* ATTEND_NO_TYPE for F64 and I16 */
    int32_t rank;
    int64_t sizes[ATTEND__STORED_MAX_RANK];
    size_t count, bytes; /* elements; count times the size of one */
    const void *data;    /* aligned to the type; not NULL, even with no element */
} attend__stored_tensor;

typedef struct attend__safetensors attend__safetensors;

/* IO; FORMAT for a file that lies about itself; UNSUPPORTED for a dtype or rank that is not read;
 * OUT_OF_MEMORY. The sentence names file and tensor. *file is NULL on failure. */
attend_status attend__safetensors_open(const char *path, attend__safetensors **file);
/* The same from memory (copied); `path` serves the sentences. */
attend_status attend__safetensors_parse(const char *path, const void *bytes, size_t size,
                                        attend__safetensors **file);
void attend__safetensors_close(attend__safetensors *file); /* NULL is allowed */

/* Tensors in the order of their names (as strcmp), so that a common prefix lies together. What
 * these return lives until close; NULL for index >= count or a name that is not there. Any thread.
 */
size_t attend__safetensors_count(const attend__safetensors *file);
const attend__stored_tensor *attend__safetensors_at(const attend__safetensors *file, size_t index);
const attend__stored_tensor *attend__safetensors_find(const attend__safetensors *file,
                                                      const char *name);
const char *attend__safetensors_path(const attend__safetensors *file);

/* The texts of __metadata__, in the order of their keys. */
size_t attend__safetensors_metadata_count(const attend__safetensors *file);
const char *attend__safetensors_metadata_key(const attend__safetensors *file, size_t index);
const char *attend__safetensors_metadata_find(const attend__safetensors *file, const char *key);

const char *attend__stored_type_name(attend__stored_type type);

#endif
