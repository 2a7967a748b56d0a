/* SPDX-License-Identifier: Apache-2.0
 *
 * Layers against the same steps called one by one, bit for bit, in place, and with sizes of 0. What
 * the numbers should be is the case files' (docs/case-format.md). */
#include "layer_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const attend_tensor none;

static attend_multihead *make_heads(attend_context *context, const attend_multihead_desc *d) {
    attend_multihead *layer = NULL;
    succeeds(attend_multihead_create(context, d, &layer));
    return layer;
}

/* ---- the same by single steps
 * --------------------------------------------------------------------- */

typedef struct linear {
    attend_tensor w, b, x, multiplier, residual, out;
    attend_activation activation;
} linear;

static void project(attend_context *context, const linear *l) {
    attend_projection p = attend_projection_default();
    succeeds(attend_weights_create(context, &l->w, &p.weights));
    p.x = l->x;
    p.bias = l->b;
    p.multiplier = l->multiplier;
    p.residual = l->residual;
    p.out = l->out;
    p.activation = l->activation;
    succeeds(attend_project(context, &p));
    attend_weights_release(p.weights);
}

/* Split by a copy, rotated out of place: another way than the layer's. */
static attend_tensor split(attend_context *context, const linear *l, int64_t heads,
                           const attend_multihead_desc *rope) {
    const attend_type type = l->x.type;
    const int64_t batch = l->x.sizes[0], length = l->x.sizes[1], size = l->w.sizes[0] / heads;
    linear flat = *l;
    flat.out = EMPTY(type, batch, length, heads * size);
    project(context, &flat);
    attend_copy copy = attend_copy_default();
    copy.x = flat.out;
    copy.out = EMPTY(type, batch, heads, length, size);
    succeeds(attend_split_heads(context, &copy));
    if (rope == NULL || !rope->rope_cos.type) return copy.out;
    attend_rope r = attend_rope_default();
    r.x = copy.out;
    r.cos = rope->rope_cos;
    r.sin = rope->rope_sin;
    r.rotary_dim = rope->rope_dim;
    r.interleaved = rope->rope_interleaved;
    r.out = EMPTY(type, batch, heads, length, size);
    succeeds(attend_rope_run(context, &r));
    return r.out;
}

static attend_attention attention_of(const attend_multihead_desc *d,
                                     const attend_multihead_args *x) {
    attend_attention a = attend_attention_default();
    a.causal = d->causal;
    a.position = d->position;
    a.window_left = d->window_left;
    a.window_right = d->window_right;
    a.softcap = d->softcap;
    a.alibi_slopes = d->alibi_slopes;
    a.sinks = d->sinks;
    a.mask = x->mask;
    a.bias = x->bias;
    a.key_mask = x->key_mask;
    a.query_lengths = x->query_lengths;
    a.key_lengths = x->key_lengths;
    return a;
}

static void heads_by_steps(attend_context *context, const attend_multihead_desc *d,
                           const attend_multihead_args *x) {
    const attend_tensor *keys = x->x_kv.type ? &x->x_kv : &x->x_q,
                        *values = x->x_v.type ? &x->x_v : keys;
    attend_attention a = attention_of(d, x);
    a.q = split(context, &(linear){.w = d->w_q, .b = d->b_q, .x = x->x_q}, H, d);
    a.k = split(context, &(linear){.w = d->w_k, .b = d->b_k, .x = *keys}, G, d);
    a.v = split(context, &(linear){.w = d->w_v, .b = d->b_v, .x = *values}, G, NULL);
    a.out = EMPTY(x->x_q.type, B, H, x->x_q.sizes[1], E);
    a.weights = x->weights;
    a.weights_mean = x->weights_mean;
    a.lse = x->lse;
    succeeds(attend_run(context, &a));
    attend_copy merge = attend_copy_default();
    merge.x = a.out;
    merge.out = EMPTY(x->x_q.type, B, x->x_q.sizes[1], H * E);
    succeeds(attend_merge_heads(context, &merge));
    project(context,
            &(linear){
                .w = d->w_o, .b = d->b_o, .x = merge.out, .residual = x->residual, .out = x->out});
}

static void feedforward_by_steps(attend_context *context, const attend_feedforward_desc *d,
                                 const attend_feedforward_args *x) {
    linear up = {.w = d->w_1, .b = d->b_1, .x = x->x, .out = EMPTY(x->x.type, B, L, F)};
    project(context, &up);
    linear gate = {.w = d->w_gate,
                   .b = d->b_gate,
                   .x = x->x,
                   .multiplier = up.out,
                   .activation = d->activation};
    gate.out = EMPTY(x->x.type, B, L, F);
    project(context, &gate);
    project(
        context,
        &(linear){.w = d->w_2, .b = d->b_2, .x = gate.out, .residual = x->residual, .out = x->out});
}

