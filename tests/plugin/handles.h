/* SPDX-License-Identifier: Apache-2.0
 *
 * A backend as a third party would write it, against the installed attend/plugin.h alone. Its
 * device has memory of its own (buffers are handles that nobody can dereference), a queue on a
 * thread of its own, events, and no fused attention: the host composes that of the steps.
 * handles.c: tables, memory, queue. handles_steps.c: the steps of attention. handles_stages.c: the
 * operations around it. */
#ifndef HANDLES_H
#define HANDLES_H

#include <attend/plugin.h>

/* A tensor of a running operation: `data` is device memory that handles.c looked up. An absent
 * tensor has type ATTEND_NO_TYPE. Elements are read as double, so that one accessor serves every
 * type. */
double element(const attend_tensor *t, int64_t at);
void set_element(const attend_tensor *t, int64_t at, double value);
size_t element_bytes(attend_type type);
static inline int given(const attend_tensor *t) {
    return t->type != ATTEND_NO_TYPE;
}

void run_attention_step(attend_operation operation, const attend_attention *a);
void run_project(const attend_projection *p);
void run_copy(const attend_copy *c);
void run_norm(const attend_norm *n);
void run_activate(const attend_elementwise *e);
void run_rope(const attend_rope *r);
void run_embed(const attend_embedding *e);

#endif
