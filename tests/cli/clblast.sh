#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clblast.sh PROGRAM: CLBlast's own parameters as a party of their own beside `clblast`, in one run.
. "$(dirname "$0")/lib.sh"
small=(--case 'project R64 N48 K80 f32,scores B1 H2 G1 L40 S72 D16 f32' --seconds 0.01 --threads 1)

# who takes part, and with which settings: the log of a worker says whether it sets parameters
parties() { # WANT ARGUMENT..
    local want=$1
    shift
    ATTEND_VERBOSE=load expect 0 bench "${small[@]}" --format json "$@"
    local got
    got=$(grep -o '"backend": "[^"]*"' "$out" | cut -d'"' -f4 | sort -u | tr '\n' ' ')
    [ "$got" = "$want" ] || fault "$what: parties '$got', not '$want'"
}
parties "clblast clblast:defaults " --backend clblast,clblast:defaults
parties "clblast:defaults " --backend clblast:defaults
lacks "$err" "CLBlast's parameters for this device are set"
parties "clblast " --backend clblast
# a device that has no parameters of ours logs nothing: both parties are the same then
if grep -q "CLBlast's parameters for this device are set" "$err"; then
    ATTEND_CLBLAST_TUNING=off parties "clblast " --backend clblast
    lacks "$err" "CLBlast's parameters for this device are set"
fi
expect 1 bench "${small[@]}" --backend clblast:default
says "$err" "no usable device fits"
finish
