#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tune.sh PROGRAM LAYER: `attend tune` keeps its time, never takes a wrong kernel however fast it is (LAYER injects one), outlives
# candidates that crash and hang, and keeps what two of it find at once. Nothing here depends on which values win.
. "$(dirname "$0")/lib.sh"
layer=$2
export ATTEND_CONFIG_DIR=$work/config ATTEND_KERNELS=rows
kept() { sed -n '3,$p' "$work"/config/tuning-* 2>/dev/null >"$out"; }

# tune SECONDS ARGUMENT..: in so many seconds and a fifth, and 2 s in which a busy machine may start or end a process
tune() {
    local start=${EPOCHREALTIME/./} seconds=$1 took
    shift
    expect 0 tune --time "$seconds" "$@"
    took=$(((${EPOCHREALTIME/./} - start) / 1000))
    [ "$took" -le $((seconds * 1200 + 2000)) ] || fault "$what: $took ms, not $seconds s"
}

# ---- what it says ----------------------------------------------------------------------------------
expect 0 tune --help
says "$out" "--time SECONDS"
expect 2 tune --time 1
refuses "no number of seconds from 5 to 1000000"
expect 2 tune --time soon
refuses "'soon'"
expect 2 tune --case nonsense
refuses nonsense
expect 2 tune surplus
refuses "one argument too many"
expect 2 tune --time nan
refuses "'nan'"
expect 1 tune --out "$work/nowhere/file"
refuses "$work/nowhere/file"
expect 1 tune --out "$work"
refuses "$work: Is a directory"
mkfifo "$work/pipe"
ln -s "$work/pipe" "$work/link"
for file in /dev/null "$work/pipe" "$work/link"; do
    expect 1 tune --out "$file"
    refuses "not replaced, since it cannot be read: no regular file"
done
[ -c /dev/null ] && [ -p "$work/pipe" ] && [ -L "$work/link" ] || fault "what is no file was replaced"
ATTEND_CONFIG_DIR=$out/config expect 1 tune
refuses "nothing could be kept"
ATTEND_CONFIG_DIR=config expect 1 tune
refuses '"config" is not an absolute path'
expect 1 tune --device no-such-device --list
says "$err" "no usable device"
expect 1 tune --backend cpu --list --case seed-tiny
says "$err" "there is nothing to tune"

one='B1 H8 G1 L1 S256 D16 f32' # eight rows of one key/value head
other='B1 H8 G1 L1 S3000 D16 f32' # the same kernel
expect 0 tune --list --case "$one,B1 H2 G2 L40 S40 D16 f32,gemm-10x512x512"
for text in "opencl 1 | " attention_few attention_lanes project "0 1 2 4 8" "rows=0 (default)" strips; do says "$out" "$text"; done
ATTEND_TUNING=attention_few:rows=2 expect 0 tune --list --case "$one"
says "$out" "rows=2 (asked)"
ATTEND_TUNING=attention_few:rows=3 expect 1 tune --list --case "$one"
says "$out" "cannot be \"3\""
[ ! -e "$ATTEND_CONFIG_DIR" ] || fault "looking made a folder"

# ---- wrong, crashing and hanging candidates ----------------------------------------------------------
export OPENCL_LAYERS=$layer ATTEND_TEST_KERNEL=attention_few
export ATTEND_TEST_WRONG=-DRQ=1 ATTEND_TEST_CRASH=-DRQ=2 ATTEND_TEST_HANG=-DRQ=4
tune 40 --case "$one"
says "$out" "rejected: attention_few rows=1: wrong: "
says "$out" "rejected: attention_few rows=2: the worker died of signal 6"
says "$out" "rejected: attention_few rows=4: the worker gave no answer"
says "$out" "kept in $ATTEND_CONFIG_DIR/tuning-"
for text in before after gain; do says "$out" "$text"; done
kept
grep -q '^attention_few .*: rows=[08] (' "$out" || fault "a candidate that failed was taken, or none"
unset ATTEND_TEST_HANG
cp "$out" "$work/before"

# one that never comes back from the compiler takes the rest of the time, and no more; that nothing was found in what time there
# was says nothing against what was found before
ATTEND_TEST_STUCK=-DRQ=4 tune 8 --case "$one"
says "$out" "2 were not reached"
kept
cmp -s "$out" "$work/before" || fault "a run that did not reach all has changed the file"
# the kernel of the defaults crashes: that case is said not to be measured, and nothing is kept
rm -rf "$ATTEND_CONFIG_DIR"
ATTEND_TEST_CRASH=-DRQ=8 expect 1 tune --time 5 --case "$one"
says "$out" "not measured: "
[ ! -e "$ATTEND_CONFIG_DIR" ] || fault "something was kept of nothing"
unset OPENCL_LAYERS ATTEND_TEST_KERNEL ATTEND_TEST_WRONG ATTEND_TEST_CRASH

