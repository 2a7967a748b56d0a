/* SPDX-License-Identifier: Apache-2.0
 *
 * Names and texts of statuses and element types, from the lists of core.h; the version. */
#include "attend/core.h"

const char *attend_status_name(attend_status status) {
    switch ((int)status) {
#define ATTEND_X(name, value, text)                                                                \
    case value:                                                                                    \
        return "ATTEND_" #name;
        ATTEND_STATUS_LIST(ATTEND_X)
#undef ATTEND_X
    default:
        return "unknown status";
    }
}

const char *attend_status_text(attend_status status) {
    switch ((int)status) {
#define ATTEND_X(name, value, text)                                                                \
    case value:                                                                                    \
        return text;
        ATTEND_STATUS_LIST(ATTEND_X)
#undef ATTEND_X
    default:
        return "unknown status";
    }
}

size_t attend_type_bytes(attend_type type) {
    switch ((int)type) {
#define ATTEND_X(name, value, bytes, text)                                                         \
    case value:                                                                                    \
        return bytes;
        ATTEND_TYPE_LIST(ATTEND_X)
#undef ATTEND_X
    default:
        return 0;
    }
}

const char *attend_type_text(attend_type type) {
    switch ((int)type) {
#define ATTEND_X(name, value, bytes, text)                                                         \
    case value:                                                                                    \
        return text;
        ATTEND_TYPE_LIST(ATTEND_X)
#undef ATTEND_X
    default:
        return "?";
    }
}

uint32_t attend_version(void) {
    return ATTEND_VERSION_MAJOR * 10000 + ATTEND_VERSION_MINOR * 100 + ATTEND_VERSION_PATCH;
}
