/* SPDX-License-Identifier: Apache-2.0
 *
 * worker_loop.h: asks in, answers out, and the clock between. */
#include "worker_loop.h"

#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct prepared {
    int64_t id;
    bench_case c;
    worker_call call;
} prepared;

typedef struct session {
    const worker_party *party;
    prepared *cases;
    size_t count;
    char reason[WORKER_TEXT];
} session;

/* What an answer says is wrong: its key, with the reason in the session. */
static const char error_key[] = "error", missing_key[] = "missing",
                  unsupported_key[] = "unsupported";

static double seconds_since(int64_t start) {
    return (double)(attend__clock_nanoseconds() - start) * 1e-9;
}

static prepared *find(session *s, const json_t *ask) {
    const int64_t id = json_integer_value(json_object_get(ask, "id"));
    for (size_t i = 0; i < s->count; ++i)
        if (s->cases[i].id == id) return &s->cases[i];
    snprintf(s->reason, sizeof s->reason, "no case %lld is prepared", (long long)id);
    return NULL;
}

static void drop(session *s, prepared *p) {
    p->call.release(p->call.state);
    *p = s->cases[--s->count];
}

/* ---- asks: each returns the answer's fields, or NULL with *fault = the answer's key ---- */

static json_t *hello(session *s, const json_t *ask, const char **fault) {
    const json_int_t threads = json_integer_value(json_object_get(ask, "threads"));
    if (threads < 1 || threads > INT32_MAX) {
        snprintf(s->reason, sizeof s->reason, "threads: not a number from 1 on");
        return NULL;
    }
    const int64_t start = attend__clock_nanoseconds();
    json_t *const answer = s->party->hello(s->party->state, (int32_t)threads, s->reason);
    if (answer)
        json_object_set_new(answer, "open_s", json_real(seconds_since(start)));
    else
        *fault = missing_key;
    return answer;
}

static json_t *prepare(session *s, const json_t *ask, const char **fault) {
    prepared p;
    memset(&p, 0, sizeof p);
    p.id = json_integer_value(json_object_get(ask, "id"));
    if (!bench_case_read(json_object_get(ask, "case"), &p.c, s->reason, sizeof s->reason))
        return NULL;
    prepared *const cases = realloc(s->cases, (s->count + 1) * sizeof *cases);
    if (!cases) {
        snprintf(s->reason, sizeof s->reason, "out of memory");
        return NULL;
    }
    s->cases = cases;
    const worker_verdict verdict = s->party->prepare(s->party->state, &p.c, &p.call, s->reason);
    if (verdict == WORKER_UNSUPPORTED) *fault = unsupported_key;
    if (verdict != WORKER_OK) return NULL;
    const int64_t start = attend__clock_nanoseconds();
    if (!p.call.run(p.call.state, s->reason)) {
        p.call.release(p.call.state);
        return NULL;
    }
    const double first = seconds_since(start);
    s->cases[s->count++] = p;
    json_t *const answer =
        json_pack("{s:f, s:s}", "first_s", first, "kernel", p.call.kernel ? p.call.kernel : "");
    const worker_transfers *const moved = p.call.transfers;
    if (answer && moved) {
        json_object_set_new(answer, "copied_bytes", json_integer((json_int_t)moved->copied_bytes));
        json_object_set_new(answer, "in_place_bytes",
                            json_integer((json_int_t)moved->in_place_bytes));
    }
    if (answer && p.call.tuning && *p.call.tuning)
        json_object_set_new(answer, "tuning", json_string(p.call.tuning));
    if (answer && p.c.op == BENCH_KERNEL) {
        json_object_set_new(answer, "flops", json_real(p.call.flops));
        json_object_set_new(answer, "bytes", json_real(p.call.bytes));
        json_object_set_new(answer, "max_error", json_real(p.call.max_error));
        json_object_set_new(answer, "error_ratio", json_real(p.call.error_ratio));
    }
    return answer;
}

/* Little-endian bytes of each float, in hexadecimal: JSON has no NaN, and a wrong kernel may. */
static json_t *hexadecimal(const float *values, size_t count, char *text) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; ++i) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        for (int byte = 0; byte < 4; ++byte) {
            text[8 * i + 2 * (size_t)byte] = digits[bits >> (8 * byte + 4) & 15];
            text[8 * i + 2 * (size_t)byte + 1] = digits[bits >> (8 * byte) & 15];
        }
    }
    return json_stringn(text, 8 * count);
}

/* NULL when a row does not exist. */
static int64_t *read_rows(session *s, const prepared *p, const json_t *list, size_t count) {
    int64_t *const rows = calloc(count + 1, sizeof *rows);
    for (size_t i = 0; rows && i < count; ++i) {
        const json_t *const row = json_array_get(list, i);
        rows[i] = json_integer_value(row);
        if (json_is_integer(row) && rows[i] >= 0 && rows[i] < bench_case_rows(&p->c)) continue;
        snprintf(s->reason, sizeof s->reason, "rows: there is no such row");
        free(rows);
        return NULL;
    }
    if (!rows) snprintf(s->reason, sizeof s->reason, "out of memory");
    return rows;
}

