#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# startup.sh [RUNS]: how long `attend embed --backend opencl` of one sentence takes as a whole process, first with empty
# caches (ours and PoCL's), then with what the first one left, the median of RUNS (5) processes; fails where the second is
# less than 5 times as fast or gives another result. The device is the first there is; OCL_ICD_VENDORS chooses the driver.
# BENCH_PROGRAM names the program (build/release/bin/attend), BENCH_MODEL the model's folder
# (models/all-MiniLM-L6-v2, by scripts/get_model.sh).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
attend=${BENCH_PROGRAM:-$root/build/release/bin/attend}
model=${BENCH_MODEL:-$root/models/all-MiniLM-L6-v2}
runs=${1:-5}
missing() { echo "startup.sh: $1 is missing: $2" >&2; exit 1; }
[ -x "$attend" ] || missing "$attend" "build first (cmake --preset release && cmake --build --preset release)"
[ -f "$model/model.safetensors" ] || missing "$model" "scripts/get_model.sh gets it"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/attend" "$folder/pocl"
export ATTEND_CACHE_DIR=$folder/attend POCL_CACHE_DIR=$folder/pocl
unset ATTEND_CACHE ATTEND_BACKEND ATTEND_DEVICE BENCH_PROGRAM BENCH_MODEL

# Milliseconds of a process; its output goes to the file named.
embed() {
    local begin end
    begin=$(date +%s%N)
    "$attend" embed --backend opencl --model "$model" "The animal didn't cross the street because it was too tired" >"$1"
    end=$(date +%s%N)
    echo $(((end - begin) / 1000000))
}

cold=$(embed "$folder/cold")
for ((i = 0; i < runs; i++)); do
    embed "$folder/warm" >>"$folder/times"
    cmp "$folder/cold" "$folder/warm"
done
warm=$(sort -n "$folder/times" | sed -n "$(((runs + 1) / 2))p")
echo "first process $cold ms, later ones $warm ms: $((cold / warm)).$((cold * 10 / warm % 10)) times as fast"
[ "$cold" -ge $((5 * warm)) ]
