/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights in a terminal: bars of one row, and a head as cells of colour, or of characters where
 * there is no colour. Labels are measured in columns, not bytes. */
#include "cli.h"
#include "printable.h"
#include "system.h"
#include "view/picture.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MOST_LABEL = 16,
    MOST_CELL = 9,
    MOST_ROWS = 512,
    NUMBER_COLUMNS = 9, /* "1.234e-05" */
    FULL = 255,         /* the highest level */
    LABEL_CELL = 4      /* narrower cells have numbers above them */
};

/* Even ramps from nothing to full. */
static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
static const char *const characters[] = {" ", ".", ":", "-", "=", "+", "*", "#", "%", "@"};

static const char *shade(int level) {
    const bool utf8 = system_speaks_utf8();
    const int count =
        utf8 ? sizeof blocks / sizeof blocks[0] : sizeof characters / sizeof characters[0];
    const int step = (2 * level * (count - 1) + FULL) / (2 * FULL); /* rounded */
    return utf8 ? blocks[step] : characters[step];
}

static size_t label_width(const token_axis *axis) {
    size_t widest = 0;
    for (size_t i = 0; i < axis->count && widest < MOST_LABEL; ++i)
        if (printable_width(axis->safe[i]) > widest) widest = printable_width(axis->safe[i]);
    return widest < MOST_LABEL ? widest : MOST_LABEL;
}

/* ---- one row ---- */

typedef struct entry {
    double weight;
    size_t column;
    uint16_t code;
} entry;

/* NaN comes last. */
static int larger_first(const void *a, const void *b) {
    const entry *const x = a, *const y = b;
    if (x->weight > y->weight) return -1;
    if (x->weight < y->weight) return 1;
    const int x_odd = x->code == WEIGHT_CODE_NAN, y_odd = y->code == WEIGHT_CODE_NAN;
    if (x_odd != y_odd) return x_odd - y_odd;
    return x->column < y->column ? -1 : x->column > y->column;
}

static void print_entry(const head_picture *p, const entry *e, double most, size_t columns) {
    char text[WEIGHT_TEXT_BYTES];
    const token_axis *const axis = &p->set->columns;
    const size_t names = label_width(axis), rest = names + NUMBER_COLUMNS + 3;
    const size_t widest = columns > rest ? columns - rest : 1;
    const double part = most > 0 ? e->weight / most : 0;
    weight_text(e->code, p->set->exponent, text);
    putchar(' ');
    printable_put(stdout, axis->safe[e->column], names);
    printf(" %-*s ", NUMBER_COLUMNS, text);
    for (size_t n = part > 0 ? (size_t)(part * (double)widest + 0.5) : 0; n > 0; --n)
        fputs(system_speaks_utf8() ? "█" : "#", stdout);
    putchar('\n');
}

void picture_print_row(const head_picture *p, size_t row, size_t columns) {
    const size_t count = p->set->columns.count;
    entry *const entries = cli_allocate(count, sizeof *entries);
    for (size_t j = 0; j < count; ++j) {
        const uint16_t code = head_picture_code(p, row, j);
        entries[j] = (entry){weight_value(code), j, code};
        if (code == WEIGHT_CODE_NAN) entries[j].weight = 0;
    }
    qsort(entries, count, sizeof *entries, larger_first);
    const size_t shown = count < MOST_ROWS ? count : MOST_ROWS;
    for (size_t j = 0; j < shown; ++j)
        print_entry(p, &entries[j], entries[0].weight, columns);
    if (shown < count) printf("these are the largest %zu of %zu\n", shown, count);
    free(entries);
}

/* ---- the whole head ---- */

typedef struct layout {
    size_t digits, names, cell; /* columns of a number, a label, a cell */
    size_t shown, rows;         /* cells in a row, rows */
} layout;

static size_t digits_of(const token_axis *axis) {
    size_t digits = 1;
    for (size_t n = axis->numbers[axis->count - 1]; n >= 10; n /= 10)
        ++digits;
    return digits;
}

