/* SPDX-License-Identifier: Apache-2.0
 *
 * A floating-point number in a file's bytes: of IEEE 754 or bfloat16, in either byte order, at any
 * address. */
#ifndef ATTEND_CLI_STORED_NUMBER_H
#define ATTEND_CLI_STORED_NUMBER_H

#include "base/half.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef enum number_kind { NUMBER_F16, NUMBER_BF16, NUMBER_F32, NUMBER_F64 } number_kind;

typedef struct number_format {
    number_kind kind;
    bool big_endian;
} number_format;

static inline size_t number_bytes(number_kind kind) {
    return kind == NUMBER_F64 ? 8 : kind == NUMBER_F32 ? 4 : 2;
}

static inline double stored_number(const unsigned char *at, number_format format) {
    const size_t bytes = number_bytes(format.kind);
    uint64_t bits = 0;
    for (size_t i = 0; i < bytes; ++i)
        bits = bits << 8 | at[format.big_endian ? i : bytes - 1 - i];
    double wide = 0;
    float narrow = 0;
    const uint32_t low = (uint32_t)bits;
    switch (format.kind) {
    case NUMBER_F16:
        return (double)attend__f16_to_f32((uint16_t)bits);
    case NUMBER_BF16:
        return (double)attend__bf16_to_f32((uint16_t)bits);
    case NUMBER_F32:
        memcpy(&narrow, &low, sizeof narrow);
        return (double)narrow;
    case NUMBER_F64:
        break;
    }
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}

#endif
