#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bits.sh PROGRAM BACKEND: the same bits whatever the number of compute units, which decides whether keys are split over
# work-groups. On PoCL, whose compute units are its threads; under vendors.sh.
set -euo pipefail
program=$1 backend=$2
first=
for units in 1 2 16; do
    lines=$(POCL_MAX_PTHREAD_COUNT=$units "$program" "$backend") || exit $?
    [ -z "$first" ] || [ "$lines" = "$first" ] || { printf 'FAILED: %s compute units give\n%s\nand 1 gives\n%s\n' "$units" "$lines" "$first"; exit 1; }
    first=${first:-$lines}
done
echo "bits: the same on 1, 2 and 16 compute units"
