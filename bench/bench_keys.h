/* SPDX-License-Identifier: Apache-2.0
 *
 * Which keys a query of an attention case has (protocol.md, "Options"): lengths, positions and
 * masks as numbers. Own rules, no code of the library: the oracle rests on them. */
#ifndef ATTEND_BENCH_KEYS_H
#define ATTEND_BENCH_KEYS_H

#include "bench_case.h"

/* Number n of the stream with that seed (protocol.md, "Values"): 32 bits without a pattern. */
uint32_t bench_hash(uint32_t n, uint32_t seed);

/* Keys of that sample; in packed cases its queries, too. */
int64_t bench_length(const bench_case *c, int64_t sample);
/* Rows of all samples together, for packed cases. */
int64_t bench_packed_rows(const bench_case *c);

/* Where a row of the output comes from. */
typedef struct bench_place {
    int64_t sample, head, query; /* query: within its sample */
    int64_t first_key; /* row of k and v, within one head, where the sample's keys start */
} bench_place;
bench_place bench_place_of(const bench_case *c, int64_t row);

/* Keys that lengths and positions leave to a query: first <= j < end, empty where end <= first. */
typedef struct bench_range {
    int64_t first, end;
} bench_range;
bench_range bench_keys_of(const bench_case *c, int64_t sample, int64_t query);
/* p - j of ALiBi: where the query stands on the key axis. */
int64_t bench_position(const bench_case *c, int64_t sample, int64_t query);

bool bench_mask_keeps(const bench_case *c, int64_t query, int64_t key);
/* Sizes of the mask as a tensor of rank 4; its elements, 1 byte each. */
void bench_mask_sizes(const bench_case *c, int64_t sizes[4]);
void bench_mask_fill(const bench_case *c, unsigned char *elements);

float bench_slope(const bench_case *c, int64_t head);

#endif
