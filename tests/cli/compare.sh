#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# compare.sh PROGRAM: `attend compare` on made-up runs whose differences are known.
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || { echo "python3 is missing"; exit 77; }
make() { python3 "$here/compare_runs.py" write "$@" || exit 1; }
a=$work/a.json b=$work/b.json
make "$a" 1

expect 0 compare "$a" "$a"
says "$out" 'no significant change in 20 results'
lacks "$out" 'another context'
make "$b" 2
expect 0 compare "$a" "$b" --fail-above 0
says "$out" 'no significant change in 20 results'

# One case of twenty, a tenth slower
make "$b" 2 slow=1.1
expect 1 compare "$a" "$b" --fail-above 5%
says "$out" 'of 20 results 0 are faster, 1 slower'
grep -q '^case-7 .* slower$' "$out" || fault "$what: case-7 is not slower"
expect 0 compare "$a" "$b" --fail-above 20%
expect 0 compare "$a" "$b" --fail-above 20
expect 0 compare "$a" "$b"
expect 0 compare "$b" "$a" --fail-above 5%
says "$out" '1 are faster, 0 slower'
make "$b" 2 slow=1.1 rounds=no
expect 1 compare "$a" "$b" --fail-above 5%
# The same tenth is nothing where the spread is as large
make "$work/c.json" 3 noise=4
make "$b" 2 slow=1.1 noise=4
expect 0 compare "$work/c.json" "$b" --fail-above 5%
says "$out" 'no significant change'
# ... and a change below 3 % is none, however sure
make "$work/c.json" 3 noise=0.01
make "$b" 2 slow=1.02 noise=0.01
expect 0 compare "$work/c.json" "$b" --fail-above 0
says "$out" 'no significant change'

# ... but ten times as long in five rounds is too much to be called the same, though five can prove nothing
make "$work/c.json" 3 rounds=5
make "$b" 2 slow=10 rounds=5
expect 0 compare "$work/c.json" "$b" --fail-above 5%
says "$out" 'unclear: 1 result is far apart'
grep -q '^case-7 .* unclear$' "$out" || fault "$what: case-7 is not unclear"

make "$b" 2 threads=1
expect 0 compare "$a" "$b"
says "$out" 'another context: threads: [2] against [1]'
says "$out" '2, 1'
make "$b" 2 drop=3
expect 0 compare "$a" "$b"
says "$out" 'only in the first run: case-3 on cpu'
make "$b" 2 fail=3
expect 1 compare "$a" "$b"
says "$out" '1 wrong now'
expect 0 compare "$b" "$a"
says "$out" '1 right now'
expect 1 compare --format json "$a" "$b"
python3 -c "import json, sys; assert len(json.load(open(sys.argv[1]))['pairs']) == 20" "$out" || fault "$what: JSON"
make "$b" 2 drop=3
expect 0 compare --format json "$a" "$b"
python3 -c "import json, sys; assert json.load(open(sys.argv[1]))['only_before'][0]['case'] == 'case-3'" "$out" ||
    fault "$what: JSON"

python3 "$here/compare_runs.py" chance "$program" "$work" >"$out" 2>"$err" || fault "chance alone makes things slower"

# ---- bad input ----
bad() { # SENTENCE CONTENT
    printf '%s' "$2" >"$b"
    expect 1 compare "$a" "$b"
    refuses "$1"
}
bad 'line 1' '{"schema":'
bad 'its schema is not' '{}'
bad 'its schema is not' '[]'
bad "no 'results'" '{"schema":"attend-bench/1","context":{}}'
bad "no text 'case'" '{"schema":"attend-bench/1","context":{},"results":[3]}'
bad 'not times' '{"schema":"attend-bench/1","context":{},"results":[{"case":"c","op":"o","dtype":"f32","backend":"b","device":"d","threads":1,"ok":true,"samples_s":[-1]}]}'
bad 'not times' '{"schema":"attend-bench/1","context":{},"results":[{"case":"c","op":"o","dtype":"f32","backend":"b","device":"d","threads":1,"ok":true,"samples_s":[]}]}'
for rounds in 3 '["x"]' '[-1,2]' '[0]' '[2]' '[1,9223372036854775807]'; do
    bad 'round_sizes' '{"schema":"attend-bench/1","context":{},"results":[{"case":"c","op":"o","dtype":"f32","backend":"b","device":"d","threads":1,"ok":true,"samples_s":[1],"round_sizes":'"$rounds"'}]}'
done
bad 'duplicate' '{"schema":"attend-bench/1","schema":"attend-bench/1"}'
expect 1 compare "$a" "$work/nothere.json"
refuses 'nothere.json'
expect 2 compare "$a"
expect 2 compare "$a" "$a" --fail-above x
expect 2 compare "$a" "$a" --fail-above -1
expect 2 compare "$a" "$a" --format csv
finish
