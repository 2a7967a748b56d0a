/* SPDX-License-Identifier: Apache-2.0
 *
 * The rules of stage.h beyond shapes: types that go together, values of options, tables of
 * positions. */
#include "error.h"
#include "prepared.h"
#include "validate.h"

#include <math.h>
#include <string.h>

static bool is_float(attend_type type) {
    return type == ATTEND_F32 || type == ATTEND_F16 || type == ATTEND_BF16;
}

static attend_status same_type(const char *name, const attend_tensor *t, const char *of,
                               attend_type type) {
    if (!attend__given(t) || t->type == type) return ATTEND_OK;
    return attend__fail(ATTEND_TYPE, "%s: type %s does not match %s's %s", name,
                        attend_type_text(t->type), of, attend_type_text(type));
}

/* All of `count` fields from the first on have the type of `reference`. */
static attend_status same_types(attend_operation operation, void *description, const char *of,
                                attend_type type) {
    const attend__fields *fields = attend__operation_fields(operation);
    for (size_t i = 0; i < fields->count; i++) {
        const attend_status status = same_type(
            fields->list[i].name, attend__field_tensor(description, &fields->list[i]), of, type);
        if (status != ATTEND_OK) return status;
    }
    return ATTEND_OK;
}

static attend_status check_flags(int32_t flags) {
    if (flags == 0) return ATTEND_OK;
    return attend__fail(ATTEND_INVALID, "reserved_flags: %d is not 0", (int)flags);
}

static attend_status check_activation(attend_activation activation) {
    if ((int)activation >= ATTEND_NO_ACTIVATION && activation <= ATTEND_TANH) return ATTEND_OK;
    return attend__fail(ATTEND_INVALID, "activation: %d is no attend_activation", (int)activation);
}

/* ---- projection ----------------------------------------------------------------------------- */

attend_status attend__validate_weights(attend_context *context, attend_projection *p,
                                       attend__problem *problem) {
    if (p->weights == NULL) {
        if (attend__given(&p->w)) return ATTEND_OK;
        return attend__fail(ATTEND_NULL_POINTER, "w: neither w nor weights is given");
    }
    if (attend__given(&p->w)) return attend__fail(ATTEND_INVALID, "w: given together with weights");
    if (p->weights->context != context)
        return attend__fail(ATTEND_INVALID, "weights: belong to another context");
    problem->weights = p->weights;
    problem->owner['N' - 'A'] = problem->owner['K' - 'A'] = "weights";
    *attend__size(problem, 'N') = p->weights->rows;
    *attend__size(problem, 'K') = p->weights->columns;
    return ATTEND_OK;
}

static attend_status check_projection(attend_projection *p, attend__problem *problem) {
    attend_status status = check_flags(p->reserved_flags);
    if (status == ATTEND_OK) status = check_activation(p->activation);
    if (status != ATTEND_OK) return status;
    const attend_type type = p->x.type, weights = p->weights != NULL ? p->weights->type : p->w.type;
    if (weights != type && type != ATTEND_F32)
        return attend__fail(ATTEND_TYPE, "%s: type %s does not go with x's %s",
                            p->weights != NULL ? "weights" : "w", attend_type_text(weights),
                            attend_type_text(type));
    status = same_type("bias", &p->bias, "x", type);
    if (status == ATTEND_OK) status = same_type("multiplier", &p->multiplier, "x", type);
    if (status == ATTEND_OK) status = same_type("residual", &p->residual, "x", type);
    if (status == ATTEND_OK) status = same_type("out", &p->out, "x", type);
    if (status != ATTEND_OK) return status;
    problem->settings = (uint32_t)p->activation;
    if (p->weights == NULL) return ATTEND_OK;
    if (p->weights->device != NULL) {
        problem->settings |= 1u << 8 | (uint32_t)weights
                                           << 16; /* another kernel than for a plain matrix */
        p->weights = (attend_weights *)(void *)p->weights->device;
    } else {
        p->w = p->weights->plain;
        p->weights = NULL;
    }
    return ATTEND_OK;
}

/* ---- copy, norm, activation ----------------------------------------------------------------- */

static attend_status check_copy(const attend_copy *c, attend__problem *problem) {
    problem->settings = (uint32_t)c->x.rank;
    if (c->x.type == c->out.type || (is_float(c->x.type) && is_float(c->out.type)))
        return ATTEND_OK;
    return attend__fail(ATTEND_TYPE, "out: type %s cannot hold x's %s",
                        attend_type_text(c->out.type), attend_type_text(c->x.type));
}

