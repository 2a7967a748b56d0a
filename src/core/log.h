/* SPDX-License-Identifier: Apache-2.0
 *
 * Lines for the application's callback, and for stderr or ATTEND_LOG_FILE where ATTEND_VERBOSE asks
 * for their topic. Nothing else in the library prints. */
#ifndef ATTEND_CORE_LOG_H
#define ATTEND_CORE_LOG_H

#include "config.h"
#include "error.h"

/* Bits of the topics in a list like "dispatch,load"; "all" and "1" mean every topic. INVALID names
 * an unknown one. */
attend_status attend__log_topics(const char *text, unsigned *topics);
/* IO if lines could not be appended to this file. */
attend_status attend__log_check_file(const char *path);
/* Whether anybody listens to the topic: lets callers skip making the text. */
bool attend__log_wanted(const attend__settings *settings, const char *topic);
void attend__log(const attend__settings *settings, attend_log_level level, const char *topic,
                 const char *format, ...) ATTEND__PRINTF(4, 5);

#endif
