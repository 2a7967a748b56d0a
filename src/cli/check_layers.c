/* SPDX-License-Identifier: Apache-2.0
 *
 * Cases of encoder and decoder layers, whose parameters have the names of
 * torch.nn.TransformerEncoderLayer and TransformerDecoderLayer. */
#include "check_case.h"

#include <stdio.h>
#include <string.h>

/* Rows `part` of three of q, k, v in one matrix or vector. */
static attend_tensor third(check_case *c, attend_tensor t, const char *role, int part) {
    if (!t.type) return t;
    if (t.rank < 1 || t.sizes[0] % 3 != 0) {
        check_damaged(c, "%s: its rows are not three equal parts", role);
        return t;
    }
    t.sizes[0] /= 3;
    t.offset += part * t.sizes[0] * t.strides[0];
    return t;
}

static attend_multihead_desc attention(check_case *c, const char *prefix) {
    char role[64];
    attend_multihead_desc d = attend_multihead_default();
    d.heads = check_integer(c, "heads", 0);
    snprintf(role, sizeof role, "p.%s.in_proj_weight", prefix);
    const attend_tensor w = check_input(c, role);
    d.w_q = third(c, w, role, 0);
    d.w_k = third(c, w, role, 1);
    d.w_v = third(c, w, role, 2);
    snprintf(role, sizeof role, "p.%s.in_proj_bias", prefix);
    const attend_tensor b = check_input(c, role);
    d.b_q = third(c, b, role, 0);
    d.b_k = third(c, b, role, 1);
    d.b_v = third(c, b, role, 2);
    snprintf(role, sizeof role, "p.%s.out_proj.weight", prefix);
    d.w_o = check_input(c, role);
    snprintf(role, sizeof role, "p.%s.out_proj.bias", prefix);
    d.b_o = check_input(c, role);
    return d;
}

static attend_activation activation(check_case *c) {
    static const struct {
        const char *name;
        attend_activation value;
    } known[] = {
#define ATTEND_X(value, number, name) {name, value},
        ATTEND_ACTIVATION_LIST(ATTEND_X)
#undef ATTEND_X
    };
    const char *const name = check_string(c, "activation", "relu");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i)
        if (!strcmp(name, known[i].name)) return known[i].value;
    check_damaged(c, "activation '%s' is not known", name);
    return ATTEND_NO_ACTIVATION;
}

static attend_feedforward_desc feedforward(check_case *c) {
    attend_feedforward_desc d = attend_feedforward_default();
    d.w_1 = check_input(c, "p.linear1.weight");
    d.b_1 = check_input(c, "p.linear1.bias");
    d.w_2 = check_input(c, "p.linear2.weight");
    d.b_2 = check_input(c, "p.linear2.bias");
    d.activation = activation(c);
    return d;
}

/* Only some rows of y are compared: their number must fit. */
static void set_rows(check_case *c, const attend_tensor *y) {
    c->compared_rows = check_input(c, "y_rows");
    const attend_tensor *const rows = &c->compared_rows;
    if (!rows->type) return;
    if (rows->type != ATTEND_BOOL || rows->rank != 2 || y->rank != 3 ||
        rows->sizes[0] != y->sizes[0] || rows->sizes[1] != y->sizes[1])
        check_damaged(c, "y_rows: not bool[B, L]");
}

static void run_layer(check_case *c, bool decoder) {
    attend_multihead_desc self = attention(c, "self_attn");
    const attend_multihead_desc cross = attention(c, "multihead_attn");
    const attend_feedforward_desc inner = feedforward(c);
    self.causal = check_flag(c, "causal", false);

    attend_block_desc d = attend_block_default();
    d.self_attention = &self;
    d.cross_attention = decoder ? &cross : NULL;
    d.feedforward = &inner;
    d.norm_self_weight = check_input(c, "p.norm1.weight");
    d.norm_self_bias = check_input(c, "p.norm1.bias");
    if (decoder) {
        d.norm_cross_weight = check_input(c, "p.norm2.weight");
        d.norm_cross_bias = check_input(c, "p.norm2.bias");
    }
    d.norm_feedforward_weight = check_input(c, decoder ? "p.norm3.weight" : "p.norm2.weight");
    d.norm_feedforward_bias = check_input(c, decoder ? "p.norm3.bias" : "p.norm2.bias");
    d.norm_first = check_flag(c, "norm_first", false);
    d.eps = check_number(c, "eps", d.eps);

    attend_block_args x = attend_block_args_default();
    x.x = check_input(c, "x");
    x.memory = check_input(c, "memory");
    x.key_mask = check_input(c, "key_mask");
    x.memory_key_mask = check_input(c, "memory_key_mask");
    x.out = check_output(c, "y");
    set_rows(c, &x.out);
    attend_block *block = NULL;
    if (check_ready(c) && check_called(c, attend_block_create(c->context, &d, &block)))
        check_called(c, attend_block_run(block, &x));
    attend_block_release(block);
}

static void run_encoder(check_case *c) {
    run_layer(c, false);
}

static void run_decoder(check_case *c) {
    run_layer(c, true);
}

#define SHARED_ROLES                                                                               \
    "x key_mask y y_rows p.self_attn.in_proj_weight p.self_attn.in_proj_bias "                     \
    "p.self_attn.out_proj.weight "                                                                 \
    "p.self_attn.out_proj.bias p.linear1.weight p.linear1.bias p.linear2.weight p.linear2.bias "   \
    "p.norm1.weight p.norm1.bias p.norm2.weight p.norm2.bias "

const check_operation check_encoder_layer = {
    .name = "encoder_layer",
    .roles = SHARED_ROLES,
    .attributes = "heads activation norm_first eps causal",
    .run = run_encoder,
};

const check_operation check_decoder_layer = {
    .name = "decoder_layer",
    .roles = SHARED_ROLES
    "memory memory_key_mask p.multihead_attn.in_proj_weight p.multihead_attn.in_proj_bias "
    "p.multihead_attn.out_proj.weight p.multihead_attn.out_proj.bias p.norm3.weight "
    "p.norm3.bias",
    .attributes = "heads activation norm_first eps causal",
    .run = run_decoder,
};
