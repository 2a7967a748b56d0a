#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# host_memory.sh PROGRAM: calls with operands in host memory as a party beside `opencl`, checked like all others, and the
# bytes that were copied or used in place.
. "$(dirname "$0")/lib.sh"
small=(--case 'B1 H2 G1 L40 S40 D16 f32,project R64 N48 K80 f32,layer B1 L8 M32 H2 f32,merge B1 H2 L8 D16 f32'
       --seconds 0.01 --threads 1)
attention=$(((2 * 2 + 2 * 1) * 40 * 16 * 4)) # q and out, k and v

# rows WANT ENVIRONMENT: each case is right on both parties; the kernel of attention in host memory names these bytes
rows() {
    local want=$1
    shift
    for setting; do export "${setting?}"; done
    expect 0 bench "${small[@]}" --backend opencl,opencl:host --format json
    [ "$(grep -c '"ok": true' "$out")" -eq 8 ] || fault "$what: not 8 results that are right"
    says "$out" "$want"
    says "$out" '"backend": "opencl:host"'
    lacks "$out" "wrong"
}
rows "bytes copied 0, in place $attention"
rows "bytes copied $attention, in place 0" ATTEND_TRANSFERS=copy
finish
