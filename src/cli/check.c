/* SPDX-License-Identifier: Apache-2.0
 *
 * attend check: holds a backend against results that other projects computed. Reads attend-cases/1
 * files: a safetensors file whose __metadata__ maps each case to a JSON object, and whose tensors
 * are named CASE/ROLE. */
#include "check_case.h"
#include "check_kernels.h"
#include "printable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct settings {
    const char *model;
    bool verbose;
} settings;

typedef struct tally {
    attend_context *context;
    attend_model *model;
    bool verbose;
    size_t passed, failed, skipped;
    bool damaged; /* a file could not be used */
} tally;

static const check_operation *const operations[] = {
    &check_attention,       &check_multihead,   &check_softmax,  &check_project,
    &check_split_heads,     &check_merge_heads, &check_rope,     &check_encoder_layer,
    &check_decoder_layer,   &check_text_model,  &check_packed,   &check_decode,
    &check_linear,          &check_norm,        &check_activate, &check_embed,
    &check_multihead_layer, &check_feedforward, &check_block,
};

/* ---- reports ---- */

static void print_line(const char *word, const char *name, const char *text) {
    char *const safe_name = printable_text(name, strlen(name));
    char *const safe_text = printable_text(text, strlen(text));
    printf("%s %s%s%s\n", word, safe_name, *safe_text ? ": " : "", safe_text);
    free(safe_name);
    free(safe_text);
}

static void skip(tally *t, const char *name, const char *reason) {
    ++t->skipped;
    print_line("SKIP", name, reason);
}

static void fail(tally *t, const char *name, const char *reason) {
    ++t->failed;
    print_line("FAIL", name, reason);
}

static void format_difference(const check_output_pair *output, const check_difference *d,
                              char *text, size_t room) {
    char at[160], got[40], want[40];
    check_format_index(&output->want, d->index, at, sizeof at);
    check_format_value(&output->got, d->index, got, sizeof got);
    check_format_value(&output->want, d->index, want, sizeof want);
    snprintf(text, room,
             "%s%s: got %s, want %s (%zu of %zu differ, the worst %.3g times what is allowed)",
             output->role, at, got, want, d->count, d->compared, d->worst);
}

/* ---- one case ---- */

static bool has_word(const char *list, const char *word, size_t length) {
    for (const char *at = list; *at;) {
        const size_t n = strcspn(at, " ");
        if (n == length && !strncmp(at, word, length)) return true;
        at += n + (at[n] == ' ');
    }
    return false;
}

static const check_operation *find_operation(const char *name) {
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; ++i)
        if (!strcmp(operations[i]->name, name)) return operations[i];
    return NULL;
}

/* What follows "CASE/" in the name of a tensor of this case, else NULL. */
static const char *role_of(const attend__stored_tensor *stored, const char *name) {
    const size_t length = strlen(name);
    const bool own = !strncmp(stored->name, name, length) && stored->name[length] == '/';
    return own ? stored->name + length + 1 : NULL;
}

/* Nothing of a case may be overlooked: false with the reason if the operation has no such attribute
 * or role, or a tensor no such view. */
static bool understood(const check_case *c, const check_operation *operation, char *reason,
                       size_t room) {
    static const char common[] = "op atol rtol";
    const char *key;
    json_t *value;
    json_object_foreach(c->attributes, key, value) {
        if (has_word(common, key, strlen(key)) || has_word(operation->attributes, key, strlen(key)))
            continue;
        snprintf(reason, room, "attribute '%s' of %s is not known", key, operation->name);
        return false;
    }
    for (size_t i = 0; i < attend__safetensors_count(c->file); ++i) {
        const attend__stored_tensor *const stored = attend__safetensors_at(c->file, i);
        const char *const role = role_of(stored, c->name);
        if (!role) continue;
        if (!has_word(operation->roles, role, strlen(role))) {
            snprintf(reason, room, "role '%s' of %s is not known", role, operation->name);
            return false;
        }
        if (!stored->type || stored->rank > ATTEND_MAX_RANK) {
            snprintf(reason, room, "%s: no tensor of type %s and rank %d", role,
                     attend__stored_type_name(stored->stored), (int)stored->rank);
            return false;
        }
    }
    return true;
}

static void compare_all(tally *t, const check_case *c) {
    static const attend_tensor every_row = {0};
    double worst = 0;
    char text[512];
    for (size_t i = 0; i < c->output_count; ++i) {
        const check_output_pair *const output = &c->outputs[i];
        const attend_tensor *const rows =
            strcmp(output->role, "y") ? &every_row : &c->compared_rows;
        const check_difference d = check_compare(output, rows, c->atol, c->rtol);
        if (d.worst > worst) worst = d.worst;
        if (d.count == 0) continue;
        format_difference(output, &d, text, sizeof text);
        fail(t, c->name, text);
        return;
    }
    if (c->output_count == 0) {
        fail(t, c->name, "it expects nothing");
        return;
    }
    ++t->passed;
    if (!t->verbose) return;
    snprintf(text, sizeof text, "largest error %.3g of what is allowed", worst);
    print_line("ok  ", c->name, text);
}

