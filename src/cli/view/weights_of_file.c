/* SPDX-License-Identifier: Apache-2.0
 *
 * A .npy or .safetensors file as a source of weights: [layers, heads, queries, keys], or without
 * the first ones. */
#include "model/model_file.h"
#include "model/safetensors.h"
#include "printable.h"
#include "view/labels.h"
#include "view/npy.h"
#include "view/view_choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LAYERS, HEADS, QUERIES, KEYS, SIZES, LEAST_RANK = 2, MOST_HEADS = 65536, SHAPE_BYTES = 256 };

typedef struct weight_file {
    const char *path;
    unsigned char *bytes; /* of a .npy */
    attend__safetensors *tensors;
    const char *name; /* of the tensor, "" in a .npy */
    number_format format;
    const unsigned char *data;
    size_t sizes[SIZES], strides[SIZES]; /* in elements */
} weight_file;

static void close_file(weight_file *f) {
    free(f->bytes);
    attend__safetensors_close(f->tensors);
}

/* ---- shape -------------------------------------------------------------------------------------
 */

static void shape_text(const size_t *sizes, int rank, char text[SHAPE_BYTES]) {
    size_t used = (size_t)snprintf(text, SHAPE_BYTES, "[");
    for (int i = 0; i < rank; ++i)
        used += (size_t)snprintf(text + used, SHAPE_BYTES - used, "%s%zu", i ? ", " : "", sizes[i]);
    snprintf(text + used, SHAPE_BYTES - used, "]");
}

static bool set_shape(weight_file *f, const size_t *sizes, int rank, bool fortran) {
    char shape[SHAPE_BYTES];
    shape_text(sizes, rank, shape);
    if (rank < LEAST_RANK || rank > SIZES) {
        cli_error("%s: the shape %s is not [layers, heads, queries, keys], nor the last three or "
                  "two of these",
                  f->path, shape);
        return false;
    }
    const int missing = SIZES - rank;
    size_t stride = 1;
    for (int i = 0; i < SIZES; ++i)
        f->sizes[i] = i < missing ? 1 : sizes[i - missing];
    for (int n = 0; n < rank; ++n) { /* from the index that runs fastest */
        const int i = fortran ? missing + n : SIZES - 1 - n;
        f->strides[i] = stride;
        stride *= f->sizes[i];
    }
    if (stride == 0) {
        cli_error("%s: the shape %s holds no weight", f->path, shape);
        return false;
    }
    if (f->sizes[LAYERS] <= MOST_HEADS && f->sizes[HEADS] <= MOST_HEADS) return true;
    cli_error("%s: the shape %s has more than %d layers or heads", f->path, shape, (int)MOST_HEADS);
    return false;
}

/* ---- the two formats ---------------------------------------------------------------------------
 */

static bool open_npy(weight_file *f) {
    char fault[NPY_FAULT_BYTES];
    size_t size = 0;
    npy_array array;
    if (attend__file_read(f->path, &f->bytes, &size)) {
        cli_error("%s", attend_error_text());
        return false;
    }
    if (!npy_read(f->bytes, size, &array, fault)) {
        cli_error("%s: %s", f->path, fault);
        return false;
    }
    f->name = "";
    f->format = array.format;
    f->data = array.data;
    return set_shape(f, array.sizes, array.rank, array.fortran);
}

static void report_tensors(const weight_file *f, const char *wish) {
    enum { MOST = 20 };
    const size_t count = attend__safetensors_count(f->tensors);
    if (wish)
        cli_error("%s: has no tensor '%s'; it has", f->path, wish);
    else
        cli_error("%s: has %zu tensors, of which --tensor NAME chooses one:", f->path, count);
    for (size_t i = 0; i < count && i < MOST; ++i) {
        const char *const name = attend__safetensors_at(f->tensors, i)->name;
        char *const safe = printable_text(name, strlen(name));
        fprintf(stderr, "  %s\n", safe);
        free(safe);
    }
    if (count > MOST) fprintf(stderr, "  and %zu more\n", count - MOST);
}

static const attend__stored_tensor *find_tensor(const weight_file *f, const char *wish) {
    const attend__stored_tensor *tensor = NULL;
    if (wish)
        tensor = attend__safetensors_find(f->tensors, wish);
    else if (attend__safetensors_count(f->tensors) == 1)
        tensor = attend__safetensors_at(f->tensors, 0);
    if (!tensor) report_tensors(f, wish);
    return tensor;
}

static bool set_format(weight_file *f, const attend__stored_tensor *tensor) {
    switch (tensor->stored) {
    case ATTEND__STORED_F64:
        f->format.kind = NUMBER_F64;
        return true;
    case ATTEND__STORED_F32:
        f->format.kind = NUMBER_F32;
        return true;
    case ATTEND__STORED_F16:
        f->format.kind = NUMBER_F16;
        return true;
    case ATTEND__STORED_BF16:
        f->format.kind = NUMBER_BF16;
        return true;
    default:
        cli_error("%s: the tensor '%s' is of type %s, and only F64, F32, F16 and BF16 are weights",
                  f->path, tensor->name, attend__stored_type_name(tensor->stored));
        return false;
    }
}

