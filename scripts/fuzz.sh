#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# fuzz.sh [SECONDS]: builds the fuzz targets with clang's libFuzzer and sanitizers, and runs each that long.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
compiler=$(command -v clang-14 || command -v clang || true)
[ -n "$compiler" ] || { echo "no fuzzing: clang is not installed"; exit 0; }
cmake -S . -B build/fuzz -DCMAKE_C_COMPILER="$compiler" -DATTEND_FUZZ=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
      -DBUILD_SHARED_LIBS=OFF -DATTEND_SANITIZE=address,undefined >/dev/null
cmake --build build/fuzz -j "$(nproc)" --target attend-fuzz >/dev/null
for target in build/fuzz/bin/fuzz_*; do
    name=$(basename "$target")
    echo "== $name, $seconds s"
    corpus=build/fuzz/corpus/$name
    mkdir -p "$corpus"
    [ -d "tests/data/fuzz/$name" ] && cp -n tests/data/fuzz/"$name"/* "$corpus"
    "$target" -max_total_time="$seconds" -max_len=65536 -print_final_stats=1 -verbosity=0 \
              -artifact_prefix="build/fuzz/$name-" "$corpus" 2>&1 | grep -E 'stat::(number_of_executed|average_exec)|ERROR|SUMMARY' || true
    ls "build/fuzz/$name"-crash-* "build/fuzz/$name"-leak-* "build/fuzz/$name"-timeout-* 2>/dev/null && exit 1
done
exit 0
