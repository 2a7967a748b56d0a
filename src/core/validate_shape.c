/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether the shapes of one call fit together, read from the letters of fields.c: the first tensor
 * with a letter gives its size, every later one must agree. Then the whole validation of one
 * operation. */
#include "base/checked.h"
#include "error.h"
#include "validate.h"

#include <string.h>

static const char *letter_text(char letter) {
    switch (letter) {
    case 'B':
        return "batch";
    case 'H':
        return "number of heads";
    case 'G':
        return "number of key/value heads";
    case 'L':
        return "query length";
    case 'S':
        return "key length";
    case 'D':
        return "head size";
    case 'E':
        return "value head size";
    case 'K':
        return "number of inputs";
    case 'N':
        return "number of outputs";
    case 'M':
        return "row size";
    case 'A':
        return "first size of a packed batch,";
    case 'C':
        return "page size";
    case 'P':
        return "number of pages, parts or positions";
    case 'U':
        return "number of packed queries";
    case 'V':
        return "number of packed keys";
    default:
        return "size";
    }
}

/* "[B, H, L, D]"; `text` has room for it. */
static const char *shape_text(const char *dims, char *text) {
    char *end = text;
    *end++ = '[';
    for (const char *d = dims; *d != '\0'; d++) {
        *end++ = *d;
        *end++ = d[1] != '\0' ? ',' : ']';
        if (d[1] != '\0') *end++ = ' ';
    }
    *end = '\0';
    return text;
}

static attend_status agree(const char *name, char letter, int64_t size, attend__problem *problem) {
    const int at = letter - 'A';
    if (problem->owner[at] == NULL) {
        problem->owner[at] = name;
        problem->sizes[at] = size;
        return ATTEND_OK;
    }
    if (problem->sizes[at] == size) return ATTEND_OK;
    /* q's head size is D and v's is E, yet both are "head size" in plain words */
    return attend__fail(ATTEND_SHAPE, "%s: %s %lld does not match %s's %lld", name,
                        letter_text(letter), (long long)size, problem->owner[at],
                        (long long)problem->sizes[at]);
}

static attend_status check_exact(const char *name, const char *dims, const attend_tensor *t,
                                 attend__problem *problem) {
    const int32_t rank = (int32_t)strlen(dims);
    char text[3 * ATTEND_MAX_RANK + 2];
    if (t->rank != rank)
        return attend__fail(ATTEND_SHAPE, "%s: rank %d, but %s has rank %d", name, (int)t->rank,
                            shape_text(dims, text), (int)rank);
    for (int32_t i = 0; i < rank; i++) {
        const attend_status status = agree(name, dims[i], t->sizes[i], problem);
        if (status != ATTEND_OK) return status;
    }
    return ATTEND_OK;
}

static attend_status check_rows(const char *name, const char *dims, const attend_tensor *t,
                                attend__problem *problem) {
    const int32_t tail = (int32_t)strlen(dims);
    const int32_t most = problem->operation == ATTEND_OP_COPY ? ATTEND_MAX_RANK : 4;
    if (t->rank < tail || t->rank > most)
        return attend__fail(ATTEND_SHAPE, "%s: rank %d is not in 1..%d", name, (int)t->rank,
                            (int)most);
    const int32_t rank = t->rank - tail;
    if (problem->rows_owner == NULL) {
        problem->rows_owner = name;
        problem->rows_rank = rank;
        memcpy(problem->rows, t->sizes, sizeof problem->rows);
    } else if (problem->rows_rank != rank) {
        return attend__fail(ATTEND_SHAPE, "%s: rank %d does not match %s's", name, (int)t->rank,
                            problem->rows_owner);
    }
    for (int32_t i = 0; i < rank; i++) {
        if (t->sizes[i] != problem->rows[i])
            return attend__fail(
                ATTEND_SHAPE, "%s: size %lld of dimension %d does not match %s's %lld", name,
                (long long)t->sizes[i], (int)i, problem->rows_owner, (long long)problem->rows[i]);
    }
    return tail == 0 ? ATTEND_OK : agree(name, dims[0], t->sizes[rank], problem);
}

