/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of many query rows on the CPU. Rows that read the same keys and values belong together:
 * a row set is a run of rows (query, head) of one batch and one key/value head, and the work of one
 * task. It is cut into strips, whose rows lie side by side in the lanes of vectors; keys come in
 * blocks of LANE_KEYS counted from key 0. What a row gives does not depend on the set or the strip
 * that it is in. */
#ifndef ATTEND_CPU_STRIP_H
#define ATTEND_CPU_STRIP_H

#include "cpu_attention.h"
#include "cpu_decode.h"

/* Most rows of a set: queries and output of as many rows of 128 elements take a quarter of a
 * second- level cache of 1 MB, and a block of keys and values is read 5 times from there for every
 * time from memory. */
enum { ATTEND__SET_ROWS = 240 };
/* Most rows that cpu_few.c computes, and the keys that it takes at once: those of a few blocks,
 * which are still in the second cache. */
enum { ATTEND__FEW_MOST = 8, ATTEND__FEW_KEYS = ATTEND__BLOCK_KEYS };
enum { ATTEND__KEEP_WORDS = ATTEND__LANE_KEYS / ATTEND__KEEP_KEYS };
/* Keys of a mask that are read at once, and their words with room for a block from the last. */
enum {
    ATTEND__MASK_KEYS = 1024,
    ATTEND__MASK_WORDS = ATTEND__MASK_KEYS / ATTEND__KEEP_KEYS + ATTEND__KEEP_WORDS
};
enum { ATTEND__LEAST_RUN = 8 }; /* keys of a page that is read in place */

typedef struct attend__strip {
    int32_t row, rows, vectors; /* row: the first, counted in the set */
    int32_t index, of;          /* this strip among those of the set */
    int64_t first, last;        /* keys that some row may use */
    bool same;                  /* position and length allow every row all of these */
    bool begun;                 /* out holds something */
    float *queries, *out;       /* [D][lane_rows], [E][lane_rows] */
    float *pairs;               /* queries for pair_kernels.h, where call->pair_dots */
    bool some_far;              /* some row reaches too far for those */
    bool far[ATTEND__LANE_ROWS_MOST];
} attend__strip;

/* The set that the same worker does next, if it is known: its rows are on their way before it
 * begins. */
typedef struct attend__next_set {
    bool known;
    int64_t batch, group, first_row;
    int32_t count;
} attend__next_set;

/* Row r has the number first_row + r * step, which is query * shared + head within the group. The
 * arrays have a float for each lane of whole vectors. */
typedef struct attend__row_set {
    int64_t batch, group;
    int64_t first_row, step;
    int32_t count, strips;
    int64_t few_begin, few_end; /* numbers of the sample's rows that are decoded; equal: none */
    int32_t few_row, few_count; /* those of the set; strips have the others */
    int64_t first, last;        /* keys that some row may use */
    attend__next_set next;
    attend__strip *strip;
    int64_t *row_first, *row_last; /* keys that position and length allow a row; both 0: none */
    uint32_t *mask_bits;           /* [row][MASK_WORDS] */
    int64_t *mask_base;            /* their first key, of each strip; -1: none yet */
    float *queries, *pairs, *out;  /* of all strips */
    float *highest;                /* in units of the scores */
    float *sum, *reference;        /* sum of exp(score - reference), in the score's own units */
    float *scale, *tail;           /* weight = power * scale; out gets both factors */
} attend__row_set;

/* Memory of one worker; sizes in cpu_attention.c. */
typedef struct attend__scratch {
    float *keys, *values;                        /* a block that has to be put together */
    uint16_t *pair_rows, *pair_values;           /* the same of bfloat16, for pair_kernels.h */
    float *scores;                               /* [LANE_KEYS][lane_rows] */
    uint32_t *keep;                              /* [KEEP_WORDS][lane_rows] */
    float *highest, *shrink, *slopes, *distance; /* [lane_rows] */
    attend__row_set set, again;                  /* again: a row that is done again */
    float *mean; /* [LANE_KEYS][lane_rows]: side outputs, rows that reach too far */
    float *all_reference, *all_scale; /* weights_mean: [heads][queries of the task] */
    attend__decode_scratch few;
} attend__scratch;

