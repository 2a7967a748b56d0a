/* SPDX-License-Identifier: Apache-2.0
 *
 * Cases of the project's own files (docs/case-format.md) for layers with every option of their
 * descriptions: multihead, feedforward, block. */
#include "check_options.h"

#include <stdio.h>
#include <string.h>

/* A name of the layer `prefix` ("", "self.", "cross.") in a case. */
typedef struct part_name {
    char text[64];
} part_name;

static part_name named(const char *prefix, const char *name) {
    part_name n;
    snprintf(n.text, sizeof n.text, "%s%s", prefix, name);
    return n;
}

static attend_tensor part_input(check_case *c, const char *prefix, const char *role) {
    return check_input(c, named(prefix, role).text);
}

static int64_t part_integer(check_case *c, const char *prefix, const char *name,
                            int64_t otherwise) {
    return check_integer(c, named(prefix, name).text, otherwise);
}

static bool part_flag(check_case *c, const char *prefix, const char *name) {
    return check_flag(c, named(prefix, name).text, false);
}

static attend_position part_position(check_case *c, const char *prefix) {
    static const struct {
        const char *name;
        attend_position value;
    } known[] = {{"unset", ATTEND_POSITION_UNSET},
                 {"top_left", ATTEND_TOP_LEFT},
                 {"bottom_right", ATTEND_BOTTOM_RIGHT}};
    const char *const name = check_string(c, named(prefix, "position").text, "unset");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i)
        if (!strcmp(name, known[i].name)) return known[i].value;
    check_damaged(c, "position '%s' is not known", name);
    return ATTEND_POSITION_UNSET;
}

static attend_multihead_desc multihead(check_case *c, const char *prefix) {
    attend_multihead_desc d = attend_multihead_default();
    d.heads = part_integer(c, prefix, "heads", 0);
    d.kv_heads = part_integer(c, prefix, "kv_heads", 0);
    d.w_q = part_input(c, prefix, "w_q");
    d.w_k = part_input(c, prefix, "w_k");
    d.w_v = part_input(c, prefix, "w_v");
    d.w_o = part_input(c, prefix, "w_o");
    d.b_q = part_input(c, prefix, "b_q");
    d.b_k = part_input(c, prefix, "b_k");
    d.b_v = part_input(c, prefix, "b_v");
    d.b_o = part_input(c, prefix, "b_o");
    d.rope_cos = part_input(c, prefix, "rope_cos");
    d.rope_sin = part_input(c, prefix, "rope_sin");
    d.rope_dim = part_integer(c, prefix, "rope_dim", 0);
    d.rope_interleaved = part_flag(c, prefix, "rope_interleaved");
    d.causal = part_flag(c, prefix, "causal");
    d.position = part_position(c, prefix);
    d.has_scale = check_has_attribute(c, named(prefix, "scale").text);
    d.scale = check_number(c, named(prefix, "scale").text, 0);
    d.softcap = check_number(c, named(prefix, "softcap").text, 0);
    d.window_left = part_integer(c, prefix, "window_left", -1);
    d.window_right = part_integer(c, prefix, "window_right", -1);
    d.alibi_slopes = part_input(c, prefix, "alibi_slopes");
    d.sinks = part_input(c, prefix, "sinks");
    return d;
}

static attend_feedforward_desc feedforward(check_case *c, const char *prefix) {
    attend_feedforward_desc d = attend_feedforward_default();
    d.w_1 = part_input(c, prefix, "w_1");
    d.w_gate = part_input(c, prefix, "w_gate");
    d.w_2 = part_input(c, prefix, "w_2");
    d.b_1 = part_input(c, prefix, "b_1");
    d.b_gate = part_input(c, prefix, "b_gate");
    d.b_2 = part_input(c, prefix, "b_2");
    d.activation = check_activation_option(c);
    return d;
}

static void run_multihead(check_case *c) {
    const attend_multihead_desc d = multihead(c, "");
    attend_multihead_args a = attend_multihead_args_default();
    a.x_q = check_input(c, "x_q");
    a.x_kv = check_input(c, "x_kv");
    a.x_v = check_input(c, "x_v");
    a.residual = check_input(c, "residual");
    a.mask = check_input(c, "mask");
    a.bias = check_input(c, "bias");
    a.key_mask = check_input(c, "key_mask");
    a.query_lengths = check_input(c, "query_lengths");
    a.key_lengths = check_input(c, "key_lengths");
    a.out = check_typed_output(c, "y", a.x_q.type);
    a.weights = check_output(c, "weights");
    a.weights_mean = check_output(c, "weights_mean");
    a.lse = check_output(c, "lse");
    attend_multihead *layer = NULL;
    if (check_ready(c) && check_called(c, attend_multihead_create(c->context, &d, &layer)))
        check_called(c, attend_multihead_run(layer, &a));
    attend_multihead_release(layer);
}

