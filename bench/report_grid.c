/* SPDX-License-Identifier: Apache-2.0
 *
 * report_parts.h: texts that are safe, and grids of them with columns as wide as their content. */
#include "report_parts.h"

#include "cli/cli.h"
#include "cli/printable.h"

#include <stdlib.h>
#include <string.h>

char *report_copy(const char *text) {
    return printable_text(text, strlen(text));
}

char *report_escape(const char *safe) {
    char *const escaped = cli_allocate(2 * strlen(safe) + 1, 1);
    for (size_t used = 0; *safe; ++safe) {
        if (strchr("\\`*<>[]|&~", *safe)) escaped[used++] = '\\';
        escaped[used++] = *safe;
    }
    return escaped;
}

report_grid report_grid_create(size_t columns) {
    return (report_grid){.columns = columns, .right = cli_allocate(columns, sizeof(bool))};
}

char **report_grid_row(report_grid *grid) {
    const size_t row_bytes = grid->columns * sizeof *grid->cells;
    if (grid->rows == grid->room) {
        grid->room = 2 * grid->rows + 16;
        char **const cells = cli_allocate(grid->room, row_bytes);
        if (grid->rows) memcpy(cells, grid->cells, grid->rows * row_bytes);
        free(grid->cells);
        grid->cells = cells;
    }
    return grid->cells + grid->rows++ * grid->columns;
}

static const char *cell(const report_grid *grid, size_t row, size_t column) {
    const char *const text = grid->cells[row * grid->columns + column];
    return text ? text : "";
}

static void put_spaces(size_t count, FILE *stream) {
    for (size_t i = 0; i < count; ++i)
        putc(' ', stream);
}

/* The last column is padded in Markdown only, where its end is seen. */
static void put_cell(const char *text, size_t width, bool right, bool pad, FILE *stream) {
    const size_t spaces = width - printable_width(text);
    if (right) put_spaces(spaces, stream);
    fputs(text, stream);
    if (!right && pad) put_spaces(spaces, stream);
}

static void put_row(const report_grid *grid, size_t row, const size_t *widths, bool markdown,
                    FILE *stream) {
    for (size_t i = 0; i < grid->columns; ++i) {
        fputs(markdown ? "| " : i ? "  " : "", stream);
        put_cell(cell(grid, row, i), widths[i], grid->right[i], markdown || i + 1 < grid->columns,
                 stream);
        if (markdown) putc(' ', stream);
    }
    fputs(markdown ? "|\n" : "\n", stream);
}

static void put_rule(const report_grid *grid, const size_t *widths, FILE *stream) {
    for (size_t i = 0; i < grid->columns; ++i) {
        fputs("| ", stream);
        for (size_t k = 1; k < widths[i]; ++k)
            putc('-', stream);
        fputs(grid->right[i] ? ": " : "- ", stream);
    }
    fputs("|\n", stream);
}

static void escape_cells(report_grid *grid) {
    for (size_t i = 0; i < grid->rows * grid->columns; ++i) {
        if (!grid->cells[i]) continue;
        char *const escaped = report_escape(grid->cells[i]);
        free(grid->cells[i]);
        grid->cells[i] = escaped;
    }
}

void report_grid_print(report_grid *grid, bool markdown, FILE *stream) {
    if (markdown) escape_cells(grid);
    size_t *const widths = cli_allocate(grid->columns, sizeof *widths);
    for (size_t i = 0; i < grid->columns; ++i) {
        widths[i] = markdown ? 2 : 0; /* a rule of Markdown with a colon */
        for (size_t r = 0; r < grid->rows; ++r)
            if (printable_width(cell(grid, r, i)) > widths[i])
                widths[i] = printable_width(cell(grid, r, i));
    }
    for (size_t r = 0; r < grid->rows; ++r) {
        put_row(grid, r, widths, markdown, stream);
        if (r == 0 && markdown) put_rule(grid, widths, stream);
    }
    free(widths);
}

void report_grid_free(report_grid *grid) {
    for (size_t i = 0; i < grid->rows * grid->columns; ++i)
        free(grid->cells[i]);
    free(grid->cells);
    free(grid->right);
    *grid = (report_grid){0};
}
