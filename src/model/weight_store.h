/* SPDX-License-Identifier: Apache-2.0
 *
 * The weights of a model file by name, with their shapes checked, as float32: a file in f16 or bf16
 * is converted while it is loaded. */
#ifndef ATTEND_MODEL_WEIGHT_STORE_H
#define ATTEND_MODEL_WEIGHT_STORE_H

#include "attend/stage.h"
#include "model/safetensors.h"

typedef struct attend__weight_store {
    attend_context *context;
    const attend__safetensors *file;
    const char *prefix; /* before every name: "" or "bert." */
    void **converted;   /* float32 copies that views point to */
    size_t converted_count, converted_capacity;
} attend__weight_store;

/* A weight [rows, columns], or [rows] where columns is 0. The view lives until
 * attend__weight_store_clear. FORMAT where it is missing or of another shape or no float type;
 * OUT_OF_MEMORY. */
attend_status attend__weight_get(attend__weight_store *store, const char *name, int64_t rows,
                                 int64_t columns, attend_tensor *view);
/* Frees the copies. */
void attend__weight_store_clear(attend__weight_store *store);

#endif