/* Expands a right-aligned tensor to the full rank of `dims`, with stride 0 where it broadcasts. A
 * last dimension that is neither 1 nor full covers the first keys only. */
static attend_status expand(const char *name, const char *dims, attend_tensor *t,
                            const attend__problem *problem) {
    const bool broadcasts = dims[0] == '*';
    dims++;
    const int32_t rank = (int32_t)strlen(dims), missing = rank - t->rank;
    if (missing < 0)
        return attend__fail(ATTEND_SHAPE, "%s: rank %d is above %d", name, (int)t->rank, (int)rank);
    attend_tensor full = *t;
    full.rank = rank;
    for (int32_t i = 0; i < rank; i++) {
        const int64_t wanted = attend__size_of(problem, dims[i]);
        const int64_t size = i < missing ? 1 : t->sizes[i - missing];
        const bool spread = i < missing || (broadcasts && size == 1);
        full.sizes[i] = spread ? wanted : size;
        full.strides[i] = spread ? 0 : t->strides[i - missing];
        if (spread || size == wanted || (broadcasts && i == rank - 1 && size < wanted)) continue;
        return attend__fail(ATTEND_SHAPE, "%s: %s %lld does not match %s's %lld", name,
                            letter_text(dims[i]), (long long)size, problem->owner[dims[i] - 'A'],
                            (long long)wanted);
    }
    *t = full;
    return ATTEND_OK;
}

/* Strides of 0 and dimensions of 0 let sizes be anything; up to here backends may add a few. */
static attend_status check_largest(const attend__problem *problem) {
    for (int i = 0; i < ATTEND__LETTERS; i++) {
        if (problem->owner[i] != NULL && problem->sizes[i] > INT64_C(1) << 60)
            return attend__fail(ATTEND_OVERFLOW, "%s: %s %lld is beyond 2^60", problem->owner[i],
                                letter_text((char)('A' + i)), (long long)problem->sizes[i]);
    }
    return ATTEND_OK;
}

attend_status attend__validate_shapes(attend_operation operation, void *description,
                                      attend__problem *problem) {
    const attend__fields *fields = attend__operation_fields(operation);
    for (size_t i = 0; i < fields->count; i++) {
        attend_tensor *t = attend__field_tensor(description, &fields->list[i]);
        if (!attend__given(t)) continue;
        const char *dims = attend__operation_dims_of(operation, i, description);
        if (dims[0] == '?') continue;
        attend_status status;
        if (dims[0] == '*' || dims[0] == '+')
            status = expand(fields->list[i].name, dims, t, problem);
        else if (dims[0] == '.')
            status = check_rows(fields->list[i].name, dims + 1, t, problem);
        else
            status = check_exact(fields->list[i].name, dims, t, problem);
        if (status != ATTEND_OK) return status;
    }
    int64_t rows = 1;
    for (int32_t i = 0; i < problem->rows_rank; i++)
        rows = problem->rows[i] == 0 ? 0 : rows;
    for (int32_t i = 0; i < problem->rows_rank && rows != 0; i++) {
        if (!attend__mul_i64(rows, problem->rows[i], &rows))
            return attend__fail(ATTEND_OVERFLOW, "%s: the number of rows does not fit",
                                problem->rows_owner);
    }
    *attend__size(problem, 'R') = rows;
    return check_largest(problem);
}

/* Members that a step of attention does not use must not reach a backend. Of q, the softmax still
 * needs the head size (for the default scale), and steps the type, which their outputs may have. */
