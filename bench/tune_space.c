/* SPDX-License-Identifier: Apache-2.0
 *
 * tune_space.h. */
#include "tune_space.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SMALL_SPACE = 12 };

/* ---- reading --------------------------------------------------------------------------------- */

/* "NAME=DEFAULT:VALUE,VALUE" */
static bool read_parameter(const char *text, tune_parameter *p) {
    int used = 0, chosen = 0;
    memset(p, 0, sizeof *p);
    p->first = -1;
    if (sscanf(text, "%39[^= ]=%d:%n", p->name, &chosen, &used) != 2 || used == 0) return false;
    const char *at = text + used;
    while (p->count < TUNE_MOST_VALUES) {
        char *end;
        const long value = strtol(at, &end, 10);
        if (end == at) return false;
        if (value == chosen) p->first = p->count;
        p->values[p->count++] = (int)value;
        if (*end != ',') break;
        at = end + 1;
    }
    return p->first >= 0;
}

static size_t line_length(const char *line) {
    return strcspn(line, "\n");
}

/* Parameters from the line "choices KERNEL ..". */
static bool find_choices(const char *lines, tune_space *s) {
    char line[1024], kernel[TUNE_NAME];
    for (const char *at = lines; *at; at += line_length(at) + (at[line_length(at)] == '\n')) {
        int used = 0;
        snprintf(line, sizeof line, "%.*s", (int)line_length(at), at);
        if (sscanf(line, "choices %39s%n", kernel, &used) != 1 || strcmp(kernel, s->kernel) != 0)
            continue;
        s->count = 0;
        for (const char *word = line + used; *word == ' ' && s->count < TUNE_MOST_PARAMETERS;
             word += 1 + strcspn(word + 1, " "))
            if (!read_parameter(word + 1, &s->parameters[s->count++])) return false;
        return s->count > 0;
    }
    return false;
}

static bool known(const tune_space *spaces, int count, const char *shape) {
    for (int i = 0; i < count; ++i)
        if (!strcmp(spaces[i].shape, shape)) return true;
    return false;
}

int tune_spaces_read(const char *lines, tune_space spaces[TUNE_MOST_SPACES]) {
    int count = 0;
    for (const char *at = lines; *at && count < TUNE_MOST_SPACES;
         at += line_length(at) + (at[line_length(at)] == '\n')) {
        tune_space *const s = &spaces[count];
        const int length = (int)line_length(at);
        const char *const colon = strstr(at, ": ");
        if (strncmp(at, "plan ", 5) != 0 || !colon || colon - at >= length ||
            colon - at >= TUNE_TEXT)
            continue;
        memset(s, 0, sizeof *s);
        snprintf(s->shape, sizeof s->shape, "%.*s", (int)(colon - at) - 5, at + 5);
        snprintf(s->in_force, sizeof s->in_force, "%.*s", length - (int)(colon - at) - 2,
                 colon + 2);
        snprintf(s->kernel, sizeof s->kernel, "%.*s", (int)strcspn(s->shape, " "), s->shape);
        count += !known(spaces, count, s->shape) && find_choices(lines, s);
    }
    return count;
}

/* ---- points ---------------------------------------------------------------------------------- */

tune_point tune_default(const tune_space *s) {
    tune_point p;
    memset(&p, 0, sizeof p);
    for (int i = 0; i < s->count; ++i)
        p.at[i] = s->parameters[i].first;
    return p;
}

bool tune_same(const tune_space *s, const tune_point *a, const tune_point *b) {
    return !memcmp(a->at, b->at, (size_t)s->count * sizeof a->at[0]);
}

void tune_point_text(const tune_space *s, const tune_point *p, char between, char text[TUNE_TEXT]) {
    size_t used = 0;
    text[0] = 0;
    for (int i = 0; i < s->count && used + TUNE_NAME + 16 < TUNE_TEXT; ++i) {
        if (i) text[used++] = between;
        used += (size_t)snprintf(text + used, TUNE_TEXT - used, "%s=%d", s->parameters[i].name,
                                 s->parameters[i].values[p->at[i]]);
    }
}

/* Unless it is there. */
static bool add(const tune_space *s, tune_queue *q, const tune_point *p) {
    for (size_t i = 0; i < q->count; ++i)
        if (tune_same(s, &q->points[i], p)) return true;
    if (q->count == q->room) {
        const size_t room = 2 * q->room + 16;
        tune_point *const points = realloc(q->points, room * sizeof *points);
        if (!points) return false;
        q->points = points;
        q->room = room;
    }
    q->points[q->count++] = *p;
    return true;
}

static size_t space_size(const tune_space *s) {
    size_t size = 1;
    for (int i = 0; i < s->count && size <= SMALL_SPACE; ++i)
        size *= (size_t)s->parameters[i].count;
    return size;
}

static int steps_from_default(const tune_space *s, const tune_point *p) {
    int steps = 0;
    for (int i = 0; i < s->count; ++i)
        steps += abs(p->at[i] - s->parameters[i].first);
    return steps;
}

static int most_steps(const tune_space *s) {
    int steps = 0;
    for (int i = 0; i < s->count; ++i)
        steps += s->parameters[i].count - 1;
    return steps;
}

/* All points that are so many steps from the default. */
static bool add_all(const tune_space *s, int steps, tune_queue *q) {
    tune_point p;
    memset(&p, 0, sizeof p);
    for (;;) {
        int i = 0;
        if (steps_from_default(s, &p) == steps && !add(s, q, &p)) return false;
        while (i < s->count && ++p.at[i] == s->parameters[i].count)
            p.at[i++] = 0;
        if (i == s->count) return true;
    }
}

/* What is so many steps from `p` in parameter i, if it is. */
static bool add_step(const tune_space *s, const tune_point *p, int i, int steps, tune_queue *q) {
    tune_point next = *p;
    next.at[i] += steps;
    return next.at[i] < 0 || next.at[i] >= s->parameters[i].count || add(s, q, &next);
}

bool tune_shortlist(const tune_space *s, tune_queue *q) {
    const tune_point start = tune_default(s);
    memset(q, 0, sizeof *q);
    if (!add(s, q, &start)) return false;
    q->next = 1; /* the default is what the others are held against */
    /* the default was chosen on some device: the better ones are rarely far from it, and time may
     * end before the last */
    const bool small = space_size(s) <= SMALL_SPACE;
    for (int steps = 1; steps <= most_steps(s); ++steps) {
        if (small && !add_all(s, steps, q)) return false;
        for (int i = 0; !small && i < s->count; ++i)
            for (int sign = -1; sign <= 1; sign += 2)
                if (!add_step(s, &start, i, sign * steps, q)) return false;
    }
    return true;
}

bool tune_neighbours(const tune_space *s, const tune_point *p, tune_queue *q) {
    for (int i = 0; i < s->count; ++i)
        for (int step = -1; step <= 1; step += 2)
            if (!add_step(s, p, i, step, q)) return false;
    return true;
}

void tune_queue_release(tune_queue *q) {
    free(q->points);
    memset(q, 0, sizeof *q);
}
