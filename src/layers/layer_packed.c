/* SPDX-License-Identifier: Apache-2.0
 *
 * What packed batches need of layers; see the header. */
#include "layers/layer_packed.h"

#include "base/checked.h"
#include "core/error.h"

#include <inttypes.h>

/* ---- checks ---------------------------------------------------------------------------------- */

static attend_status check_together(const attend__packed *p) {
    const bool queries = attend__given(p->cu_queries), keys = attend__given(p->cu_keys),
               cross = attend__given(p->keys);
    const struct {
        bool wrong;
        const char *sentence;
    } rules[] = {
        {keys && !cross, "cu_key_lengths: given, but there are no other rows than the queries'"},
        {keys && !queries, "cu_key_lengths: given without cu_query_lengths"},
        {queries && cross && !keys, "cu_key_lengths: not given, though cu_query_lengths is"},
        {queries && attend__given(p->query_lengths), "query_lengths: given with cu_query_lengths"},
        {queries && !p->cache_only && attend__given(p->key_lengths),
         "key_lengths: given with cu_query_lengths"}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].wrong) return attend__fail(ATTEND_INVALID, "%s", rules[i].sentence);
    if (keys && p->cu_keys->sizes[0] != p->cu_queries->sizes[0])
        return attend__fail(ATTEND_SHAPE,
                            "cu_key_lengths: %" PRId64 " elements, cu_query_lengths has %" PRId64,
                            p->cu_keys->sizes[0], p->cu_queries->sizes[0]);
    return ATTEND_OK;
}

static attend_status check_side(const char *name, const attend_tensor *cu, const char *rows_name,
                                const attend_tensor *rows) {
    if (!attend__given(cu)) return ATTEND_OK;
    if (cu->data == NULL)
        return attend__fail(ATTEND_INVALID, "%s: must lie in host memory in a layer", name);
    if (rows->sizes[0] != 1)
        return attend__fail(ATTEND_SHAPE, "%s: batch %" PRId64 ", but packed rows have 1",
                            rows_name, rows->sizes[0]);
    return attend__cumulative_check(name, cu, rows->sizes[1], rows_name);
}

attend_status attend__packed_check(const attend__packed *p) {
    attend_status status = check_together(p);
    if (status == ATTEND_OK)
        status = check_side("cu_query_lengths", p->cu_queries, p->queries_name, p->queries);
    if (status == ATTEND_OK)
        status = check_side("cu_key_lengths", p->cu_keys, p->keys_name, p->keys);
    return status;
}

/* ---- use ------------------------------------------------------------------------------------- */

void attend__packed_trim(const attend_tensor *cu, int32_t dimension, attend_tensor *rows) {
    if (!attend__given(cu) || !attend__given(rows)) return;
    const int64_t end = attend_tensor_index(cu, cu->sizes[0] - 1);
    /* what the caller changes while the call runs is the caller's fault, but no reason to crash */
    if (end >= 0 && end < rows->sizes[dimension]) rows->sizes[dimension] = end;
}

attend_status attend__packed_counts(attend_context *context, const attend_tensor *cu,
                                    attend_tensor *counts) {
    const int64_t samples = cu->sizes[0] - 1; /* at most 2^31 - 1 */
    int64_t *memory =
        attend__recycler_take(&context->calls, ((size_t)samples + 1) * sizeof *memory);
    if (memory == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "lengths of %" PRId64 " samples have no room",
                            samples);
    for (int64_t b = 0; b < samples; b++)
        memory[b] = attend_tensor_index(cu, b + 1) - attend_tensor_index(cu, b);
    *counts = attend_tensor_1d(memory, ATTEND_I64, samples);
    return ATTEND_OK;
}

/* Bounded by `rows` and the samples whatever the lengths hold by now. */
static void fill_positions(const attend_tensor *cu, const attend_tensor *before, int64_t rows,
                           int32_t *positions) {
    int64_t row = 0;
    for (int64_t b = 0; b + 1 < cu->sizes[0] && row < rows; b++) {
        const int64_t end = attend_tensor_index(cu, b + 1);
        int64_t position = attend__given(before) ? attend_tensor_index(before, b) : 0;
        for (; row < end && row < rows; row++)
            positions[row] = (int32_t)position++;
    }
    for (; row < rows; row++)
        positions[row] = 0;
}

attend_status attend__packed_positions(attend_context *context, const attend_tensor *cu,
                                       const attend_tensor *before, int64_t rows,
                                       attend_tensor *positions) {
    size_t bytes = 0;
    void *memory = NULL;
    if (attend__mul_size((size_t)rows, sizeof(int32_t), &bytes))
        memory = attend__recycler_take(&context->calls, bytes > 0 ? bytes : 1);
    if (memory == NULL)
        return attend__fail(ATTEND_OUT_OF_MEMORY, "positions of %" PRId64 " rows have no room",
                            rows);
    fill_positions(cu, before, rows, memory);
    *positions = attend_tensor_2d(memory, ATTEND_I32, 1, rows);
    return ATTEND_OK;
}
