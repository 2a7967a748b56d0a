#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD-DIR [FILE..]: builds the third party's module outside the tree against installed headers alone, and holds
# it against the case files and the gate; then makes every kind of bad module and looks for its reason.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset ATTEND_BACKEND ATTEND_DEVICE
fail() { echo "FAILED: $1"; exit 1; }

mkdir "$work/include" "$work/source" "$work/good" "$work/bad" "$work/lib"
cp -r "$here/../../include/attend" "$work/include/"
rm "$work/include/attend/model.h"
cp "$here"/*.[ch] "$work/source/"
cd "$work/source"
flags=(-std=c11 -O2 -D_XOPEN_SOURCE=700 -Wall -Wextra -Werror -fPIC -fvisibility=hidden -shared -I "$work/include")
cc "${flags[@]}" handles*.c -o "$work/good/attend-handles.so" -lm -pthread

export ATTEND_PLUGIN_PATH=$work/good
"$build/bin/attend" devices | grep -q '^handles:0' || fail "the module is not listed"
[ $# -eq 0 ] || "$build/bin/attend" check --backend handles "$@"
"$build/bin/attend-gate" --backend handles --dense 1 --cases 60 --length 40 --head-size 40 --seed 5
for name in enqueue plan sizes arguments_attention arguments_steps arguments_stages arguments_layers layers layers_queue; do # staging, records of work
    ATTEND_BACKEND=handles "$build/bin/test_$name" >"$work/out" 2>&1 || fail "test_$name: $(cat "$work/out")"
done
HANDLES_FAULT=2 "$build/bin/attend-gate" --backend handles --dense 1 --cases 1 >"$work/fault" 2>&1 && fail "a lost device went unnoticed"
grep -q 'the device stopped working' "$work/fault" || fail "the lost device is not named: $(head -n 3 "$work/fault")"

# A broken kernel has no speed.
mkdir "$work/broken"
cc "${flags[@]}" -DHANDLES_LOSES_A_KEY handles*.c -o "$work/broken/attend-handles.so" -lm -pthread
small=(--seq 9 --heads 2 --dim 8 --seconds 0.01 --backend handles)
ATTEND_PLUGIN_PATH=$work/good "$build/bin/attend" bench "${small[@]}" >"$work/out" || fault=1
[ -z "${fault:-}" ] || fail "the good module has no speed: $(cat "$work/out")"
ATTEND_PLUGIN_PATH=$work/broken "$build/bin/attend" bench "${small[@]}" --op attention,merge --out "$work/broken.csv" \
    >"$work/out" && fail "a broken kernel was measured"
grep -q '^B1.*FAIL' "$work/out" || fail "a broken kernel does not show FAIL: $(cat "$work/out")"
grep -q '^merge.*FAIL' "$work/out" && fail "merge, which is right, shows FAIL, too: $(cat "$work/out")"
grep -q 'wrong: its error' "$work/broken.csv" || fail "the reason is missing: $(cat "$work/broken.csv")"

# ---- bad modules ----------------------------------------------------------------------------------
bad() { # NAME [FLAG..]
    local name=$1
    shift
    cc "${flags[@]}" -Wno-unused-function "-DFAULT_${name//-/_}" "-DNAME=\"$name\"" bad_module.c -o "$work/bad/attend-$name.so" "$@"
}
: >"$work/bad/attend-empty.so"
echo "this is not a shared object" >"$work/bad/attend-text.so"
mkdir "$work/bad/attend-folder.so"
ln -s "$work/nowhere" "$work/bad/attend-dangling.so"
for name in wrong-abi missing-symbol short-table unknown-bit refusing no-device-open other-name; do bad $name; done
echo 'int from_a_library_that_is_gone(void); int from_a_library_that_is_gone(void) { return 1; }' >gone.c
cc -shared -fPIC gone.c -o "$work/lib/libgone.so"
bad missing-library -L "$work/lib" -lgone
rm "$work/lib/libgone.so"
bad short-device
bad everybody && chmod o+w "$work/bad/attend-everybody.so"
echo "ignored" >"$work/bad/attend-notes.txt"

export ATTEND_PLUGIN_PATH=$work/bad:$work/good:relative/folder:$work/not-there
listing=$("$build/bin/attend" devices 2>&1)
expect() { # NAME PATTERN
    grep -E "(^|[ /-])$1(\.so)?[^a-z]" <<<"$listing" | grep -qE "$2" || fail "$1: no reason like \"$2\" in
$listing"
}
expect empty 'the file is empty'
expect text 'cannot be loaded: .*(invalid ELF header|file too short)'
expect folder 'not a file'
expect dangling 'does not exist'
expect wrong-abi 'plugin ABI 77, this library has 1'
expect missing-symbol 'does not export attend_plugin_entry_v1'
expect missing-library 'cannot be loaded: .*libgone\.so'
expect short-table 'table is too short'
expect unknown-bit 'features this library does not have'
expect refusing 'the moon is not full'
expect no-device-open 'lacks device_open'
expect other-name 'somebody-else'
expect everybody 'every user'
grep -q '^handles:0' <<<"$listing" || fail "good modules vanish beside bad ones"
grep -q 'notes' <<<"$listing" && fail "a text file was taken for a module"

# Nobody who did not ask hears of them; who asks for one by name gets its reason; a list goes on to the next.
output=$("$build/bin/attend-gate" --cases 1 2>&1)
grep -qiE 'bad|empty|wrong-abi' <<<"$output" && fail "noise: $output"
for name in empty text wrong-abi missing-symbol missing-library short-table unknown-bit refusing short-device; do
    "$build/bin/attend-gate" --backend $name --cases 1 >"$work/out" 2>&1 && fail "$name ran"
    grep -q . "$work/out" || fail "$name: no reason"
done
grep -q 'device table lacks' "$work/out" || fail "short device table: $(cat "$work/out")"
"$build/bin/attend-gate" --backend empty,nonesuch,handles --dense 1 --cases 3 --length 20 --head-size 20 | grep -q '^handles:' ||
    fail "a list does not fall back"
"$build/bin/attend-gate" --backend short-device,cpu --cases 1 >"$work/out" || fail "a device that does not open ends a list"
mkdir "$work/again" && cp "$work/good/attend-handles.so" "$work/again/"
ATTEND_PLUGIN_PATH=$work/good:$work/again "$build/bin/attend" devices | grep -q 'has this name already' ||
    fail "a second module of one name vanishes"
echo "plugin: a third party's backend passes, $(ls "$work/bad" | wc -l) bad files each have their reason"
