/* SPDX-License-Identifier: Apache-2.0
 *
 * See serving_data.h. */
#include "serving_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

attend_tensor serving_none(void) {
    return (attend_tensor){0};
}

/* ---- the same tokens elsewhere --------------------------------------------------------------- */

void serving_copy_row(const attend_tensor *to, int64_t to_0, int64_t to_2,
                      const attend_tensor *from, int64_t from_0, int64_t from_2) {
    const int64_t width = to->rank > 3 ? to->sizes[3] : 1;
    for (int64_t n = 0; n < to->sizes[1] * width; n++) {
        const int64_t g = n / width, d = n % width;
        gate_store(to, (const int64_t[4]){to_0, g, to_2, d},
                   gate_load(from, (const int64_t[4]){from_0, g, from_2, d}));
    }
}

static int64_t sum(const int64_t *values, int64_t count) {
    int64_t total = 0;
    for (int64_t i = 0; i < count; i++)
        total += values[i];
    return total;
}

attend_tensor serving_packed(problem *p, const attend_tensor *t, const int64_t *lengths) {
    const int64_t samples = t->sizes[0];
    const int64_t sizes[4] = {1, t->sizes[1], sum(lengths, samples), t->sizes[3]};
    const attend_tensor packed = problem_zeros(p, t->type, t->rank, sizes);
    for (int64_t b = 0; b < samples; b++)
        for (int64_t i = 0; i < lengths[b]; i++)
            serving_copy_row(&packed, 0, sum(lengths, b) + i, t, b, i);
    return packed;
}

attend_tensor serving_cumulative(problem *p, const int64_t *lengths, int64_t count,
                                 attend_type type) {
    const int64_t size = count + 1;
    const attend_tensor cu = problem_zeros(p, type, 1, &size);
    for (int64_t b = 0; b <= count; b++)
        gate_store(&cu, &b, (double)sum(lengths, b));
    return cu;
}

attend_tensor serving_rows(attend_tensor t, int64_t sample, int64_t first, int64_t count) {
    t.offset += sample * t.strides[0] + first * t.strides[2];
    t.sizes[0] = 1;
    t.sizes[2] = count;
    return t;
}

void serving_poison(const attend_tensor *t) {
    const int64_t width = t->rank > 3 ? t->sizes[3] : 1, rows = t->sizes[2] * width;
    for (int64_t n = 0; n < t->sizes[0] * t->sizes[1] * rows; n++) {
        const int64_t at[4] = {n / rows / t->sizes[1], n / rows % t->sizes[1], n % rows / width,
                               n % width};
        gate_store(t, at, t->type == ATTEND_I8 ? -128 : (double)NAN);
    }
}

/* Pages of all samples in a random order, two more than are needed. */
static attend_tensor random_table(problem *p, const int64_t *lengths, int64_t samples, int64_t size,
                                  int64_t *page_count) {
    int64_t order[512], taken = 0, count = 2, entries = 1;
    for (int64_t b = 0; b < samples; b++) {
        const int64_t used = (lengths[b] + size - 1) / size;
        count += used;
        entries = used > entries ? used : entries;
    }
    assert_true(count <= 512);
    for (int64_t n = 0; n < count; n++) {
        const int64_t other = gate_range(&p->random, 0, n);
        order[n] = order[other];
        order[other] = n;
    }
    const int64_t sizes[2] = {samples, entries + 1};
    const attend_tensor table = problem_zeros(p, ATTEND_I32, 2, sizes);
    for (int64_t n = 0; n < samples * sizes[1]; n++) {
        const int64_t at[2] = {n / sizes[1], n % sizes[1]};
        const bool used = at[1] < (lengths[at[0]] + size - 1) / size;
        gate_store(&table, at, used ? (double)order[taken++] : n % 2 ? -7 : 0x1p30);
    }
    *page_count = count;
    return table;
}

static attend_tensor into_pages(problem *p, const attend_tensor *t, const attend_tensor *table,
                                const int64_t *lengths, const int64_t pages[2]) {
    if (!t->type) return serving_none();
    const int64_t sizes[4] = {pages[0], t->sizes[1], pages[1], t->sizes[3]};
    const attend_tensor paged = problem_zeros(p, t->type, t->rank, sizes);
    serving_poison(&paged);
    for (int64_t b = 0; b < t->sizes[0]; b++) {
        for (int64_t j = 0; j < lengths[b]; j++) {
            const int64_t page = (int64_t)gate_load(table, (const int64_t[2]){b, j / pages[1]});
            serving_copy_row(&paged, page, j % pages[1], t, b, j);
        }
    }
    return paged;
}

serving_pages serving_paged(problem *p, const attend_attention *a, const int64_t *lengths,
                            int64_t size) {
    int64_t pages[2] = {0, size ? size : a->k.sizes[2] + 1};
    serving_pages all = {.table = random_table(p, lengths, a->k.sizes[0], pages[1], &pages[0])};
    all.k = into_pages(p, &a->k, &all.table, lengths, pages);
    all.v = into_pages(p, &a->v, &all.table, lengths, pages);
    all.k_scales = into_pages(p, &a->k_scales, &all.table, lengths, pages);
    all.v_scales = into_pages(p, &a->v_scales, &all.table, lengths, pages);
    return all;
}

