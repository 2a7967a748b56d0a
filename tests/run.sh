#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds, and runs the tests; --full adds the suites of minutes: 3,000 generated
# cases, sanitizers, fuzzing, the comparison with PyTorch, all OpenCL drivers and Oclgrind, 64-bit ARM. Ends with CTest's summary.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/packages.sh

full=0
case "${1:-}" in
    "") ;;
    --full) full=1 ;;
    *) echo "usage: tests/run.sh [--full]" >&2; exit 2 ;;
esac

# The tests decide which backend runs with what: settings of the caller's shell are for programs.
for name in ${!ATTEND_*}; do
    case $name in ATTEND_TEST_* | ATTEND_ORACLE_PYTHON) continue ;; esac
    echo "not for the tests: $name=${!name}"
    unset "$name"
done

need_packages "the build and the tests" $packages_build $packages_tests || true
need_packages "OpenCL and CLBlast" $packages_opencl || true
need_packages "the page in a browser" $packages_browser || true
need_packages "the model" $packages_model || true
need_tools
scripts/get_model.sh || true # it says why; the tests that need the model are then skipped

jobs=$(nproc)
build_and_test() { # PRESET CTEST-ARGUMENT..
    local preset=$1
    shift
    echo "== $preset"
    configure "$preset" -DATTEND_TESTS=ON
    cmake --build --preset "$preset" -j "$jobs" | grep -E 'warning:|error:|\*\*\*' || true
    cmake --build --preset "$preset" >/dev/null
    ctest --preset "$preset" --no-tests=error -j "$jobs" "$@"
}

if [ "$full" -eq 1 ]; then
    need_packages "the full tests" clang libclang-rt-14-dev g++ python3-venv libxml2-utils $packages_opencl_full || true
    need_packages "64-bit ARM" $packages_arm64 || true
    scripts/get_oracles.sh || true
    scripts/get_intel_opencl.sh >/dev/null || true
    # drivers compile in this process and leak, which sanitizers see as ours: what runs on PoCL runs without, and
    # the presets name a folder that holds no driver
    build_and_test asan-ubsan -LE 'slow|full|opencl'
    # without what would take a quarter of an hour under this sanitizer and runs the same code
    build_and_test tsan -LE 'slow|full|opencl' -E 'reference|gate-cpu-|gate-faults'
    scripts/fuzz.sh 60
fi
build_and_test release $([ "$full" -eq 1 ] || echo "-LE full")
