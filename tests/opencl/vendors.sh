#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# vendors.sh NAME COMMAND..: runs the command with one OpenCL driver alone: pocl, intel (a CPU runtime of PyPI,
# scripts/get_intel_opencl.sh), rusticl (Mesa on llvmpipe) or oclgrind. Exits 77 with the reason if it is not installed.
# Through a folder of vendor files, never LD_LIBRARY_PATH, which would swap the loader, too.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
name=${1:?vendors.sh NAME COMMAND..}
shift
missing() { echo "$name is not here: $1"; exit 77; }
first() { local f; for f in "$@"; do [ -e "$f" ] && echo "$f" && return; done; }

case $name in
    pocl) library=$(cat /etc/OpenCL/vendors/pocl.icd 2>/dev/null) || missing "apt-get install pocl-opencl-icd" ;;
    intel) library=$("$here/../../scripts/get_intel_opencl.sh" --look) || missing "scripts/get_intel_opencl.sh" ;;
    rusticl)
        library=$(cat /etc/OpenCL/vendors/rusticl.icd 2>/dev/null) || missing "apt-get install mesa-opencl-icd"
        export RUSTICL_ENABLE=llvmpipe
        ;;
    oclgrind)
        library=$(first /usr/lib/oclgrind/liboclgrind-rt-icd.so /usr/lib/*/oclgrind/liboclgrind-rt-icd.so)
        [ -n "$library" ] || missing "apt-get install oclgrind"
        # Oclgrind 21.10 stops at what clang's optimizer leaves behind (freeze, noalias scopes).
        export OCLGRIND_BUILD_OPTIONS=-cl-opt-disable
        ;;
    *) echo "vendors.sh: $name is none of pocl, intel, rusticl, oclgrind" >&2; exit 2 ;;
esac
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo "$library" >"$folder/$name.icd"
OCL_ICD_VENDORS=$folder "$@"
