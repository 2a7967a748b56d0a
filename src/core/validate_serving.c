/* SPDX-License-Identifier: Apache-2.0
 *
 * What serving adds to attention: packed batches, pages, 8-bit keys and values. The sizes that no
 * tensor shows, and the values of cumulative lengths and page tables in host memory; then appending
 * to pages. */
#include "error.h"
#include "validate.h"

/* ---- sizes of a call ------------------------------------------------------------------------- */

static void own(attend__problem *problem, char letter, const char *name, int64_t size) {
    problem->owner[letter - 'A'] = name;
    *attend__size(problem, letter) = size;
}

/* Elements of a vector that can differ, and one more: a stride of 0 makes any number of one. */
static int64_t distinct(const attend_tensor *t) {
    return t->strides[0] == 0 && t->sizes[0] > 2 ? 2 : t->sizes[0];
}

/* No memory bounds the number of samples where they may be empty: their loops must end. */
static attend_status check_samples(const char *name, int64_t samples) {
    if (samples <= INT32_MAX) return ATTEND_OK;
    return attend__fail(ATTEND_OVERFLOW, "%s: %lld samples are more than 2^31 - 1", name,
                        (long long)samples);
}

static attend_status check_vector(const char *name, const attend_tensor *cu) {
    if (cu->rank != 1 || cu->sizes[0] < 1)
        return attend__fail(ATTEND_SHAPE, "%s: is not [B + 1], of one element at least", name);
    return check_samples(name, cu->sizes[0] - 1);
}

static attend_status check_cumulative(const char *name, const attend_tensor *cu, int64_t rows,
                                      const char *of) {
    if (!attend__given(cu) || cu->data == NULL) return ATTEND_OK;
    int64_t before = 0;
    for (int64_t b = 0; b < distinct(cu); b++) {
        const int64_t value = attend_tensor_index(cu, b);
        if (b == 0 && value != 0)
            return attend__fail(ATTEND_OUT_OF_RANGE, "%s: element 0 is %lld instead of 0", name,
                                (long long)value);
        if (value < before)
            return attend__fail(ATTEND_OUT_OF_RANGE,
                                "%s: element %lld is %lld, less than the one before it, %lld", name,
                                (long long)b, (long long)value, (long long)before);
        before = value;
    }
    if (before > rows)
        return attend__fail(ATTEND_OUT_OF_RANGE, "%s: ends at %lld, %s has %lld rows", name,
                            (long long)before, of, (long long)rows);
    return ATTEND_OK;
}

attend_status attend__cumulative_check(const char *name, const attend_tensor *cu, int64_t rows,
                                       const char *of) {
    const attend_status status = check_vector(name, cu);
    return status != ATTEND_OK ? status : check_cumulative(name, cu, rows, of);
}

/* The longest of the samples; differences of values that were never checked stay within bounds. */
int64_t attend__cumulative_longest(const attend_tensor *cu, int64_t most) {
    int64_t longest = 0;
    for (int64_t b = 0; b + 1 < distinct(cu); b++) {
        const int64_t from = attend_tensor_index(cu, b), to = attend_tensor_index(cu, b + 1);
        if (from < 0 || to < from || to > most) continue; /* changed since they were checked */
        longest = to - from > longest ? to - from : longest;
    }
    return longest;
}

/* Rows of a packed tensor: its third size, 0 where the rank is wrong, which is refused later. */
static int64_t packed_rows(const attend_tensor *t) {
    return attend__given(t) && t->rank == 4 ? t->sizes[2] : 0;
}

/* What cumulative lengths are of: `rows` packed rows, and the L or S of padded arrays. */
typedef struct packed_side {
    const char *name, *length_name, *of;
    const attend_tensor *cu, *t; /* t: not given for the softmax alone */
    int64_t rows, *length;
} packed_side;

