#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts Intel's OpenCL runtime for CPUs (PyPI's intel-opencl-rt; it runs on AMD's, too) into .venv-intel of the clone and
# prints the path of its library. --look installs nothing. ATTEND_TEST_INTEL_OPENCL names a folder that has it already.
set -u
cd "$(dirname "$0")/.."
look() {
    local folder library
    for folder in "${ATTEND_TEST_INTEL_OPENCL:-}" "$PWD/.venv-intel"; do
        [ -d "$folder" ] || continue
        library=$(find "$folder" -name libintelocl.so 2>/dev/null | head -n 1)
        # its compiler's libraries are a package of their own
        [ -n "$library" ] && [ -e "$(dirname "$library")/libsvml.so" ] && echo "$library" && return 0
    done
    return 1
}
look && exit 0
[ "${1:-}" != --look ] || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "installing into .venv-intel for the full tests: intel-opencl-rt" >&2
if ! { python3 -m venv .venv-intel && .venv-intel/bin/pip install -q intel-opencl-rt intel-cmplr-lib-rt; } >"$log" 2>&1; then
    echo "no Intel runtime: $(tail -n 1 "$log")" >&2
    exit 1
fi
look
