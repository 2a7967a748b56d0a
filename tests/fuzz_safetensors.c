/* SPDX-License-Identifier: Apache-2.0
 *
 * libFuzzer target: any bytes as a safetensors file; what is handed out is read to its end. */
#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static volatile unsigned char last_byte; /* so that reading is not left out */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    attend__safetensors *file;
    if (attend__safetensors_parse("fuzz", bytes, size, &file)) return 0;
    for (size_t i = 0; i < attend__safetensors_count(file); i++) {
        const attend__stored_tensor *const t = attend__safetensors_at(file, i);
        for (size_t b = 0; b < t->bytes; b++)
            last_byte = ((const unsigned char *)t->data)[b];
    }
    attend__safetensors_close(file);
    return 0;
}
