/* SPDX-License-Identifier: Apache-2.0
 *
 * text_file.h. */
#include "text_file.h"

#include <stdio.h>

bool text_file_read(const char *path, char *text, size_t room) {
    FILE *const file = fopen(path, "r");
    if (!file) return false;
    size_t count = fread(text, 1, room - 1, file);
    const bool whole = !ferror(file);
    fclose(file);
    while (count > 0 && text[count - 1] == '\n')
        --count;
    text[count] = 0;
    return whole;
}