/* ---- multi-head
 * ------------------------------------------------------------------------------------ */

static attend_multihead_args self_args(attend_type type) {
    attend_multihead_args x = attend_multihead_args_default();
    x.x_q = RANDOM(type, 1, B, L, M);
    x.residual = RANDOM(type, 1, B, L, M);
    x.bias = RANDOM(type, 1, H, L, L);
    x.key_mask = random_mask(B, L);
    x.out = EMPTY(type, B, L, M);
    x.weights = EMPTY(ATTEND_F32, B, H, L, L);
    x.weights_mean = EMPTY(ATTEND_F32, B, L, L);
    x.lse = EMPTY(ATTEND_F32, B, H, L);
    return x;
}

static attend_multihead_args with_new_outputs(const attend_multihead_args *x) {
    attend_multihead_args y = *x;
    y.out = empty_tensor(x->out.type, x->out.rank, x->out.sizes);
    y.weights = empty_tensor(ATTEND_F32, x->weights.rank, x->weights.sizes);
    y.weights_mean = empty_tensor(ATTEND_F32, x->weights_mean.rank, x->weights_mean.sizes);
    y.lse = empty_tensor(ATTEND_F32, x->lse.rank, x->lse.sizes);
    return y;
}

static void same_outputs(const attend_multihead_args *x, const attend_multihead_args *y) {
    same_bits(&x->out, &y->out);
    same_bits(&x->weights, &y->weights);
    same_bits(&x->weights_mean, &y->weights_mean);
    same_bits(&x->lse, &y->lse);
}

static void heads_equal_their_steps(void **state) {
    attend_context *context = *state;
    static const attend_type types[][2] = {
        {ATTEND_F32, ATTEND_F32}, {ATTEND_F16, ATTEND_F16}, {ATTEND_BF16, ATTEND_BF16}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const attend_multihead_desc d = rotated_heads(types[i][0], M);
        const attend_multihead_args x = self_args(types[i][1]), y = with_new_outputs(&x);
        attend_multihead *layer = make_heads(context, &d);
        succeeds(attend_multihead_run(layer, &x));
        heads_by_steps(context, &d, &y);
        same_outputs(&x, &y);
        attend_multihead_release(layer);
    }
}

static void cross_attention_equals_its_steps(void **state) {
    attend_context *context = *state;
    attend_multihead_desc d = rotated_heads(ATTEND_F32, W);
    d.w_v = RANDOM(ATTEND_F32, 0.4f, G * E, W + 1);
    static const int64_t lengths[B] = {7, S};
    attend_multihead_args x = attend_multihead_args_default();
    x.x_q = RANDOM(ATTEND_F32, 1, B, L, M);
    x.x_kv = RANDOM(ATTEND_F32, 1, B, S, W);
    x.x_v = RANDOM(ATTEND_F32, 1, B, S, W + 1);
    x.mask = random_mask(L, S);
    x.key_lengths = attend_tensor_1d(lengths, ATTEND_I64, B);
    x.out = EMPTY(ATTEND_F32, B, L, M);
    x.weights = EMPTY(ATTEND_F32, B, H, L, S);
    x.weights_mean = EMPTY(ATTEND_F32, B, L, S);
    x.lse = EMPTY(ATTEND_F32, B, H, L);
    const attend_multihead_args y = with_new_outputs(&x);
    attend_multihead *layer = make_heads(context, &d);
    succeeds(attend_multihead_run(layer, &x));
    heads_by_steps(context, &d, &y);
    same_outputs(&x, &y);
    attend_multihead_release(layer);
}

