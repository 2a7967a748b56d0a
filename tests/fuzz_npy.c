/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer target: any bytes as a .npy file; every number of what is accepted is read. */
#include "view/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile double last_number; /* so that reading is not left out */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    npy_array array;
    char fault[NPY_FAULT_BYTES];
    if (!npy_read(bytes, size, &array, fault)) return 0;
    for (size_t i = 0; i < array.count; ++i)
        last_number = stored_number(array.data + i * number_bytes(array.format.kind), array.format);
    return 0;
}