attend_attention serving_over_pages(const attend_attention *a, const serving_pages *pages,
                                    const attend_tensor *key_lengths) {
    attend_attention paged = *a;
    paged.k = pages->k;
    paged.v = pages->v;
    paged.k_scales = pages->k_scales;
    paged.v_scales = pages->v_scales;
    paged.page_table = pages->table;
    paged.key_lengths = *key_lengths;
    paged.max_key_length = a->k.sizes[2];
    return paged;
}

/* ---- int8 ------------------------------------------------------------------------------------ */

/* A quotient of two floats in double, rounded to float, is the float nearest to it: 53 >= 2 * 24 +
 * 2 digits (Figueroa 1995), where the result is normal; subnormal ones have fewer digits. */
float serving_quantise(const float *x, int64_t count, int8_t *bytes) {
    float most = 0;
    bool finite = true;
    for (int64_t n = 0; n < count; n++) {
        finite = finite && isfinite(x[n]);
        most = fabsf(x[n]) > most ? fabsf(x[n]) : most;
    }
    const float scale = finite ? (float)((double)most / 127) : NAN;
    for (int64_t n = 0; n < count; n++) {
        const double ratio =
            finite && scale > 0 ? nearbyint((double)(float)((double)x[n] / (double)scale)) : 0;
        bytes[n] = (int8_t)fmax(-127, fmin(127, ratio)); /* a subnormal scale has few digits */
    }
    return scale;
}

attend_tensor serving_bytes(problem *p, const attend_tensor *x, attend_tensor *scales) {
    const attend_tensor bytes = problem_zeros(p, ATTEND_I8, 4, x->sizes);
    float row[1024];
    int8_t quantised[1024];
    *scales = problem_zeros(p, ATTEND_F32, 3, x->sizes);
    assert_true(x->sizes[3] <= 1024);
    for (int64_t n = 0; n < x->sizes[0] * x->sizes[1] * x->sizes[2]; n++) {
        int64_t at[4] = {n / x->sizes[2] / x->sizes[1], n / x->sizes[2] % x->sizes[1],
                         n % x->sizes[2], 0};
        for (at[3] = 0; at[3] < x->sizes[3]; at[3]++)
            row[at[3]] = (float)gate_load(x, at);
        gate_store(scales, at, (double)serving_quantise(row, x->sizes[3], quantised));
        for (at[3] = 0; at[3] < x->sizes[3]; at[3]++)
            gate_store(&bytes, at, quantised[at[3]]);
    }
    return bytes;
}

attend_tensor serving_meaning(problem *p, const attend_tensor *x, attend_type type) {
    const attend_tensor meaning = problem_zeros(p, ATTEND_F32, 4, x->sizes);
    attend_tensor scales = serving_none();
    const attend_tensor stored =
        type == ATTEND_I8 ? serving_bytes(p, x, &scales) : problem_zeros(p, type, 4, x->sizes);
    const int64_t rows = x->sizes[2], width = x->sizes[3];
    for (int64_t n = 0; n < x->sizes[0] * x->sizes[1] * rows * width; n++) {
        const int64_t row = n / width;
        const int64_t at[4] = {row / rows / x->sizes[1], row / rows % x->sizes[1], row % rows,
                               n % width};
        if (type != ATTEND_I8) gate_store(&stored, at, gate_load(x, at));
        const float element = (float)gate_load(&stored, at);
        gate_store(&meaning, at,
                   (double)(scales.type ? element * (float)gate_load(&scales, at) : element));
    }
    return meaning;
}

/* ---- caches ---------------------------------------------------------------------------------- */

attend_cache_desc serving_cache(problem_sizes sizes, attend_type type, int64_t page_size) {
    attend_cache_desc d = attend_cache_desc_default();
    d.batch = sizes.B;
    d.kv_heads = sizes.G;
    d.head_size = sizes.D;
    d.value_size = sizes.E;
    d.capacity = sizes.S;
    d.page_size = page_size;
    d.type = type;
    return d;
}

void serving_succeeds(attend_status status) {
    if (status) fail_msg("%s: %s", attend_status_name(status), attend_error_text());
}

attend_tensor serving_in_buffer(const attend_tensor *t, attend_buffer **buffer) {
    size_t bytes = attend_type_bytes(t->type);
    for (int32_t d = 0; d < t->rank; d++)
        bytes *= (size_t)t->sizes[d];
    serving_succeeds(attend_buffer_create(problem_context, bytes, buffer));
    serving_succeeds(attend_buffer_write(*buffer, 0, t->data, bytes));
    return attend_tensor_in(*buffer, 0, t->type, t->rank, t->sizes, NULL);
}

bool serving_on_host(void) {
    return !strcmp(problem_backend(), "cpu") || !strcmp(problem_backend(), "reference");
}