static attend_status check_norm(attend_norm *n, attend__problem *problem) {
    attend_status status = check_flags(n->reserved_flags);
    if (status != ATTEND_OK) return status;
    if (n->kind != ATTEND_LAYER_NORM && n->kind != ATTEND_RMS_NORM)
        return attend__fail(ATTEND_INVALID, "kind: %d is no attend_norm_kind", (int)n->kind);
    if (!isfinite(n->eps) || n->eps < 0)
        return attend__fail(ATTEND_INVALID, "eps: %g is negative or not finite", n->eps);
    problem->settings = (uint32_t)n->kind;
    return same_types(ATTEND_OP_NORM, n, "x", n->x.type);
}

static attend_status check_elementwise(attend_elementwise *e, attend__problem *problem) {
    attend_status status = check_flags(e->reserved_flags);
    if (status == ATTEND_OK) status = check_activation(e->activation);
    if (status != ATTEND_OK) return status;
    problem->settings = (uint32_t)e->activation;
    return same_types(ATTEND_OP_ACTIVATE, e, "x", e->x.type);
}

/* ---- rope ----------------------------------------------------------------------------------- */

static attend_status complete_rotary_dim(attend_rope *r, attend__problem *problem) {
    const int64_t head_size = attend__size_of(problem, 'D');
    if (r->rotary_dim < 0 || r->rotary_dim > head_size || r->rotary_dim % 2 != 0)
        return attend__fail(ATTEND_INVALID, "rotary_dim: %lld is odd or not in 0..%lld",
                            (long long)r->rotary_dim, (long long)head_size);
    if (r->rotary_dim == 0) r->rotary_dim = head_size;
    if (r->rotary_dim % 2 != 0)
        return attend__fail(ATTEND_INVALID,
                            "rotary_dim: 0 stands for the head size, and %lld is odd",
                            (long long)head_size);
    *attend__size(problem, 'T') = r->rotary_dim / 2;
    return ATTEND_OK;
}

static attend_status check_table(const char *name, const attend_tensor *t, const attend_rope *r,
                                 const attend__problem *problem) {
    if (t->type != ATTEND_F32 && t->type != r->x.type)
        return attend__fail(ATTEND_TYPE, "%s: type %s is neither f32 nor x's %s", name,
                            attend_type_text(t->type), attend_type_text(r->x.type));
    if (t->rank != 2 && t->rank != 3)
        return attend__fail(ATTEND_SHAPE, "%s: rank %d is neither 2, [P, n], nor 3, [B, L, n]",
                            name, (int)t->rank);
    const int64_t half = attend__size_of(problem, 'T'), columns = t->sizes[t->rank - 1];
    if (columns != half)
        return attend__fail(ATTEND_SHAPE, "%s: %lld columns do not match half of rotary_dim, %lld",
                            name, (long long)columns, (long long)half);
    if (t->rank == 2) return ATTEND_OK;
    if (t->sizes[0] != attend__size_of(problem, 'B') ||
        t->sizes[1] != attend__size_of(problem, 'L'))
        return attend__fail(ATTEND_SHAPE, "%s: batch and length do not match x's", name);
    return ATTEND_OK;
}

/* Ids in a buffer are clamped where they are read, which needs a row to clamp to. */
static attend_status check_ids(const char *name, const attend_tensor *ids, const char *of,
                               int64_t rows, const attend__problem *problem) {
    if (rows == 0 && attend__elements(ids) > 0)
        return attend__fail(ATTEND_OUT_OF_RANGE, "%s: %s has no rows to choose from", name, of);
    return problem->values_checked ? ATTEND_OK : attend__index_check(name, ids, 0, rows - 1);
}

/* Which rows of the tables are used: by ids, by offset, or one for each row of x. */
static attend_status check_table_rows(const attend_rope *r, attend__problem *problem) {
    const bool own_rows = r->cos.rank == 3, ids = attend__given(&r->position_ids),
               offsets = attend__given(&r->position_offsets);
    if (r->position_offset < 0)
        return attend__fail(ATTEND_INVALID, "position_offset: %lld is negative",
                            (long long)r->position_offset);
    if (ids && own_rows)
        return attend__fail(ATTEND_INVALID, "position_ids: given, but cos has rank 3");
    if (r->position_offset != 0 && (ids || own_rows))
        return attend__fail(ATTEND_INVALID,
                            "position_offset: only without position_ids and with tables of rank 2");
    if (offsets && (ids || own_rows))
        return attend__fail(
            ATTEND_INVALID,
            "position_offsets: only without position_ids and with tables of rank 2");
    if (own_rows) return ATTEND_OK;
    const int64_t table = r->cos.sizes[0], length = attend__size_of(problem, 'L');
    *attend__size(problem, 'P') = table;
    if (ids) return check_ids("position_ids", &r->position_ids, "cos", table, problem);
    if (offsets) return check_ids("position_offsets", &r->position_offsets, "cos", table, problem);
    if (length > table || r->position_offset > table - length)
        return attend__fail(ATTEND_OUT_OF_RANGE,
                            "position_offset: %lld + %lld rows exceed cos's %lld",
                            (long long)r->position_offset, (long long)length, (long long)table);
    return ATTEND_OK;
}

