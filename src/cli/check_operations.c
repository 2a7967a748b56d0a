/* SPDX-License-Identifier: Apache-2.0
 *
 * Cases of the project's own files (docs/case-format.md) for the operations around attention with
 * every part of their descriptions: linear, norm, activate, embed. */
#include "check_options.h"

#include <string.h>

static attend_norm_kind named_norm(check_case *c) {
    const char *const name = check_string(c, "norm", "layer_norm");
    if (!strcmp(name, "layer_norm")) return ATTEND_LAYER_NORM;
    if (!strcmp(name, "rms_norm")) return ATTEND_RMS_NORM;
    check_damaged(c, "norm '%s' is not known", name);
    return ATTEND_LAYER_NORM;
}

attend_activation check_activation_option(check_case *c) {
    static const struct {
        const char *name;
        attend_activation value;
    } known[] = {
#define ATTEND_X(value, number, name) {name, value},
        ATTEND_ACTIVATION_LIST(ATTEND_X)
#undef ATTEND_X
    };
    const char *const name = check_string(c, "activation", "none");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; ++i)
        if (!strcmp(name, known[i].name)) return known[i].value;
    check_damaged(c, "activation '%s' is not known", name);
    return ATTEND_NO_ACTIVATION;
}

void check_norm_options(check_case *c, attend_norm_kind *kind, double *eps) {
    *kind = named_norm(c);
    *eps = check_number(c, "eps", *eps);
}

attend_tensor check_typed_output(check_case *c, const char *role, attend_type type) {
    const attend_tensor want = check_input(c, role);
    if (!want.type) return want;
    if (c->output_count == CHECK_MOST_OUTPUTS) {
        check_damaged(c, "more than %d outputs", CHECK_MOST_OUTPUTS);
        return (attend_tensor){0};
    }
    const attend_tensor got = check_scratch(c, type, want.rank, want.sizes);
    c->outputs[c->output_count++] = (check_output_pair){role, want, got};
    return got;
}

static void run_linear(check_case *c) {
    attend_projection d = attend_projection_default();
    d.x = check_input(c, "x");
    d.w = check_input(c, "w");
    d.bias = check_input(c, "b");
    d.multiplier = check_input(c, "multiplier");
    d.residual = check_input(c, "residual");
    d.activation = check_activation_option(c);
    d.out = check_typed_output(c, "y", d.x.type);
    attend_weights *weights = NULL;
    if (check_flag(c, "prepared", false) && check_ready(c)) {
        check_called(c, attend_weights_create(c->context, &d.w, &weights));
        d.weights = weights;
        d.w = (attend_tensor){0};
    }
    if (check_ready(c)) check_called(c, attend_project(c->context, &d));
    attend_weights_release(weights);
}

static void run_norm(check_case *c) {
    attend_norm d = attend_norm_default();
    d.x = check_input(c, "x");
    d.residual = check_input(c, "residual");
    d.weight = check_input(c, "weight");
    d.bias = check_input(c, "bias");
    d.out = check_typed_output(c, "y", d.x.type);
    d.sum = check_typed_output(c, "sum", d.x.type);
    check_norm_options(c, &d.kind, &d.eps);
    if (check_ready(c)) check_called(c, attend_norm_run(c->context, &d));
}

static void run_activate(check_case *c) {
    attend_elementwise d = attend_elementwise_default();
    d.x = check_input(c, "x");
    d.multiplier = check_input(c, "multiplier");
    d.residual = check_input(c, "residual");
    d.activation = check_activation_option(c);
    d.out = check_typed_output(c, "y", d.x.type);
    if (check_ready(c)) check_called(c, attend_activate(c->context, &d));
}

static void run_embed(check_case *c) {
    attend_embedding d = attend_embedding_default();
    d.table = check_input(c, "table");
    d.ids = check_input(c, "ids");
    d.x = check_input(c, "x");
    d.scale = check_number(c, "scale", 1);
    d.id_offset = check_integer(c, "id_offset", 0);
    d.out = check_typed_output(c, "y", d.table.type);
    if (check_ready(c)) check_called(c, attend_embed(c->context, &d));
}

const check_operation check_linear = {.name = "linear",
                                      .roles = "x w b multiplier residual y",
                                      .attributes = "activation prepared",
                                      .run = run_linear};

const check_operation check_norm = {.name = "norm",
                                    .roles = "x residual weight bias y sum",
                                    .attributes = "norm eps",
                                    .run = run_norm};

const check_operation check_activate = {.name = "activate",
                                        .roles = "x multiplier residual y",
                                        .attributes = "activation",
                                        .run = run_activate};

const check_operation check_embed = {
    .name = "embed", .roles = "table ids x y", .attributes = "scale id_offset", .run = run_embed};
