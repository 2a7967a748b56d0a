/* SPDX-License-Identifier: Apache-2.0
 *
 * A head as a PNG: cells of a whole number of pixels on white, a colour bar below. It has no text;
 * the numbers are in the terminal, the SVG and the HTML. */
#include "view/picture.h"

#include <stdlib.h>
#include <string.h>

#ifdef ATTEND_HAS_PNG
#include "view/base64.h"

#include <png.h>

enum { MARGIN = 8, BAR_HEIGHT = 12, USUAL_SIZE = 1024, MOST_SCALE = 24, HATCH = 4 };

/* Pixels of three bytes. */
typedef struct canvas {
    size_t width, height;
    unsigned char *pixels;
} canvas;

static void put_pixel(const canvas *c, size_t x, size_t y, palette_color color) {
    unsigned char *const pixel = c->pixels + 3 * (y * c->width + x);
    pixel[0] = color.r;
    pixel[1] = color.g;
    pixel[2] = color.b;
}

static void put_box(const canvas *c, size_t x, size_t y, size_t width, size_t height,
                    palette_color color) {
    for (size_t i = 0; i < height; ++i)
        for (size_t j = 0; j < width; ++j)
            put_pixel(c, x + j, y + i, color);
}

/* What is not a number also has lighter diagonals where there is room for them. */
static void put_hatch(const canvas *c, size_t x, size_t y, size_t scale) {
    static const palette_color line = {224, 224, 224};
    for (size_t i = 0; scale > 2 && i < scale; ++i)
        for (size_t j = 0; j < scale; ++j)
            if ((i + j) % HATCH == HATCH - 1) put_pixel(c, x + j, y + i, line);
}

static void put_cells(const canvas *c, const head_picture *p, size_t left, size_t top,
                      size_t scale) {
    for (size_t i = 0; i < p->set->rows.count; ++i) {
        const double highest = head_picture_highest(p, i);
        for (size_t j = 0; j < p->set->columns.count; ++j) {
            const size_t x = left + j * scale, y = top + i * scale;
            put_box(c, x, y, scale, scale, head_picture_color(p, i, j, highest));
            if (head_picture_level(p, i, j, highest) < 0) put_hatch(c, x, y, scale);
        }
    }
}

/* Red marks in both margins, so that no cell is covered. */
static void put_focus(const canvas *c, const head_picture *p, size_t scale) {
    static const palette_color red = {212, 0, 0};
    const size_t y = MARGIN + p->set->focus * scale, height = p->set->focus_count * scale;
    put_box(c, 2, y, MARGIN - 4, height, red);
    put_box(c, MARGIN + p->set->columns.count * scale + 2, y, MARGIN - 4, height, red);
}

static bool write_canvas(const canvas *c, unsigned char **file, size_t *bytes) {
    png_image image;
    memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    image.width = (png_uint_32)c->width;
    image.height = (png_uint_32)c->height;
    image.format = PNG_FORMAT_RGB;
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    *file = cli_allocate(size, 1);
    if (!png_image_write_to_memory(&image, *file, &size, 0, c->pixels, 0, NULL)) {
        cli_error("libpng: %s", image.message);
        return false;
    }
    *bytes = size;
    return true;
}

static bool fits(const weight_set *set) {
    if (set->rows.count <= PICTURE_MOST_PNG_CELLS && set->columns.count <= PICTURE_MOST_PNG_CELLS)
        return true;
    cli_error(
        "%zu x %zu cells are too many for a PNG, which takes %d a side: --query A-B and --key "
        "A-B choose a window",
        set->rows.count, set->columns.count, (int)PICTURE_MOST_PNG_CELLS);
    return false;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

bool picture_write_png(FILE *stream, const head_picture *p) {
    const weight_set *const set = p->set;
    if (!fits(set)) return false;
    size_t scale = USUAL_SIZE / larger(set->rows.count, set->columns.count);
    scale = scale < 1 ? 1 : scale > MOST_SCALE ? MOST_SCALE : scale;
    const size_t bar = MARGIN + set->rows.count * scale + MARGIN;
    canvas c = {.width = larger(set->columns.count * scale, PICTURE_LEVELS) + 2 * MARGIN,
                .height = bar + BAR_HEIGHT + MARGIN};
    c.pixels = cli_allocate(c.width * c.height, 3);
    memset(c.pixels, 255, 3 * c.width * c.height);
    put_cells(&c, p, MARGIN, MARGIN, scale);
    if (set->focus_count) put_focus(&c, p, scale);
    for (size_t level = 0; level < PICTURE_LEVELS; ++level)
        put_box(&c, MARGIN + level, bar, 1, BAR_HEIGHT, p->palette[level]);
    unsigned char *file = NULL;
    size_t bytes = 0;
    const bool done = write_canvas(&c, &file, &bytes);
    if (done) fwrite(file, 1, bytes, stream);
    free(file);
    free(c.pixels);
    return done;
}

bool picture_write_png_uri(FILE *stream, const head_picture *p) {
    if (!fits(p->set)) return false;
    canvas c = {.width = p->set->columns.count, .height = p->set->rows.count};
    c.pixels = cli_allocate(c.width * c.height, 3);
    put_cells(&c, p, 0, 0, 1);
    unsigned char *file = NULL;
    size_t bytes = 0;
    const bool done = write_canvas(&c, &file, &bytes);
    if (done) {
        fputs("data:image/png;base64,", stream);
        base64_put(stream, file, bytes);
    }
    free(file);
    free(c.pixels);
    return done;
}

bool picture_can_png(void) {
    return true;
}

#else

bool picture_can_png(void) {
    return false;
}

static bool refuse(void) {
    cli_error("this program was built without libpng, which pictures of more than 128 x 128 cells "
              "need");
    return false;
}

bool picture_write_png(FILE *stream, const head_picture *picture) {
    (void)stream;
    (void)picture;
    return refuse();
}

bool picture_write_png_uri(FILE *stream, const head_picture *picture) {
    (void)stream;
    (void)picture;
    return refuse();
}

#endif