# ---- what is asked for -------------------------------------------------------------------------------
for built in 0:1 3:3; do # vectors of heads beyond 256
    OPENCL_LAYERS=$layer ATTEND_TEST_CRASH=-DMOST_VECTORS=${built#*:} ATTEND_TUNING=attention_lanes:vectors=${built%:*} \
        expect 1 tune --list --case 'B1 H1 G1 L40 S40 D272 f32'
    says "$out" "not planned: the worker died of signal 6"
done
(
    faults=0
    export ATTEND_KERNELS=tile ATTEND_MATRIX=emulated-nvidia
    ATTEND_TUNING=attention_tile:rows=64 expect 1 tune --list --case 'B1 H1 G1 L40 S40 D64 f16'
    says "$out" "has a tile of its own"
    exit $((faults > 0))
) || faults=$((faults + 1))

# ---- tiles that do not fit ---------------------------------------------------------------------------
# A candidate whose groups are too large, by the device or by its compiler, is refused; a default gives way to one that fits.
many='B1 H2 G2 L70 S70 D16 f32' wide='B1 H1 G1 L40 S40 D256 f32' product='project R70 N70 K40 f32'
export ATTEND_KERNELS=tile
expect 0 tune --list --case "$many,$product"
for text in attention_tile "0 32 64" project_tile "0 64 128" "32 64"; do says "$out" "$text"; done
# few rows: decoding has a parameter, projections have none
expect 0 tune --list --case "$one,project R1 N64 K64 f32"
for text in attention_decode "0 1 2 4 8" "no parameters: project R1 N64 K64 f32"; do says "$out" "$text"; done
ATTEND_TUNING=attention_decode:rows=2 expect 0 tune --list --case "$one"
says "$out" "rows=2 (asked)"
(
    faults=0
    export POCL_MAX_WORK_GROUP_SIZE=64
    expect 0 tune --list --case "$many,$product"
    ATTEND_TUNING=attention_tile:rows=64,own=4 expect 1 tune --list --case "$many"
    says "$out" "64 rows, 4 of a work-item: "
    ATTEND_TUNING=project_tile:columns=64 expect 1 tune --list --case "$product"
    says "$out" "project_tile of 64 rows with 64 columns: 128 work-items"
    ATTEND_TUNING=project_tile:columns=32 expect 0 tune --list --case "$product"
    # What is asked for is built, where a default gives way: columns=256 in groups of 64
    export OPENCL_LAYERS=$layer
    for built in 0:128 64:64 128:128 256:256; do
        ATTEND_TEST_CRASH=-DEC=${built#*:} ATTEND_TUNING=attention_tile:columns=${built%:*} expect 1 tune --list --case "$wide"
        says "$out" "not planned: the worker died of signal 6"
    done
    exit $((faults > 0))
) || faults=$((faults + 1))
# Tiles of 128 rows are built where the largest run has two groups of them for each of the processors, and left out where the
# driver says that they spill.
(
    faults=0
    export POCL_MAX_PTHREAD_COUNT=2 OPENCL_LAYERS=$layer ATTEND_TEST_CRASH=-DTILE_ROWS=128
    fills='project R129 N70 K40 f32' small='project R128 N128 K40 f32'
    expect 1 tune --list --case "$fills"
    says "$out" "not planned: the worker died of signal 6"
    for case in "$small" 'project R64 N700 K40 f32'; do expect 0 tune --list --case "$case"; done
    ATTEND_TUNING=project_tile:rows=64 expect 0 tune --list --case "$fills"
    ATTEND_TUNING=project_tile:rows=128 expect 1 tune --list --case "$small"
    unset ATTEND_TEST_CRASH
    ATTEND_TUNING=project_tile:rows=128 expect 0 tune --list --case "$small"
    export ATTEND_VERBOSE=select ATTEND_LOG_FILE=$work/log
    expect 0 tune --list --case "$fills"
    ! grep -qs "without 128 rows" "$work/log" || fault "a wide tile was left out"
    ATTEND_TEST_SPILLS=-DTILE_ROWS=128 expect 0 tune --list --case "$fills"
    says "$work/log" "without 128 rows"
    exit $((faults > 0))
) || faults=$((faults + 1))
export OPENCL_LAYERS=$layer ATTEND_TEST_NARROW=attention_tile
expect 0 tune --list --case "$many"
ATTEND_TUNING=attention_tile:rows=64,own=4 expect 1 tune --list --case "$many"
says "$out" "the driver allows it 64"
tune 40 --case "$many"
says "$out" "own=4: opencl: the kernel attention_tile of "
unset OPENCL_LAYERS ATTEND_TEST_NARROW

# ---- private memory that is no register --------------------------------------------------------------
# What is asked for is refused where the kernel that later plans take spills, and no other is taken in its place; without
# being asked for, it is taken. Kernels that the values do not reach are left alone.
spills() { # OPTIONS KERNEL VALUES CASE
    export OPENCL_LAYERS=$layer ATTEND_TEST_SPILLS=$1
    expect 0 tune --list --case "$4"
    ATTEND_TUNING=$3 expect 1 tune --list --case "$4"
    says "$out" "not planned: opencl: a candidate of $2 with 1048576 bytes of private memory"
    unset OPENCL_LAYERS ATTEND_TEST_SPILLS
}
ATTEND_SUBGROUPS=emulated spills -DSUBGROUP_EMULATED attention_tile attention_tile:rows=32 "$many"
ATTEND_MATRIX=emulated-nvidia spills -DMATRIX_EMULATED attention_tile attention_tile:columns=64 'B1 H1 G1 L40 S40 D64 f16'
spills -DRQ= attention_decode attention_tile:columns=64 "$many"
spills -DRQ=2 attention_decode attention_decode:rows=2 "$one"
spills -DTILE_COLUMNS= project_tile project_tile:columns=32 "$product"
OPENCL_LAYERS=$layer ATTEND_TEST_SPILLS=-DRQ= ATTEND_TUNING=attention_tile:rows=32 expect 0 tune --list --case "$many"

export ATTEND_KERNELS=rows
rm -r "$ATTEND_CONFIG_DIR" # of a device with other kernels

# ---- interrupted -------------------------------------------------------------------------------------
# What was found is shown; no process is left, and no file but the results' own.
processes() { # with this configuration folder
    local p
    for p in /proc/[0-9]*; do
        [ "$(readlink "$p/exe")" = "$(readlink -f "$program")" ] && grep -qzxF "ATTEND_CONFIG_DIR=$ATTEND_CONFIG_DIR" "$p/environ" && echo "$p"
    done 2>/dev/null
}
"$program" tune --time 60 --case "$one" >"$out" 2>"$err" &
tuner=$!
what="attend tune, interrupted"
until [ "$(processes | wc -l)" -ge 3 ] || ! kill -0 $tuner; do sleep 0.05; done
kill -INT $tuner
wait $tuner && fault "$what: status 0"
says "$err" "interrupted: the results are what was found so far"
lacks "$out" rejected
[ -z "$(processes)" ] || fault "$what: processes are left"
[ -z "$(find "$ATTEND_CONFIG_DIR" -mindepth 1 ! -name 'tuning-????????????????' 2>/dev/null)" ] || fault "$what: files are left"

# ---- the file ----------------------------------------------------------------------------------------
"$program" tune --time 12 --case "$one" >"$work/first" 2>&1 &
tune 12 --case "$other"
wait
kept
[ "$(ls "$ATTEND_CONFIG_DIR")" = "$(cd "$ATTEND_CONFIG_DIR" && echo tuning-????????????????)" ] || fault "two at once: other files"
for text in ' 0 8 3: ' ' 0 11 3: '; do grep -q "^attention_few .*$text" "$out" || fault "two at once: no $text"; done
expect 0 tune --list --case "$one,$other"
says "$out" " (file)"
lacks "$out" "(default)"
file=$(echo "$ATTEND_CONFIG_DIR"/tuning-????????????????)
cp "$file" "$work/elsewhere"
ATTEND_TUNING=off expect 0 tune --list --case "$one"
says "$out" "(default)"
ATTEND_TUNING=file:$work/elsewhere expect 0 tune --list --case "$one"
says "$out" "(file)"
printf 'x' | dd of="$file" bs=1 seek=60 conv=notrunc 2>/dev/null
expect 0 tune --list --case "$one"
says "$out" "(default)"
ln -s elsewhere "$work/name"
tune 6 --case "$one" --out "$work/name"
says "$out" "kept in $work/name"
[ -L "$work/name" ] || fault "a link was replaced, not its file"
[ "$(stat -c %a "$work/elsewhere")" = "$(printf %o $((0664 & ~0$(umask))))" ] || fault "others cannot read the results"
grep -q ' 0 11 3: ' "$work/elsewhere" || fault "--out forgot what was there"
[ ! -e "$work/name.lock" ] || fault "--out left a lock"
echo nothing >"$work/elsewhere"
tune 6 --case "$one" --out "$work/elsewhere"
says "$out" "kept in $work/elsewhere, in the place of a file that was damaged or none"
chmod 606 "$work/elsewhere"
expect 1 tune --out "$work/elsewhere"
refuses "or one that every user may write"
finish