static bool open_safetensors(weight_file *f, const char *wish) {
    if (attend__safetensors_open(f->path, &f->tensors)) {
        cli_error("%s", attend_error_text());
        return false;
    }
    const attend__stored_tensor *const tensor = find_tensor(f, wish);
    if (!tensor || !set_format(f, tensor)) return false;
    size_t sizes[ATTEND__STORED_MAX_RANK];
    for (int32_t i = 0; i < tensor->rank; ++i)
        sizes[i] = (size_t)tensor->sizes[i];
    f->name = tensor->name;
    f->data = tensor->data;
    return set_shape(f, sizes, tensor->rank, false);
}

static bool open_file(weight_file *f, const view_wishes *wishes) {
    const char *const end = strrchr(f->path, '.');
    if (end && !strcmp(end, ".safetensors")) return open_safetensors(f, wishes->tensor);
    if (!end || strcmp(end, ".npy")) {
        cli_error("%s: ends in neither .npy nor .safetensors", f->path);
        return false;
    }
    if (!wishes->tensor) return open_npy(f);
    cli_error("%s: a .npy file has one array without a name; --tensor is for .safetensors",
              f->path);
    return false;
}

/* ---- as a source -------------------------------------------------------------------------------
 */

static void read_row(const weight_source *source, size_t layer, size_t head, size_t query,
                     double *weights) {
    const weight_file *const f = source->data;
    const size_t bytes = number_bytes(f->format.kind);
    const unsigned char *at =
        f->data + bytes * (layer * f->strides[LAYERS] + head * f->strides[HEADS] +
                           query * f->strides[QUERIES]);
    for (size_t k = 0; k < f->sizes[KEYS]; ++k, at += bytes * f->strides[KEYS])
        weights[k] = stored_number(at, f->format);
}

static bool read_labels(weight_source *source, const weight_file *f, const view_wishes *wishes) {
    const char *const rows = wishes->row_labels ? wishes->row_labels : wishes->labels;
    const char *const columns = wishes->column_labels ? wishes->column_labels : wishes->labels;
    if (!labels_read(&source->rows, rows, f->sizes[QUERIES], "rows") ||
        !labels_read(&source->columns, columns, f->sizes[KEYS], "columns"))
        return false;
    source->same_axes = source->rows.count == source->columns.count;
    for (size_t i = 0; source->same_axes && i < source->rows.count; ++i)
        source->same_axes = !strcmp(source->rows.raw[i], source->columns.raw[i]);
    return true;
}

static void describe(weight_set *set, const weight_file *f) {
    static const char *const types[] = {[NUMBER_F16] = "float16",
                                        [NUMBER_BF16] = "bfloat16",
                                        [NUMBER_F32] = "float32",
                                        [NUMBER_F64] = "float64"};
    char shape[SHAPE_BYTES], text[1024];
    shape_text(f->sizes, SIZES, shape);
    snprintf(text, sizeof text, "%s%s%s %s", f->name, *f->name ? " " : "", types[f->format.kind],
             shape);
    set->caption = printable_text(text, strlen(text));
    set->source = view_last_part(f->path);
    set->backend = printable_text("", 0);
    set->device = printable_text("", 0);
}

/* The row whose label the word is; "it:2" is the second. */
static bool find_label(const token_axis *rows, const char *word, size_t length, int64_t nth,
                       size_t *found) {
    for (size_t i = 0; i < rows->count; ++i) {
        if (strlen(rows->raw[i]) != length || memcmp(rows->raw[i], word, length) || --nth) continue;
        *found = i;
        return true;
    }
    return false;
}

static bool find_focus(weight_set *set, const weight_source *source, const char *word) {
    size_t found = 0;
    if (!word) return true;
    const char *const colon = strrchr(word, ':');
    int64_t nth = 0;
    if ((find_label(&source->rows, word, strlen(word), 1, &found) ||
         (colon && colon != word && cli_read_integer(colon + 1, 1, INT32_MAX, &nth) &&
          find_label(&source->rows, word, (size_t)(colon - word), nth, &found))) &&
        view_set_focus(set, found, 1))
        return true;
    view_report_focus(set, word);
    return false;
}

static bool fill(weight_set *set, const weight_file *f, const view_wishes *wishes) {
    view_choice choice = {0};
    weight_source source = {.name = f->path,
                            .layers = f->sizes[LAYERS],
                            .heads = f->sizes[HEADS],
                            .read_row = read_row,
                            .data = f};
    const bool done =
        view_choose_heads(&choice, wishes, source.layers, source.heads) &&
        read_labels(&source, f, wishes) && view_choose_tokens(&choice, wishes, &source) &&
        weight_set_fill(set, &source, &choice) && find_focus(set, &source, wishes->focus);
    weight_source_free(&source);
    return done;
}

bool weights_of_file(weight_set *set, const view_wishes *wishes) {
    weight_file f = {.path = wishes->weights};
    const bool opened = open_file(&f, wishes);
    if (opened) describe(set, &f);
    const bool done = opened && fill(set, &f, wishes);
    close_file(&f);
    return done;
}
