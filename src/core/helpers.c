/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables on host memory that applications and layers feed to attention: ALiBi's slopes, T5's
 * position bias, sinusoidal positions, RoPE's tables. Sources are named in the headers. */
#include "base/checked.h"
#include "error.h"
#include "launch.h"

#include <math.h>

attend_status attend_alibi_slopes(int64_t heads, float *slopes) {
    if (heads < 1)
        return attend__fail(ATTEND_INVALID, "heads: %lld is less than 1", (long long)heads);
    if (slopes == NULL) return attend__fail(ATTEND_NULL_POINTER, "slopes: is NULL");
    int64_t power = 1;
    while (power <= heads / 2)
        power *= 2;
    for (int64_t h = 0; h < heads; h++) {
        /* heads beyond the power of two take every other slope of twice as many heads */
        const double exponent = h < power ? -8.0 * (double)(h + 1) / (double)power
                                          : -4.0 * (double)(2 * (h - power) + 1) / (double)power;
        slopes[h] = (float)exp2(exponent);
    }
    return ATTEND_OK;
}

/* ---- T5 ------------------------------------------------------------------------------------- */

/* In float32 as the checkpoints were trained: at distances where the logarithms divide evenly,
 * float64 would round some of them into the bucket before. */
static int64_t bucket_of(const attend_t5_bias *d, int64_t relative) {
    int64_t buckets = d->buckets, first = 0, distance = -relative;
    if (d->bidirectional) {
        buckets /= 2;
        if (distance < 0) {
            first = buckets;
            distance = relative;
        }
    } else if (distance < 0) {
        distance = 0;
    }
    const int64_t exact = buckets / 2;
    if (distance < exact) return first + distance;
    const float ratio = (float)log((double)((float)distance / (float)exact));
    const float whole = (float)log((double)d->max_distance / (double)exact);
    const float step = ratio / whole * (float)(buckets - exact);
    /* compared before it becomes an integer: a distance may be as large as int64 */
    return step >= (float)(buckets - exact) ? first + buckets - 1 : first + exact + (int64_t)step;
}

static attend_status check_t5(const attend_t5_bias *d) {
    if (d->table == NULL) return attend__fail(ATTEND_NULL_POINTER, "table: is NULL");
    if (d->heads < 0)
        return attend__fail(ATTEND_INVALID, "heads: %lld is negative", (long long)d->heads);
    if (d->query_length < 0)
        return attend__fail(ATTEND_INVALID, "query_length: %lld is negative",
                            (long long)d->query_length);
    if (d->key_length < 0)
        return attend__fail(ATTEND_INVALID, "key_length: %lld is negative",
                            (long long)d->key_length);
    const int32_t fewest = d->bidirectional ? 4 : 2;
    if (d->buckets < fewest || (d->bidirectional && d->buckets % 2 != 0))
        return attend__fail(ATTEND_INVALID, "buckets: %d is odd or below %d", (int)d->buckets,
                            (int)fewest);
    const int32_t exact = d->buckets / (d->bidirectional ? 4 : 2);
    if (d->max_distance <= exact)
        return attend__fail(ATTEND_INVALID, "max_distance: %d is not above %d",
                            (int)d->max_distance, (int)exact);
    const int64_t far = INT64_C(1) << 61;
    if (d->query_offset < -far || d->query_offset > far)
        return attend__fail(ATTEND_OUT_OF_RANGE, "query_offset: %lld is beyond 2^61",
                            (long long)d->query_offset);
    int64_t bytes = 0;
    const bool fits = attend__mul_i64(d->heads, d->query_length, &bytes) &&
                      attend__mul_i64(bytes, d->key_length, &bytes) &&
                      attend__mul_i64(bytes, (int64_t)sizeof(float), &bytes) &&
                      (uint64_t)bytes <= PTRDIFF_MAX;
    if (!fits && d->heads > 0 && d->query_length > 0 && d->key_length > 0)
        return attend__fail(ATTEND_OVERFLOW, "bias: [H, L, S] does not fit into the address space");
    if (d->bias == NULL && bytes > 0) return attend__fail(ATTEND_NULL_POINTER, "bias: is NULL");
    return ATTEND_OK;
}

