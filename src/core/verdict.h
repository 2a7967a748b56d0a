/* SPDX-License-Identifier: Apache-2.0
 *
 * Verdicts: what attend_probe found out about a module's devices, kept in the cache folder for
 * "auto". A verdict holds for the drivers it was made with: its key has the module's fingerprint of
 * them. */
#ifndef ATTEND_CORE_VERDICT_H
#define ATTEND_CORE_VERDICT_H

#include "config.h"
#include "device_list.h"
#include "registry.h"

/* The cache folder of these settings for free(), made if it is missing and something is `to_store`;
 * NULL, and why, where there is none or nothing may be kept. */
char *attend__verdict_folder(const attend__settings *settings, bool to_store, char *reason,
                             size_t bytes);

/* Whether there is a file about the module of that name, whatever it says. */
bool attend__verdict_exists(const char *folder, const char *module);

/* Keeps the devices first.. of the list as what is known about the module. `fingerprint` NULL: it
 * has none, or did not come so far; the verdict is then void. False if it could not be written. */
bool attend__verdict_store(const char *folder, const char *module, const char *version,
                           const char *fingerprint, const attend_device_list *list, size_t first);

/* The devices of a void verdict, NULL if it is none: such a module must not even be loaded. */
attend_device_list *attend__verdict_load_void(const char *folder, const char *module);

/* The devices of the module's verdict; those without a reason are good. NULL and the sentence why
 * not. */
attend_device_list *attend__verdict_load(const char *folder, const attend__module *module,
                                         char *reason, size_t bytes);

/* The module's fingerprint for free(); NULL if it has none or fails to make it. */
char *attend__fingerprint(const attend_plugin *plugin);

#endif
