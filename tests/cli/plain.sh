#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The program without a model: help, arguments, devices, check, streams. usage: plain.sh PROGRAM
# shellcheck source=tests/cli/lib.sh
source "$(dirname "$0")/lib.sh"
data=$source_tree/tests/data

# ---- help and arguments
for command in devices check tokenize embed view explain; do
    expect 0 --help
    says "$out" "$command"
    expect 0 "$command" --help
    says "$out" "usage: attend $command"
    says "$out" --backend
    expect 2 "$command" --no-such-option
    refuses "unknown option --no-such-option"
done
expect 0 -h
expect 0 --version
grep -qxE 'attend [0-9]+\.[0-9]+\.[0-9]+' "$out" || fault "--version: not a version"
expect 2
refuses "a command is missing"
expect 2 frobnicate
refuses "unknown command 'frobnicate'"
expect 2 check
refuses "an argument is missing: FILE.."
expect 2 devices extra
refuses "one argument too many: 'extra'"
expect 2 check --backend
refuses "option --backend needs a value"
expect 2 view --no-special=1 text
refuses "option --no-special takes no value"
expect 2 check -x file
refuses "unknown option -x"
for command in view explain tokenize embed; do
    expect 2 "$command" text
    refuses "--model DIR is missing"
done
for threads in 0 -1 x 1x 99999999999; do
    expect 2 devices --threads "$threads"
    refuses "'$threads'"
done
expect 2 view --model m --color sometimes text
refuses "'sometimes'"
expect 2 view --model m --out map.gif text
refuses "map.gif"
expect 1 view --model "$work/nowhere" -- --text
refuses nowhere
expect 1 embed --model "$work/nowhere" text
refuses nowhere
expect 1 tokenize --model "$work/nowhere" text
refuses nowhere

# ---- devices
expect 0 devices
says "$out" cpu:0
says "$out" reference:0
says "$out" "Chosen now: cpu"
OCL_ICD_VENDORS=$work expect 0 devices --names # without drivers
[ "$(cat "$out")" = "cpu
reference" ] || fault "devices --names: $(cat "$out")"
expect 0 --backend reference devices
says "$out" "Chosen now: reference"
ATTEND_BACKEND=reference expect 0 devices
says "$out" "Chosen now: reference"
ATTEND_BACKEND=reference expect 0 devices --backend cpu
says "$out" "Chosen now: cpu"
expect 1 devices --backend nonsense
says "$err" nonsense
expect 1 check --backend nonsense "$data/onnx.safetensors"
refuses nonsense

# ---- check
case_file() { # ATTRIBUTES Y: 2 * 3 projected, expected to be the float Y (little endian)
    printf '\x00\x00\x00\x40\x00\x00\x40\x40%b' "$2" | safetensors "$work/case.safetensors" \
        '{"__metadata__":{"format":"attend-cases/1","a\u001b[31mb":"{\"op\":\"project\",'"$1"'\"atol\":0.01,\"rtol\":0}"},
        "a\u001b[31mb/x":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},
        "a\u001b[31mb/w":{"dtype":"F32","shape":[1,1],"data_offsets":[4,8]},
        "a\u001b[31mb/y":{"dtype":"F32","shape":[1,1],"data_offsets":[8,12]}}'
}
six='\x00\x00\xc0\x40' seven='\x00\x00\xe0\x40' nan='\x00\x00\xc0\x7f' infinity='\x00\x00\x80\x7f'
case_file '' "$six"
expect 0 check "$work/case.safetensors"
says "$out" "1 passed, 0 failed, 0 skipped"
says "$out" "ran on"
says "$out" " 1 x project_"
[ "$(wc -l <"$out")" -eq 3 ] || fault "check: more than where it ran, one kernel, and the numbers"
expect 0 check --verbose "$work/case.safetensors" "$work/case.safetensors"
says "$out" "2 passed, 0 failed, 0 skipped"
says "$out" 'a\x1b[31mb'
lacks "$out" $'\x1b'
case_file '' "$seven"
expect 1 check "$work/case.safetensors"
says "$out" 'FAIL a\x1b[31mb: y[0,0]: got 6, want 7'
says "$out" "0 passed, 1 failed, 0 skipped"
for other in "$nan" "$infinity"; do
    case_file '' "$other"
    expect 1 check "$work/case.safetensors"
    says "$out" "0 passed, 1 failed, 0 skipped"
done
case_file '\"strange\":1,' "$seven"
expect 0 check "$work/case.safetensors"
says "$out" "SKIP"
says "$out" "attribute 'strange'"
says "$out" "0 passed, 0 failed, 1 skipped"
case_file '' "$six"
sed 's/project/projekt/' "$work/case.safetensors" >"$work/operation.safetensors"
expect 0 check "$work/operation.safetensors"
says "$out" "operation 'projekt' is not known"
sed 's/31mb\/w/31mb\/z/' "$work/case.safetensors" >"$work/role.safetensors"
expect 0 check "$work/role.safetensors"
says "$out" "role 'z'"
sed 's/31mb\/w/31mx\/w/' "$work/case.safetensors" >"$work/stray.safetensors"
expect 1 check "$work/stray.safetensors"
says "$err" "there is no case for tensor"
lacks "$err" $'\x1b'

expect 1 check "$work/missing.safetensors"
says "$err" missing.safetensors
expect 1 check "$work"
says "$err" "$work"
head -c 1000 "$data/onnx.safetensors" >"$work/cut.safetensors"
expect 1 check "$work/cut.safetensors"
says "$err" cut.safetensors
head -c 400000 "$data/onnx.safetensors" >"$work/short.safetensors"
expect 1 check "$work/short.safetensors"
says "$err" short.safetensors
: >"$work/empty.safetensors"
expect 1 check "$work/empty.safetensors"
says "$err" empty.safetensors
safetensors "$work/foreign.safetensors" '{}' </dev/null
expect 1 check "$work/foreign.safetensors"
says "$err" foreign.safetensors
# a bad file does not hide the good one
expect 1 check "$work/empty.safetensors" "$work/case.safetensors"
says "$out" "1 passed, 0 failed, 0 skipped"
expect 0 check "$data/minilm.safetensors"
says "$out" "0 passed, 0 failed, 5 skipped"
says "$out" "it needs --model DIR"

# ---- streams: a result that did not arrive is a failure
what="attend --help on a full disk"
status=0
"$program" --help >/dev/full 2>"$err" || status=$?
[ "$status" -eq 1 ] || fault "$what: status $status"
says "$err" "standard output"
what="attend --help, closed output"
status=0
"$program" --help >&- 2>"$err" || status=$?
[ "$status" -eq 1 ] || fault "$what: status $status"
what="attend --help, closed pipe"
mkfifo "$work/pipe" "$work/closed"
{ read -r _ <"$work/closed"; "$program" devices 2>"$err"; echo $? >"$work/status"; } >"$work/pipe" &
exec 9<"$work/pipe" # opened for reading and closed; only then does the program start
exec 9<&-
echo >"$work/closed"
wait
[ "$(cat "$work/status")" -eq 1 ] || fault "$what: status $(cat "$work/status")"

finish
