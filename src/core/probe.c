/* SPDX-License-Identifier: Apache-2.0
 *
 * attend_probe: each module is listed and each of its devices tested by the program attend-probe,
 * in a process of its own with a deadline (src/probe holds the other side). Not one line of a
 * module or of a driver runs in this process. A child's word is only taken if it is whole: the
 * lines, the last of them, and a clean end. */
#include "base/child.h"
#include "base/folder.h"
#include "base/memory.h"
#include "device_list.h"
#include "error.h"
#include "records.h"
#include "registry.h"
#include "select.h"
#include "verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#define PROGRAM "attend-probe.exe"
#else
#define PROGRAM "attend-probe"
#endif

enum { MOST_OUTPUT = 1 << 22, LAST_WORDS = 300 };
static const double usual_seconds = 60;

typedef struct probe {
    const attend__settings *settings;
    attend_device_list *list;
    char *program;     /* NULL: missing, for .. */
    char missing[400]; /* .. this reason */
    char *folder;      /* of verdicts; NULL: none is kept */
    double seconds;
    bool no_memory;
} probe;

/* What a child said; strings point into its output. */
typedef struct report {
    const char *version, *fingerprint; /* of the module; NULL: it did not come so far */
    const char *sentence;              /* why the module or the device is not good */
    attend_status status;              /* of the sentence */
    bool unusable;                     /* the module itself, not only its devices */
    bool passed, complete;
    const char *words; /* the last line that is none of ours: a driver's complaint */
} report;

/* ---- children ------------------------------------------------------------------------------- */

static void run_child(const probe *p, const char *mode, const char *name, const char *path,
                      const char *id, attend__child *child) {
    const char *end = strrchr(path, ATTEND__FOLDER_SEPARATOR[0]);
    char *folder = attend__string_part(path, end ? (size_t)(end - path) : 0);
    char limit[32];
    snprintf(limit, sizeof limit, "%.0f", p->seconds + 5);
    const char *const argv[] = {p->program,
                                mode,
                                limit,
                                p->settings->options.ignore_environment ? "bare" : "environment",
                                folder ? folder : "",
                                name,
                                id,
                                NULL};
    attend__child_run(argv, p->seconds, MOST_OUTPUT, child);
    free(folder);
}

typedef void take_fn(void *argument, const attend_device_info *info);

static void read_record(char *const *fields, size_t count, report *r, take_fn *take,
                        void *argument) {
    const char *word = count ? fields[0] : "";
    attend_device_info info;
    if (!strcmp(word, "module") && count >= 2) {
        r->version = fields[1];
        r->fingerprint = count > 2 ? fields[2] : NULL;
    } else if (count == 3 &&
               (!strcmp(word, "refused") || !strcmp(word, "none") || !strcmp(word, "failed"))) {
        r->unusable = !strcmp(word, "refused");
        r->status = (attend_status)-atoi(fields[1]);
        r->sentence = fields[2];
    } else if (take && !strcmp(word, "device") &&
               attend__record_take_device(fields, count, &info)) {
        take(argument, &info);
    } else if (!strcmp(word, "passed")) {
        r->passed = true;
    } else if (!strcmp(word, "end")) {
        r->complete = true;
    }
}

/* A device that the child lists is handed to `take`. */
static void read_report(char *output, report *r, take_fn *take, void *argument) {
    static const char mark[] = ATTEND__PROBE_MARK "\t";
    *r = (report){.words = ""};
    for (char *line; (line = attend__record_next(&output)) != NULL;) {
        char *fields[ATTEND__DEVICE_FIELDS];
        if (!strncmp(line, mark, strlen(mark))) {
            const size_t count =
                attend__record_split(line + strlen(mark), fields, ATTEND__DEVICE_FIELDS);
            read_record(fields, count, r, take, argument);
        } else if (line[strspn(line, " \r\t")]) {
            r->words = line;
        }
    }
}