/* Keys key .. key + count - 1 of a block. */
typedef struct attend__part {
    int64_t key;
    int32_t count;
} attend__part;

/* What of a block a strip may use. */
typedef struct attend__window {
    attend__part part;
    bool open; /* every row may use all of it; else scratch->keep has a bit for each key of it */
    /* Keys that some row of a vector may use, counted from part.key. Neither falls. */
    int32_t from[ATTEND__LANE_VECTORS_MOST], to[ATTEND__LANE_VECTORS_MOST];
} attend__window;

/* A block of keys and values: keys in runs that lie at one distance each, values in one. */
typedef struct attend__key_run {
    const char *first;
    int64_t key_stride, depth_stride;
    int32_t count;
} attend__key_run;
typedef struct attend__kv_block {
    attend__part part;
    bool pairs; /* keys are bfloat16, for pair_kernels.h; else float32 */
    attend__key_run runs[ATTEND__LANE_KEYS / ATTEND__LEAST_RUN + 1];
    attend__values values;
    int64_t key_ahead, value_ahead; /* bytes to the next block, 0 where that is not known */
} attend__kv_block;

/* ---- cpu_mask.c: a mask that heads share ---- */

/* Every row of a sample has the same mask. */
bool attend__mask_common(const attend__call *call);
typedef enum attend__mask_state {
    ATTEND__MASK_CLOSED,
    ATTEND__MASK_OPEN,
    ATTEND__MASK_MIXED, /* or not known */
} attend__mask_state;
/* What a mask that was read leaves of a part, for all rows of a strip. */
attend__mask_state attend__mask_block(const attend__call *call, const attend__row_set *set,
                                      const attend__strip *strip, attend__part part);
/* Of the shared memory of calls up to this one; a plan does not know which masks are broadcast. */
size_t attend__mask_room(const attend__call *call);
/* Sets call->mask_bits where the shared memory has room behind its first `used` bytes. */
void attend__mask_read(attend_device *device, const attend_device_plan *plan, attend__call *call,
                       size_t used);

/* ---- cpu_row_set.c: rows, strips, and what they may see ---- */

int64_t attend__row_query(const attend__call *call, const attend__row_set *set, int32_t r);
int64_t attend__row_head(const attend__call *call, const attend__row_set *set, int32_t r);
/* Fills the set with `count` <= SET_ROWS rows of its batch and group from number `first` on. */
void attend__set_rows(const attend__call *call, attend__row_set *set, int64_t first, int32_t count);
/* False: no row may use any of the part's keys. */
bool attend__window_of(const attend__call *call, const attend__scratch *scratch,
                       const attend__row_set *set, const attend__strip *strip, attend__part part,
                       attend__window *window);
/* scratch->keep of all rows of the strip. exact: a bias of -inf excludes, too, which the scores
 * otherwise see to. */
void attend__keep_bits(const attend__call *call, const attend__scratch *scratch,
                       const attend__row_set *set, const attend__strip *strip, attend__part part,
                       bool exact);
/* After the last block: reference, scale and tail of each row, sinks included; writes lse. */
void attend__finish_rows(const attend__call *call, attend__row_set *set);

/* ---- cpu_block.c: a block of keys and values as the kernels read it ---- */

void attend__read_keys(const attend__call *call, const attend__scratch *scratch,
                       const attend__row_set *set, attend__kv_block *block);
/* Bytes from a row of this block to that of the next, or of the next set's first block, where rows
 * follow one another; else 0. */
int64_t attend__to_next_block(const attend__call *call, const attend_tensor *t,
                              const attend__row_set *set, attend__part part);
/* copy: into scratch->values in any case. */
void attend__read_values(const attend__call *call, const attend__scratch *scratch,
                         const attend__row_set *set, bool copy, attend__kv_block *block);

/* ---- cpu_pairs.c: bfloat16 by pairs ---- */

