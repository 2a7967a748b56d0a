/* SPDX-License-Identifier: Apache-2.0
 *
 * One list per operation says which members of its description are tensors, what they are for and
 * which shape they have. Validation, resolving, staging, copies at enqueue and keys of plans all
 * read these lists. */
#include "error.h"
#include "validate.h"

#include <string.h>

enum {
    IN = ATTEND__INPUT,
    NEED = ATTEND__INPUT | ATTEND__REQUIRED,
    OUT = ATTEND__OUTPUT,
    MUST = ATTEND__OUTPUT | ATTEND__REQUIRED,
    SMALL = ATTEND__INPUT | ATTEND__SMALL,
    FLOATS = ATTEND__FLOATS,
    F32 = ATTEND__ONLY_F32,
    INDEX = ATTEND__INDICES,
    TRUTH = ATTEND__TRUTHS,
    BYTES = 1 << ATTEND_U8 << ATTEND__TYPES_SHIFT,
    PLACE = ATTEND__IN_PLACE,
    WORK = ATTEND__OUTPUT | ATTEND__SCRATCH,
    PARTLY = ATTEND__OUTPUT | ATTEND__KEEP,
    STORED = ATTEND__STORED,
    TABLE = ATTEND__ONLY_I32
};

/* What all steps of attention share: who may take part. */
#define MASKING(X)                                                                                 \
    X(query_offsets, SMALL | INDEX, "B")                                                           \
    X(query_lengths, SMALL | INDEX, "B")                                                           \
    X(key_lengths, SMALL | INDEX, "B")                                                             \
    X(mask, IN | TRUTH, "*BHLS")                                                                   \
    X(bias, IN | FLOATS, "*BHLS")                                                                  \
    X(key_mask, IN | TRUTH, "BS")                                                                  \
    X(cu_query_lengths, SMALL | INDEX, "?B")                                                       \
    X(cu_key_lengths, SMALL | INDEX, "?B")                                                         \
    X(workspace, WORK | BYTES, "?")

/* How q, k and v look in packed batches and in pages: attend__operation_dims_of. */

#define ATTENTION_FIELDS(X)                                                                        \
    X(q, NEED | FLOATS, "BHLD")                                                                    \
    X(k, NEED | STORED, "BGSD")                                                                    \
    X(k_scales, IN | F32, "BGS")                                                                   \
    X(v, NEED | STORED, "BGSE")                                                                    \
    X(v_scales, IN | F32, "BGS")                                                                   \
    X(out, MUST | FLOATS, "BHLE")                                                                  \
    X(weights, OUT | FLOATS, "BHLS")                                                               \
    X(weights_mean, OUT | FLOATS, "BLS")                                                           \
    X(scores, OUT | FLOATS, "BHLS")                                                                \
    X(page_table, SMALL | TABLE, "BW")                                                             \
    X(lse, OUT | F32, "BHL")                                                                       \
    X(alibi_slopes, SMALL | F32, "+BH")                                                            \
    X(sinks, SMALL | F32, "H")                                                                     \
    MASKING(X)

#define SCORES_FIELDS(X)                                                                           \
    X(q, NEED | FLOATS, "BHLD")                                                                    \
    X(k, NEED | STORED, "BGSD")                                                                    \
    X(k_scales, IN | F32, "BGS")                                                                   \
    X(page_table, SMALL | TABLE, "BW")                                                             \
    X(scores, MUST | FLOATS, "BHLS")                                                               \
    X(alibi_slopes, SMALL | F32, "+BH")                                                            \
    MASKING(X)

#define SOFTMAX_FIELDS(X)                                                                          \
    X(scores, NEED | FLOATS, "BHLS")                                                               \
    X(weights, MUST | FLOATS, "BHLS")                                                              \
    X(weights_mean, OUT | FLOATS, "BLS")                                                           \
    X(lse, OUT | F32, "BHL")                                                                       \
    X(alibi_slopes, SMALL | F32, "+BH")                                                            \
    X(sinks, SMALL | F32, "H")                                                                     \
    MASKING(X)

/* ALiBi needs no place here: a slope moves scores and excludes nothing. */
#define MIX_FIELDS(X)                                                                              \
    X(weights, NEED | FLOATS, "BHLS")                                                              \
    X(v, NEED | STORED, "BGSE")                                                                    \
    X(v_scales, IN | F32, "BGS")                                                                   \
    X(page_table, SMALL | TABLE, "BW")                                                             \
    X(out, MUST | FLOATS, "BHLE")                                                                  \
    MASKING(X)

#define PROJECT_FIELDS(X)                                                                          \
    X(x, NEED | FLOATS, ".K")                                                                      \
    X(w, IN | FLOATS, "NK")                                                                        \
    X(bias, IN | FLOATS, "N")                                                                      \
    X(multiplier, IN | FLOATS, ".N")                                                               \
    X(residual, IN | FLOATS | PLACE, ".N")                                                         \
    X(out, MUST | FLOATS, ".N")

