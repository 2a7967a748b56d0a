/* SPDX-License-Identifier: Apache-2.0
 *
 * The colours of heat maps, and what the terminal can show of them. */
#ifndef ATTEND_CLI_PALETTE_H
#define ATTEND_CLI_PALETTE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct palette_color {
    uint8_t r, g, b;
} palette_color;

/* t in 0..1, dark to light: equal steps look equally large, also without seeing hues. */
palette_color palette_at(double t);
/* A quarter of the colour on three quarters of the background. */
palette_color palette_faded(palette_color color, palette_color background);

typedef enum palette_mode { PALETTE_NONE, PALETTE_256, PALETTE_24_BIT } palette_mode;

/* What --color asks for: "auto" (or NULL), "always", "never"; false for anything else. */
bool palette_choose(const char *wish, palette_mode *mode);

/* Sets the background of what follows on standard output, not for PALETTE_NONE; and takes it back.
 */
void palette_start(palette_mode mode, palette_color color);
void palette_stop(palette_mode mode);

#endif