/* strip->pairs of packed queries, and which rows reach too far for them. */
void attend__pack_pairs(const attend__call *call, attend__row_set *set);
/* The scores of the window's rows that do, from float32. */
void attend__far_scores(const attend__call *call, const attend__scratch *scratch,
                        const attend__row_set *set, const attend__strip *strip,
                        const attend__window *window);
void attend__read_pair_keys(const attend__call *call, const attend__scratch *scratch,
                            const attend__row_set *set, attend__kv_block *block);
/* Into scratch->values as pairs of keys, counted from the beginning of the block of LANE_KEYS. */
void attend__read_pair_values(const attend__call *call, const attend__scratch *scratch,
                              const attend__row_set *set, attend__kv_block *block);
/* Those of keys outside the window, and of keys in it without a bit in scratch->keep, become 0 as
 * far as attend__mix_pairs reads them; the set is one row. */
void attend__drop_pair_values(const attend__call *call, const attend__scratch *scratch,
                              const attend__window *window);
/* As for float32, but scores become pairs of weights. */
void attend__soften_pairs(const attend__call *call, const attend__window *window,
                          attend__lane_soften soften);
/* mix as for float32, save the weights and the values: those of attend__soften_pairs and of the
 * whole block. */
void attend__mix_pairs(const attend__call *call, const attend__window *window,
                       attend__lane_mix mix);

/* ---- cpu_terms.c: from q . k to the scores that softmax takes ---- */

/* Rows of a strip in a tensor [B,H,L,n], from `column` on; pointers: [LANE_ROWS_MOST]. */
attend__lane_rows attend__strip_rows(const attend__call *call, const attend__row_set *set,
                                     const attend__strip *strip, const attend_tensor *t,
                                     attend__part columns, char **pointers);
void attend__advance_scores_of(const attend__call *call, const attend__scratch *scratch,
                               const attend__row_set *set, const attend__strip *strip,
                               attend__part part, attend_scores_stage from, attend_scores_stage to);

/* ---- cpu_strip.c: the loop over blocks ---- */

void attend__pack_set(const attend__call *call, attend__row_set *set);
/* scratch->scores of the window at stage RAW; highest: of each row, or NULL. */
void attend__strip_dots(const attend__call *call, const attend__scratch *scratch,
                        const attend__strip *strip, const attend__kv_block *block,
                        const attend__window *window, float *highest);
/* highest and sum of each row, and its output, which still lacks its factor. careful: the set is
 * one row, and the values of keys that it excludes are not used even with weight 0. */
void attend__run_set(const attend__call *call, const attend__scratch *scratch, attend__row_set *set,
                     bool careful);

/* ---- cpu_few.c: rows that do not fill a vector ---- */

/* How many of a sample's rows of a group, the last ones, are decoded: by its lengths alone. */
int32_t attend__few_of(const attend__call *call, int64_t rows, int64_t keys);
/* Sets of `size` rows, a multiple of lanes: the last one takes those few as well. */
int64_t attend__sets_of(const attend__call *call, int64_t rows, int64_t keys, int64_t size);
/* Those of a set, computed while its strips pass over the keys. */
typedef struct attend__few {
    attend__decode_set set;
    int64_t first, last; /* keys that some row may use */
    bool begun;
} attend__few;
attend__few attend__few_begin(const attend__call *call, const attend__scratch *scratch,
                              const attend__row_set *set);
/* Takes what lies between `begin`, a multiple of FEW_KEYS, and the next one. */
void attend__few_keys(const attend__call *call, const attend__scratch *scratch, attend__few *few,
                      int64_t begin);
/* Writes out and lse; fills the set's reference, scale and tail. */
void attend__few_end(const attend__call *call, const attend__scratch *scratch,
                     const attend__few *few, attend__row_set *set);

/* ---- cpu_side_outputs.c ---- */

/* Writes `weights` and `scores`, where given, of a set that is finished. */
void attend__write_side_outputs(const attend__call *call, const attend__scratch *scratch,
                                attend__row_set *set);
/* Writes weights_mean of queries first .. first + count - 1 from all_reference and all_scale. */
void attend__write_mean(const attend__call *call, const attend__scratch *scratch, int64_t batch,
                        int64_t first, int64_t count);

#endif
