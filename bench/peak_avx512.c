/* SPDX-License-Identifier: Apache-2.0
 *
 * peak.h for avx512. */
#define PEAK_BYTES 64
#define PEAK_NAME avx512
#include "peak_tmpl.h"