static layout fit(const weight_set *set, size_t columns) {
    layout l = {.digits = digits_of(&set->rows), .names = label_width(&set->rows)};
    const size_t count = set->columns.count, head = l.digits + l.names + 2;
    const size_t room = columns > head ? columns - head : 1;
    l.cell = room / count;
    if (l.cell > MOST_CELL) l.cell = MOST_CELL;
    if (l.cell < 1) l.cell = 1;
    l.shown = count * l.cell <= room ? count : room / l.cell;
    l.rows = set->rows.count < MOST_ROWS ? set->rows.count : MOST_ROWS;
    return l;
}

static void print_names(const weight_set *set, const layout *l) {
    printf("%*s", (int)(l->digits + l->names + 2), "");
    for (size_t j = 0; j < l->shown; ++j) {
        printable_put(stdout, set->columns.safe[j], l->cell - 1);
        putchar(' ');
    }
    putchar('\n');
}

/* Numbers written downwards, as the rows number their tokens. */
static void print_numbers(const weight_set *set, const layout *l) {
    size_t unit = 1;
    for (size_t d = 1; d < digits_of(&set->columns); ++d)
        unit *= 10;
    for (; unit > 0; unit /= 10) {
        printf("%*s", (int)(l->digits + l->names + 2), "");
        for (size_t j = 0; j < l->shown; ++j) {
            const size_t token = set->columns.numbers[j];
            const bool blank = unit > 1 && token < unit;
            printf("%c%*s", blank ? ' ' : (char)('0' + token / unit % 10), (int)l->cell - 1, "");
        }
        putchar('\n');
    }
}

static void print_times(const char *text, size_t times) {
    for (size_t i = 0; i < times; ++i)
        fputs(text, stdout);
}

static void print_row(const head_picture *p, palette_mode mode, const layout *l, size_t row) {
    const double highest = head_picture_highest(p, row);
    printf("%*zu ", (int)l->digits, p->set->rows.numbers[row]);
    printable_put(stdout, p->set->rows.safe[row], l->names);
    putchar(' ');
    for (size_t j = 0; j < l->shown; ++j) {
        const int level = head_picture_level(p, row, j, highest);
        palette_start(mode, head_picture_color(p, row, j, highest));
        print_times(level < 0 ? "?" : mode == PALETTE_NONE ? shade(level) : " ", l->cell);
    }
    palette_stop(mode);
    putchar('\n');
}

static void print_legend(const head_picture *p, palette_mode mode) {
    enum { STEPS = 20 };
    const picture_ticks ticks = head_picture_ticks(p);
    char scale[PICTURE_SCALE_BYTES];
    head_picture_scale_text(p, scale);
    printf("%s ", ticks.low);
    for (int i = 0; i < STEPS; ++i) {
        const int level = i * FULL / (STEPS - 1);
        palette_start(mode, p->palette[level]);
        fputs(mode == PALETTE_NONE ? shade(level) : " ", stdout);
    }
    palette_stop(mode);
    printf(" %s%s%s%s\n", ticks.high, *scale ? " (" : "", scale, *scale ? ")" : "");
}

static void print_notices(const weight_set *set, const layout *l) {
    for (size_t i = 0; i < set->notice_count; ++i)
        printf("%s\n", set->notices[i]);
    if (l->shown < set->columns.count)
        printf("only %zu of %zu columns fit here; --key A-B chooses others, --out FILE.svg has "
               "them all\n",
               l->shown, set->columns.count);
    if (l->rows < set->rows.count)
        printf("only the first %zu of %zu rows are shown here; --query A-B chooses others\n",
               l->rows, set->rows.count);
}

void picture_print(const head_picture *p, palette_mode mode, size_t columns) {
    const layout l = fit(p->set, columns);
    if (l.cell >= LABEL_CELL)
        print_names(p->set, &l);
    else
        print_numbers(p->set, &l);
    for (size_t i = 0; i < l.rows; ++i)
        print_row(p, mode, &l, i);
    print_legend(p, mode);
    print_notices(p->set, &l);
}
