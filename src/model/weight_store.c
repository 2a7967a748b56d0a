/* SPDX-License-Identifier: Apache-2.0
 *
 * The weights of a model file by name; see weight_store.h. */
#include "model/weight_store.h"

#include "base/checked.h"
#include "model/model_error.h"
#include "model/text.h"

#include <stdio.h>
#include <stdlib.h>

static attend_status check(const attend__weight_store *store, const char *name, int64_t rows,
                           int64_t columns, const attend__stored_tensor *tensor) {
    const char *const path = attend__safetensors_path(store->file);
    if (!tensor)
        return attend__model_fail(ATTEND_FORMAT, "%s: tensor \"%s\" is missing", path, name);
    if (tensor->type != ATTEND_F32 && tensor->type != ATTEND_F16 && tensor->type != ATTEND_BF16)
        return attend__model_fail(ATTEND_FORMAT, "%s: tensor \"%s\" is %s, not F32, F16 or BF16",
                                  path, name, attend__stored_type_name(tensor->stored));
    const int32_t rank = columns ? 2 : 1;
    if (tensor->rank == rank && tensor->sizes[0] == rows &&
        (!columns || tensor->sizes[1] == columns))
        return ATTEND_OK;
    if (columns)
        return attend__model_fail(ATTEND_FORMAT,
                                  "%s: tensor \"%s\" is not [%lld, %lld] as config.json says", path,
                                  name, (long long)rows, (long long)columns);
    return attend__model_fail(ATTEND_FORMAT, "%s: tensor \"%s\" is not [%lld] as config.json says",
                              path, name, (long long)rows);
}

static attend_status convert(attend__weight_store *store, size_t count, attend_tensor *view) {
    size_t bytes;
    void *list = store->converted;
    if (!attend__mul_size(count, sizeof(float), &bytes) ||
        !attend__grow(&list, &store->converted_capacity, store->converted_count,
                      sizeof *store->converted))
        return attend__model_no_memory(attend__safetensors_path(store->file));
    store->converted = list;
    void *const memory = malloc(bytes ? bytes : 1);
    if (!memory) return attend__model_no_memory(attend__safetensors_path(store->file));
    store->converted[store->converted_count++] = memory;
    attend_copy copy = attend_copy_default();
    copy.x = *view;
    copy.out = attend_tensor_nd(memory, ATTEND_F32, view->rank, view->sizes);
    *view = copy.out;
    return attend_copy_run(store->context, &copy);
}

attend_status attend__weight_get(attend__weight_store *store, const char *name, int64_t rows,
                                 int64_t columns, attend_tensor *view) {
    char full[160];
    snprintf(full, sizeof full, "%s%s", store->prefix, name);
    const attend__stored_tensor *const tensor = attend__safetensors_find(store->file, full);
    const attend_status status = check(store, full, rows, columns, tensor);
    if (status) return status;
    *view = attend_tensor_nd(tensor->data, tensor->type, tensor->rank, tensor->sizes);
    return tensor->type == ATTEND_F32 ? ATTEND_OK : convert(store, tensor->count, view);
}

void attend__weight_store_clear(attend__weight_store *store) {
    for (size_t i = 0; i < store->converted_count; i++)
        free(store->converted[i]);
    free(store->converted);
    store->converted = NULL;
    store->converted_count = store->converted_capacity = 0;
}
