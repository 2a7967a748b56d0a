/* SPDX-License-Identifier: Apache-2.0
 *
 * The one rule of comparison: |got - want| <= atol + rtol * |want|; NaN meets NaN, an infinity the
 * same infinity, whole numbers are equal. */
#include "base/half.h"
#include "check_case.h"

#include <math.h>
#include <stdio.h>

static bool is_whole(attend_type type) {
    return type != ATTEND_F32 && type != ATTEND_F16 && type != ATTEND_BF16;
}

static int64_t whole(const attend_tensor *t, size_t i) {
    switch (t->type) {
    case ATTEND_I64:
        return ((const int64_t *)t->data)[i];
    case ATTEND_I32:
        return ((const int32_t *)t->data)[i];
    case ATTEND_I8:
        return ((const int8_t *)t->data)[i];
    case ATTEND_BOOL:
        return ((const uint8_t *)t->data)[i] != 0;
    default:
        return ((const uint8_t *)t->data)[i];
    }
}

static double real(const attend_tensor *t, size_t i) {
    switch (t->type) {
    case ATTEND_F16:
        return (double)attend__f16_to_f32(((const uint16_t *)t->data)[i]);
    case ATTEND_BF16:
        return (double)attend__bf16_to_f32(((const uint16_t *)t->data)[i]);
    default:
        return (double)((const float *)t->data)[i];
    }
}

/* The error as a part of what is allowed: above 1 fails. */
static double error_of(double got, double want, double atol, double rtol) {
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : HUGE_VAL;
    if (isinf(want) || isinf(got)) return want == got ? 0 : HUGE_VAL;
    const double error = fabs(got - want), allowed = atol + rtol * fabs(want);
    if (error <= allowed) return allowed > 0 ? error / allowed : 0;
    return allowed > 0 ? error / allowed : HUGE_VAL;
}

check_difference check_compare(const check_output_pair *output, const attend_tensor *rows,
                               double atol, double rtol) {
    const attend_tensor *const got = &output->got, *const want = &output->want;
    const size_t count = (size_t)check_count(want);
    const size_t row_count = rows->type ? (size_t)check_count(rows) : 1;
    check_difference d = {0};
    for (size_t i = 0; i < count; ++i) {
        if (rows->type && !whole(rows, i / (count / row_count))) continue;
        const double error = is_whole(want->type)
                                 ? (whole(got, i) == whole(want, i) ? 0 : HUGE_VAL)
                                 : error_of(real(got, i), real(want, i), atol, rtol);
        ++d.compared;
        if (error > d.worst) d.worst = error;
        if (error <= 1) continue;
        if (d.count++ == 0) d.index = i;
    }
    return d;
}

void check_format_index(const attend_tensor *tensor, size_t index, char *text, size_t room) {
    int64_t at[ATTEND_MAX_RANK] = {0};
    for (int32_t d = tensor->rank - 1; d >= 0; --d) {
        at[d] = (int64_t)(index % (size_t)tensor->sizes[d]);
        index /= (size_t)tensor->sizes[d];
    }
    size_t used = 0;
    for (int32_t d = 0; d < tensor->rank && used < room; ++d)
        used +=
            (size_t)snprintf(text + used, room - used, "%c%lld", d ? ',' : '[', (long long)at[d]);
    if (used < room) snprintf(text + used, room - used, tensor->rank ? "]" : "[]");
}

void check_format_value(const attend_tensor *tensor, size_t index, char *text, size_t room) {
    if (is_whole(tensor->type))
        snprintf(text, room, "%lld", (long long)whole(tensor, index));
    else
        snprintf(text, room, "%.9g", real(tensor, index));
}