static json_t *give_rows(session *s, const json_t *ask) {
    prepared *const p = find(s, ask);
    if (!p) return NULL;
    const json_t *const list = json_object_get(ask, "rows");
    const size_t count = json_array_size(list), width = p->call.width;
    if (!p->call.rows) {
        snprintf(s->reason, sizeof s->reason, "%s has no rows", p->c.name);
        return NULL;
    }
    int64_t *const rows = read_rows(s, p, list, count);
    if (!rows) return NULL;
    float *const values = calloc(count * width + 1, sizeof *values);
    char *const text = malloc(8 * width + 1);
    json_t *answer = NULL;
    if (!values || !text)
        snprintf(s->reason, sizeof s->reason, "out of memory");
    else if (p->call.run(p->call.state, s->reason) &&
             p->call.rows(p->call.state, rows, count, values, s->reason)) {
        json_t *const texts = json_array();
        for (size_t i = 0; i < count; ++i)
            json_array_append_new(texts, hexadecimal(values + i * width, width, text));
        answer = json_pack("{s:o}", "values", texts);
    }
    free(rows);
    free(values);
    free(text);
    return answer;
}

static bool time_calls(session *s, worker_call *call, int64_t repeat, double *seconds) {
    const int64_t start = attend__clock_nanoseconds();
    for (int64_t i = 0; i < repeat; ++i)
        if (!call->run(call->state, s->reason)) return false;
    *seconds = seconds_since(start) / (double)repeat;
    return true;
}

static json_t *sample(session *s, const json_t *ask) {
    prepared *const p = find(s, ask);
    if (!p) return NULL;
    const json_int_t count = json_integer_value(json_object_get(ask, "count")),
                     repeat = json_integer_value(json_object_get(ask, "repeat"));
    const double warm = json_number_value(json_object_get(ask, "warm_s"));
    if (count < 1 || repeat < 1) {
        snprintf(s->reason, sizeof s->reason, "count and repeat must be at least 1");
        return NULL;
    }
    double seconds = 0;
    const int64_t start = attend__clock_nanoseconds();
    while (seconds_since(start) < warm)
        if (!time_calls(s, &p->call, 1, &seconds)) return NULL;
    json_t *const samples = json_array();
    for (json_int_t i = 0; i < count; ++i) {
        if (!time_calls(s, &p->call, repeat, &seconds)) {
            json_decref(samples);
            return NULL;
        }
        json_array_append_new(samples, json_real(seconds));
    }
    return json_pack("{s:o}", "samples", samples);
}

static json_t *forget(session *s, const json_t *ask) {
    prepared *const p = find(s, ask);
    if (p) drop(s, p);
    return json_object();
}

static json_t *reply(session *s, const json_t *ask, const char **fault) {
    const char *const kind = json_string_value(json_object_get(ask, "ask"));
    if (kind && !strcmp(kind, "hello")) return hello(s, ask, fault);
    if (kind && !strcmp(kind, "prepare")) return prepare(s, ask, fault);
    if (kind && !strcmp(kind, "rows")) return give_rows(s, ask);
    if (kind && !strcmp(kind, "sample")) return sample(s, ask);
    if (kind && !strcmp(kind, "drop")) return forget(s, ask);
    snprintf(s->reason, sizeof s->reason, "no ask that is known");
    return NULL;
}

static bool answer_line(session *s, const char *line, FILE *answers) {
    json_error_t where;
    json_t *const ask = json_loads(line, 0, &where);
    const char *fault = error_key;
    json_t *answer = NULL;
    s->reason[0] = 0;
    if (ask)
        answer = reply(s, ask, &fault);
    else
        snprintf(s->reason, sizeof s->reason, "not JSON: %s", where.text);
    json_t *const whole =
        answer ? answer
               : json_pack("{s:s}", fault, s->reason[0] ? s->reason : "failed without a reason");
    json_object_set_new(whole, "ok", json_boolean(answer != NULL));
    /* a double needs 17 digits to come back the same */
    const bool written = json_dumpf(whole, answers, JSON_COMPACT | JSON_REAL_PRECISION(17)) == 0 &&
                         fputc('\n', answers) != EOF && fflush(answers) == 0;
    json_decref(whole);
    json_decref(ask);
    return written;
}

int serve_worker(const worker_party *party) {
    const int own = dup(STDOUT_FILENO);
    FILE *const answers = own == -1 ? NULL : fdopen(own, "w");
    if (!answers || dup2(STDERR_FILENO, STDOUT_FILENO) == -1) {
        if (answers) fclose(answers);
        return 1;
    }
    session s = {.party = party};
    char *line = NULL;
    size_t room = 0;
    bool going = true;
    while (going && getline(&line, &room, stdin) != -1)
        going = answer_line(&s, line, answers);
    free(line);
    while (s.count)
        drop(&s, &s.cases[s.count - 1]);
    free(s.cases);
    fclose(answers);
    return going ? 0 : 1;
}
