/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic on sizes that says when it overflows. Every product or sum of sizes that come from a
 * caller or a file goes through here, so that the check is in one place. */
#ifndef ATTEND_BASE_CHECKED_H
#define ATTEND_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* false, and *result untouched, if the true result does not fit. */
static inline bool attend__mul_size(size_t a, size_t b, size_t *result) {
    if (b != 0 && a > SIZE_MAX / b) return false;
    *result = a * b;
    return true;
}

static inline bool attend__add_size(size_t a, size_t b, size_t *result) {
    if (a > SIZE_MAX - b) return false;
    *result = a + b;
    return true;
}

/* For values that are not negative, as sizes, strides and offsets of valid tensors are. */
static inline bool attend__mul_i64(int64_t a, int64_t b, int64_t *result) {
    if ((((uint64_t)a | (uint64_t)b) >> 31) ==
        0) { /* spares the division for nearly every caller */
        *result = a * b;
        return true;
    }
    if (a < 0 || b < 0 || (b != 0 && a > INT64_MAX / b)) return false;
    *result = a * b;
    return true;
}

static inline bool attend__add_i64(int64_t a, int64_t b, int64_t *result) {
    if (a < 0 || b < 0 || a > INT64_MAX - b) return false;
    *result = a + b;
    return true;
}

#endif
