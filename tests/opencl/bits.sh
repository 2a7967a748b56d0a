#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bits.sh PROGRAM BACKEND: the same bits whatever the number of compute units, which decides whether keys are split over
# work-groups, and whatever parameters of kernels tuning might set. On PoCL, whose compute units are its threads; under
# vendors.sh.
set -euo pipefail
program=$1 backend=$2
first=
for setting in POCL_MAX_PTHREAD_COUNT={1,2,16} \
    'ATTEND_TUNING=attention_lanes:vectors=1,strips=2;attention_few:rows=2;attention_rows:rows=1;attention_tile:columns=64,rows=32,own=8'; do
    lines=$(env "$setting" "$program" "$backend") || exit $?
    [ -z "$first" ] || [ "$lines" = "$first" ] || { printf 'FAILED: %s gives\n%s\nand one compute unit gives\n%s\n' "$setting" "$lines" "$first"; exit 1; }
    first=${first:-$lines}
done
echo "bits: the same on 1, 2 and 16 compute units, and with other parameters of kernels"
