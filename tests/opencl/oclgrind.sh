#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# oclgrind.sh BIN FAMILY | --quick: families of kernels under Oclgrind, which watches each access, each race and each call:
# generated cases and the case files. The gate is an empty log; an exit code would say nothing, since a program runs on after a
# fault. Devices with work-groups of 64 and 16 KiB of local memory are what it pretends to be. --quick: all, few cases, no file.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
bin=$1
families=("$2") cases=12
if [ "$2" = --quick ]; then
    families=(rows tile plain) cases=3
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=$work/log
faults=0
export OCLGRIND_LOG=$log OCLGRIND_CHECK_API=1 OCLGRIND_DATA_RACES=1 OCLGRIND_MAX_WGSIZE=64 OCLGRIND_LOCAL_MEM_SIZE=16384
export ATTEND_CACHE=off

watch() { # FAMILY COMMAND..
    local family=$1 status=0
    shift
    : >"$log"
    ATTEND_KERNELS=$family "$here/vendors.sh" oclgrind "$@" >"$work/out" 2>&1 || status=$?
    [ $status -ne 77 ] || { cat "$work/out"; exit 77; }
    if [ $status -ne 0 ] || [ -s "$log" ]; then
        echo "FAULT: $family: ${*##*/}"
        tail -n 5 "$work/out"
        head -n 20 "$log"
        faults=$((faults + 1))
    fi
}

gate=("$bin/attend-gate" --backend opencl)
for family in "${families[@]}"; do
    watch $family "${gate[@]}" --cases $cases --seed 7 --length 30 --head-size 40
    # keys that are split and joined, heads wider than one group's columns
    watch $family "${gate[@]}" --cases $((cases / 4 + 1)) --seed 8 --length 300 --head-size 6
    watch $family "${gate[@]}" --cases $((cases / 4 + 1)) --seed 9 --length 6 --head-size 300
    [ $cases -gt 3 ] || continue
    for file in "$here"/../data/{stages,onnx,pytorch,serving,layers}*.safetensors; do
        watch $family "$bin/attend" check --backend opencl "$file"
    done
done
if [ "$2" = tile ]; then
    if [ -x "$bin/test_opencl_matrix" ]; then # groups of 128, and the emulation
        for test in matrix matrix_attention; do
            OCLGRIND_MAX_WGSIZE=128 OCLGRIND_LOCAL_MEM_SIZE=49152 watch tile "$bin/test_opencl_$test" small
        done
    fi
    # appending and caches: their kernels are the same in all families
    export ATTEND_BACKEND=opencl
    [ ! -x "$bin/example-generation" ] || watch tile "$bin/example-generation"
    [ ! -x "$bin/test_cache_bytes" ] || watch tile "$bin/test_cache_bytes" opencl
fi
[ $faults -eq 0 ] && echo "oclgrind: ${families[*]}: nothing to say"
exit $((faults > 0))
