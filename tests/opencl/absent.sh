#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# absent.sh ATTEND: what a user meets where OpenCL is not, or not whole: no loader, no platform, a platform without a
# device, a library that is no driver, a wrong ATTEND_DEVICE. Each is a sentence with a remedy and an exit code; cpu goes on,
# and says nothing of it.
set -uo pipefail
attend=$1
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export ATTEND_CACHE=off
faults=0
fault() { echo "FAULT: $1"; faults=$((faults + 1)); }

refused() { # NAME PATTERN [DEVICE]: opencl is refused with the sentence; cpu runs and is silent
    local name=$1 pattern=$2 device=${3:-}
    if ATTEND_DEVICE=$device "$attend" bench --backend opencl --op attention --seq 4 --heads 1 --dim 4 --seconds 0.01 \
            >"$work/out" 2>"$work/err"; then
        fault "$name: opencl ran"
    fi
    cat "$work/out" "$work/err" | grep -qE "$pattern" || fault "$name: no sentence like \"$pattern\": $(cat "$work/err")"
    "$attend" devices --backend cpu >"$work/out" 2>"$work/err" || fault "$name: cpu does not run"
    [ ! -s "$work/err" ] || fault "$name: noise: $(cat "$work/err")"
    grep -q '^cpu:0' "$work/out" || fault "$name: cpu is not listed"
}

mkdir "$work/empty" "$work/text" "$work/gone"
echo "not a library" >"$work/driver.so"
echo "$work/driver.so" >"$work/text/text.icd"
echo "$work/nowhere.so" >"$work/gone/gone.icd"
for folder in empty text gone; do
    OCL_ICD_VENDORS=$work/$folder refused "$folder" 'finds no platform: install a driver'
done
OCL_ICD_VENDORS=$work/empty "$attend" devices 2>&1 | grep -q 'finds no platform: install' || fault "the listing has no reason"

rusticl=$(cat /etc/OpenCL/vendors/rusticl.icd 2>/dev/null)
if [ -n "$rusticl" ]; then
    mkdir "$work/rusticl"
    echo "$rusticl" >"$work/rusticl/rusticl.icd"
    OCL_ICD_VENDORS=$work/rusticl refused "no device" 'the platform has no device'
fi

# The loader hidden from this process alone, where the machine lets us.
loader=$(ldconfig -p 2>/dev/null | awk '/libOpenCL.so.1 / {print $NF; exit}')
if [ -n "$loader" ] && unshare -m mount --bind "$work/driver.so" "$(readlink -f "$loader")" 2>/dev/null; then
    hide="mount --bind $work/driver.so $(readlink -f "$loader")"
    unshare -m bash -c "$hide && exec \"\$@\"" - "$attend" devices >"$work/out" 2>"$work/err" || fault "no loader: devices fails"
    grep -q 'no OpenCL loader: .*install one' "$work/out" || fault "no loader: no reason: $(cat "$work/out")"
    [ ! -s "$work/err" ] || fault "no loader: noise: $(cat "$work/err")"
else
    echo "the loader cannot be hidden here: not tried"
fi

if [ -e /etc/OpenCL/vendors/pocl.icd ]; then
    pocl=("$here/vendors.sh" pocl)
    ATTEND_DEVICE=nonesuch "${pocl[@]}" "$attend" devices --backend opencl >"$work/out" 2>&1
    grep -q 'device "nonesuch": none of opencl.s fits: .*opencl:0' "$work/out" || fault "wrong device: $(cat "$work/out")"
    ATTEND_DEVICE=gpu "${pocl[@]}" "$attend" devices --backend opencl >"$work/out" 2>&1
    grep -q 'device "gpu": none' "$work/out" || fault "no GPU: $(cat "$work/out")"
    ATTEND_DEVICE=PoCL "${pocl[@]}" "$attend" devices --backend opencl 2>&1 | grep -q '^Chosen now: opencl' ||
        fault "a part of the version's text does not choose"
    ATTEND_KERNELS=fast "${pocl[@]}" "$attend" devices --backend opencl >"$work/out" 2>&1
    grep -q 'ATTEND_KERNELS: "fast" is none of' "$work/out" || fault "a wrong family: $(cat "$work/out")"
fi
[ $faults -eq 0 ] && echo "absent: every kind has its sentence, and cpu goes on"
exit $((faults > 0))