static void run_case(tally *t, check_case *c) {
    const char *const op = check_string(c, "op", "");
    const check_operation *const operation = find_operation(op);
    char reason[512];
    c->atol = check_number(c, "atol", 0);
    c->rtol = check_number(c, "rtol", 0);
    if (!check_ready(c)) {
        fail(t, c->name, c->sentence);
    } else if (!operation) {
        snprintf(reason, sizeof reason, "operation '%s' is not known", op);
        skip(t, c->name, reason);
    } else if (!understood(c, operation, reason, sizeof reason)) {
        skip(t, c->name, reason);
    } else if (operation->needs_model && !c->model) {
        skip(t, c->name, "it needs --model DIR");
    } else {
        operation->run(c);
        if (check_ready(c))
            compare_all(t, c);
        else if (c->status == ATTEND_UNSUPPORTED)
            skip(t, c->name, c->sentence);
        else
            fail(t, c->name, c->sentence);
    }
    check_release(c);
}

/* ---- one file ---- */

static bool refuse(tally *t, const char *path, const char *why, const char *what) {
    cli_error("%s: %s%s%s%s", path, why, what ? " '" : "", what ? what : "", what ? "'" : "");
    t->damaged = true;
    return false;
}

/* Every tensor must belong to a case: a misspelt one would go unchecked. */
static bool tensors_belong(tally *t, const attend__safetensors *file) {
    for (size_t i = 0; i < attend__safetensors_count(file); ++i) {
        const char *const name = attend__safetensors_at(file, i)->name;
        const char *const slash = strrchr(name, '/');
        const size_t length = slash ? (size_t)(slash - name) : 0;
        char *const owner = cli_allocate(length + 1, 1);
        memcpy(owner, name, length);
        const bool owned =
            slash && strcmp(owner, "format") && attend__safetensors_metadata_find(file, owner);
        free(owner);
        if (!owned)
            return refuse(t, attend__safetensors_path(file), "there is no case for tensor", name);
    }
    return true;
}

static bool check_one(tally *t, const attend__safetensors *file, const char *name) {
    json_error_t fault;
    const char *const text = attend__safetensors_metadata_find(file, name);
    json_t *const attributes = json_loads(text, JSON_REJECT_DUPLICATES, &fault);
    if (!json_is_object(attributes)) {
        json_decref(attributes);
        return refuse(t, attend__safetensors_path(file), "no JSON object describes case", name);
    }
    check_case c = {.file = file,
                    .name = name,
                    .attributes = attributes,
                    .context = t->context,
                    .model = t->model};
    run_case(t, &c);
    json_decref(attributes);
    return true;
}

static void check_file(tally *t, const char *path) {
    attend__safetensors *file = NULL;
    if (attend__safetensors_open(path, &file)) {
        cli_error("%s", attend_error_text());
        t->damaged = true;
        return;
    }
    const char *const format = attend__safetensors_metadata_find(file, "format");
    if (!format || strcmp(format, "attend-cases/1")) {
        refuse(t, path, "not a file of cases (format attend-cases/1)", NULL);
    } else if (tensors_belong(t, file)) {
        for (size_t i = 0; i < attend__safetensors_metadata_count(file); ++i) {
            const char *const name = attend__safetensors_metadata_key(file, i);
            if (strcmp(name, "format") && !check_one(t, file, name)) break;
        }
    }
    attend__safetensors_close(file);
}

static bool open_listening(const cli_globals *globals, check_kernels *kernels, tally *t) {
    attend_options options = cli_library_options(globals);
    check_kernels_listen(kernels, &options);
    return attend_open(&options, &t->context) == ATTEND_OK;
}

static int run(const cli_call *call) {
    const settings *const s = call->settings;
    tally t = {.verbose = s->verbose};
    check_kernels *const kernels = check_kernels_create();
    if (!kernels || !open_listening(call->globals, kernels, &t) ||
        (s->model && attend_model_open(t.context, s->model, &t.model))) {
        cli_error("%s", attend_error_text());
        attend_close(t.context);
        check_kernels_release(kernels);
        return CLI_FAILED;
    }
    for (int i = 0; i < call->word_count; ++i)
        check_file(&t, call->words[i]);
    check_kernels_print(kernels, t.context);
    printf("%zu passed, %zu failed, %zu skipped\n", t.passed, t.failed, t.skipped);
    attend_model_release(t.model);
    attend_close(t.context);
    check_kernels_release(kernels);
    return t.failed || t.damaged ? CLI_FAILED : CLI_OK;
}

static const cli_option options[] = {
    {"model", "DIR", "the folder of the model for cases of texts", offsetof(settings, model),
     false},
    {"verbose", NULL, "a line for each case that passes, too", offsetof(settings, verbose), false},
};

const cli_command cli_check = {
    .name = "check",
    .words = "FILE..",
    .summary = "compare a backend with results that other projects computed",
    .details = "FILE is a safetensors file of format attend-cases/1. A line for each case that "
               "fails (case, role,\n"
               "index, got, want) or is skipped, then which kernels ran, and the numbers; status 1 "
               "if a case failed or a "
               "file is damaged.\n\n"
               "  attend check --backend reference tests/data/onnx.safetensors\n",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings_size = sizeof(settings),
    .least_words = 1,
    .most_words = 1 << 20,
    .run = run,
};
