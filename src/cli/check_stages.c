/* SPDX-License-Identifier: Apache-2.0
 *
 * Cases of the operations around attention: projection, heads split and merged, rotary positions.
 */
#include "check_case.h"

#include <string.h>

static void run_project(check_case *c) {
    attend_projection d = attend_projection_default();
    d.x = check_input(c, "x");
    d.w = check_input(c, "w");
    d.bias = check_input(c, "b");
    d.out = check_output(c, "y");
    if (check_ready(c)) check_called(c, attend_project(c->context, &d));
}

static void run_split(check_case *c) {
    attend_copy d = attend_copy_default();
    d.x = check_input(c, "x");
    d.out = check_output(c, "y");
    const int64_t heads = check_integer(c, "heads", 0);
    if (check_has_attribute(c, "heads") && (d.out.rank != 4 || d.out.sizes[1] != heads))
        check_damaged(c, "y: not [B, %lld, L, D]", (long long)heads);
    if (check_ready(c)) check_called(c, attend_split_heads(c->context, &d));
}

static void run_merge(check_case *c) {
    attend_copy d = attend_copy_default();
    d.x = check_input(c, "x");
    d.out = check_output(c, "y");
    const int64_t heads = check_integer(c, "heads", 0);
    if (check_has_attribute(c, "heads") && (d.x.rank != 4 || d.x.sizes[1] != heads))
        check_damaged(c, "x: not [B, %lld, L, D]", (long long)heads);
    if (check_ready(c)) check_called(c, attend_merge_heads(c->context, &d));
}

static void run_rope(check_case *c) {
    const char *const layout = check_string(c, "layout", "bhld");
    attend_rope d = attend_rope_default();
    d.x = check_input(c, "x");
    d.out = check_output(c, "y");
    if (!strcmp(layout, "blhd")) {
        const int64_t heads = check_integer(c, "heads", 0);
        d.x = check_heads(c, "x", d.x, heads);
        d.out = check_heads(c, "y", d.out, heads);
    } else if (strcmp(layout, "bhld")) {
        check_damaged(c, "layout '%s' is not known", layout);
    }
    d.cos = check_input(c, "cos");
    d.sin = check_input(c, "sin");
    d.position_ids = check_input(c, "position_ids");
    d.interleaved = check_flag(c, "interleaved", false);
    d.rotary_dim = check_integer(c, "rotary_dim", 0);
    const bool per_row = check_flag(c, "positions_in_cache", false);
    if (d.cos.rank != (per_row ? 3 : 2))
        check_damaged(c, "cos: rank %d where positions_in_cache asks for %d", (int)d.cos.rank,
                      per_row ? 3 : 2);
    if (check_ready(c)) check_called(c, attend_rope_run(c->context, &d));
}

const check_operation check_project = {
    .name = "project", .roles = "x w b y", .attributes = "", .run = run_project};

const check_operation check_split_heads = {
    .name = "split_heads", .roles = "x y", .attributes = "heads", .run = run_split};

const check_operation check_merge_heads = {
    .name = "merge_heads", .roles = "x y", .attributes = "heads", .run = run_merge};

const check_operation check_rope = {
    .name = "rope",
    .roles = "x cos sin position_ids y",
    .attributes = "layout heads interleaved rotary_dim positions_in_cache",
    .run = run_rope,
};