/* Arrays may be freed after the layer is made; weights may have strides. */
static void weights_are_copied(void **state) {
    attend_context *context = *state;
    attend_multihead_desc d = random_heads(ATTEND_F32, M);
    const attend_multihead_args x = self_args(ATTEND_F32), y = with_new_outputs(&x);
    attend_multihead *plain = make_heads(context, &d);
    attend_tensor turned = EMPTY(ATTEND_F32, M, H * D);
    for (int64_t r = 0; r < H * D; r++)
        for (int64_t c = 0; c < M; c++)
            ((float *)turned.data)[c * H * D + r] = ((float *)d.w_q.data)[r * M + c];
    d.w_q = attend_tensor_2d(turned.data, ATTEND_F32, H * D, M);
    d.w_q.strides[0] = 1;
    d.w_q.strides[1] = H * D;
    attend_multihead *strided = make_heads(context, &d);
    memset(turned.data, 0xff, bytes_of(&turned));
    memset(d.w_k.data, 0xff, bytes_of(&d.w_k));
    memset(d.b_q.data, 0xff, bytes_of(&d.b_q));
    succeeds(attend_multihead_run(plain, &x));
    succeeds(attend_multihead_run(strided, &y));
    same_outputs(&x, &y);
    for (size_t i = 0; i < count_of(&x.out); i++)
        assert_true(((float *)x.out.data)[i] == ((float *)x.out.data)[i]);
    attend_multihead_release(plain);
    attend_multihead_release(strided);
}

static void residual_in_place_and_no_output_weights(void **state) {
    attend_context *context = *state;
    attend_multihead_desc d = random_heads(ATTEND_F32, M);
    attend_multihead_args x = self_args(ATTEND_F32), y = with_new_outputs(&x);
    attend_multihead *layer = make_heads(context, &d);
    succeeds(attend_multihead_run(layer, &x));
    memcpy(y.out.data, x.residual.data, bytes_of(&y.out));
    y.residual = y.out;
    succeeds(attend_multihead_run(layer, &y));
    same_outputs(&x, &y);
    attend_multihead_release(layer);

    /* merged heads alone, then with a residual of 0 */
    d.w_o = d.b_o = none;
    layer = make_heads(context, &d);
    x.residual = none;
    x.out = EMPTY(ATTEND_F32, B, L, H * E);
    succeeds(attend_multihead_run(layer, &x));
    y = with_new_outputs(&x);
    y.residual = EMPTY(ATTEND_F32, B, L, H * E);
    memset(y.residual.data, 0, bytes_of(&y.residual));
    succeeds(attend_multihead_run(layer, &y));
    same_outputs(&x, &y);
    attend_multihead_release(layer);
}

/* F32 over 16-bit weights is F32 over the same values in F32, to the bit where the projection of
 * both has one order: compared by steps, which take the bias in F32. */
static void wide_activations_over_narrow_weights(void **state) {
    attend_context *context = *state;
    const attend_multihead_desc d = random_heads(ATTEND_BF16, M);
    const attend_multihead_args x = self_args(ATTEND_F32), y = with_new_outputs(&x);
    attend_multihead *layer = make_heads(context, &d);
    succeeds(attend_multihead_run(layer, &x));
    attend_multihead_desc wide = d;
    attend_tensor *const biases[] = {&wide.b_q, &wide.b_v, &wide.b_o};
    for (size_t i = 0; i < sizeof biases / sizeof *biases; i++) {
        attend_copy copy = attend_copy_default();
        copy.x = *biases[i];
        copy.out = EMPTY(ATTEND_F32, biases[i]->sizes[0]);
        succeeds(attend_copy_run(context, &copy));
        *biases[i] = copy.out;
    }
    heads_by_steps(context, &wide, &y);
    same_outputs(&x, &y);
    attend_multihead_release(layer);
}

static void sizes_of_zero(void **state) {
    attend_context *context = *state;
    const attend_multihead_desc d = random_heads(ATTEND_F32, M);
    attend_multihead *layer = make_heads(context, &d);
    attend_multihead_args x = attend_multihead_args_default();
    x.x_q = attend_tensor_3d(NULL, ATTEND_F32, 0, L, M);
    x.out = attend_tensor_3d(NULL, ATTEND_F32, 0, L, M);
    succeeds(attend_multihead_run(layer, &x));
    x.x_q = attend_tensor_3d(NULL, ATTEND_F32, B, 0, M);
    x.out = attend_tensor_3d(NULL, ATTEND_F32, B, 0, M);
    succeeds(attend_multihead_run(layer, &x));
    /* no keys: attention gives 0, the layer its bias */
    x.x_q = RANDOM(ATTEND_F32, 1, B, L, M);
    x.x_kv = attend_tensor_3d(NULL, ATTEND_F32, B, 0, M);
    x.out = EMPTY(ATTEND_F32, B, L, M);
    succeeds(attend_multihead_run(layer, &x));
    for (int64_t i = 0; i < B * L; i++)
        assert_memory_equal((float *)x.out.data + i * M, d.b_o.data, M * sizeof(float));
    attend_multihead_release(layer);
}

/* ---- feed-forward and blocks
 * ------------------------------------------------------------------------ */

