/* SPDX-License-Identifier: Apache-2.0
 *
 * A mask that all heads share, read once for them all: a bit for each key, and for each block of
 * keys whether a row keeps all of them or none, in memory of the call. Reading it anew for each
 * head would cost a third of the time of what it keeps, and looking at the bits of each row of each
 * block a tenth. */
#include "cpu_strip.h"

/* A mask larger than this is read anew for each head, a part at a time. */
enum { MOST_BYTES = 16 << 20 };

bool attend__mask_common(const attend__call *call) {
    const attend_tensor *const t = &call->a->mask;
    return attend__given(t) && t->strides[2] == 0 && (t->strides[1] == 0 || call->shared == 1);
}

static int64_t row_words(const attend__call *call) {
    return (call->covered + ATTEND__KEEP_KEYS - 1) / ATTEND__KEEP_KEYS + ATTEND__KEEP_WORDS + 1;
}

static int64_t row_count(const attend__call *call) {
    return (call->a->mask.strides[0] == 0 ? 1 : call->batches) * call->queries;
}

/* Whole blocks alone; keys behind the last one are looked at bit by bit. */
static int64_t row_blocks(const attend__call *call) {
    return call->covered / ATTEND__LANE_KEYS;
}

static size_t bytes_of(const attend__call *call, int64_t rows) {
    attend__carver c = {NULL, 0, true};
    attend__carve(&c, rows, row_words(call), sizeof(uint32_t));
    attend__carve(&c, rows, row_blocks(call), 1);
    return c.fits && c.used <= MOST_BYTES ? c.used : 0;
}

size_t attend__mask_room(const attend__call *call) {
    if (!attend__given(&call->a->mask) || call->heads == 1) return 0;
    const size_t all = bytes_of(call, call->batches * call->queries);
    return all != 0 ? all : bytes_of(call, call->queries);
}

static void read_row(void *argument, int64_t index, void *scratch) {
    const attend__call *const call = argument;
    const attend_tensor *const t = &call->a->mask;
    const int64_t at =
        index / call->queries * t->strides[0] + index % call->queries * t->strides[2];
    const uint8_t *const bytes = (const uint8_t *)t->data + t->offset + at;
    const int64_t blocks = row_blocks(call);
    uint32_t *const bits = call->mask_bits + index * call->mask_words;
    (void)scratch;
    call->lanes->bits_of_bytes(bytes, t->strides[3], (int32_t)call->covered, bits);
    for (int64_t b = 0; b < blocks; b++) {
        uint32_t some = 0, every = UINT32_MAX;
        for (int32_t w = 0; w < ATTEND__KEEP_WORDS; w++) {
            some |= bits[b * ATTEND__KEEP_WORDS + w];
            every &= bits[b * ATTEND__KEEP_WORDS + w];
        }
        call->mask_blocks[index * blocks + b] = (uint8_t)(every == UINT32_MAX ? ATTEND__MASK_OPEN
                                                          : some == 0         ? ATTEND__MASK_CLOSED
                                                                              : ATTEND__MASK_MIXED);
    }
}

attend__mask_state attend__mask_block(const attend__call *call, const attend__row_set *set,
                                      const attend__strip *strip, attend__part part) {
    const int64_t block = part.key / ATTEND__LANE_KEYS, blocks = row_blocks(call);
    const int64_t query = attend__row_query(call, set, strip->row);
    const int64_t last = attend__row_query(call, set, strip->row + strip->rows - 1);
    if (call->mask_bits == NULL || block >= blocks || last - query != strip->rows - 1 ||
        part.key + part.count > (block + 1) * ATTEND__LANE_KEYS)
        return ATTEND__MASK_MIXED;
    const int64_t batch = call->a->mask.strides[0] == 0 ? 0 : set->batch;
    const uint8_t *const states =
        call->mask_blocks + (batch * call->queries + query) * blocks + block;
    for (int32_t i = 1; i < strip->rows; i++)
        if (states[i * blocks] != states[0]) return ATTEND__MASK_MIXED;
    return (attend__mask_state)states[0];
}

void attend__mask_read(attend_device *device, const attend_device_plan *plan, attend__call *call,
                       size_t used) {
    const attend_tensor *const t = &call->a->mask;
    if (!attend__given(t) || t->strides[1] != 0 || call->heads == 1 || attend__mask_common(call))
        return;
    const size_t bytes = bytes_of(call, row_count(call));
    if (bytes == 0 || plan->shared_bytes < used + bytes || call->covered > INT32_MAX) return;
    if (call->shared_memory == NULL)
        call->shared_memory =
            attend__cpu_shared_take(device, plan, &call->a->workspace, &call->shared_slot);
    attend__carver c = {call->shared_memory, plan->shared_bytes - bytes, true};
    call->mask_words = row_words(call);
    call->mask_bits = attend__carve(&c, row_count(call), call->mask_words, sizeof(uint32_t));
    call->mask_blocks = attend__carve(&c, row_count(call), row_blocks(call), 1);
    const attend_device_plan no_scratch = {0};
    const attend__cpu_work work = {.task = read_row,
                                   .argument = call,
                                   .count = row_count(call),
                                   .work = (double)row_count(call) * (double)call->covered / 4.0};
    attend__cpu_tasks(device, &no_scratch, &work);
}
