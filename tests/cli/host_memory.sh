#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# host_memory.sh PROGRAM: calls with operands in host memory as a party beside `opencl`, checked like all others, and the
# bytes that were copied or used in place.
. "$(dirname "$0")/lib.sh"
small=(--case 'B1 H2 G1 L40 S40 D16 f32,project R64 N48 K80 f32,layer B1 L8 M32 H2 f32,merge B1 H2 L8 D16 f32'
       --seconds 0.01 --threads 1)
attention=$(((2 * 2 + 2 * 1) * 40 * 16 * 4)) # q and out, k and v

# rows COPIED IN-PLACE ENVIRONMENT: each case is right on both parties; attention in host memory has these bytes, and in
# the device's memory none
rows() {
    local copied=$1 in_place=$2
    shift 2
    for setting; do export "${setting?}"; done
    expect 0 bench "${small[@]}" --backend opencl,opencl:host --format json
    [ "$(grep -c '"ok": true' "$out")" -eq 8 ] || fault "$what: not 8 results that are right"
    lacks "$out" "wrong"
    python3 - "$out" "$copied" "$in_place" <<'END' || fault "$what: other bytes"
import json, sys
bytes_of = {(r["backend"], r["op"]): (r["copied_bytes"], r["in_place_bytes"]) for r in json.load(open(sys.argv[1]))["results"]}
print(bytes_of)
sys.exit(bytes_of["opencl:host", "attention"] != (int(sys.argv[2]), int(sys.argv[3])) or
         bytes_of["opencl", "attention"] != (None, None))
END
}
rows 0 "$attention"
rows "$attention" 0 ATTEND_TRANSFERS=copy
# columns of the table, where a row has them
expect 0 bench "${small[@]}" --backend opencl:host
says "$out" 'copied MiB'
expect 0 bench "${small[@]}" --backend opencl
lacks "$out" 'in place MiB'
finish
