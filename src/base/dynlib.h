/* SPDX-License-Identifier: Apache-2.0
 *
 * Loading shared objects at run time, and finding where an address came from. Loaded objects are
 * never unloaded: drivers start threads and register handlers that outlive any count of ours. */
#ifndef ATTEND_BASE_DYNLIB_H
#define ATTEND_BASE_DYNLIB_H

#include <stddef.h>

#if defined(_WIN32)
#define ATTEND__DYNLIB_SUFFIX ".dll"
#elif defined(__APPLE__)
#define ATTEND__DYNLIB_SUFFIX ".dylib"
#else
#define ATTEND__DYNLIB_SUFFIX ".so"
#endif

typedef void attend__function(void);

/* All symbols resolved now, none visible to others. NULL and a reason in `error`. */
void *attend__dynlib_open(const char *path, char *error, size_t error_bytes);
attend__function *attend__dynlib_symbol(void *library, const char *name); /* NULL if missing */

/* The folder of the file that the code at `address` was loaded from, to be freed; NULL if unknown.
 */
char *attend__dynlib_folder(attend__function *address);

#endif