static void feedforward_equals_its_steps(void **state) {
    attend_context *context = *state;
    const attend_feedforward_desc d = random_feedforward(ATTEND_F32);
    attend_feedforward *layer = NULL;
    succeeds(attend_feedforward_create(context, &d, &layer));
    attend_feedforward_args x = attend_feedforward_args_default();
    x.x = RANDOM(ATTEND_F32, 1, B, L, M);
    x.residual = RANDOM(ATTEND_F32, 1, B, L, M);
    x.out = EMPTY(ATTEND_F32, B, L, M);
    attend_feedforward_args y = x;
    y.out = EMPTY(ATTEND_F32, B, L, M);
    succeeds(attend_feedforward_run(layer, &x));
    feedforward_by_steps(context, &d, &y);
    same_bits(&x.out, &y.out);
    /* one row, and in place of the residual */
    x.x = attend_tensor_1d(x.x.data, ATTEND_F32, M);
    x.residual = attend_tensor_1d(x.residual.data, ATTEND_F32, M);
    x.out = x.residual;
    succeeds(attend_feedforward_run(layer, &x));
    assert_memory_equal(x.out.data, y.out.data, M * sizeof(float));
    attend_feedforward_release(layer);
}

static attend_tensor normed(attend_context *context, const decoder *d, int which, attend_tensor x,
                            attend_tensor residual) {
    const attend_tensor weights[] = {d->desc.norm_self_weight, d->desc.norm_cross_weight,
                                     d->desc.norm_feedforward_weight};
    const attend_tensor biases[] = {d->desc.norm_self_bias, d->desc.norm_cross_bias,
                                    d->desc.norm_feedforward_bias};
    attend_norm n = attend_norm_default();
    n.x = x;
    n.residual = residual;
    n.weight = weights[which];
    n.bias = biases[which];
    n.kind = d->desc.norm;
    n.eps = d->desc.eps;
    n.out = EMPTY(ATTEND_F32, B, L, M);
    succeeds(attend_norm_run(context, &n));
    return n.out;
}

static attend_tensor sub_layer(attend_context *context, const decoder *d, int which,
                               attend_tensor x, attend_tensor residual) {
    const attend_tensor out = EMPTY(ATTEND_F32, B, L, M);
    if (which == 2) {
        feedforward_by_steps(context, &d->inner,
                             &(attend_feedforward_args){.x = x, .residual = residual, .out = out});
        return out;
    }
    attend_multihead_args a = attend_multihead_args_default();
    a.x_q = x;
    a.residual = residual;
    a.out = out;
    a.key_mask = which == 0 ? d->args.key_mask : d->args.memory_key_mask;
    if (which == 0) a.weights = EMPTY(ATTEND_F32, B, H, L, L);
    if (which == 1) {
        a.x_kv = d->args.memory;
        a.bias = d->args.memory_bias;
        a.weights_mean = EMPTY(ATTEND_F32, B, L, S);
    }
    heads_by_steps(context, which == 0 ? &d->self : &d->cross, &a);
    if (which == 0) same_bits(&a.weights, &d->args.weights);
    if (which == 1) same_bits(&a.weights_mean, &d->args.memory_weights_mean);
    return out;
}

static void decoder_equals_its_steps(void **state) {
    attend_context *context = *state;
    for (int norm_first = 0; norm_first < 2; norm_first++) {
        decoder d;
        fill_decoder(&d, norm_first);
        attend_block *block = NULL;
        succeeds(attend_block_create(context, &d.desc, &block));
        succeeds(attend_block_run(block, &d.args));
        attend_tensor x = d.args.x;
        for (int which = 0; which < 3; which++)
            x = norm_first ? sub_layer(context, &d, which, normed(context, &d, which, x, none), x)
                           : normed(context, &d, which, sub_layer(context, &d, which, x, none), x);
        same_bits(&x, &d.args.out);
        /* in place */
        const attend_tensor out = d.args.out;
        d.args.out = d.args.x;
        succeeds(attend_block_run(block, &d.args));
        same_bits(&d.args.out, &out);
        attend_block_release(block);
    }
}

#define TEST(function) cmocka_unit_test_teardown(function, give_back)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(heads_equal_their_steps),
        TEST(cross_attention_equals_its_steps),
        TEST(weights_are_copied),
        TEST(residual_in_place_and_no_output_weights),
        TEST(wide_activations_over_narrow_weights),
        TEST(sizes_of_zero),
        TEST(feedforward_equals_its_steps),
        TEST(decoder_equals_its_steps),
    };
    return RUN_LAYER_TESTS(tests);
}