/* How a child failed that did not tell everything: its status, and `text`; OK if it did. */
static attend_status judge(const attend__child *child, const report *r, const char *what,
                           char *text, size_t bytes) {
    if (child->well && r->complete) return ATTEND_OK;
    snprintf(text, bytes, "%s %s%s%s%.*s", what,
             child->well ? "ended without a result" : child->ended,
             r->complete ? ", after the result was known" : "", *r->words ? ": " : "", LAST_WORDS,
             r->words);
    return child->killed ? ATTEND_TIMEOUT : ATTEND_DEVICE_LOST;
}

/* ---- one module ----------------------------------------------------------------------------- */

static void add(probe *p, const attend_device_info *info) {
    if (!attend__device_list_append_copy(p->list, info)) p->no_memory = true;
}

/* A line without a device. A module that cannot be used has its file for a backend. */
static void add_line(probe *p, const attend__module_file *module, bool unusable,
                     attend_status status, const char *reason) {
    const char *backend = unusable && *module->path ? module->path : module->name;
    attend_device_info info = attend__device_info_empty(module->name, backend, module->path);
    info.reason = reason;
    info.status = status;
    add(p, &info);
}

typedef struct listing {
    probe *p;
    const attend__module_file *module;
} listing;

static void take_device(void *argument, const attend_device_info *info) {
    const listing *l = argument;
    attend_device_info whole = *info;
    whole.backend = l->module->name;
    whole.file = l->module->path;
    if (l->p->list->count < ATTEND__MOST_DEVICES) add(l->p, &whole);
}

/* Replaces the line by one with the test's result. */
static void test_device(probe *p, const attend__module_file *module, size_t index) {
    attend__child child;
    report r;
    char reason[600];
    attend_device_info tested = p->list->items[index];
    run_child(p, "test", module->name, module->path, tested.id, &child);
    read_report(child.output, &r, NULL, NULL);
    tested.seconds = child.seconds;
    tested.status = judge(&child, &r, "its test", reason, sizeof reason);
    if (tested.status != ATTEND_OK) {
        tested.reason = reason;
    } else if (!r.passed) {
        tested.status = r.sentence ? r.status : ATTEND_INTERNAL;
        tested.reason = r.sentence ? r.sentence : "its test ended without a result";
    }
    const size_t count = p->list->count;
    add(p, &tested);
    if (p->list->count > count) { /* the copy takes the place of the original */
        free(p->list->texts[index]);
        p->list->count = count;
        p->list->items[index] = p->list->items[count];
        p->list->texts[index] = p->list->texts[count];
    }
    free(child.output);
}

static void list_and_test(probe *p, const attend__module_file *module) {
    const size_t first = p->list->count;
    listing l = {p, module};
    attend__child child;
    report r;
    char reason[600] = "no device";
    run_child(p, "list", module->name, module->path, "", &child);
    read_report(child.output, &r, take_device, &l);
    attend_status status = judge(&child, &r, "listing its devices", reason, sizeof reason);
    const bool broken = status != ATTEND_OK || r.unusable;
    if (status == ATTEND_OK && r.sentence) {
        status = r.status;
        snprintf(reason, sizeof reason, "%s", r.sentence);
    } else if (status == ATTEND_OK && p->list->count == first) {
        status = ATTEND_NO_DEVICE;
    }
    if (status != ATTEND_OK) {
        while (p->list->count > first) /* half a list is none: its end is what is wrong */
            free(p->list->texts[--p->list->count]);
        add_line(p, module, broken, status, reason);
    }
    for (size_t i = first; status == ATTEND_OK && i < p->list->count; i++)
        if (!p->list->items[i].reason) test_device(p, module, i);
    const bool has_driver = r.fingerprint || *module->path; /* "cpu" has none */
    if (p->folder && has_driver && !p->no_memory)
        (void)attend__verdict_store(p->folder, module->name, r.version ? r.version : "",
                                    r.fingerprint, p->list, first);
    free(child.output);
}

