/* SPDX-License-Identifier: Apache-2.0
 *
 * RFC 4648: three bytes as four characters. */
#ifndef ATTEND_CLI_BASE64_H
#define ATTEND_CLI_BASE64_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The three low bytes of a number, the highest first. */
static inline void base64_group(char to[4], uint32_t three_bytes) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < 4; ++i)
        to[i] = alphabet[three_bytes >> (18 - 6 * i) & 63];
}

/* Any number of bytes, with padding. */
static inline void base64_put(FILE *stream, const unsigned char *bytes, size_t count) {
    for (size_t at = 0; at < count; at += 3) {
        const size_t left = count - at;
        char group[4];
        base64_group(group, (uint32_t)bytes[at] << 16 |
                                (left > 1 ? (uint32_t)bytes[at + 1] << 8 : 0) |
                                (left > 2 ? bytes[at + 2] : 0u));
        if (left < 3) group[3] = '=';
        if (left < 2) group[2] = '=';
        fwrite(group, 1, sizeof group, stream);
    }
}

#endif
