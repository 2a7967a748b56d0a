/* SPDX-License-Identifier: Apache-2.0
 *
 * cache_folder.h. A sealed file is one line "attend-cache 1 KEY-BYTES DATA-BYTES CHECKSUM", the
 * key, a line end, the data. The checksum covers key and data; it guards against accidents (a full
 * disk, a crash, an editor), while rights of file and folder guard against other users. */
#include "base/cache_folder.h"

#include "base/environment.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "attend-cache 1 "
enum { LONGEST_HEAD = 96 };

uint64_t attend__hash(uint64_t start, const void *data, size_t bytes) {
    const unsigned char *at = data;
    uint64_t hash = start;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t checksum(const void *key, size_t key_bytes, const void *data, size_t bytes) {
    return attend__hash(attend__hash(ATTEND__HASH_START, key, key_bytes), data, bytes);
}

/* ---- folder --------------------------------------------------------------------------------- */

/* Where a system keeps what a user's programs write, by the kind of it. */
typedef struct user_place {
    const char *windows, *variable, *home; /* two variables; the path below HOME */
} user_place;
static const user_place for_cache = {"LOCALAPPDATA", "XDG_CACHE_HOME", ".cache/attend"},
                        for_config = {"APPDATA", "XDG_CONFIG_HOME", ".config/attend"};

static char *user_folder(const user_place *p) {
#ifdef _WIN32
    const char *folder = attend__environment_get(p->windows);
    return folder ? attend__path_join(folder, "attend") : NULL;
#else
    const char *xdg = attend__environment_get(p->variable);
    if (xdg && xdg[0] == '/') return attend__path_join(xdg, "attend"); /* relative: to be ignored */
    const char *home = attend__environment_get("HOME");
    return home && home[0] == '/' ? attend__path_join(home, p->home) : NULL;
#endif
}

static bool absolute(const char *path) {
    return path[0] == '/' || path[0] == '\\' || (path[0] && path[1] == ':');
}

/* The last two levels may be missing: "HOME/.cache" often is on a fresh account. */
static bool make(const char *path) {
    if (attend__folder_make(path)) return true;
    const char *end = strrchr(path, '/');
    if (!end || end == path) return false;
    char *parent = attend__string_part(path, (size_t)(end - path));
    const bool made = parent && attend__folder_make(parent) && attend__folder_make(path);
    free(parent);
    return made;
}

static char *find(const user_place *place, const char *configured, bool may_make, char *reason,
                  size_t reason_bytes) {
    char *path = configured ? attend__string_copy(configured) : user_folder(place);
    if (!path)
        (void)snprintf(reason, reason_bytes, "no home folder is known");
    else if (!absolute(path))
        (void)snprintf(reason, reason_bytes, "\"%.200s\" is not an absolute path", path);
    else if (may_make && !make(path))
        (void)snprintf(reason, reason_bytes, "\"%.200s\" is no folder and cannot be made one",
                       path);
    else if (!attend__file_look(path).folder)
        (void)snprintf(reason, reason_bytes, "there is no folder \"%.200s\"", path);
    else if (attend__file_look(path).writable_by_others)
        (void)snprintf(reason, reason_bytes, "every user may write into \"%.200s\"", path);
    else
        return path;
    free(path);
    return NULL;
}

char *attend__cache_folder(const char *configured, char *reason, size_t reason_bytes) {
    char unused[1];
    return find(&for_cache, configured, true, reason ? reason : unused,
                reason ? reason_bytes : sizeof unused);
}

char *attend__cache_folder_look(const char *configured, char *reason, size_t reason_bytes) {
    char unused[1];
    return find(&for_cache, configured, false, reason ? reason : unused,
                reason ? reason_bytes : sizeof unused);
}

char *attend__config_folder(const char *configured, bool may_make, char *reason,
                            size_t reason_bytes) {
    char unused[1];
    return find(&for_config, configured, may_make, reason ? reason : unused,
                reason ? reason_bytes : sizeof unused);
}

/* ---- files ---------------------------------------------------------------------------------- */

char *attend__cache_seal(const char *key, const void *data, size_t bytes, size_t *total) {
    const size_t key_bytes = strlen(key);
    if (bytes > SIZE_MAX - key_bytes - LONGEST_HEAD - 1) return NULL;
    char *const text = malloc(LONGEST_HEAD + key_bytes + 1 + bytes);
    if (!text) return NULL;
    const int head = snprintf(text, LONGEST_HEAD, MAGIC "%zu %zu %016" PRIx64 "\n", key_bytes,
                              bytes, checksum(key, key_bytes, data, bytes));
    char *const at = text + head;
    memcpy(at, key, key_bytes);
    at[key_bytes] = '\n';
    if (bytes) memcpy(at + key_bytes + 1, data, bytes);
    *total = (size_t)head + key_bytes + 1 + bytes;
    return text;
}

bool attend__cache_store(const char *folder, const char *name, const char *key, const void *data,
                         size_t bytes) {
    size_t total;
    char *path = attend__path_join(folder, name);
    char *text = attend__cache_seal(key, data, bytes, &total);
    const bool stored = path && text && attend__file_write_atomic(path, text, total);
    free(path);
    free(text);
    return stored;
}

/* What a sealed file says about itself; false if it is not what attend__cache_seal makes. */
typedef struct seal {
    const char *key, *data;
    size_t key_bytes, bytes;
} seal;

static bool open_seal(const char *text, size_t total, seal *s) {
    uint64_t sum = 0;
    int head = 0;
    if (strncmp(text, MAGIC, strlen(MAGIC)) != 0 ||
        sscanf(text + strlen(MAGIC), "%20zu %20zu %16" SCNx64 "%n", &s->key_bytes, &s->bytes, &sum,
               &head) != 3)
        return false;
    const size_t start = strlen(MAGIC) + (size_t)head + 1; /* the text ends with a 0 byte */
    if (start > total || text[start - 1] != '\n') return false;
    const size_t left = total - start;
    if (s->key_bytes >= left || s->bytes != left - s->key_bytes - 1) return false;
    s->key = text + start;
    s->data = s->key + s->key_bytes + 1;
    return s->data[-1] == '\n' && sum == checksum(s->key, s->key_bytes, s->data, s->bytes);
}

attend__cache_news attend__cache_load(const char *folder, const char *name, const char *key,
                                      size_t most, void **data, size_t *bytes) {
    *data = NULL;
    *bytes = 0;
    char *path = attend__path_join(folder, name);
    if (!path) return ATTEND__CACHE_ABSENT;
    const bool exists = attend__file_look(path).exists;
    size_t total = 0;
    char *text = exists ? attend__file_load(path, most, &total) : NULL;
    free(path);
    if (!text) return exists ? ATTEND__CACHE_REFUSED : ATTEND__CACHE_ABSENT;
    seal s;
    attend__cache_news news = ATTEND__CACHE_DAMAGED;
    if (open_seal(text, total, &s)) {
        const bool fits = s.key_bytes == strlen(key) && !memcmp(s.key, key, s.key_bytes);
        news = fits ? ATTEND__CACHE_FOUND : ATTEND__CACHE_OTHER_KEY;
    }
    if (news != ATTEND__CACHE_FOUND) {
        free(text);
        return news;
    }
    *bytes = s.bytes;
    memmove(text, s.data, s.bytes + 1); /* with the 0 byte behind the file */
    *data = text;
    return ATTEND__CACHE_FOUND;
}
