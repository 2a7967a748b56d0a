/* SPDX-License-Identifier: Apache-2.0
 *
 * What may be kept between runs: one folder of small sealed files. Each file holds the whole text
 * it depends on (its key) and a checksum; where anything does not fit, it counts as absent. Losing
 * the folder loses time only. */
#ifndef ATTEND_BASE_CACHE_FOLDER_H
#define ATTEND_BASE_CACHE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The folder as a new string for free(), made with mode 0700 if it is missing: `configured`
 * (ATTEND_CACHE_DIR, NULL = unset; must be absolute), else XDG_CACHE_HOME/attend, else
 * HOME/.cache/attend; on Windows LOCALAPPDATA\attend. NULL where there is none, where every user
 * may write into it, and in an elevated process without `configured`; `reason` (may be NULL) then
 * says why. Whether ATTEND_CACHE is "off" is the caller's to ask. */
char *attend__cache_folder(const char *configured, char *reason, size_t reason_bytes);
/* The same without making it, for those who only read. */
char *attend__cache_folder_look(const char *configured, char *reason, size_t reason_bytes);
/* The same for what a user would miss (ATTEND_CONFIG_DIR, else XDG_CONFIG_HOME/attend, else
 * HOME/.config/attend; on Windows APPDATA\attend), made only where `may_make`. */
char *attend__config_folder(const char *configured, bool may_make, char *reason,
                            size_t reason_bytes);

typedef enum attend__cache_news {
    ATTEND__CACHE_FOUND,
    ATTEND__CACHE_ABSENT,
    ATTEND__CACHE_OTHER_KEY, /* sound, but about something else: a new driver, other options */
    ATTEND__CACHE_DAMAGED,   /* cut, changed, or of another format */
    ATTEND__CACHE_REFUSED    /* attend__file_load does not read it: another user's, too large, .. */
} attend__cache_news;

/* A sealed file's text of *total bytes for free(); NULL without memory. */
char *attend__cache_seal(const char *key, const void *data, size_t bytes, size_t *total);
/* `name`: a file name without separators. The key may be any text; it is stored whole and compared,
 * so that two keys whose names collide are told apart. */
bool attend__cache_store(const char *folder, const char *name, const char *key, const void *data,
                         size_t bytes);
/* FOUND: *data is a new block of *bytes for free(), with a 0 byte behind it. Else *data is NULL.
 * Files of more than `most` bytes in all are REFUSED. */
attend__cache_news attend__cache_load(const char *folder, const char *name, const char *key,
                                      size_t most, void **data, size_t *bytes);

/* FNV-1a with 64 bits, for names of cache files and checksums; not for anything an enemy may
 * choose. Start with ATTEND__HASH_START; results chain. */
#define ATTEND__HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t attend__hash(uint64_t start, const void *data, size_t bytes);

#endif
