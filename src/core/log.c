/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h. A line is made whole and written with one call, so that lines of several threads do not
 * mix. */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const topic_names[] = {"load",  "select", "dispatch",
                                          "build", "tuning", "config"};
enum { TOPICS = sizeof topic_names / sizeof *topic_names };

static unsigned topic_bit(const char *name, size_t length) {
    for (unsigned i = 0; i < TOPICS; i++)
        if (strlen(topic_names[i]) == length && !strncmp(topic_names[i], name, length))
            return 1u << i;
    return 0;
}

attend_status attend__log_check_file(const char *path) {
    FILE *file = fopen(path, "a");
    if (!file)
        return attend__fail(ATTEND_IO, "ATTEND_LOG_FILE: \"%.200s\" cannot be written", path);
    fclose(file);
    return ATTEND_OK;
}

attend_status attend__log_topics(const char *text, unsigned *topics) {
    *topics = 0;
    if (!text || !strcmp(text, "0")) return ATTEND_OK;
    while (*text) {
        const size_t length = strcspn(text, ",");
        const bool all = (length == 3 && !strncmp(text, "all", 3)) || (length == 1 && *text == '1');
        const unsigned bits = all ? (1u << TOPICS) - 1 : topic_bit(text, length);
        if (!bits && length)
            return attend__fail(ATTEND_INVALID,
                                "ATTEND_VERBOSE: \"%.*s\" is none of load, select, dispatch, "
                                "build, tuning, config, "
                                "all",
                                (int)(length < 80 ? length : 80), text);
        *topics |= bits;
        text += length + (text[length] == ',');
    }
    return ATTEND_OK;
}

/* Lines about every call are made only where their topic was asked for. */
bool attend__log_wanted(const attend__settings *settings, const char *topic) {
    if (!settings || (!settings->options.log && !settings->topics)) return false;
    if (settings->topics & topic_bit(topic, strlen(topic))) return true;
    return settings->options.log && strcmp(topic, "dispatch") != 0;
}

static void write_line(const attend__settings *settings, const char *topic, const char *text) {
    const char *path = settings->values[ATTEND__SETTING_LOG_FILE];
    FILE *file = path ? fopen(path, "a") : NULL;
    fprintf(file ? file : stderr, "attend: %s: %s\n", topic, text);
    if (file) fclose(file);
}

void attend__log(const attend__settings *settings, attend_log_level level, const char *topic,
                 const char *format, ...) {
    if (!attend__log_wanted(settings, topic)) return;
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *c = strchr(text, '\n'); c; c = strchr(c, '\n'))
        *c = ';'; /* a line is one line */
    if (settings->options.log)
        settings->options.log(settings->options.log_user, level, topic, text);
    if (settings->options.verbose && settings->options.log)
        return; /* the application asked for itself */
    if (settings->topics & topic_bit(topic, strlen(topic))) write_line(settings, topic, text);
}