static attend_status size_packed(const packed_side *side, const attend__problem *problem) {
    const attend_tensor *cu = side->cu;
    attend_status status = check_vector(side->name, cu);
    if (status == ATTEND_OK && side->t->rank == 4 && side->t->sizes[0] != 1)
        return attend__fail(ATTEND_SHAPE, "%s: batch %lld, but packed rows have 1", side->of,
                            (long long)side->t->sizes[0]);
    if (status == ATTEND_OK && !problem->values_checked)
        status = check_cumulative(side->name, cu, side->rows, side->of);
    if (status != ATTEND_OK) return status;
    const bool asked = *side->length != 0;
    int64_t longest = side->rows;
    if (cu->data != NULL)
        longest = attend__cumulative_longest(cu, side->rows);
    else if (cu->buffer != NULL && !asked)
        return attend__fail(ATTEND_INVALID,
                            "%s: must be set, as the cumulative lengths lie in a buffer",
                            side->length_name);
    /* of a step they may come out of a buffer: then they are clamped */
    const bool host = cu->data != NULL && (!problem->values_checked || problem->without_memory);
    if (asked && host && *side->length < longest)
        return attend__fail(ATTEND_OUT_OF_RANGE, "%s: %lld is less than the longest sample's %lld",
                            side->length_name, (long long)*side->length, (long long)longest);
    if (!asked) *side->length = longest;
    return ATTEND_OK;
}

static attend_status size_queries(attend_attention *a, attend__problem *problem) {
    const attend_tensor *cu = &a->cu_query_lengths;
    if (!attend__given(cu)) return ATTEND_OK;
    const attend_tensor *t = attend__given(&a->q) ? &a->q : &a->out;
    packed_side side = {.name = "cu_query_lengths",
                        .length_name = "max_query_length",
                        .of = t == &a->q ? "q" : "out",
                        .cu = cu,
                        .t = t,
                        .rows = packed_rows(t),
                        .length = &a->max_query_length};
    if (problem->operation == ATTEND_OP_SOFTMAX) { /* padded on all sides but lse */
        side.rows = a->lse.rank == 3 ? a->lse.sizes[2] : INT64_MAX;
        side.of = "lse";
        a->max_query_length = packed_rows(&a->scores);
    }
    const attend_status status = size_packed(&side, problem);
    if (status != ATTEND_OK) return status;
    own(problem, 'B', "cu_query_lengths", cu->sizes[0] - 1);
    own(problem, 'L', "cu_query_lengths", a->max_query_length);
    own(problem, 'A', "a packed batch", 1);
    problem->rows_behind =
        cu->data == NULL || attend_tensor_index(cu, cu->sizes[0] - 1) < side.rows;
    return ATTEND_OK;
}

/* S of pages: what was asked, else the longest sample, else all that a table can name. */
static attend_status size_pages(attend_attention *a, attend__problem *problem) {
    const attend_tensor *k = attend__given(&a->k) ? &a->k : &a->v, *table = &a->page_table;
    if (!attend__given(&a->key_lengths))
        return attend__fail(ATTEND_INVALID, "page_table: needs key_lengths");
    if (table->rank != 2 || k->rank != 4) return ATTEND_OK; /* refused when shapes are compared */
    const int64_t pages = table->sizes[1], tokens = k->sizes[2];
    const int64_t most =
        tokens > 0 && pages > (INT64_C(1) << 60) / tokens ? INT64_C(1) << 60 : pages * tokens;
    const attend_tensor *lengths = &a->key_lengths;
    const bool known = lengths->data != NULL && lengths->rank == 1;
    int64_t longest = known ? 0 : most;
    for (int64_t b = 0; known && b < distinct(lengths); b++) {
        const int64_t length = attend_tensor_index(lengths, b);
        longest = length > longest ? length : longest;
    }
    if (longest > most && problem->values_checked) longest = most; /* out of a buffer: clamped */
    const int64_t largest = longest > most ? longest : a->max_key_length;
    if (largest > most)
        return attend__fail(ATTEND_OUT_OF_RANGE,
                            "%s: %lld is more than %lld pages of %lld tokens hold",
                            longest > most ? "key_lengths" : "max_key_length", (long long)largest,
                            (long long)pages, (long long)tokens);
    if (a->max_key_length == 0) a->max_key_length = longest;
    own(problem, 'S', "max_key_length", a->max_key_length);
    return ATTEND_OK;
}