#define COPY_FIELDS(X)                                                                             \
    X(x, NEED, ".")                                                                                \
    X(out, MUST, ".")

#define NORM_FIELDS(X)                                                                             \
    X(x, NEED | FLOATS | PLACE, ".M")                                                              \
    X(residual, IN | FLOATS | PLACE, ".M")                                                         \
    X(weight, IN | FLOATS, "M")                                                                    \
    X(bias, IN | FLOATS, "M")                                                                      \
    X(out, MUST | FLOATS, ".M")                                                                    \
    X(sum, OUT | FLOATS, ".M")

#define ACTIVATE_FIELDS(X)                                                                         \
    X(x, NEED | FLOATS | PLACE, ".N")                                                              \
    X(multiplier, IN | FLOATS | PLACE, ".N")                                                       \
    X(residual, IN | FLOATS | PLACE, ".N")                                                         \
    X(out, MUST | FLOATS, ".N")

#define ROPE_FIELDS(X)                                                                             \
    X(x, NEED | FLOATS | PLACE, "BHLD")                                                            \
    X(cos, NEED | FLOATS, "?")                                                                     \
    X(sin, NEED | FLOATS, "?")                                                                     \
    X(position_ids, SMALL | INDEX, "BL")                                                           \
    X(position_offsets, SMALL | INDEX, "B")                                                        \
    X(out, MUST | FLOATS, "BHLD")

#define EMBED_FIELDS(X)                                                                            \
    X(table, NEED | FLOATS, "PM")                                                                  \
    X(out, MUST | FLOATS, ".M")                                                                    \
    X(ids, IN | INDEX, ".")                                                                        \
    X(x, IN | FLOATS | PLACE, ".M")

/* counts, starts and cu_counts lie in host memory or buffers; pages keep what is not written. */
#define APPEND_FIELDS(X)                                                                           \
    X(k, NEED | FLOATS, "BGLD")                                                                    \
    X(v, NEED | FLOATS, "BGLE")                                                                    \
    X(counts, SMALL | INDEX, "B")                                                                  \
    X(cu_counts, SMALL | INDEX, "?B")                                                              \
    X(starts, SMALL | INDEX | ATTEND__REQUIRED, "B")                                               \
    X(page_table, SMALL | TABLE, "BW")                                                             \
    X(rope_cos, IN | F32, "ZT")                                                                    \
    X(rope_sin, IN | F32, "ZT")                                                                    \
    X(k_pages, PARTLY | STORED | ATTEND__REQUIRED, "PGCD")                                         \
    X(v_pages, PARTLY | STORED | ATTEND__REQUIRED, "PGCE")                                         \
    X(k_scales, PARTLY | F32, "PGC")                                                               \
    X(v_scales, PARTLY | F32, "PGC")

#define MERGE_FIELDS(X)                                                                            \
    X(parts, NEED | FLOATS, "PBHLE")                                                               \
    X(part_lse, NEED | F32, "PBHL")                                                                \
    X(sinks, SMALL | F32, "H")                                                                     \
    X(out, MUST | FLOATS, "BHLE")                                                                  \
    X(lse, OUT | F32, "BHL")

/* The sizes a plan fixes, and those it has the largest of. */
#define SIZES(X)                                                                                   \
    X(ATTENTION, "DE", "BHGLSUVPCW")                                                               \
    X(SCORES, "D", "BHGLSUVPCW")                                                                   \
    X(SOFTMAX, "", "BHLS")                                                                         \
    X(MIX, "E", "BHGLSUVPCW")                                                                      \
    X(APPEND, "DET", "ABGLZPCW")                                                                   \
    X(MERGE, "E", "PBHL")                                                                          \
    X(PROJECT, "KN", "R")                                                                          \
    X(COPY, "", "R")                                                                               \
    X(NORM, "M", "R")                                                                              \
    X(ACTIVATE, "N", "R")                                                                          \
    X(ROPE, "DT", "BHLP")                                                                          \
    X(EMBED, "M", "RP")

#define FIELD(member, role, dims) {#member, offsetof(TYPE, member), (unsigned)(role)},
#define DIMS(member, role, dims) dims,
#define TABLES(op)                                                                                 \
    static const attend__field op##_list[] = {op##_FIELDS(FIELD)};                                 \
    static const char *const op##_dims[] = {op##_FIELDS(DIMS)};                                    \
    static const attend__fields op##_fields = {sizeof(TYPE), op##_list,                            \
                                               sizeof op##_list / sizeof *op##_list};

