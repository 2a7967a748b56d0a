/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines of fields between tabs, with every control character and backslash in a field escaped: what
 * attend-probe tells its parent and what a verdict file holds. A device is one such line. */
#ifndef ATTEND_CORE_RECORDS_H
#define ATTEND_CORE_RECORDS_H

#include "attend/core.h"

#include <stdbool.h>

typedef struct attend__text {
    char *data; /* a string, to be freed; NULL before the first line */
    size_t used, room;
    bool failed; /* there was no memory for a line */
} attend__text;

/* What each line that attend-probe means starts with: drivers print, too. */
#define ATTEND__PROBE_MARK "@attend-probe"

void attend__record_put(attend__text *text, const char *const *fields, size_t count);
void attend__record_put_device(attend__text *text, const char *mark,
                               const attend_device_info *info);

/* The next line of *text without its end, which becomes a 0 byte; NULL at the end. */
char *attend__record_next(char **text);
/* Splits and decodes a line in place. The number of fields, at most `most`; 0 if an escape is
 * wrong or there are more fields. */
size_t attend__record_split(char *line, char **fields, size_t most);
enum { ATTEND__DEVICE_FIELDS = 12 };
/* From the fields of a line that attend__record_put_device made, the mark among them; info's
 * strings point into them. False if they are no device. */
bool attend__record_take_device(char *const *fields, size_t count, attend_device_info *info);

#endif
