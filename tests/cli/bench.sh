#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bench.sh PROGRAM: what `attend bench` prints, writes and refuses, and what a worker that fails costs. Nothing here depends on
# how fast anything is.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "python3 is missing"; exit 77; }
results=$here/bench_results.py
small=(--seq 3,8 --heads 2 --dim 16 --seconds 0.01 --backend cpu)
judge() { python3 "$@" >"$out" 2>"$err" || fault "$what: $*"; }

# ---- one run, every format, with traces on ----------------------------------------------------------
expect 0 bench --list
for name in $(python3 -c "import json; d = json.load(open('$source_tree/bench/shapes.json')); d.pop('flops'); print(*(n for g in d.values() for n in g))"); do
    says "$out" "$name"
done
export ATTEND_VERBOSE=all
expect 0 bench "${small[@]}" --causal 0,1 --op attention,layer,project,scores,softmax,merge --threads 1,2 --format json \
    --out "$work/a.jsonl" --out "$work/a.csv" --out "$work/a.md" --out "$work/a.txt" --out "$work/a.json" \
    --plot "$work/a.svg"
cp "$out" "$work/shown.json"
cmp -s "$work/shown.json" "$work/a.json" || fault "$what: standard output and --out differ"
judge "$results" same "$work/a.json" "$work/a.jsonl" "$work/a.csv"
judge "$here/../plot_check.py" "$work/a.json" "$work/a.svg"
if command -v jq >/dev/null; then jq -e '.results | length >= 4' <"$work/a.json" >"$out" || fault "jq"; fi
for format in table md csv jsonl duel; do
    expect 0 bench --case 'B1 H1 G1 L4 S6 D8 E8 f16' --seconds 0.01 --backend cpu --format "$format"
    says "$out" "B1 H1 G1 L4 S6 D8"
done
unset ATTEND_VERBOSE
expect 0 bench --op merge --seq 4 --dim 8 --dtype bf16 --seconds 0.01 --backend reference,cpu
says "$out" reference

expect 0 bench --set tiny --seconds 0.01 --threads 1
says "$out" "a tiny call: seed-tiny"
says "$out" "figures with a must hold"
expect 0 bench --case 'B2 H2 G1 L9 S9 D16 f32 causal len=4-9 mask=random weights lse threads=1' --seconds 0.01 --backend cpu,reference
says "$out" "threads=1"

# ---- workers that fail ------------------------------------------------------------------------------
peer=(--peer "faulty=$here/faulty_worker.py")
export ATTEND_TEST_PROGRAM=$program
strike() { # FAULT REASON none|some [FAULT_AFTER]
    export FAULT=$1 FAULT_AFTER=${4:-0}
    expect 1 bench "${small[@]}" --seq 8 "${peer[@]}" --out "$work/f.json"
    says "$out" FAIL
    judge "$results" fault "$work/f.json" faulty "$2" "$3"
}
strike die 'died of signal 11' none
says "$work/f.json" 'about to fall over'
strike leave 'ended with status 7: going home' none
strike babble "not one of the protocol's" none
strike zero 'not times' none
strike wrong 'wrong: its error' none
strike nan 'wrong: its error' none
strike short 'not what was asked for' none
peer+=(--timeout 5)
strike hang 'gave no answer for 5 s' none
peer=(--peer "faulty=$here/faulty_worker.py")
strike leave 'ended with status 7' some 11
FAULT=missing expect 0 bench "${small[@]}" "${peer[@]}"
says "$out" 'this peer is not installed'
expect 0 bench "${small[@]}" --peer nothere="$work/nothere"
says "$out" 'No such file'

# ---- interrupted: what was measured is kept ----------------------------------------------------------
FAULT=interrupt FAULT_AFTER=11 expect 1 bench "${small[@]}" "${peer[@]}" --out "$work/i.json"
says "$err" 'interrupted: the results are what was measured so far'
python3 -c "import json, sys; d = json.load(open(sys.argv[1])); sys.exit(not all(r['samples_s'] for r in d['results'] if r['ok']))" "$work/i.json" ||
    fault "$what: nothing was kept"

# ---- bad input --------------------------------------------------------------------------------------
wrong() { # SENTENCE ARGUMENT..
    local sentence=$1
    shift
    expect 2 bench "$@"
    refuses "$sentence"
}
wrong "'nosuch' is no named shape" --case nosuch
wrong "3 heads cannot share 2" --case 'B1 H3 G2 L4 S4 D8'
wrong "'Q7' is no size" --case 'B1 Q7 f32'
wrong "window: '' is no value" --case 'B1 H1 G1 L4 S4 D8 f32 window'
wrong "project knows no bias" --case 'project R2 N2 K2 f32 bias'
wrong "project has no size B" --case 'project B1 R2 N2 K2 f32'
wrong "E9: cases have values as wide as keys" --case 'B1 H1 G1 L4 S4 D8 E9 f32'
wrong "the matrix has 1000000 cases" --seq 1-1000 --heads 1-1000
wrong "too many values" --seq 1-1000000
wrong "--seq: '0' is no number" --seq 0
wrong "--threads: 'x' is no number" --threads x
wrong "'f64' is no type" --dtype f64
wrong "--op: 'foo'" --op foo
wrong "--set: 'foo'" --set foo
wrong "--format: 'xml'" --format xml
wrong "does not end in" --out "$work/x.foo"
wrong "options of a matrix" --case bert-512 --seq 3
wrong "too large" --seq 2147483647 --keys 2147483647 --heads 100000 --dim 1000
wrong "no number of seconds" --timeout -1
mkdir "$work/folder.json"
for place in "$work/no/file.json" "$work/folder.json"; do
    expect 1 bench "${small[@]}" --out "$place"
    refuses "$place"
done
expect 1 bench --backend nosuch
refuses 'no usable device fits'
expect 1 bench --device nosuch
refuses 'no usable device fits'
[ -w /dev/full ] && { "$program" bench "${small[@]}" --seq 3 >/dev/full 2>"$err" && fault "a full disk went unnoticed"; }
finish