#define TYPE attend_attention
TABLES(ATTENTION)
TABLES(SCORES)
TABLES(SOFTMAX)
TABLES(MIX)
#undef TYPE
#define TYPE attend_append
TABLES(APPEND)
#undef TYPE
#define TYPE attend_merging
TABLES(MERGE)
#undef TYPE
#define TYPE attend_projection
TABLES(PROJECT)
#undef TYPE
#define TYPE attend_copy
TABLES(COPY)
#undef TYPE
#define TYPE attend_norm
TABLES(NORM)
#undef TYPE
#define TYPE attend_elementwise
TABLES(ACTIVATE)
#undef TYPE
#define TYPE attend_rope
TABLES(ROPE)
#undef TYPE
#define TYPE attend_embedding
TABLES(EMBED)
#undef TYPE

typedef struct row {
    const attend__fields *fields;
    const char *const *dims;
    const char *text;
} row;

static const row rows[ATTEND_OP_COUNT] = {
#define ATTEND_X(name, value, type, words)                                                         \
    [value] = {.fields = &name##_fields, .dims = name##_dims, .text = words},
    ATTEND_OPERATION_LIST(ATTEND_X)
#undef ATTEND_X
};

static const char *const fixed_sizes[ATTEND_OP_COUNT] = {
#define ATTEND_X(name, fixed, largest) [ATTEND_OP_##name] = fixed,
    SIZES(ATTEND_X)
#undef ATTEND_X
};

static const char *const largest_sizes[ATTEND_OP_COUNT] = {
#define ATTEND_X(name, fixed, largest) [ATTEND_OP_##name] = largest,
    SIZES(ATTEND_X)
#undef ATTEND_X
};

const attend__fields *attend__operation_fields(attend_operation operation) {
    return rows[operation].fields;
}

/* What differs from the lists above in packed batches and in pages. */
static const struct {
    size_t offset;
    const char *packed, *paged; /* NULL: as in the list */
} other_dims[] = {
    {offsetof(attend_attention, q), "AHUD", NULL},
    {offsetof(attend_attention, out), "AHUE", NULL},
    {offsetof(attend_attention, lse), "AHU", NULL},
    {offsetof(attend_attention, k), "AGVD", "PGCD"},
    {offsetof(attend_attention, v), "AGVE", "PGCE"},
    {offsetof(attend_attention, k_scales), "AGV", "PGC"},
    {offsetof(attend_attention, v_scales), "AGV", "PGC"},
};

static const char *dims_of_attention(size_t offset, const attend_attention *a) {
    const bool queries = attend__given(&a->cu_query_lengths), pages = attend__given(&a->page_table);
    if (!queries && !pages) return NULL; /* every dense call comes here for each of its tensors */
    for (size_t i = 0; i < sizeof other_dims / sizeof *other_dims; i++) {
        if (other_dims[i].offset != offset) continue;
        const bool of_keys = other_dims[i].paged != NULL;
        if (of_keys && pages) return other_dims[i].paged;
        if (of_keys ? attend__given(&a->cu_key_lengths) : queries) return other_dims[i].packed;
    }
    return NULL;
}

static const char *dims_of_append(size_t offset, const attend_append *d) {
    if (!attend__given(&d->cu_counts)) return NULL;
    if (offset == offsetof(attend_append, k)) return "AGLD";
    return offset == offsetof(attend_append, v) ? "AGLE" : NULL;
}

const char *attend__operation_dims_of(attend_operation operation, size_t field,
                                      const void *description) {
    const size_t offset = rows[operation].fields->list[field].offset;
    const char *other = NULL;
    if (operation <= ATTEND_OP_MIX) other = dims_of_attention(offset, description);
    if (operation == ATTEND_OP_APPEND) other = dims_of_append(offset, description);
    return other != NULL ? other : rows[operation].dims[field];
}

const char *attend__operation_text(attend_operation operation) {
    return rows[operation].text;
}

const char *attend__operation_fixed(attend_operation operation) {
    return fixed_sizes[operation];
}

const char *attend__operation_largest(attend_operation operation) {
    return largest_sizes[operation];
}

attend_status attend__description_copy(const char *name, const attend__fields *fields,
                                       const void *description, void *full) {
    if (description == NULL) return attend__fail(ATTEND_NULL_POINTER, "%s: is NULL", name);
    size_t size;
    memcpy(&size, description, sizeof size);
    if (size < sizeof size)
        return attend__fail(ATTEND_INVALID,
                            "%s: size is %zu; start from its _default or _init function", name,
                            size);
    if (size >= fields->size) {
        const unsigned char *bytes = description;
        for (size_t i = fields->size; i < size; i++) {
            if (bytes[i] != 0)
                return attend__fail(
                    ATTEND_INVALID,
                    "%s: sets a member that this version of the library does not know", name);
        }
        memcpy(full, description, fields->size);
    } else {
        memcpy(full, description, size);
        memset((char *)full + size, 0, fields->size - size);
    }
    memcpy(full, &fields->size, sizeof fields->size);
    return ATTEND_OK;
}
