/* SPDX-License-Identifier: Apache-2.0
 *
 * The decision record of the calling thread: which kernel ran last on a context, and for what
 * shape. Noted after every run, so noting copies numbers only; the texts are made when somebody
 * asks. */
#ifndef ATTEND_CORE_DECISION_H
#define ATTEND_CORE_DECISION_H

#include "context.h"

/* Sizes in the order of their letters: letters "BHGLSDE" and values {1, 8, 8, 10, 10, 64, 64} read
 * "B1 H8 G8 L10 S10 D64 E64 f32". `letters` is a static string. What follows the type are words
 * that `attend bench --case` reads, with the value where one number says it. */
enum { ATTEND__SHAPE_LETTERS = 8 };
typedef struct attend__shape {
    attend_operation operation;
    attend_type type;
    const char *letters;
    int64_t values[ATTEND__SHAPE_LETTERS];
    uint64_t options; /* bits of ATTEND_OPTION_LIST, named after the type */
    /* of attention and its steps: */
    attend_type kv_type;
    attend_position position;
    int64_t window_left, window_right;
    double softcap;
} attend__shape;

/* Remembers kernel (copied, at most 95 bytes) and shape for this thread and context, and writes the
 * dispatch line if ATTEND_VERBOSE asked for it. Never fails; does not allocate. */
void attend__decision_note(attend_context *context, const char *kernel, const attend__shape *shape);

/* What became of the host memory of this thread's call, for its record and its dispatch line: bytes
 * copied, and used where they lie. Every call on a device with memory of its own says so. */
void attend__decision_moved(attend_context *context, uint64_t copied, uint64_t in_place);

/* "B1 H8 .. f32 causal", cut to `bytes`. */
void attend__shape_text(const attend__shape *shape, char *text, size_t bytes);

/* Fills the caller's structure up to its `size` (INVALID if that is 0): for attend_context_decision
 * and attend_plan_decision. `full` holds all members. */
attend_status attend__decision_give(const attend_decision *full, attend_decision *decision);

#endif
