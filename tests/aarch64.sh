#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# aarch64.sh [--full] BUILD-DIR: cross-builds for 64-bit ARM and runs what tests backend cpu there under qemu-user, on
# NEON and on plain C; --full takes every test that is a program, and more generated cases. 77, which CTest calls
# skipped, where the compiler or the emulator is missing.
set -euo pipefail
full=0
[ "${1:-}" = --full ] && full=1 && shift
build=$(realpath -m "$1")
source_dir=$(cd "$(dirname "$0")/.." && pwd)
cd "$source_dir"

for tool in aarch64-linux-gnu-gcc qemu-aarch64; do
    command -v $tool >/dev/null ||
        { echo "skipped: $tool is missing (apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)"; exit 77; }
done
for name in ${!ATTEND_*}; do unset "$name"; done
mkdir -p "$build"
exec 9>"$build/lock" # the short and the full test share the folder
flock 9

# Without the libraries only what needs none is built: the gate.
programs=(attend-gate) options=(-DATTEND_MODEL=OFF)
if scripts/get_arm64_libraries.sh "$build/libraries"; then
    programs+=(attend-program test_cpu_kernels test_cpu_math test_cpu_gemm test_cpu_stages test_edges test_guards)
    options=(-DATTEND_MODEL=ON -DATTEND_SYSROOT="$build/libraries")
    [ $full -eq 1 ] && programs=(all)
fi
run() { "$@" >"$build/log" 2>&1 || { tail -n 40 "$build/log"; exit 1; }; }
run cmake -S . -B "$build" -DCMAKE_TOOLCHAIN_FILE="$source_dir/cmake/toolchains/aarch64-linux-gnu.cmake" \
    -DCMAKE_BUILD_TYPE=Release -DATTEND_WERROR=ON -DATTEND_OPENCL=OFF "${options[@]}"
run cmake --build "$build" -j "$(nproc)" --target "${programs[@]}"

for isa in neon scalar; do
    ATTEND_ISA=$isa qemu-aarch64 -L /usr/aarch64-linux-gnu "$build/bin/attend-gate" --backend cpu --seed 5 \
        --cases $((full ? 600 : 150)) --length 130
done
if [ "${programs[*]}" = all ]; then
    # Not test_child and test_probe: they start programs, which only the emulator can. Not test_life: it forks, and qemu-user
    # before 8.0 says yes to MADV_WIPEONFORK (src/base/thread_posix.c) and does nothing. Not what says nothing of the processor
    # and takes minutes under emulation.
    ctest --test-dir "$build" -R '^(gate-|test_|cases-)' -LE 'slow|full' --no-tests=error --output-on-failure \
        -E '^test_(child|probe|life|decode_allocations)|-reference$' -j "$(nproc)"
elif [ ${#programs[@]} -gt 1 ]; then # of the programs' names, those of tests
    ctest --test-dir "$build" -R "^($(IFS='|'; echo "${programs[*]}"))\$" --no-tests=error --output-on-failure
fi
