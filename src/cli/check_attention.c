/* SPDX-License-Identifier: Apache-2.0
 *
 * Cases of attention itself, and of multi-head attention as torch.nn.MultiheadAttention has it. */
#include "check_case.h"

#include <string.h>

/* A mask of truth values goes to `mask`, one of numbers to `bias`: the file has one role for both.
 */
static void set_mask(check_case *c, attend_tensor *mask, attend_tensor *bias) {
    const attend_tensor given = check_input(c, "mask");
    const bool truth = given.type == ATTEND_BOOL || given.type == ATTEND_U8;
    *mask = truth ? given : (attend_tensor){0};
    *bias = check_input(c, "bias");
    if (!given.type || truth) return;
    if (bias->type) check_damaged(c, "mask: a mask of numbers and a bias in one case");
    *bias = given;
}

static void set_position(check_case *c, attend_attention *a) {
    const char *const name = check_string(c, "position", NULL);
    a->query_offset = check_integer(c, "query_offset", 0);
    a->query_offsets = check_input(c, "query_offsets");
    a->position = ATTEND_AT_OFFSETS;
    if (!name) return;
    if (a->query_offsets.type || check_has_attribute(c, "query_offset"))
        check_damaged(c, "position and query_offset exclude each other");
    a->position = check_position(c);
}

static void set_options(check_case *c, attend_attention *a) {
    a->causal = check_flag(c, "causal", false);
    a->window_left = check_integer(c, "window_left", -1);
    a->window_right = check_integer(c, "window_right", -1);
    a->has_scale = check_has_attribute(c, "scale");
    a->scale = check_number(c, "scale", 0);
    a->softcap = check_number(c, "softcap", 0);
    set_position(c, a);
    set_mask(c, &a->mask, &a->bias);
    a->key_mask = check_input(c, "key_mask");
    a->key_lengths = check_input(c, "key_lengths");
    a->query_lengths = check_input(c, "query_lengths");
    a->alibi_slopes = check_input(c, "alibi_slopes");
    a->sinks = check_input(c, "sinks");
}

static void set_stage(check_case *c, attend_attention *a) {
    static const struct {
        const char *name;
        attend_scores_stage stage;
    } stages[] = {{"raw", ATTEND_SCORES_RAW},
                  {"scaled", ATTEND_SCORES_SCALED},
                  {"softcapped", ATTEND_SCORES_SOFTCAPPED},
                  {"masked", ATTEND_SCORES_MASKED}};
    const char *const name = check_string(c, "scores_stage", "masked");
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; ++i) {
        if (strcmp(name, stages[i].name)) continue;
        a->scores_stage = stages[i].stage;
        return;
    }
    check_damaged(c, "scores_stage '%s' is not known", name);
}

/* ---- layout ---- */

typedef struct arrangement {
    bool flat; /* [B, L, heads * D] */
    int64_t heads, kv_heads;
} arrangement;

static arrangement read_layout(check_case *c) {
    const char *const name = check_string(c, "layout", "bhld");
    arrangement l = {.flat = !strcmp(name, "blhd")};
    if (!l.flat && strcmp(name, "bhld")) check_damaged(c, "layout '%s' is not known", name);
    l.heads = check_integer(c, "heads", 0);
    l.kv_heads = check_integer(c, "kv_heads", l.heads);
    return l;
}

static attend_tensor arrange(check_case *c, const arrangement *l, const char *role,
                             attend_tensor t) {
    const bool query = !strcmp(role, "q") || !strcmp(role, "y");
    return l->flat ? check_heads(c, role, t, query ? l->heads : l->kv_heads) : t;
}

/* ---- past keys and values ---- */

/* `length` rows of the key axis from `first` on. */
static attend_tensor rows_from(attend_tensor t, int64_t first, int64_t length) {
    t.offset += first * t.strides[2];
    t.sizes[2] = length;
    return t;
}

static bool copy(check_case *c, attend_tensor from, attend_tensor to) {
    attend_copy d = attend_copy_default();
    d.x = from;
    d.out = to;
    return check_called(c, attend_copy_run(c->context, &d));
}

/* past and new, one after the other on the key axis, where the case expects `present` or in
 * scratch. The library's own copies do it, so that they are checked too. */
