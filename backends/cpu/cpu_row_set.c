/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of a set and its strips: which keys each row may use, as a range from position and length,
 * and inside a block as one bit for each key. From the bits follows what of a block a strip can
 * leave out, whichever option excludes it: lengths, positions and masks cost only what they keep.
 */
#include "cpu_strip.h"
#include "ranges.h"

#include <math.h>
#include <string.h>

int64_t attend__row_query(const attend__call *call, const attend__row_set *set, int32_t r) {
    const int64_t number = set->first_row + r * set->step;
    return call->shared == 1 ? number : number / call->shared;
}

int64_t attend__row_head(const attend__call *call, const attend__row_set *set, int32_t r) {
    const int64_t number = set->first_row + r * set->step;
    return set->group * call->shared + (call->shared == 1 ? 0 : number % call->shared);
}

static int64_t lower(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static int64_t higher(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

static void set_ranges(const attend__call *call, attend__row_set *set) {
    const attend_attention *const a = call->a;
    const int64_t length = attend__query_length(call, set->batch);
    const int64_t end = lower(attend__key_limit(call, set->batch), call->covered);
    const bool moves = a->causal || a->window_left >= 0 || a->window_right >= 0;
    const int64_t origin = moves ? attend__position_of(call, set->batch, 0) : 0;
    for (int32_t r = 0; r < set->count; r++) {
        const int64_t query = attend__row_query(call, set, r);
        set->row_first[r] = set->row_last[r] = 0;
        if (query < length)
            attend__key_range(call, origin + query, end, &set->row_first[r], &set->row_last[r]);
    }
}

static void strip_range(const attend__row_set *set, attend__strip *strip) {
    const int64_t *const first = set->row_first + strip->row, *const last =
                                                                  set->row_last + strip->row;
    strip->first = strip->last = 0;
    strip->same = true;
    for (int32_t r = 0; r < strip->rows; r++) {
        if (first[r] != first[0] || last[r] != last[0]) strip->same = false;
        if (first[r] == last[r]) continue;
        if (strip->first == strip->last || first[r] < strip->first) strip->first = first[r];
        strip->last = higher(strip->last, last[r]);
    }
}

static void join_range(attend__row_set *set, int64_t first, int64_t last) {
    if (first == last) return;
    if (set->first == set->last || first < set->first) set->first = first;
    set->last = higher(set->last, last);
}

/* Strips of rows from .. to - 1, of almost equal numbers of vectors: one of a single vector would
 * use the adders badly. */
static void cut_strips(const attend__call *call, attend__row_set *set, int32_t from, int32_t to) {
    const int32_t lanes = call->kernels->lanes, most = call->lanes->lane_rows / lanes;
    const int32_t vectors = (to - from + lanes - 1) / lanes, strips = (vectors + most - 1) / most;
    for (int32_t s = 0; s < strips; s++) {
        const int32_t index = set->strips++;
        attend__strip *const strip = &set->strip[index];
        const int32_t begin = (int32_t)attend__cut(vectors, strips, s);
        strip->vectors = (int32_t)attend__cut(vectors, strips, s + 1) - begin;
        strip->row = from + begin * lanes;
        strip->index = s;
        strip->of = strips;
        strip->rows = (int32_t)lower(to - strip->row, strip->vectors * lanes);
        strip->queries = set->queries + index * call->depth * call->lanes->lane_rows;
        strip->pairs = set->pairs + index * ((call->depth + 1) / 2) * call->lanes->lane_rows;
        strip->out = set->out + index * call->columns * call->lanes->lane_rows;
        strip_range(set, strip);
        join_range(set, strip->first, strip->last);
    }
}

void attend__set_rows(const attend__call *call, attend__row_set *set, int64_t first,
                      int32_t count) {
    set->first_row = first;
    set->count = count;
    set_ranges(call, set);
    set->few_row = (int32_t)attend__between(set->few_begin - first, 0, count);
    const int32_t after = (int32_t)attend__between(set->few_end - first, 0, count);
    set->few_count = after - set->few_row;
    set->strips = 0;
    set->first = set->last = 0;
    cut_strips(call, set, 0, set->few_row);
    cut_strips(call, set, after, count);
    for (int32_t r = set->few_row; r < after; r++)
        join_range(set, set->row_first[r], set->row_last[r]);
    for (int32_t s = 0; s < set->strips; s++)
        set->mask_base[s] = -1;
}

/* ---- bits ------------------------------------------------------------------------------------ */

/* Bits of the keys first .. last - 1, of which word w holds 32 w .. 32 w + 31. */
static uint32_t range_word(int64_t first, int64_t last, int32_t w) {
    const int64_t begin = (int64_t)w * ATTEND__KEEP_KEYS;
    const int64_t from = attend__between(first - begin, 0, ATTEND__KEEP_KEYS);
    const int64_t to = attend__between(last - begin, 0, ATTEND__KEEP_KEYS);
    const uint64_t below = ((uint64_t)1 << to) - 1, above = ((uint64_t)1 << from) - 1;
    return (uint32_t)(below & ~above);
}

static char *mask_row(const attend__call *call, const attend__row_set *set, int32_t r,
                      int64_t key) {
    const attend_tensor *const t = &call->a->mask;
    return (char *)t->data + t->offset + set->batch * t->strides[0] +
           attend__row_head(call, set, r) * t->strides[1] +
           attend__row_query(call, set, r) * t->strides[2] + key * t->strides[3];
}

/* Rows of a mask lie far apart, a page of memory or more. They are read MASK_KEYS at a time, which
 * the processor can guess, and the beginning of the next ones is on its way meanwhile. */
static void read_mask(const attend__call *call, const attend__row_set *set,
                      const attend__strip *strip, int64_t base) {
    const attend_tensor *const t = &call->a->mask;
    const int64_t left = call->covered - base, after = left - ATTEND__MASK_KEYS;
    const int32_t count = (int32_t)lower(left, ATTEND__MASK_KEYS);
    char *rows[ATTEND__LANE_ROWS_MOST];
    for (int32_t i = 0; i < strip->rows; i++) {
        const int32_t r = strip->row + i;
        rows[i] = mask_row(call, set, r, base);
        call->lanes->bits_of_bytes((const uint8_t *)rows[i], t->strides[3], count,
                                   set->mask_bits + r * ATTEND__MASK_WORDS);
        rows[i] += ATTEND__MASK_KEYS * t->strides[3];
    }
    set->mask_base[strip->index] = base;
    const attend__lane_rows next = {rows, ATTEND_F32, strip->rows, 1, 64};
    if (after > 0 && t->strides[3] == 1) call->lanes->prefetch_rows(&next);
}

/* The keys from `at` on, counted from the first that `bits` has. */
static void and_mask(const uint32_t *bits, int64_t at, uint32_t *words) {
    bits += at / ATTEND__KEEP_KEYS;
    const int32_t shift = (int32_t)(at % ATTEND__KEEP_KEYS);
    for (int32_t w = 0; shift == 0 && w < ATTEND__KEEP_WORDS; w++)
        words[w] &= bits[w];
    for (int32_t w = 0; shift != 0 && w < ATTEND__KEEP_WORDS; w++) {
        const uint64_t two = (uint64_t)bits[w] | (uint64_t)bits[w + 1] << 32;
        words[w] &= (uint32_t)(two >> shift);
    }
}

/* The mask of row r as bits, which begin with key *base. */
static const uint32_t *mask_of(const attend__call *call, const attend__row_set *set,
                               const attend__strip *strip, int32_t r, int64_t key, int64_t *base) {
    const attend_tensor *const t = &call->a->mask;
    *base = key / ATTEND__MASK_KEYS * ATTEND__MASK_KEYS;
    if (call->mask_bits != NULL) {
        const int64_t batch = t->strides[0] == 0 ? 0 : set->batch;
        *base = 0;
        return call->mask_bits +
               (batch * call->queries + attend__row_query(call, set, r)) * call->mask_words;
    }
    if (set->mask_base[strip->index] != *base) read_mask(call, set, strip, *base);
    return set->mask_bits + r * ATTEND__MASK_WORDS;
}

static void and_bias(const attend__call *call, const attend__row_set *set, int32_t r,
                     attend__part part, uint32_t *words) {
    float bias[ATTEND__LANE_KEYS];
    const attend__span span =
        attend__span_at(&call->a->bias, set->batch, attend__row_head(call, set, r),
                        attend__row_query(call, set, r), part.key);
    call->kernels->widen(span, part.count, bias);
    for (int32_t k = 0; k < part.count; k++)
        if (bias[k] == -INFINITY) words[k / ATTEND__KEEP_KEYS] &= ~(1u << k % ATTEND__KEEP_KEYS);
}

/* The bits that all rows have in common: of a mask of keys, or one that is the same in each row. */
static void common_bits(const attend__call *call, const attend__row_set *set, attend__part part,
                        uint32_t *common) {
    const attend_tensor *const t = &call->a->key_mask;
    uint32_t bits[ATTEND__KEEP_WORDS] = {0};
    memset(common, 0xff, ATTEND__KEEP_WORDS * sizeof *common);
    if (attend__given(t)) {
        const uint8_t *const bytes = (const uint8_t *)t->data + t->offset;
        memset(common, 0, ATTEND__KEEP_WORDS * sizeof *common);
        call->lanes->bits_of_bytes(bytes + set->batch * t->strides[0] + part.key * t->strides[1],
                                   t->strides[1], part.count, common);
    }
    if (!attend__mask_common(call)) return;
    const int32_t covered = (int32_t)attend__between(call->covered - part.key, 0, part.count);
    call->lanes->bits_of_bytes((const uint8_t *)mask_row(call, set, 0, part.key),
                               call->a->mask.strides[3], covered, bits);
    for (int32_t w = 0; w < ATTEND__KEEP_WORDS; w++)
        common[w] &= bits[w];
}

void attend__keep_bits(const attend__call *call, const attend__scratch *scratch,
                       const attend__row_set *set, const attend__strip *strip, attend__part part,
                       bool exact) {
    const int32_t lane_rows = call->lanes->lane_rows;
    const bool own_mask = attend__given(&call->a->mask) && !attend__mask_common(call);
    uint32_t common[ATTEND__KEEP_WORDS];
    common_bits(call, set, part, common);
    for (int32_t w = 0; w < ATTEND__KEEP_WORDS; w++)
        common[w] &= range_word(0, part.count, w);
    memset(scratch->keep, 0, (size_t)(ATTEND__KEEP_WORDS * lane_rows) * sizeof *scratch->keep);
    for (int32_t i = 0; i < strip->rows; i++) {
        const int32_t r = strip->row + i;
        const int64_t first = set->row_first[r] - part.key;
        const int64_t last = lower(set->row_last[r] - part.key, part.count);
        if (first >= last || last <= 0) continue;
        const bool whole = first <= 0 && last == part.count;
        uint32_t words[ATTEND__KEEP_WORDS];
        for (int32_t w = 0; w < ATTEND__KEEP_WORDS; w++)
            words[w] = whole ? common[w] : range_word(first, last, w) & common[w];
        if (own_mask) {
            int64_t base = 0;
            const uint32_t *const bits = mask_of(call, set, strip, r, part.key, &base);
            and_mask(bits, part.key - base, words);
        }
        /* a bias may end before the part does */
        const attend__part own = {part.key, (int32_t)last};
        if (exact && attend__given(&call->a->bias)) and_bias(call, set, r, own, words);
        for (int32_t w = 0; w < ATTEND__KEEP_WORDS; w++)
            scratch->keep[w * lane_rows + i] = words[w];
    }
}

/* ---- windows --------------------------------------------------------------------------------- */

static int32_t lowest_bit(uint32_t word) {
    int32_t bit = 0;
    for (; (word & 1) == 0; word >>= 1)
        bit++;
    return bit;
}

static int32_t highest_bit(uint32_t word) {
    int32_t bit = 0;
    for (; (word >>= 1) != 0;)
        bit++;
    return bit;
}

/* The keys from the first to the last bit of some lane, in *from and *to; whether all lanes have
 * all of `count` keys. */
static bool lanes_range(const uint32_t *keep, int32_t stride, int32_t lanes, int32_t count,
                        int32_t *from, int32_t *to) {
    bool all = true;
    *from = *to = 0;
    for (int32_t w = 0; w < ATTEND__KEEP_WORDS; w++) {
        const uint32_t *const words = keep + w * stride;
        uint32_t some = 0, every = UINT32_MAX;
        for (int32_t i = 0; i < lanes; i++) {
            some |= words[i];
            every &= words[i];
        }
        if ((every & range_word(0, count, w)) != range_word(0, count, w)) all = false;
        if (some == 0) continue;
        if (*from == *to) *from = w * ATTEND__KEEP_KEYS + lowest_bit(some);
        *to = w * ATTEND__KEEP_KEYS + highest_bit(some) + 1;
    }
    return all;
}

/* Lanes beyond the strip's rows are nobody's: they do not make a window mixed. */
static bool read_bits(const attend__call *call, const attend__scratch *scratch,
                      const attend__strip *strip, attend__window *window) {
    const int32_t lanes = call->kernels->lanes, lane_rows = call->lanes->lane_rows;
    bool some = false;
    window->open = true;
    for (int32_t v = 0; v < strip->vectors; v++) {
        const int32_t rows = (int32_t)lower(strip->rows - v * lanes, lanes);
        if (!lanes_range(scratch->keep + v * lanes, lane_rows, rows, window->part.count,
                         &window->from[v], &window->to[v]))
            window->open = false;
        if (window->from[v] < window->to[v])
            some = true;
        else
            window->from[v] = window->part.count;
    }
    for (int32_t v = 1; v < strip->vectors; v++)
        window->to[v] = (int32_t)higher(window->to[v], window->to[v - 1]);
    for (int32_t v = strip->vectors - 2; v >= 0; v--)
        window->from[v] = (int32_t)lower(window->from[v], window->from[v + 1]);
    return some;
}

/* Whether every row may use every key of the part, as far as that shows without looking at each. */
static bool is_open(const attend__call *call, const attend__row_set *set,
                    const attend__strip *strip, attend__part part, bool *closed) {
    const int64_t first = part.key, last = part.key + part.count;
    attend__mask_state state = ATTEND__MASK_OPEN;
    if (attend__given(&call->a->mask) && !attend__mask_common(call))
        state = attend__mask_block(call, set, strip, part);
    *closed = state == ATTEND__MASK_CLOSED;
    if (state != ATTEND__MASK_OPEN) return false;
    bool open = true;
    for (int32_t i = 0; i < strip->rows && open && !strip->same; i++)
        open = set->row_first[strip->row + i] <= first && set->row_last[strip->row + i] >= last;
    if (!call->masked) return open;
    uint32_t common[ATTEND__KEEP_WORDS], some = 0;
    common_bits(call, set, part, common);
    for (int32_t w = 0; w < ATTEND__KEEP_WORDS; w++) {
        const uint32_t all = range_word(0, part.count, w);
        some |= common[w] & all;
        open = open && (common[w] & all) == all;
    }
    *closed = some == 0;
    return open;
}

bool attend__window_of(const attend__call *call, const attend__scratch *scratch,
                       const attend__row_set *set, const attend__strip *strip, attend__part part,
                       attend__window *window) {
    const int64_t first = higher(part.key, strip->first);
    const int64_t last = lower(part.key + part.count, strip->last);
    if (first >= last) return false;
    window->part = (attend__part){first, (int32_t)(last - first)};
    bool closed;
    if (!is_open(call, set, strip, window->part, &closed)) {
        if (closed) return false;
        attend__keep_bits(call, scratch, set, strip, window->part, false);
        if (!read_bits(call, scratch, strip, window)) return false;
        window->part.count = window->to[strip->vectors - 1]; /* what follows, nobody may use */
        return true;
    }
    window->open = true;
    for (int32_t v = 0; v < strip->vectors; v++) {
        window->from[v] = 0;
        window->to[v] = window->part.count;
    }
    return true;
}

/* ---- the end of a row ------------------------------------------------------------------------ */

static void finish_sink(attend__row_set *set, int32_t r, double sink, double *lse) {
    const attend__sink_end end =
        attend__join_sink((double)set->reference[r], (double)set->sum[r], sink);
    *lse = end.highest + log(end.sum);
    set->scale[r] = end.scale;
    set->tail[r] = end.tail;
}

static void finish_row(const attend__call *call, attend__row_set *set, int32_t r, int64_t length) {
    const bool past = attend__row_query(call, set, r) >= length;
    double lse = (double)set->reference[r] + log((double)set->sum[r]);
    if (past) {
        lse = -HUGE_VAL;
    } else if (attend__given(&call->a->sinks)) {
        const double sink = (double)attend__sink(call, attend__row_head(call, set, r));
        if (sink != -HUGE_VAL && !isnan(set->sum[r])) finish_sink(set, r, sink, &lse);
    }
    if (call->wants_lse)
        *attend__lse_at(call, set->batch, attend__row_head(call, set, r),
                        attend__row_query(call, set, r)) = (float)lse;
}

static bool is_few(const attend__row_set *set, int32_t r) {
    return r >= set->few_row && r < set->few_row + set->few_count;
}

void attend__finish_rows(const attend__call *call, attend__row_set *set) {
    const float unit = call->own_units ? 1.0f : call->scale;
    for (int32_t r = 0; r < set->count; r++) {
        if (is_few(set, r)) continue;
        if (set->row_first[r] == set->row_last[r]) { /* no strip's, but lanes beyond one's rows */
            set->highest[r] = -INFINITY;
            set->sum[r] = 0.0f;
        }
        const float highest = set->highest[r], sum = set->sum[r];
        set->reference[r] = highest == -INFINITY ? 0.0f : highest * unit;
        set->scale[r] = sum == 0.0f ? 0.0f : 1.0f / sum;
        set->tail[r] = 1.0f;
    }
    if (!call->wants_lse && !attend__given(&call->a->sinks)) return;
    const int64_t length = attend__query_length(call, set->batch);
    for (int32_t r = 0; r < set->count; r++)
        if (!is_few(set, r)) finish_row(call, set, r, length);
}
