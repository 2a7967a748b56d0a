/* SPDX-License-Identifier: Apache-2.0
 *
 * records.h. Numbers are whole ones, for the decimal point depends on the application's locale. */
#include "records.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing -------------------------------------------------------------------------------- */

static void put(attend__text *text, const char *more, size_t length) {
    if (text->failed) return;
    if (text->room - text->used <= length) {
        const size_t room = 2 * (text->used + length) + 64;
        char *data = realloc(text->data, room);
        if (!data) {
            text->failed = true;
            return;
        }
        text->data = data;
        text->room = room;
    }
    memcpy(text->data + text->used, more, length);
    text->used += length;
    text->data[text->used] = 0;
}

static bool is_plain(unsigned char c) {
    return c >= ' ' && c != '\\' && c != 0x7f;
}

static void put_field(attend__text *text, const char *field) {
    for (; *field; field++) {
        const unsigned char c = (unsigned char)*field;
        char escape[4];
        if (is_plain(c)) {
            put(text, field, 1);
        } else {
            snprintf(escape, sizeof escape, "\\%02x", c);
            put(text, escape, 3);
        }
    }
}

void attend__record_put(attend__text *text, const char *const *fields, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (i) put(text, "\t", 1);
        put_field(text, fields[i]);
    }
    put(text, "\n", 1);
}

void attend__record_put_device(attend__text *text, const char *mark,
                               const attend_device_info *info) {
    char kind[16], types[16], memory[24], microseconds[24], status[16];
    snprintf(kind, sizeof kind, "%d", (int)info->kind);
    snprintf(types, sizeof types, "%" PRIu32, info->types);
    snprintf(memory, sizeof memory, "%" PRIu64, info->memory_bytes);
    snprintf(microseconds, sizeof microseconds, "%.0f", info->seconds * 1e6);
    snprintf(status, sizeof status, "%d", -(int)info->status);
    const char *reason = info->reason && !*info->reason ? "not usable" : info->reason;
    const char *fields[ATTEND__DEVICE_FIELDS] = {
        mark,          kind,           types,      memory,
        microseconds,  info->id,       info->name, info->vendor,
        info->version, info->platform, status,     reason ? reason : ""};
    attend__record_put(text, fields, ATTEND__DEVICE_FIELDS);
}

/* ---- reading -------------------------------------------------------------------------------- */

char *attend__record_next(char **text) {
    if (!*text || !**text) return NULL;
    char *line = *text;
    char *end = strchr(line, '\n');
    *text = end ? end + 1 : line + strlen(line);
    if (end) *end = 0;
    return line;
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(char *field) {
    char *to = field;
    for (const char *from = field; *from; from++) {
        if (*from != '\\') {
            *to++ = *from;
            continue;
        }
        const int high = digit(from[1]), low = high < 0 ? -1 : digit(from[2]);
        if (low < 0 || high + low == 0) return false;
        *to++ = (char)(high * 16 + low);
        from += 2;
    }
    *to = 0;
    return true;
}

size_t attend__record_split(char *line, char **fields, size_t most) {
    size_t count = 0;
    while (line) {
        if (count == most) return 0;
        char *tab = strchr(line, '\t');
        if (tab) *tab = 0;
        if (!decode(line)) return 0;
        fields[count++] = line;
        line = tab ? tab + 1 : NULL;
    }
    return count;
}

static bool number(const char *text, uint64_t most, uint64_t *value) {
    if (!*text || strspn(text, "0123456789") != strlen(text) || strlen(text) > 20) return false;
    *value = strtoull(text, NULL, 10);
    return *value <= most;
}

bool attend__record_take_device(char *const *fields, size_t count, attend_device_info *info) {
    uint64_t kind, types, memory, microseconds, status;
    if (count != ATTEND__DEVICE_FIELDS || !number(fields[1], ATTEND_DEVICE_ACCELERATOR, &kind) ||
        !number(fields[2], UINT32_MAX, &types) || !number(fields[3], UINT64_MAX, &memory) ||
        !number(fields[4], UINT64_MAX, &microseconds) || !number(fields[10], 1000, &status))
        return false;
    *info = (attend_device_info){.size = sizeof *info,
                                 .id = fields[5],
                                 .backend = "",
                                 .name = fields[6],
                                 .vendor = fields[7],
                                 .version = fields[8],
                                 .platform = fields[9],
                                 .reason = *fields[11] ? fields[11] : NULL,
                                 .kind = (attend_device_kind)kind,
                                 .types = (uint32_t)types,
                                 .memory_bytes = memory,
                                 .file = "",
                                 .status = (attend_status) - (int)status,
                                 .seconds = (double)microseconds * 1e-6};
    return true;
}
