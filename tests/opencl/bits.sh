#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bits.sh PROGRAM BACKEND [LAYER]: the same bits whatever the number of compute units, which decides whether keys are split
# over work-groups, and whatever parameters of kernels tuning might set. On PoCL, whose compute units are its threads;
# under vendors.sh. LAYER (tamper.c): also on a driver that allows the kernel ATTEND_TEST_NARROW few work-items.
set -euo pipefail
program=$1 backend=$2 layer=${3:-}
tile=columns=64,rows=32,own=8
[ -z "${ATTEND_MATRIX:-}" ] || tile=columns=64 # the tile of a matrix unit is its own
settings=(POCL_MAX_PTHREAD_COUNT={1,2,16}
    "ATTEND_TUNING=attention_lanes:vectors=1,strips=2;attention_few:rows=2;attention_rows:rows=1;attention_tile:$tile"
    'ATTEND_TUNING=attention_lanes:vectors=2,strips=1')
[ -z "$layer" ] || settings=(POCL_MAX_PTHREAD_COUNT=2 OPENCL_LAYERS="$layer")
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export ATTEND_VERBOSE=build ATTEND_LOG_FILE=$log
first=
for setting in "${settings[@]}"; do
    lines=$(env "$setting" "$program" "$backend") || exit $?
    [ -z "$first" ] || [ "$lines" = "$first" ] || { printf 'FAILED: %s gives\n%s\nand one compute unit gives\n%s\n' "$setting" "$lines" "$first"; exit 1; }
    first=${first:-$lines}
done
[ -z "$layer" ] || grep -q 'does not run' "$log" || { echo "FAILED: no kernel was refused"; exit 1; }
echo "bits: the same with ${settings[*]}"
