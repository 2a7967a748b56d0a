/* SPDX-License-Identifier: Apache-2.0
 *
 * The definition of joining parts of the keys (attend_merging, attend/attention.h). An item is one
 * row of one head. */
#include "reference.h"
#include "reference_tensor.h"

static double part_lse(const attend_merging *d, int64_t p, const int64_t at[3]) {
    const attend_tensor *const t = &d->part_lse;
    return load(t, at4(t, p, at[0], at[1], at[2]));
}

static int64_t merge_scratch(const void *description) {
    (void)description;
    return 0;
}

static int64_t merge_items(const void *description) {
    const attend_tensor *const out = &((const attend_merging *)description)->out;
    return out->sizes[0] * out->sizes[1] * out->sizes[2];
}

static void merge_compute(const void *description, int64_t item, double *scratch) {
    const attend_merging *const d = description;
    const attend_tensor *const out = &d->out, *const parts = &d->parts;
    const int64_t P = parts->sizes[0], H = out->sizes[1], L = out->sizes[2];
    const int64_t at[3] = {item / L / H, item / L % H, item % L};
    (void)scratch;
    const double sink = given(&d->sinks)
                            ? load(&d->sinks, d->sinks.offset + at[1] * d->sinks.strides[0])
                            : -HUGE_VAL;
    double most = sink > -HUGE_VAL ? sink : -HUGE_VAL;
    for (int64_t p = 0; p < P; p++)
        if (part_lse(d, p, at) > most) most = part_lse(d, p, at);
    double total = sink != -HUGE_VAL ? exp(sink - most) : 0;
    for (int64_t p = 0; p < P; p++)
        if (part_lse(d, p, at) != -HUGE_VAL) total += exp(part_lse(d, p, at) - most);
    for (int64_t e = 0; e < out->sizes[3]; e++) {
        double sum = 0;
        for (int64_t p = 0; p < P; p++)
            if (part_lse(d, p, at) != -HUGE_VAL)
                sum += exp(part_lse(d, p, at) - most) *
                       load(parts, parts->offset + p * parts->strides[0] +
                                       at[0] * parts->strides[1] + at[1] * parts->strides[2] +
                                       at[2] * parts->strides[3] + e * parts->strides[4]);
        /* only parts that were left out can make the total 0 */
        store(out, at4(out, at[0], at[1], at[2], e), total == 0 ? 0 : sum / total);
    }
    if (given(&d->lse))
        store(&d->lse, at3(&d->lse, at[0], at[1], at[2]),
              total == 0 ? -HUGE_VAL : most + log(total));
}

const reference_operation attend__reference_merge = {"merge_f64__reference", merge_scratch,
                                                     merge_items, merge_compute};