static attend_status size_keys(attend_attention *a, attend__problem *problem) {
    const attend_tensor *cu = &a->cu_key_lengths;
    if (attend__given(&a->page_table)) return size_pages(a, problem);
    if (!attend__given(cu)) return ATTEND_OK;
    const attend_tensor *t = attend__given(&a->k) ? &a->k : &a->v;
    packed_side side = {.name = "cu_key_lengths",
                        .length_name = "max_key_length",
                        .of = t == &a->k ? "k" : "v",
                        .cu = cu,
                        .t = t,
                        .rows = packed_rows(t),
                        .length = &a->max_key_length};
    if (problem->operation == ATTEND_OP_SOFTMAX) {
        side.rows = INT64_MAX;
        a->max_key_length = a->scores.rank == 4 ? a->scores.sizes[3] : 0;
    }
    const attend_status status = size_packed(&side, problem);
    if (status != ATTEND_OK) return status;
    if (cu->sizes[0] != a->cu_query_lengths.sizes[0])
        return attend__fail(ATTEND_SHAPE,
                            "cu_key_lengths: %lld elements, cu_query_lengths has %lld",
                            (long long)cu->sizes[0], (long long)a->cu_query_lengths.sizes[0]);
    own(problem, 'S', "cu_key_lengths", a->max_key_length);
    return ATTEND_OK;
}

static attend_status check_together(const attend_attention *a) {
    const bool queries = attend__given(&a->cu_query_lengths),
               keys = attend__given(&a->cu_key_lengths), pages = attend__given(&a->page_table);
    const int64_t least =
        a->max_query_length < a->max_key_length ? a->max_query_length : a->max_key_length;
    if (least < 0)
        return attend__fail(ATTEND_INVALID, "%s: %lld is negative",
                            least == a->max_query_length ? "max_query_length" : "max_key_length",
                            (long long)least);
    const struct {
        bool wrong;
        const char *sentence;
    } rules[] = {
        {keys && pages, "cu_key_lengths: given beside a page_table or a cache"},
        {keys && !queries, "cu_key_lengths: must be given with cu_query_lengths"},
        {queries && !keys && !pages && (attend__given(&a->k) || attend__given(&a->v)),
         "cu_query_lengths: must be given with cu_key_lengths"},
        {queries && attend__given(&a->query_lengths), "cu_query_lengths: excludes query_lengths"},
        {keys && attend__given(&a->key_lengths), "cu_key_lengths: excludes key_lengths"}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].wrong) return attend__fail(ATTEND_INVALID, "%s", rules[i].sentence);
    return ATTEND_OK;
}

static attend_status check_scales(const char *name, const attend_tensor *scales, const char *of,
                                  const attend_tensor *t) {
    if (!attend__given(t)) return ATTEND_OK;
    if (t->type == ATTEND_I8 && !attend__given(scales))
        return attend__fail(ATTEND_NULL_POINTER, "%s: needed, as %s is int8", name, of);
    if (t->type != ATTEND_I8 && attend__given(scales))
        return attend__fail(ATTEND_INVALID, "%s: given, but %s is %s", name, of,
                            attend_type_text(t->type));
    return ATTEND_OK;
}

