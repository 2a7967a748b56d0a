#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD-DIR: a third party's module with every kind of bad driver behind it. attend doctor must survive each, name it,
# and store a verdict; auto must take the good device and no other, and must not open one without a verdict.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$1
attend=$build/bin/attend
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in ${!ATTEND_*} ${!PROBE_*}; do unset "$name"; done
export OCL_ICD_VENDORS=$work # no real driver is to be met here
fail() { echo "FAILED: $1"; [ $# -lt 2 ] || sed 's/^/  /' "$2"; exit 1; }

mkdir "$work/include" "$work/source" "$work/one" "$work/two" "$work/cache"
chmod 700 "$work/cache"
cp -r "$here/../../include/attend" "$work/include/"
cp "$here"/../plugin/handles*.[ch] "$here/faulty_module.c" "$work/source/"
cd "$work/source"
module() { # FOLDER NAME
    cc -std=c11 -O2 -D_XOPEN_SOURCE=700 -Wall -Wextra -Werror -fPIC -fvisibility=hidden -shared -I "$work/include" "-DNAME=\"$2\"" \
        faulty_module.c handles_*.c -o "$work/$1/attend-$2.so" -lm -pthread
}
module one faulty
module two second

export ATTEND_PLUGIN_PATH=$work/one ATTEND_CACHE_DIR=$work/cache PROBE_FINGERPRINT=driver-1 PROBE_LOG=$work/log
doctor() { # EXPECTED-STATUS PROBE_FAULT [ARGUMENT..]
    local want=$1 got=0
    what="doctor with PROBE_FAULT=$2"
    PROBE_FAULT=$2 PROBE_WHO=doctor PROBE_NOISE=1 "$attend" doctor --backend faulty --timeout 2 "${@:3}" >"$work/out" 2>"$work/err" || got=$?
    [ "$got" -eq "$want" ] || fail "$what: status $got, not $want" "$work/out"
    [ ! -s "$work/err" ] || fail "$what: noise on standard error" "$work/err"
}
says() { grep -qE -e "$1" "$work/out" || fail "$what: no line like '$1'" "$work/out"; }
# What an application gets that asks for nothing.
chosen() { # PATTERN [PROBE_FAULT]
    rm -f "$work/log"
    PROBE_FAULT=${2:-} PROBE_WHO=auto "$attend" devices >"$work/all" 2>"$work/err" || fail "attend devices" "$work/err"
    [ ! -s "$work/err" ] || fail "noise: auto, after $what" "$work/err"
    sed -n '/^Chosen now/,$p' "$work/all" >"$work/out"
    says "$1"
}
opened() { grep -q "by auto" "$work/log" 2>/dev/null; }

# ---- no verdict: cpu, and why ----------------------------------------------------------------------
what="no verdict"
chosen '^Chosen now: cpu'
says 'faulty: no verdict about its driver; run attend doctor'
opened && fail "a device without a verdict was opened"

# ---- every fault is a line, and auto stays away ------------------------------------------------------
bad() { # PROBE_FAULT PATTERN-OF-DOCTOR PATTERN-OF-AUTO
    doctor 0 "" # a good verdict, which the bad one must replace
    doctor 1 "$1"
    says "$2"
    says '^ +-> '
    PROBE_FAULT=$1 # auto must not meet it in the listing of attend devices
    rm -f "$work/log"
    local got=0
    PROBE_FAULT=$1 PROBE_WHO=auto "$build/bin/attend-gate" --backend auto --cases 1 >"$work/out" 2>"$work/err" || got=$?
    [ "$got" -eq 0 ] || fail "auto after $1: status $got" "$work/err"
    says '^cpu:'
    opened && fail "auto opened the device in spite of $1"
    unset PROBE_FAULT
    chosen "${3/: /: attend doctor found: }"
    says '^Chosen now: cpu'
}
bad wrong '^FAIL +faulty:0 +.*wrong numbers: .* element [0-9]+ of the result' 'faulty:0: wrong numbers'
bad crash-run '^FAIL +faulty:0 +.*its test crashed \(signal 6.*assertion failed' 'faulty:0: its test crashed'
bad hang-run '^FAIL +faulty:0 +.*its test did not end within 2 s and was killed' 'faulty:0: its test did not end'
bad crash-list '^FAIL +faulty +listing its devices crashed \(signal 6' 'faulty: listing its devices crashed'
bad hang-list '^FAIL +faulty +listing its devices did not end within 2 s' 'faulty: listing its devices did not end'
bad silent-list '^FAIL +faulty +listing its devices ended without a result' 'faulty: listing .* without a result'
bad noise-list '^FAIL +faulty +listing its devices wrote text without end' 'faulty: listing .* wrote text'
bad crash-load '^FAIL +faulty +listing its devices crashed' 'faulty: listing its devices crashed'
bad hang-load '^FAIL +faulty +listing its devices did not end' 'faulty: listing its devices did not end'
bad crash-exit '^FAIL +faulty:0 +.*its test crashed .*after the result was known' 'faulty:0: its test crashed'
bad closed '^FAIL +faulty:0 +.*lent to another' 'faulty:0: .*lent to another'
doctor 0 none
says '^WARN +faulty +no device'
chosen '^Chosen now: cpu'
says 'faulty: attend doctor found: no device'

# ---- a good one is taken, as long as all is as it was ---------------------------------------------------
doctor 0 ""
says '^OK +faulty:0 +a\\x09GPU.*discrete GPU, 1: self-test right in [0-9.]+ s'
says '^OK +module +faulty: .*/one/attend-faulty.so'
says "^OK +cache +$work/cache"
chosen '^Chosen now: faulty.*default, and its verdict is good'
opened || fail "the good device was not opened"
PROBE_FINGERPRINT=driver-2 chosen '^Chosen now: cpu'
says 'faulty: no verdict about its driver as it is now; run attend doctor'
PROBE_KIND=integrated chosen '^Chosen now: cpu' # the id is now another device's
ATTEND_CACHE=off chosen '^Chosen now: cpu'
says 'ATTEND_CACHE is off'
ATTEND_DEVICE=cpu chosen '^Chosen now: cpu'
ATTEND_DEVICE=gpu chosen '^Chosen now: faulty'
ATTEND_DEVICE='STRANGE name' chosen '^Chosen now: faulty'
ATTEND_BACKEND=cpu chosen '^Chosen now: cpu'
ATTEND_BACKEND=reference,auto chosen '^Chosen now: reference'
chosen '^Chosen now: faulty'
if PROBE_FAULT=closed "$attend" devices >"$work/out" 2>"$work/err"; then
    grep -q "warning: not on faulty:0, though its verdict is good" "$work/err" || fail "a lost device is not warned of" "$work/err"
    says '^Chosen now: cpu'
else
    fail "auto does not fall back to cpu" "$work/err"
fi
verdict=$work/cache/verdict-faulty
cp "$verdict" "$work/sound"
for change in 's/self/Self/;s/\t/ /' '$d' 's/cache 1/cache 2/'; do
    sed -e "$change" "$work/sound" >"$verdict"
    chosen '^Chosen now: cpu'
    says 'faulty: its verdict is damaged; run attend doctor'
done
: >"$verdict"
chosen '^Chosen now: cpu'
cp "$work/sound" "$verdict"
chosen '^Chosen now: faulty'
chmod o+w "$verdict"
chosen '^Chosen now: cpu'
chmod o-w "$verdict"
rm -r "$work/cache"
chosen '^Chosen now: cpu'
[ ! -e "$work/cache" ] || fail "opening a context made the cache folder"

# ---- a wish that only a GPU meets, without a verdict ----------------------------------------------------
ATTEND_DEVICE=gpu "$build/bin/attend-gate" --backend auto --cases 1 >"$work/out" 2>&1 && fail "a GPU without a verdict ran"
grep -q "none of cpu's fits.*run attend doctor" "$work/out" || fail "the reason is missing" "$work/out"

# ---- a CPU behind a driver is never taken; of two GPUs the discrete one is ------------------------------
PROBE_KIND=cpu doctor 0 ""
PROBE_KIND=cpu chosen '^Chosen now: cpu'
export ATTEND_PLUGIN_PATH=$work/one:$work/two
doctor 0 ""
PROBE_KIND=integrated "$attend" doctor --backend second >"$work/out" || fail "the second module" "$work/out"
what="two modules"
chosen '^Chosen now: faulty'
PROBE_KIND=integrated chosen '^Chosen now: second'
export ATTEND_PLUGIN_PATH=$work/one

# ---- no fingerprint, no cache, no program ---------------------------------------------------------------
(
    unset PROBE_FINGERPRINT
    doctor 0 ""
    chosen '^Chosen now: cpu'
    says 'faulty: it does not say which drivers it depends on'
)
rm -rf "$work/cache"
ATTEND_CACHE=off doctor 0 ""
says '^WARN +cache +off'
[ ! -e "$work/cache" ] || fail "ATTEND_CACHE=off writes"
ATTEND_CACHE_DIR=/proc/nowhere doctor 0 ""
says '^WARN +cache .*cannot be made'
ATTEND_CACHE_DIR=relative doctor 0 ""
says '^WARN +cache .*not an absolute path'

# ---- everything at once, and the document ---------------------------------------------------------------
what="doctor"
ATTEND_TYPO=1 "$attend" doctor >"$work/out" 2>"$work/err" || fail "doctor" "$work/out"
[ ! -s "$work/err" ] || fail "noise on standard error" "$work/err"
says '^OK +library +attend [0-9.]+ in '
says '^OK +cpu:0 .*self-test right'
says '^WARN +environment +ATTEND_TYPO: no such setting'
says '^OK +auto +takes faulty'
grep -q reference "$work/out" && fail "the reference is tested against itself"
PROBE_FAULT=wrong "$attend" doctor --json >"$work/out" && fail "doctor --json: status 0 in spite of a FAIL"
if command -v python3 >/dev/null; then
    python3 - "$work/out" <<'END' || fail "doctor --json" "$work/out"
import json, sys
document = json.load(open(sys.argv[1]))
lines = {f["subject"]: f for f in document["findings"]}
assert document["verdict"] == "FAIL" and document["version"] >= 10000
assert lines["cpu:0"]["verdict"] == "OK" and lines["cpu:0"]["device"]["seconds"] > 0
assert lines["faulty:0"]["verdict"] == "FAIL" and "remedy" in lines["faulty:0"]
device = lines["faulty:0"]["device"]
assert device["status"] == "ATTEND_INTERNAL" and device["file"].endswith("attend-faulty.so") and device["backend"] == "faulty"
END
fi
status=0
"$attend" doctor --backend nonesuch >"$work/out" || status=$?
[ "$status" -eq 1 ] || fail "a backend that does not exist: status $status" "$work/out"
says '^FAIL +nonesuch +no backend of that name'
status=0
"$attend" doctor --timeout soon >"$work/out" 2>&1 || status=$?
[ "$status" -eq 2 ] || fail "--timeout soon: status $status" "$work/out"
echo "probe: every bad driver is a line, and auto takes the good one alone"