attend_status attend_t5_position_bias(const attend_t5_bias *description) {
    static const attend__fields fields = {sizeof(attend_t5_bias), NULL, 0};
    attend_t5_bias d;
    attend_status status = attend__description_copy("description", &fields, description, &d);
    if (status == ATTEND_OK) status = check_t5(&d);
    if (status != ATTEND_OK || d.heads == 0 || d.key_length == 0) return status;
    const size_t heads = (size_t)d.heads, queries = (size_t)d.query_length,
                 keys = (size_t)d.key_length;
    for (size_t i = 0; i < queries; i++) {
        for (size_t j = 0; j < keys; j++) {
            const int64_t bucket = bucket_of(&d, (int64_t)j - (int64_t)i - d.query_offset);
            for (size_t h = 0; h < heads; h++)
                d.bias[(h * queries + i) * keys + j] = d.table[(size_t)bucket * heads + h];
        }
    }
    return ATTEND_OK;
}

/* ---- positions ------------------------------------------------------------------------------ */

/* [rows, columns] floats fit into the address space. */
static attend_status check_table(const char *name, int64_t rows, int64_t columns,
                                 const float *table) {
    int64_t bytes = 0;
    if (!attend__mul_i64(rows, columns, &bytes) ||
        !attend__mul_i64(bytes, (int64_t)sizeof(float), &bytes) || (uint64_t)bytes > PTRDIFF_MAX)
        return attend__fail(ATTEND_OVERFLOW,
                            "%s: %lld rows of %lld do not fit into the address space", name,
                            (long long)rows, (long long)columns);
    if (bytes > 0 && table == NULL) return attend__fail(ATTEND_NULL_POINTER, "%s: is NULL", name);
    return ATTEND_OK;
}

attend_status attend_sinusoidal_positions(int64_t length, int64_t model_size, float *table) {
    if (length < 0)
        return attend__fail(ATTEND_INVALID, "length: %lld is negative", (long long)length);
    if (model_size < 0)
        return attend__fail(ATTEND_INVALID, "model_size: %lld is negative", (long long)model_size);
    const attend_status status = check_table("table", length, model_size, table);
    if (status != ATTEND_OK || model_size == 0) return status;
    for (int64_t p = 0; p < length; p++) {
        for (int64_t m = 0; m < model_size; m++) {
            const double angle = (double)p / pow(10000.0, (double)(m - m % 2) / (double)model_size);
            table[p * model_size + m] = (float)(m % 2 == 0 ? sin(angle) : cos(angle));
        }
    }
    return ATTEND_OK;
}

attend_status attend_rope_tables(int64_t length, int64_t rotary_dim, double base, float *cos_table,
                                 float *sin_table) {
    if (length < 0)
        return attend__fail(ATTEND_INVALID, "length: %lld is negative", (long long)length);
    if (rotary_dim < 0 || rotary_dim % 2 != 0)
        return attend__fail(ATTEND_INVALID, "rotary_dim: %lld is negative or odd",
                            (long long)rotary_dim);
    if (!isfinite(base) || base <= 0)
        return attend__fail(ATTEND_INVALID, "base: %g is not finite and positive", base);
    const int64_t half = rotary_dim / 2;
    attend_status status = check_table("cos_table", length, half, cos_table);
    if (status == ATTEND_OK) status = check_table("sin_table", length, half, sin_table);
    if (status != ATTEND_OK || half == 0) return status;
    for (int64_t p = 0; p < length; p++) {
        for (int64_t r = 0; r < half; r++) {
            const double angle = (double)p * pow(base, -2.0 * (double)r / (double)rotary_dim);
            cos_table[p * half + r] = (float)cos(angle);
            sin_table[p * half + r] = (float)sin(angle);
        }
    }
    return ATTEND_OK;
}