attend_status attend__validate_serving(attend_attention *a, attend__problem *problem) {
    attend_status status = check_together(a);
    if (status == ATTEND_OK) status = check_scales("k_scales", &a->k_scales, "k", &a->k);
    if (status == ATTEND_OK) status = check_scales("v_scales", &a->v_scales, "v", &a->v);
    if (status == ATTEND_OK) status = size_queries(a, problem);
    if (status == ATTEND_OK) status = size_keys(a, problem);
    return status;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Where tensors show the sizes, these say nothing new; a completed description repeats them. */
static attend_status check_longest(const char *name, int64_t asked, int64_t size, const char *of) {
    if (asked == 0 || asked == size) return ATTEND_OK;
    return attend__fail(ATTEND_INVALID, "%s: %lld is not the %lld of %s", name, (long long)asked,
                        (long long)size, of);
}

/* Entries first .. last of sample b name pages. */
static attend_status check_entries(const attend_tensor *table, int64_t b, int64_t first,
                                   int64_t last, int64_t pages) {
    if (table->strides[1] == 0) last = first;
    for (int64_t i = first; i <= last; i++) {
        const int64_t page = attend__table_value(table, b, i);
        if (page < 0 || page >= pages)
            return attend__fail(ATTEND_OUT_OF_RANGE,
                                "page_table: entry [%lld, %lld] is %lld, not in 0..%lld",
                                (long long)b, (long long)i, (long long)page, (long long)pages - 1);
    }
    return ATTEND_OK;
}

attend_status attend__validate_serving_values(const attend_attention *a,
                                              const attend__problem *problem) {
    attend_status status = check_longest("max_query_length", a->max_query_length,
                                         attend__size_of(problem, 'L'), "the queries");
    if (status == ATTEND_OK)
        status = check_longest("max_key_length", a->max_key_length, attend__size_of(problem, 'S'),
                               "the keys");
    const attend_tensor *table = &a->page_table, *lengths = &a->key_lengths;
    if (!attend__given(table) || table->data == NULL || lengths->data == NULL) return status;
    const int64_t tokens = attend__size_of(problem, 'C'), pages = attend__size_of(problem, 'P');
    const int64_t samples = table->strides[0] == 0 ? distinct(lengths) : table->sizes[0];
    for (int64_t b = 0; b < samples && status == ATTEND_OK; b++) {
        const int64_t length = attend_tensor_index(lengths, b);
        if (length > 0) status = check_entries(table, b, 0, (length - 1) / tokens, pages);
    }
    return status;
}

/* ---- append ---------------------------------------------------------------------------------- */

static attend_status check_append_types(const attend_append *d) {
    if (d->v.type != d->k.type)
        return attend__fail(ATTEND_TYPE, "v: type %s does not match k's %s",
                            attend_type_text(d->v.type), attend_type_text(d->k.type));
    if (d->v_pages.type != d->k_pages.type)
        return attend__fail(ATTEND_TYPE, "v_pages: type %s does not match k_pages's %s",
                            attend_type_text(d->v_pages.type), attend_type_text(d->k_pages.type));
    const attend_status status = check_scales("k_scales", &d->k_scales, "k_pages", &d->k_pages);
    if (status != ATTEND_OK) return status;
    return check_scales("v_scales", &d->v_scales, "v_pages", &d->v_pages);
}

static attend_status complete_rope(attend_append *d, const attend__problem *problem) {
    const bool cos = attend__given(&d->rope_cos), sin = attend__given(&d->rope_sin);
    const int64_t size = attend__size_of(problem, 'D');
    if (cos != sin)
        return attend__fail(ATTEND_NULL_POINTER, "%s: not given, though the other table is",
                            cos ? "rope_sin" : "rope_cos");
    d->interleaved = d->interleaved != 0;
    if (!cos) {
        d->rotary_dim = 0;
        return ATTEND_OK;
    }
    if (d->rotary_dim == 0) d->rotary_dim = size;
    if (d->rotary_dim < 0 || d->rotary_dim > size || d->rotary_dim % 2 != 0)
        return attend__fail(ATTEND_INVALID, "rotary_dim: %lld is odd or not in 0..%lld",
                            (long long)d->rotary_dim, (long long)size);
    if (attend__size_of(problem, 'T') != d->rotary_dim / 2)
        return attend__fail(ATTEND_SHAPE, "rope_cos: width %lld is not half of rotary_dim %lld",
                            (long long)attend__size_of(problem, 'T'), (long long)d->rotary_dim);
    if (attend__size_of(problem, 'Z') == 0)
        return attend__fail(ATTEND_SHAPE, "rope_cos: has no row");
    return ATTEND_OK;
}

static int64_t count_of(const attend_append *d, int64_t b) {
    if (attend__given(&d->cu_counts))
        return attend_tensor_index(&d->cu_counts, b + 1) - attend_tensor_index(&d->cu_counts, b);
    return attend_tensor_index(&d->counts, b);
}

/* The tokens of sample b lie within its pages, the pages within memory, positions in the tables. */
static attend_status check_places(const attend_append *d, const attend__problem *problem,
                                  int64_t b) {
    const bool table = attend__given(&d->page_table);
    const int64_t tokens = attend__size_of(problem, 'C'),
                  start = attend_tensor_index(&d->starts, b);
    const int64_t pages = table ? d->page_table.sizes[1] : 1, count = count_of(d, b);
    const int64_t most = tokens > 0 && pages > INT64_MAX / tokens ? INT64_MAX : pages * tokens;
    if (start < 0 || start > most || count > most - start)
        return attend__fail(ATTEND_OUT_OF_RANGE,
                            "starts: %lld and %lld tokens of sample %lld exceed the %lld of its "
                            "pages",
                            (long long)start, (long long)count, (long long)b, (long long)most);
    if (count == 0) return ATTEND_OK;
    if (attend__given(&d->rope_cos) && start + count > attend__size_of(problem, 'Z'))
        return attend__fail(ATTEND_OUT_OF_RANGE, "rope_cos: %lld rows, a token has position %lld",
                            (long long)attend__size_of(problem, 'Z'),
                            (long long)(start + count - 1));
    if (!table || d->page_table.data == NULL) return ATTEND_OK;
    return check_entries(&d->page_table, b, start / tokens, (start + count - 1) / tokens,
                         attend__size_of(problem, 'P'));
}

static attend_status check_append_values(const attend_append *d, const attend__problem *problem) {
    const int64_t rows = attend__size_of(problem, 'L');
    attend_status status = check_cumulative("cu_counts", &d->cu_counts, rows, "k");
    if (status == ATTEND_OK && attend__given(&d->counts))
        status = attend__index_check("counts", &d->counts, 0, rows);
    const attend_tensor *counts = attend__given(&d->cu_counts) ? &d->cu_counts : &d->counts;
    if (counts->data == NULL || d->starts.data == NULL) return status;
    const bool repeats = counts->strides[0] == 0 && d->page_table.strides[0] == 0;
    const int64_t samples = repeats ? distinct(&d->starts) : d->starts.sizes[0];
    for (int64_t b = 0; b < samples && status == ATTEND_OK; b++)
        status = check_places(d, problem, b);
    return status;
}

static attend_status complete_counts(attend_append *d, attend__problem *problem) {
    const int64_t samples = attend__size_of(problem, 'B'), batch = attend__size_of(problem, 'A');
    if (attend__given(&d->cu_counts) && attend__given(&d->counts))
        return attend__fail(ATTEND_INVALID, "counts: given beside cu_counts");
    if (attend__given(&d->cu_counts)) {
        const attend_status status = check_vector("cu_counts", &d->cu_counts);
        if (status != ATTEND_OK) return status;
        if (batch != 1)
            return attend__fail(ATTEND_SHAPE, "k: batch %lld, but packed tokens have 1",
                                (long long)batch);
        if (d->cu_counts.sizes[0] - 1 != samples)
            return attend__fail(ATTEND_SHAPE, "cu_counts: %lld elements for starts's %lld samples",
                                (long long)d->cu_counts.sizes[0], (long long)samples);
        return ATTEND_OK;
    }
    if (attend__given(&d->counts)) return ATTEND_OK;
    problem->each_count = attend__size_of(problem, 'L');
    d->counts = attend_tensor_1d(&problem->each_count, ATTEND_I64, samples);
    d->counts.strides[0] = 0;
    return ATTEND_OK;
}

attend_status attend__validate_append(attend_append *d, attend__problem *problem) {
    if (d->reserved_flags != 0)
        return attend__fail(ATTEND_INVALID, "reserved_flags: %d is not 0", (int)d->reserved_flags);
    attend_status status = check_append_types(d);
    if (status == ATTEND_OK) status = complete_counts(d, problem);
    if (status == ATTEND_OK) status = complete_rope(d, problem);
    if (status != ATTEND_OK) return status;
    const int64_t samples = attend__size_of(problem, 'B'), pages = attend__size_of(problem, 'P');
    if (!attend__given(&d->page_table) && pages != samples)
        return attend__fail(ATTEND_SHAPE,
                            "page_table: not given, but %lld samples are not %lld pages",
                            (long long)samples, (long long)pages);
    status = check_samples("starts", samples);
    if (status == ATTEND_OK && !problem->values_checked) status = check_append_values(d, problem);
    problem->settings = (uint32_t)d->interleaved;
    problem->empty =
        samples == 0 || attend__size_of(problem, 'L') == 0 || attend__size_of(problem, 'G') == 0;
    return status;
}