static attend_status check_rope(attend_rope *r, attend__problem *problem) {
    attend_status status = check_flags(r->reserved_flags);
    if (status == ATTEND_OK) status = same_type("out", &r->out, "x", r->x.type);
    if (status == ATTEND_OK) status = complete_rotary_dim(r, problem);
    if (status == ATTEND_OK) status = check_table("cos", &r->cos, r, problem);
    if (status == ATTEND_OK) status = check_table("sin", &r->sin, r, problem);
    if (status == ATTEND_OK) status = same_type("sin", &r->sin, "cos", r->cos.type);
    if (status != ATTEND_OK) return status;
    if (r->sin.rank != r->cos.rank || r->sin.sizes[0] != r->cos.sizes[0])
        return attend__fail(ATTEND_SHAPE, "sin: shape does not match cos's");
    r->interleaved = r->interleaved != 0;
    problem->settings = (uint32_t)r->interleaved | (uint32_t)r->cos.rank << 8;
    return check_table_rows(r, problem);
}

/* ---- embedding ------------------------------------------------------------------------------ */

static attend_status check_embedding(const attend_embedding *e, attend__problem *problem) {
    if (!isfinite(e->scale))
        return attend__fail(ATTEND_INVALID, "scale: %g is not finite", e->scale);
    if (e->table.type != e->out.type && e->out.type != ATTEND_F32)
        return attend__fail(ATTEND_TYPE, "table: type %s does not go with out's %s",
                            attend_type_text(e->table.type), attend_type_text(e->out.type));
    const attend_status status = same_type("x", &e->x, "out", e->out.type);
    if (status != ATTEND_OK) return status;
    const int64_t table = attend__size_of(problem, 'P');
    problem->settings = (uint32_t)problem->rows_rank;
    if (e->id_offset < 0)
        return attend__fail(ATTEND_INVALID, "id_offset: %lld is negative", (long long)e->id_offset);
    if (attend__given(&e->ids)) {
        if (e->id_offset != 0) return attend__fail(ATTEND_INVALID, "id_offset: only without ids");
        return check_ids("ids", &e->ids, "table", table, problem);
    }
    if (problem->rows_rank == 0)
        return attend__fail(ATTEND_SHAPE,
                            "out: rank 1, but without ids its second-last dimension counts rows");
    const int64_t length = problem->rows[problem->rows_rank - 1];
    if (length > table || e->id_offset > table - length)
        return attend__fail(ATTEND_OUT_OF_RANGE, "id_offset: %lld + %lld rows exceed table's %lld",
                            (long long)e->id_offset, (long long)length, (long long)table);
    return ATTEND_OK;
}

/* ---- merging parts of the keys ----------------------------------------------------------------
 */

static attend_status check_merge(const attend_merging *d) {
    if (d->reserved_flags != 0)
        return attend__fail(ATTEND_INVALID, "reserved_flags: %lld is not 0",
                            (long long)d->reserved_flags);
    if (d->out.type != ATTEND_F32 && d->out.type != d->parts.type)
        return attend__fail(ATTEND_TYPE, "out: type %s is neither f32 nor that of parts",
                            attend_type_text(d->out.type));
    return ATTEND_OK;
}

attend_status attend__validate_stage(void *description, attend__problem *problem) {
    switch (problem->operation) {
    case ATTEND_OP_PROJECT:
        return check_projection(description, problem);
    case ATTEND_OP_COPY:
        return check_copy(description, problem);
    case ATTEND_OP_NORM:
        return check_norm(description, problem);
    case ATTEND_OP_ACTIVATE:
        return check_elementwise(description, problem);
    case ATTEND_OP_ROPE:
        return check_rope(description, problem);
    case ATTEND_OP_EMBED:
        return check_embedding(description, problem);
    case ATTEND_OP_APPEND:
        return attend__validate_append(description, problem);
    case ATTEND_OP_MERGE:
        return check_merge(description);
    default:
        return attend__fail(ATTEND_INTERNAL, "operation %d is no stage", (int)problem->operation);
    }
}
