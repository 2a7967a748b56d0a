/* SPDX-License-Identifier: Apache-2.0
 *
 * The list behind attend_device_list_create, attend_probe and verdicts. */
#ifndef ATTEND_CORE_DEVICE_LIST_H
#define ATTEND_CORE_DEVICE_LIST_H

#include "attend/core.h"

#include <stdbool.h>

enum { ATTEND__MOST_DEVICES = 256 }; /* a module that never ends its list must not hang us */

struct attend_device_list {
    size_t count, room;
    attend_device_info *items;
    char *
        *texts; /* one block for the strings of each item; NULL: they live as long as the process */
};

/* No device yet: every string "", usable. */
attend_device_info attend__device_info_empty(const char *id, const char *backend, const char *file);
/* Asks a plugin's device_info; what it leaves NULL is "". */
attend_status attend__device_info_ask(attend_status (*ask)(uint32_t index,
                                                           attend_device_info *info),
                                      uint32_t index, attend_device_info *info);

attend_device_list *attend__device_list_new(void);
/* False if there is no memory. The second copies the strings. */
bool attend__device_list_append(attend_device_list *list, const attend_device_info *info);
bool attend__device_list_append_copy(attend_device_list *list, const attend_device_info *info);

#endif
