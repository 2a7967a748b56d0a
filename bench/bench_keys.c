/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_keys.h. */
#include "bench_keys.h"

#include <math.h>

enum { LENGTH_SEED = 10, MASK_SEED = 12 };

/* The mixer's constants: "lowbias32" of Chris Wellons' hash prospector, public domain. */
uint32_t bench_hash(uint32_t n, uint32_t seed) {
    uint32_t h = n + seed * 0x9E3779B9u;
    h ^= h >> 16;
    h *= 0x7FEB352Du;
    h ^= h >> 15;
    h *= 0x846CA68Bu;
    h ^= h >> 16;
    return h;
}

int64_t bench_length(const bench_case *c, int64_t sample) {
    if (!c->len_low) return c->keys;
    const int64_t choices = c->len_high - c->len_low + 1;
    return c->len_low + bench_hash((uint32_t)sample, LENGTH_SEED) % choices;
}

int64_t bench_packed_rows(const bench_case *c) {
    int64_t rows = 0;
    for (int64_t b = 0; b < c->batch; ++b)
        rows += bench_length(c, b);
    return rows;
}

bench_place bench_place_of(const bench_case *c, int64_t row) {
    bench_place p = {0, 0, 0, 0};
    if (!c->packed) {
        p.query = row % c->queries;
        p.head = row / c->queries % c->heads;
        p.sample = row / c->queries / c->heads;
        return p;
    }
    const int64_t rows = bench_packed_rows(c);
    p.head = row / rows;
    for (row %= rows; row >= bench_length(c, p.sample); ++p.sample) {
        p.first_key += bench_length(c, p.sample);
        row -= bench_length(c, p.sample);
    }
    p.query = row;
    return p;
}

int64_t bench_position(const bench_case *c, int64_t sample, int64_t query) {
    if (!c->at_end) return query;
    const int64_t length = bench_length(c, sample);
    return query + length - (c->packed ? length : c->queries);
}

bench_range bench_keys_of(const bench_case *c, int64_t sample, int64_t query) {
    bench_range r = {0, bench_length(c, sample)};
    const int64_t p = bench_position(c, sample, query);
    if (c->causal && p + 1 < r.end) r.end = p + 1;
    if (c->window && c->window_left >= 0 && p - c->window_left > r.first)
        r.first = p - c->window_left;
    if (c->window && c->window_right >= 0 && p + c->window_right + 1 < r.end)
        r.end = p + c->window_right + 1;
    return r;
}

bool bench_mask_keeps(const bench_case *c, int64_t query, int64_t key) {
    switch (c->mask) {
    case BENCH_MASK_CAUSAL:
        return key <= query;
    case BENCH_MASK_RANDOM:
        return bench_hash((uint32_t)(query * c->keys + key), MASK_SEED) >> 31 ||
               key == query % c->keys;
    case BENCH_MASK_KEYS:
    case BENCH_MASK_PAD:
        return key < c->mask_keys;
    default:
        return true;
    }
}

void bench_mask_sizes(const bench_case *c, int64_t sizes[4]) {
    const bool by_sample = c->mask == BENCH_MASK_KEYS || c->mask == BENCH_MASK_PAD;
    sizes[0] = by_sample ? c->batch : 1;
    sizes[1] = 1;
    sizes[2] = c->mask == BENCH_MASK_KEYS ? 1 : c->queries;
    sizes[3] = c->keys;
}

void bench_mask_fill(const bench_case *c, unsigned char *elements) {
    int64_t sizes[4];
    bench_mask_sizes(c, sizes);
    for (int64_t b = 0; b < sizes[0]; ++b)
        for (int64_t i = 0; i < sizes[2]; ++i)
            for (int64_t j = 0; j < sizes[3]; ++j)
                *elements++ = bench_mask_keeps(c, i, j);
}

float bench_slope(const bench_case *c, int64_t head) {
    return (float)exp2(-8.0 * (double)(head + 1) / (double)c->heads);
}
