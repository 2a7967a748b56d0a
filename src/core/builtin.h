/* SPDX-License-Identifier: Apache-2.0
 *
 * The backends that are part of libattend, in the order of the listing. The registry loads them
 * through the same entry function that a module exports. */
#ifndef ATTEND_CORE_BUILTIN_H
#define ATTEND_CORE_BUILTIN_H

#include "attend/plugin.h"

#ifdef ATTEND_OPENCL_BUILTIN /* a choice of the build */
#define ATTEND__BUILTIN_OPENCL(X) X(opencl)
#else
#define ATTEND__BUILTIN_OPENCL(X)
#endif

#define ATTEND__BUILTIN_LIST(X)                                                                    \
    X(cpu)                                                                                         \
    X(reference)                                                                                   \
    ATTEND__BUILTIN_OPENCL(X)

#define ATTEND_X(name) attend_plugin_entry_fn attend__##name##_entry;
ATTEND__BUILTIN_LIST(ATTEND_X)
#undef ATTEND_X

#endif
