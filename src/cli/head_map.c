/* SPDX-License-Identifier: Apache-2.0
 *
 * head_map.h: taking the weights out of an encoding. */
#include "head_map.h"

#include "cli.h"
#include "printable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_highest(head_map *map) {
    map->highest = 0;
    for (size_t i = 0; i < map->count * map->count; ++i)
        if ((double)map->weights[i] > map->highest) map->highest = (double)map->weights[i];
}

static float weight(const attend_encoding *encoding, int32_t layer, int32_t head, int64_t heads,
                    size_t index) {
    if (head >= 0) return attend_encoding_weights(encoding, layer, head)[index];
    double sum = 0;
    for (int64_t h = 0; h < heads; ++h)
        sum += (double)attend_encoding_weights(encoding, layer, (int32_t)h)[index];
    return (float)(sum / (double)heads);
}

void head_map_make(head_map *map, const attend_encoding *encoding, int32_t layer, int32_t head,
                   int64_t heads) {
    const size_t count = attend_encoding_length(encoding);
    memset(map, 0, sizeof *map);
    map->count = count;
    map->tokens = cli_allocate(count, sizeof *map->tokens);
    map->labels = cli_allocate(count, sizeof *map->labels);
    map->weights = cli_allocate(count * count, sizeof *map->weights);
    for (size_t i = 0; i < count; ++i) {
        const char *const token = attend_encoding_token(encoding, i);
        map->tokens[i] = i;
        map->labels[i] = printable_text(token, strlen(token));
    }
    for (size_t i = 0; i < count * count; ++i)
        map->weights[i] = weight(encoding, layer, head, heads, i);
    if (head >= 0)
        snprintf(map->title, sizeof map->title, "layer %d, head %d", layer + 1, head + 1);
    else
        snprintf(map->title, sizeof map->title, "layer %d, mean of %d heads", layer + 1,
                 (int)heads);
    set_highest(map);
}

static bool special(const attend_encoding *encoding, size_t token) {
    size_t begin = 0, end = 0;
    return attend_encoding_span(encoding, token, &begin, &end) == ATTEND_OK && begin == end;
}

void head_map_hide_specials(head_map *map, const attend_encoding *encoding) {
    size_t kept = 0;
    const size_t all = map->count;
    for (size_t i = 0; i < all; ++i) {
        if (special(encoding, map->tokens[i])) {
            free(map->labels[i]);
            continue;
        }
        map->labels[kept] = map->labels[i];
        map->tokens[kept++] = map->tokens[i];
    }
    for (size_t i = 0; i < kept; ++i) /* moves towards the front only */
        for (size_t j = 0; j < kept; ++j)
            map->weights[i * kept + j] = map->weights[map->tokens[i] * all + map->tokens[j]];
    map->count = kept;
    set_highest(map);
}

void head_map_free(head_map *map) {
    for (size_t i = 0; i < map->count; ++i)
        free(map->labels[i]);
    free(map->labels);
    free(map->tokens);
    free(map->weights);
    memset(map, 0, sizeof *map);
}
