/* SPDX-License-Identifier: Apache-2.0
 *
 * Views: they only note what they are given; the calls that use them check it. */
#include "attend/core.h"

attend_tensor attend_tensor_nd(const void *data, attend_type type, int32_t rank,
                               const int64_t *sizes) {
    attend_tensor t = {.data = (void *)(uintptr_t)data, .type = type, .rank = rank};
    uint64_t stride = 1; /* unsigned: a product that overflows is found by the checks, not here */
    for (int32_t d = rank <= ATTEND_MAX_RANK ? rank - 1 : -1; d >= 0; d--) {
        t.sizes[d] = sizes[d];
        t.strides[d] = (int64_t)stride;
        if (sizes[d] > 0) stride *= (uint64_t)sizes[d];
    }
    return t;
}

attend_tensor attend_tensor_1d(const void *data, attend_type type, int64_t n0) {
    return attend_tensor_nd(data, type, 1, &n0);
}

attend_tensor attend_tensor_2d(const void *data, attend_type type, int64_t n0, int64_t n1) {
    return attend_tensor_nd(data, type, 2, (const int64_t[]){n0, n1});
}

attend_tensor attend_tensor_3d(const void *data, attend_type type, int64_t n0, int64_t n1,
                               int64_t n2) {
    return attend_tensor_nd(data, type, 3, (const int64_t[]){n0, n1, n2});
}

attend_tensor attend_tensor_4d(const void *data, attend_type type, int64_t n0, int64_t n1,
                               int64_t n2, int64_t n3) {
    return attend_tensor_nd(data, type, 4, (const int64_t[]){n0, n1, n2, n3});
}

attend_tensor attend_tensor_heads(const void *data, attend_type type, int64_t batch, int64_t length,
                                  int64_t heads, int64_t head_size) {
    attend_tensor t = attend_tensor_4d(data, type, batch, length, heads, head_size);
    t.sizes[1] = heads;
    t.sizes[2] = length;
    const int64_t row = t.strides[1];
    t.strides[1] = t.strides[2];
    t.strides[2] = row;
    return t;
}

attend_tensor attend_tensor_in(attend_buffer *buffer, int64_t offset, attend_type type,
                               int32_t rank, const int64_t *sizes, const int64_t *strides) {
    attend_tensor t = attend_tensor_nd(NULL, type, rank, sizes);
    t.buffer = buffer;
    t.offset = offset;
    for (int32_t d = 0; strides && d < rank && d < ATTEND_MAX_RANK; d++)
        t.strides[d] = strides[d];
    return t;
}