static void keep_used(attend_operation operation, attend_attention *description,
                      attend__problem *problem) {
    if (attend__given(&description->q) && description->q.rank == 4) {
        problem->query_type = description->q.type;
        if (operation == ATTEND_OP_SOFTMAX && description->q.sizes[3] >= 0) {
            problem->owner['D' - 'A'] = "q";
            *attend__size(problem, 'D') = description->q.sizes[3];
        }
    }
    const attend__fields *all = attend__operation_fields(ATTEND_OP_ATTENTION);
    const attend__fields *used = attend__operation_fields(operation);
    for (size_t i = 0; i < all->count; i++) {
        bool listed = false;
        for (size_t k = 0; k < used->count && !listed; k++)
            listed = used->list[k].offset == all->list[i].offset;
        if (!listed)
            memset(attend__field_tensor(description, &all->list[i]), 0, sizeof(attend_tensor));
    }
}

static bool writes_nothing(const attend__fields *fields, void *description) {
    for (size_t i = 0; i < fields->count; i++) {
        const unsigned role = fields->list[i].role;
        const attend_tensor *t = attend__field_tensor(description, &fields->list[i]);
        if ((role & ATTEND__OUTPUT) == 0 || (role & ATTEND__SCRATCH) != 0 || !attend__given(t))
            continue;
        bool elements = true;
        for (int32_t d = 0; d < t->rank; d++)
            elements = elements && t->sizes[d] != 0;
        if (elements) return false;
    }
    return true;
}

/* Where no tensor needs memory, lengths that have some still say how long the samples are. */
static attend_status check_lengths(attend_context *context, const attend__fields *fields,
                                   void *description) {
    attend_status status = ATTEND_OK;
    for (size_t i = 0; i < fields->count && status == ATTEND_OK; i++) {
        const attend__field *field = &fields->list[i];
        const attend_tensor *t = attend__field_tensor(description, field);
        const bool index = (field->role & ~(unsigned)ATTEND__REQUIRED) ==
                           (ATTEND__INPUT | ATTEND__SMALL | ATTEND__INDICES);
        if (!index || !attend__given(t) || t->data == NULL) continue;
        const attend__fields one = {fields->size, field, 1};
        status = attend__fields_check(context, &one, description);
    }
    return status;
}

attend_status attend__validate(attend_context *context, attend_operation operation,
                               void *description, attend__problem *problem) {
    const bool of_attention = operation <= ATTEND_OP_MIX;
    const attend__fields *fields = attend__operation_fields(operation);
    attend_status status = ATTEND_OK;
    problem->operation = operation;
    if (of_attention) status = attend__validate_options(description);
    if (status == ATTEND_OK && of_attention && operation != ATTEND_OP_ATTENTION)
        keep_used(operation, description, problem);
    if (status == ATTEND_OK && operation == ATTEND_OP_PROJECT)
        status = attend__validate_weights(context, description, problem);
    if (status == ATTEND_OK)
        status = problem->without_memory ? attend__forms_check(context, fields, description)
                                         : attend__fields_check(context, fields, description);
    if (status == ATTEND_OK && problem->without_memory)
        status = check_lengths(context, fields, description);
    if (status == ATTEND_OK && of_attention)
        status = attend__validate_serving(description, problem);
    if (status == ATTEND_OK) status = attend__validate_shapes(operation, description, problem);
    if (status == ATTEND_OK)
        status = of_attention ? attend__validate_attention(description, problem)
                              : attend__validate_stage(description, problem);
    if (status == ATTEND_OK) status = attend__validate_support(context, description, problem);
    if (status == ATTEND_OK) problem->empty = problem->empty || writes_nothing(fields, description);
    return status;
}

attend_status attend__operation_check(attend_context *context, attend_operation operation,
                                      const void *description) {
    attend__description full;
    attend__problem problem = {.operation = operation, .without_memory = true};
    const attend_status status = attend__description_copy(
        attend__operation_text(operation), attend__operation_fields(operation), description, &full);
    return status != ATTEND_OK ? status : attend__validate(context, operation, &full, &problem);
}
