/* SPDX-License-Identifier: Apache-2.0
 *
 * peak.h for avx2. */
#define PEAK_BYTES 32
#define PEAK_NAME avx2
#include "peak_tmpl.h"
