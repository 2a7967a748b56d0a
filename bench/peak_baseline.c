/* SPDX-License-Identifier: Apache-2.0
 *
 * peak.h for what every processor of the target has. */
#define PEAK_BYTES 16
#define PEAK_NAME baseline
#include "peak_tmpl.h"
