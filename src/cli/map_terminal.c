/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights in a terminal: bars of one row, and a head as cells of colour, or of characters where
 * there is no colour. Labels are measured in columns, not bytes. */
#include "head_map.h"
#include "printable.h"
#include "system.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MOST_LABEL = 16,
    MOST_CELL = 9,
    LABEL_CELL = 4 /* narrower cells have numbers above them */
};

/* Even ramps from nothing to full. */
static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
static const char *const characters[] = {" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"};

static const char *shade(double t) {
    const size_t count = system_speaks_utf8() ? sizeof blocks / sizeof blocks[0]
                                              : sizeof characters / sizeof characters[0];
    const double scaled = t > 0 ? t * (double)(count - 1) + 0.5 : 0; /* NaN is shown as nothing */
    const size_t level = scaled < (double)count ? (size_t)scaled : count - 1;
    return system_speaks_utf8() ? blocks[level] : characters[level];
}

static size_t label_width(const head_map *map) {
    size_t widest = 0;
    for (size_t i = 0; i < map->count; ++i)
        if (printable_width(map->labels[i]) > widest) widest = printable_width(map->labels[i]);
    return widest < MOST_LABEL ? widest : MOST_LABEL;
}

static double fraction(const head_map *map, double weight) {
    return map->highest > 0 ? weight / map->highest : 0;
}

/* ---- one row ---- */

typedef struct entry {
    double weight;
    size_t token;
} entry;

static int larger_first(const void *a, const void *b) {
    const entry *const x = a, *const y = b;
    if (x->weight != y->weight) return x->weight < y->weight ? 1 : -1;
    return x->token < y->token ? -1 : x->token > y->token;
}

void head_map_print_row(const head_map *map, size_t row, size_t columns) {
    entry *const entries = calloc(map->count + 1, sizeof *entries);
    if (!entries) return;
    for (size_t j = 0; j < map->count; ++j)
        entries[j] = (entry){(double)map->weights[row * map->count + j], j};
    qsort(entries, map->count, sizeof *entries, larger_first);
    const size_t names = label_width(map), rest = names + sizeof "  0.0000  ";
    const size_t widest = columns > rest ? columns - rest : 1;
    for (size_t j = 0; j < map->count; ++j) {
        const double most = entries[0].weight, part = most > 0 ? entries[j].weight / most : 0;
        putchar(' ');
        printable_put(stdout, map->labels[entries[j].token], names);
        printf(" %.4f ", entries[j].weight);
        for (size_t n = (size_t)(part * (double)widest + 0.5); n > 0; --n)
            fputs(system_speaks_utf8() ? "█" : "#", stdout);
        putchar('\n');
    }
    free(entries);
}

/* ---- the whole head ---- */

typedef struct layout {
    size_t digits, names, cell, shown; /* columns of a number, a label, a cell; cells in a row */
} layout;

static layout fit(const head_map *map, size_t columns) {
    layout l = {.digits = 1, .names = label_width(map)};
    for (size_t n = map->tokens[map->count - 1]; n >= 10; n /= 10)
        ++l.digits;
    const size_t head = l.digits + l.names + 2;
    const size_t room = columns > head ? columns - head : 1;
    l.cell = room / map->count;
    if (l.cell > MOST_CELL) l.cell = MOST_CELL;
    if (l.cell < 1) l.cell = 1;
    l.shown = map->count * l.cell <= room ? map->count : room / l.cell;
    return l;
}

static void print_names(const head_map *map, const layout *l) {
    printf("%*s", (int)(l->digits + l->names + 2), "");
    for (size_t j = 0; j < l->shown; ++j) {
        printable_put(stdout, map->labels[j], l->cell - 1);
        putchar(' ');
    }
    putchar('\n');
}

/* Numbers written downwards, as the rows number their tokens. */
static void print_numbers(const head_map *map, const layout *l) {
    size_t unit = 1;
    for (size_t d = 1; d < l->digits; ++d)
        unit *= 10;
    for (; unit > 0; unit /= 10) {
        printf("%*s", (int)(l->digits + l->names + 2), "");
        for (size_t j = 0; j < l->shown; ++j) {
            const size_t token = map->tokens[j];
            const bool blank = unit > 1 && token < unit;
            printf("%c%*s", blank ? ' ' : (char)('0' + token / unit % 10), (int)l->cell - 1, "");
        }
        putchar('\n');
    }
}

static void print_cell(palette_mode mode, double t, size_t width) {
    if (mode != PALETTE_NONE) palette_start(mode, t);
    const char *const text = mode == PALETTE_NONE ? shade(t) : " ";
    for (size_t i = 0; i < width; ++i)
        fputs(text, stdout);
}

static void print_legend(const head_map *map, palette_mode mode) {
    enum { STEPS = 20 };
    fputs("0 ", stdout);
    for (int i = 0; i < STEPS; ++i)
        print_cell(mode, (double)i / (STEPS - 1), 1);
    palette_stop(mode);
    printf(" %.4f\n", map->highest);
}

void head_map_print(const head_map *map, palette_mode mode, size_t columns) {
    const layout l = fit(map, columns);
    if (l.cell >= LABEL_CELL)
        print_names(map, &l);
    else
        print_numbers(map, &l);
    for (size_t i = 0; i < map->count; ++i) {
        printf("%*zu ", (int)l.digits, map->tokens[i]);
        printable_put(stdout, map->labels[i], l.names);
        putchar(' ');
        for (size_t j = 0; j < l.shown; ++j)
            print_cell(mode, fraction(map, (double)map->weights[i * map->count + j]), l.cell);
        palette_stop(mode);
        putchar('\n');
    }
    print_legend(map, mode);
    if (l.shown < map->count)
        printf("only %zu of %zu columns fit here; --out FILE.svg has them all\n", l.shown,
               map->count);
}