static void probe_module(probe *p, const attend__module_file *module) {
    char text[512];
    if (module->hidden_by) {
        attend__module_hidden_text(module, text, sizeof text);
        add_line(p, module, true, ATTEND_AMBIGUOUS, text);
    } else if (!p->program) {
        add_line(p, module, true, ATTEND_NOT_FOUND, p->missing);
    } else {
        list_and_test(p, module);
    }
}

/* ---- all ------------------------------------------------------------------------------------ */

static bool is_named(const char *list, const char *module) {
    char name[80];
    while (*list) {
        list = attend__next_name(list, name, sizeof name);
        if (!strcmp(name, module)) return true;
    }
    return false;
}

static bool wanted(const probe *p, const char *module) {
    const char *list = p->settings->values[ATTEND__SETTING_BACKEND];
    if (!list || is_named(list, "auto")) return strcmp(module, "reference") != 0;
    return is_named(list, module);
}

/* Every name that was asked for has a line. */
static void add_unknown(probe *p) {
    const char *list = p->settings->values[ATTEND__SETTING_BACKEND];
    char name[80];
    while (list && *list) {
        list = attend__next_name(list, name, sizeof name);
        bool known = !*name || !strcmp(name, "auto");
        for (size_t i = 0; !known && i < p->list->count; i++)
            known = !strcmp(p->list->items[i].id, name) || !strcmp(p->list->items[i].backend, name);
        const attend__module_file none = {.name = name, .path = (char[]){""}};
        if (!known) add_line(p, &none, true, ATTEND_NOT_FOUND, "no backend of that name");
    }
}

static void find_program(probe *p) {
    p->program = attend__module_folders_find(p->settings, PROGRAM);
    if (p->program && attend__module_file_check(p->program) != ATTEND_OK) {
        snprintf(p->missing, sizeof p->missing, "not tested: %s: %s", p->program,
                 attend_error_text());
        free(p->program);
        p->program = NULL;
    } else if (!p->program) {
        char **folders = attend__module_folders(p->settings);
        snprintf(p->missing, sizeof p->missing,
                 "not tested: the program " PROGRAM
                 " is neither in \"%.200s\" nor in a folder of ATTEND_PLUGIN_PATH",
                 folders && folders[0] ? folders[0] : "?");
        attend__module_folders_release(folders);
    }
}

static void probe_all(probe *p) {
    attend__module *builtins;
    const size_t builtin_count = attend__registry_builtins(&builtins);
    size_t file_count;
    attend__module_file *files = attend__module_files(p->settings, &file_count);
    char unused[300];
    p->folder = attend__verdict_folder(p->settings, true, unused, sizeof unused);
    find_program(p);
    for (size_t i = 0; i < builtin_count; i++) {
        const attend__module_file builtin = {.name = builtins[i].name, .path = builtins[i].path};
        if (wanted(p, builtin.name)) probe_module(p, &builtin);
    }
    for (size_t i = 0; i < file_count; i++)
        if (wanted(p, files[i].name)) probe_module(p, &files[i]);
    add_unknown(p);
    attend__module_files_release(files, file_count);
    free(p->program);
    free(p->folder);
}

attend_status attend_probe(const attend_options *options, double seconds,
                           attend_device_list **list) {
    if (!list) return attend__fail(ATTEND_NULL_POINTER, "list: is NULL");
    *list = NULL;
    if (!(seconds >= 0 && seconds <= 86400))
        return attend__fail(ATTEND_INVALID, "seconds: %g is not in 0..86400", seconds);
    attend__settings *settings;
    const attend_status status = attend__settings_create(options, &settings);
    if (status != ATTEND_OK) return status;
    probe p = {.settings = settings,
               .list = attend__device_list_new(),
               .seconds = seconds > 0 ? seconds : usual_seconds};
    if (p.list) probe_all(&p);
    attend__settings_release(settings);
    if (!p.list || p.no_memory) {
        attend_device_list_release(p.list);
        return attend__fail(ATTEND_OUT_OF_MEMORY, "probe: no memory for the list");
    }
    *list = p.list;
    return ATTEND_OK;
}
