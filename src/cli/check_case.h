/* SPDX-License-Identifier: Apache-2.0
 *
 * One case of an attend-cases/1 file while it is checked: its inputs as tensors, the outputs it
 * expects, and what became of it. An operation is checked by filling a description from the case
 * and calling the library; comparing is the driver's. */
#ifndef ATTEND_CLI_CHECK_CASE_H
#define ATTEND_CLI_CHECK_CASE_H

#include "attend/model.h"
#include "cli.h"
#include "model/safetensors.h"

#include <jansson.h>
#include <stdbool.h>

enum { CHECK_MOST_OUTPUTS = 8 };

typedef struct check_output_pair {
    const char *role;
    attend_tensor want; /* in the file */
    attend_tensor got;  /* contiguous, of the same type and sizes */
} check_output_pair;

typedef struct check_case {
    const attend__safetensors *file;
    const char *name;
    json_t *attributes;
    attend_context *context;
    const attend_model *model; /* NULL without --model */
    double atol, rtol;

    check_output_pair outputs[CHECK_MOST_OUTPUTS];
    size_t output_count;
    attend_tensor compared_rows; /* not given, or BOOL: which rows of `y` count */
    void *memory;                /* list of all that check_memory gave */

    attend_status status; /* of the first call that failed */
    char sentence[1024];  /* why the case cannot be run; "" = nothing is wrong */
} check_case;

/* What a case may ask of an operation: roles and attributes are lists of words. */
typedef struct check_operation {
    const char *name;
    const char *roles;
    const char *attributes;
    bool needs_model;
    void (*run)(check_case *c);
} check_operation;

extern const check_operation check_attention, check_multihead, check_softmax, check_project,
    check_split_heads, check_merge_heads, check_rope, check_encoder_layer, check_decoder_layer,
    check_text_model, check_packed, check_decode, check_linear, check_norm, check_activate,
    check_embed, check_multihead_layer, check_feedforward, check_block;

/* Says once what is wrong with the case; later ones are dropped. */
void check_damaged(check_case *c, const char *format, ...) CLI_PRINTF(2, 3);

/* Attributes, or `otherwise` where absent; a wrong type makes the case damaged. */
bool check_has_attribute(const check_case *c, const char *name);
bool check_flag(check_case *c, const char *name, bool otherwise);
int64_t check_integer(check_case *c, const char *name, int64_t otherwise);
double check_number(check_case *c, const char *name, double otherwise);
const char *check_string(check_case *c, const char *name, const char *otherwise);
/* The attribute `position`; UNSET where absent. */
attend_position check_position(check_case *c);

/* Tensors. An input that the case lacks is "not given", and so is the output for a role that it
 * does not expect. An output starts as NaN (integers: all bits set), so that what is not written is
 * noticed. */
bool check_has(const check_case *c, const char *role);
attend_tensor check_input(const check_case *c, const char *role);
attend_tensor check_output(check_case *c, const char *role);
attend_tensor check_scratch(check_case *c, attend_type type, int32_t rank, const int64_t *sizes);
/* The [B, heads, L, D] view of [B, L, heads * D]. */
attend_tensor check_heads(check_case *c, const char *role, attend_tensor flat, int64_t heads);

/* Nothing is wrong so far: the call may be made. */
bool check_ready(const check_case *c);
/* Keeps the error of a call. True if it succeeded. */
bool check_called(check_case *c, attend_status status);

/* Elements of a tensor; -1 if that does not fit. */
int64_t check_count(const attend_tensor *tensor);
/* Gives back what the case took. */
void check_release(check_case *c);

/* ---- check_compare.c ---- */

typedef struct check_difference {
    size_t compared, count; /* elements; how many of them differ */
    size_t index;           /* the first that does */
    double worst;           /* largest error as a part of what is allowed */
} check_difference;

check_difference check_compare(const check_output_pair *output, const attend_tensor *rows,
                               double atol, double rtol);
/* "[1,0,7]" */
void check_format_index(const attend_tensor *tensor, size_t index, char *text, size_t room);
/* One element as a text that tells it from its neighbours. */
void check_format_value(const attend_tensor *tensor, size_t index, char *text, size_t room);

#endif