static attend_tensor join(check_case *c, const char *past_role, const char *present_role,
                          attend_tensor t) {
    const attend_tensor past = check_input(c, past_role);
    if (!past.type) {
        if (check_has(c, present_role)) check_damaged(c, "%s without %s", present_role, past_role);
        return t;
    }
    if (past.rank != 4 || t.rank != 4 || past.type != t.type) {
        check_damaged(c, "%s: not of the keys' rank and type", past_role);
        return t;
    }
    const int64_t before = past.sizes[2], now = t.sizes[2];
    const int64_t sizes[4] = {t.sizes[0], t.sizes[1], before + now, t.sizes[3]};
    const attend_tensor whole = check_has(c, present_role) ? check_output(c, present_role)
                                                           : check_scratch(c, t.type, 4, sizes);
    if (whole.rank != 4 || whole.type != t.type || memcmp(whole.sizes, sizes, sizeof sizes)) {
        check_damaged(c, "%s: not the sizes of both parts together", present_role);
        return t;
    }
    if (!check_ready(c)) return t;
    if (!copy(c, past, rows_from(whole, 0, before)) || !copy(c, t, rows_from(whole, before, now)))
        return t;
    return whole;
}

/* ---- attention ---- */

/* The library always writes the output, also for a case that only has weights or scores. */
static attend_tensor unasked_output(check_case *c, const attend_attention *a) {
    if (a->q.rank != 4 || a->v.rank != 4) {
        check_damaged(c, "q, v: not of rank 4");
        return (attend_tensor){0};
    }
    const int64_t sizes[4] = {a->q.sizes[0], a->q.sizes[1], a->q.sizes[2], a->v.sizes[3]};
    return check_scratch(c, a->q.type, 4, sizes);
}

static void run_attention(check_case *c) {
    attend_attention a = attend_attention_default();
    const arrangement l = read_layout(c);
    a.q = arrange(c, &l, "q", check_input(c, "q"));
    a.k = join(c, "past_k", "present_k", arrange(c, &l, "k", check_input(c, "k")));
    a.v = join(c, "past_v", "present_v", arrange(c, &l, "v", check_input(c, "v")));
    set_options(c, &a);
    a.out = arrange(c, &l, "y", check_output(c, "y"));
    if (!a.out.type) a.out = unasked_output(c, &a);
    a.weights = check_output(c, "weights");
    a.weights_mean = check_output(c, "weights_mean");
    a.lse = check_output(c, "lse");
    a.scores = check_output(c, "scores");
    set_stage(c, &a);
    if (check_ready(c)) check_called(c, attend_run(c->context, &a));
}

/* ---- softmax ---- */

static void run_softmax(check_case *c) {
    attend_attention a = attend_attention_default();
    set_options(c, &a);
    a.scores = check_input(c, "scores");
    a.scores_stage = ATTEND_SCORES_RAW;
    a.weights = check_output(c, "weights");
    if (check_ready(c)) check_called(c, attend_softmax(c->context, &a));
}

/* ---- multi-head attention ---- */

static void run_multihead(check_case *c) {
    attend_multihead_desc d = attend_multihead_default();
    d.heads = check_integer(c, "heads", 0);
    d.causal = check_flag(c, "causal", false);
    d.w_q = check_input(c, "w_q");
    d.w_k = check_input(c, "w_k");
    d.w_v = check_input(c, "w_v");
    d.w_o = check_input(c, "w_o");
    d.b_q = check_input(c, "b_q");
    d.b_k = check_input(c, "b_k");
    d.b_v = check_input(c, "b_v");
    d.b_o = check_input(c, "b_o");

    attend_multihead_args x = attend_multihead_args_default();
    x.x_q = check_input(c, "x_q");
    x.x_kv = check_input(c, "x_k");
    x.x_v = check_input(c, "x_v");
    if (x.x_v.type && !x.x_kv.type) x.x_kv = x.x_q;
    set_mask(c, &x.mask, &x.bias);
    x.key_mask = check_input(c, "key_mask");
    x.out = check_output(c, "y");
    x.weights = check_output(c, "weights");
    x.weights_mean = check_output(c, "weights_mean");
    attend_multihead *layer = NULL;
    if (check_ready(c) && check_called(c, attend_multihead_create(c->context, &d, &layer)))
        check_called(c, attend_multihead_run(layer, &x));
    attend_multihead_release(layer);
}

const check_operation check_attention = {
    .name = "attention",
    .roles = "q k v mask bias key_mask past_k past_v key_lengths query_lengths query_offsets "
             "alibi_slopes sinks "
             "y weights weights_mean scores lse present_k present_v",
    .attributes =
        "layout heads kv_heads causal query_offset position window_left window_right scale softcap "
        "scores_stage",
    .run = run_attention,
};

const check_operation check_softmax = {
    .name = "softmax",
    .roles = "scores mask key_lengths weights",
    .attributes = "scale causal query_offset",
    .run = run_softmax,
};

const check_operation check_multihead = {
    .name = "mha",
    .roles = "x_q x_k x_v w_q w_k w_v w_o b_q b_k b_v b_o mask key_mask y weights weights_mean",
    .attributes = "heads causal",
    .run = run_multihead,
};
