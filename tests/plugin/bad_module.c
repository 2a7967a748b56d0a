/* SPDX-License-Identifier: Apache-2.0
 *
 * A module that is wrong in one way, chosen by -DFAULT_name when it is compiled (run.sh). */
#include <attend/plugin.h>

static attend_status device_info(uint32_t index, attend_device_info *info) {
    info->id = "bad:0";
    info->name = "a device nobody should see";
    return index ? ATTEND_NOT_FOUND : ATTEND_OK;
}

static attend_status device_open(uint32_t index, const attend_host *host,
                                 attend_device_table *table, attend_device **device) {
    (void)index, (void)host, (void)device;
    table->size = 8; /* a table that ends before anything useful */
    return ATTEND_OK;
}

#ifdef FAULT_missing_library
extern int from_a_library_that_is_gone(void);
int use_it(void);
int use_it(void) {
    return from_a_library_that_is_gone();
}
#endif

#ifndef FAULT_missing_symbol
ATTEND_PLUGIN_EXPORT attend_plugin_entry_fn ATTEND_PLUGIN_ENTRY;
attend_status ATTEND_PLUGIN_ENTRY(const attend_host *host, attend_plugin *plugin) {
    plugin->abi = ATTEND_PLUGIN_ABI;
    plugin->name = NAME;
    plugin->version = "1";
    plugin->device_info = device_info;
    plugin->device_open = device_open;
#ifdef FAULT_wrong_abi
    plugin->abi = 77;
#endif
#ifdef FAULT_short_table
    plugin->size = offsetof(attend_plugin, device_info);
#endif
#ifdef FAULT_unknown_bit
    plugin->required = (uint64_t)1 << 40;
#endif
#ifdef FAULT_no_device_open
    plugin->device_open = NULL;
#endif
#ifdef FAULT_other_name
    plugin->name = "somebody-else";
#endif
#ifdef FAULT_refusing
    host->set_error(host->self, "the moon is not full");
    return ATTEND_NO_DEVICE;
#endif
    (void)host;
    return ATTEND_OK;
}
#endif