static void run_feedforward(check_case *c) {
    const attend_feedforward_desc d = feedforward(c, "");
    attend_feedforward_args a = attend_feedforward_args_default();
    a.x = check_input(c, "x");
    a.residual = check_input(c, "residual");
    a.out = check_typed_output(c, "y", a.x.type);
    attend_feedforward *layer = NULL;
    if (check_ready(c) && check_called(c, attend_feedforward_create(c->context, &d, &layer)))
        check_called(c, attend_feedforward_run(layer, &a));
    attend_feedforward_release(layer);
}

static attend_block_args block_args(check_case *c) {
    attend_block_args a = attend_block_args_default();
    a.x = check_input(c, "x");
    a.memory = check_input(c, "memory");
    a.mask = check_input(c, "mask");
    a.bias = check_input(c, "bias");
    a.key_mask = check_input(c, "key_mask");
    a.query_lengths = check_input(c, "query_lengths");
    a.key_lengths = check_input(c, "key_lengths");
    a.memory_mask = check_input(c, "memory_mask");
    a.memory_bias = check_input(c, "memory_bias");
    a.memory_key_mask = check_input(c, "memory_key_mask");
    a.memory_key_lengths = check_input(c, "memory_key_lengths");
    a.out = check_typed_output(c, "y", a.x.type);
    a.weights = check_output(c, "weights");
    a.weights_mean = check_output(c, "weights_mean");
    a.memory_weights = check_output(c, "memory_weights");
    a.memory_weights_mean = check_output(c, "memory_weights_mean");
    return a;
}

static void run_block(check_case *c) {
    const attend_multihead_desc self = multihead(c, "self."), cross = multihead(c, "cross.");
    const attend_feedforward_desc inner = feedforward(c, "ff.");
    attend_block_desc d = attend_block_default();
    d.self_attention = &self;
    d.cross_attention = check_has(c, "cross.w_q") ? &cross : NULL;
    d.feedforward = &inner;
    d.norm_self_weight = check_input(c, "norm_self_weight");
    d.norm_self_bias = check_input(c, "norm_self_bias");
    d.norm_cross_weight = check_input(c, "norm_cross_weight");
    d.norm_cross_bias = check_input(c, "norm_cross_bias");
    d.norm_feedforward_weight = check_input(c, "norm_feedforward_weight");
    d.norm_feedforward_bias = check_input(c, "norm_feedforward_bias");
    d.norm_first = check_flag(c, "norm_first", false);
    check_norm_options(c, &d.norm, &d.eps);
    const attend_block_args a = block_args(c);
    attend_block *block = NULL;
    if (check_ready(c) && check_called(c, attend_block_create(c->context, &d, &block)))
        check_called(c, attend_block_run(block, &a));
    attend_block_release(block);
}

#define MULTIHEAD_ROLES(p)                                                                         \
    p "w_q " p "w_k " p "w_v " p "w_o " p "b_q " p "b_k " p "b_v " p "b_o " p "rope_cos " p        \
      "rope_sin " p "alibi_slopes " p "sinks "
#define MULTIHEAD_ATTRIBUTES(p)                                                                    \
    p "heads " p "kv_heads " p "rope_dim " p "rope_interleaved " p "causal " p "position " p       \
      "scale " p "softcap " p "window_left " p "window_right "
#define FEEDFORWARD_ROLES(p) p "w_1 " p "w_gate " p "w_2 " p "b_1 " p "b_gate " p "b_2 "

const check_operation check_multihead_layer = {
    .name = "multihead",
    .roles =
        MULTIHEAD_ROLES("") "x_q x_kv x_v residual mask bias key_mask query_lengths key_lengths y "
                            "weights weights_mean lse",
    .attributes = MULTIHEAD_ATTRIBUTES(""),
    .run = run_multihead,
};

const check_operation check_feedforward = {
    .name = "feedforward",
    .roles = FEEDFORWARD_ROLES("") "x residual y",
    .attributes = "activation",
    .run = run_feedforward,
};

const check_operation check_block = {
    .name = "block",
    .roles = MULTIHEAD_ROLES("self.") MULTIHEAD_ROLES("cross.")
        FEEDFORWARD_ROLES("ff.") "norm_self_weight norm_self_bias norm_cross_weight "
                                 "norm_cross_bias norm_feedforward_weight "
                                 "norm_feedforward_bias x memory mask bias key_mask query_lengths "
                                 "key_lengths memory_mask memory_bias "
                                 "memory_key_mask memory_key_lengths y weights weights_mean "
                                 "memory_weights memory_weights_mean",
    .attributes = MULTIHEAD_ATTRIBUTES("self.")
        MULTIHEAD_ATTRIBUTES("cross.") "norm norm_first eps activation",
    .run = run_block,
};
