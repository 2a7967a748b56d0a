/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of cpu_schedule.h: filled by walking the samples, ordered by the power of two below the
 * work of an entry's longest task. */
#include "cpu_schedule.h"

#include <math.h>
#include <string.h>

enum { CLASSES = 64 };

/* Padded side outputs are written by the tasks of the sample, so that these have the padding's rows
 * too. */
static int64_t rows_of(const attend__schedule *s, int64_t batch) {
    const attend__call *const call = s->call;
    const bool padded = call->wants_scores || call->wants_weights || call->wants_mean;
    if (padded || !call->packed) return call->queries * s->unit;
    return attend__query_length(call, batch) * s->unit;
}

static int64_t parts_of(const attend__schedule *s, int64_t batch) {
    const int64_t rows = rows_of(s, batch);
    if (s->call->wants_mean) return (rows + s->rows - 1) / s->rows;
    return attend__sets_of(s->call, rows, attend__key_length(s->call, batch), s->rows);
}

static int64_t tasks_of(const attend__schedule *s, int64_t batch) {
    return s->pairs * parts_of(s, batch);
}

/* The end of an entry's samples. */
static int64_t entry_end(const attend__schedule *s, int64_t entry) {
    const int64_t end = (entry + 1) * s->each;
    return end < s->call->batches ? end : s->call->batches;
}

static int class_of(const attend__schedule *s, int64_t entry) {
    double longest = 0.0;
    for (int64_t b = entry * s->each; b < entry_end(s, entry); b++) {
        const int64_t rows = rows_of(s, b);
        const double work = (double)(rows < s->rows ? rows : s->rows) *
                            (double)(1 + attend__key_length(s->call, b));
        if (work > longest) longest = work;
    }
    const int power = longest < 1.0 ? 0 : ilogb(longest);
    return power < CLASSES ? power : CLASSES - 1;
}

/* Large tasks pack less; enough of them keep every thread busy to the end. */
static int64_t rows_of_tasks(const attend__schedule *s, const attend_device *device) {
    const int64_t strip = s->call->lanes->lane_rows, lanes = s->call->kernels->lanes;
    double total = 0.0;
    for (int64_t b = 0; b < s->call->batches; b++)
        total += (double)rows_of(s, b) * (double)s->pairs;
    int64_t rows = ATTEND__SET_ROWS;
    const double share = total / (4.0 * (double)device->threads);
    if (device->threads > 1 && share < (double)rows) rows = (int64_t)share;
    if (rows < strip) rows = strip;
    return (rows + lanes - 1) / lanes * lanes;
}

static void put_in_order(attend__schedule *s) {
    int32_t count[CLASSES] = {0}, at[CLASSES];
    uint8_t class[ATTEND__SCHEDULE_ENTRIES];
    for (int32_t e = 0; e < s->entries; e++) {
        class[e] = (uint8_t)class_of(s, e);
        count[class[e]]++;
    }
    for (int32_t c = CLASSES - 1, next = 0; c >= 0; c--) {
        at[c] = next;
        next += count[c];
    }
    for (int32_t e = 0; e < s->entries; e++)
        s->order[at[class[e]]++] = e;
}

void attend__schedule_make(attend__schedule *s, const attend_device *device,
                           const attend__call *call) {
    const bool mean = call->wants_mean;
    s->call = call;
    s->unit = mean ? 1 : call->shared;
    s->pairs = mean ? 1 : call->groups;
    s->rows = rows_of_tasks(s, device);
    if (mean) s->rows = s->rows > call->shared ? s->rows / call->shared : 1;
    s->each = (call->batches + ATTEND__SCHEDULE_ENTRIES - 1) / ATTEND__SCHEDULE_ENTRIES;
    s->entries = (int32_t)((call->batches + s->each - 1) / s->each);
    put_in_order(s);
    s->tasks = 0;
    s->work = 0.0;
    for (int32_t i = 0; i < s->entries; i++) {
        s->start[i] = s->tasks;
        for (int64_t b = s->order[i] * s->each; b < entry_end(s, s->order[i]); b++) {
            s->tasks += tasks_of(s, b);
            s->work += (double)attend__query_length(call, b) * (double)attend__key_length(call, b);
        }
    }
    s->work *= (double)call->heads * (double)(call->depth + call->columns);
}

attend__part_of_rows attend__schedule_part(const attend__schedule *s, int64_t task) {
    int32_t low = 0, high = s->entries; /* start[low] <= task, and what follows is empty or later */
    while (high - low > 1) {
        const int32_t middle = low + (high - low) / 2;
        if (s->start[middle] <= task)
            low = middle;
        else
            high = middle;
    }
    int64_t rest = task - s->start[low], batch = s->order[low] * s->each;
    for (; rest >= tasks_of(s, batch); batch++)
        rest -= tasks_of(s, batch);
    const int64_t rows = rows_of(s, batch), parts = parts_of(s, batch);
    /* The last rows first: with a causal mask they are the longest. */
    const int64_t n = parts - 1 - rest % parts, first = n * s->rows;
    const attend__part_of_rows part = {batch, rest / parts, first,
                                       n == parts - 1 ? rows - first : s->rows};
    return part;
}
