# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# What the tests of the program share. Each test script sources it with the program as its first argument.
set -u
program=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_tree=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=$work/out err=$work/err
faults=0

# The environment of the caller must not decide.
unset COLUMNS NO_COLOR COLORTERM
for name in ${!ATTEND_*}; do
    [ "$name" = ATTEND_TEST_MODEL ] || unset "$name"
done
export TERM=dumb LC_ALL=C

fault() {
    echo "FAULT: $*"
    sed 's/^/  out: /' "$out" | head -n 20
    sed 's/^/  err: /' "$err" | head -n 20
    faults=$((faults + 1))
}

# expect STATUS ARGUMENT..: runs the program
expect() {
    local want=$1 got=0
    shift
    what="attend $*"
    "$program" "$@" >"$out" 2>"$err" </dev/null || got=$?
    [ "$got" -eq "$want" ] || fault "$what: status $got, not $want"
}

# The last run said it on that stream, or not.
says() { grep -qF -e "$2" "$1" || fault "$what: no '$2'"; }
lacks() { ! grep -qF -e "$2" "$1" || fault "$what: there is '$2'"; }
# An error is one sentence, and nothing was printed as a result.
refuses() {
    grep -q '^attend: .' "$err" || fault "$what: no sentence"
    [ ! -s "$out" ] || fault "$what: results in spite of the error"
    says "$err" "$1"
}

# safetensors FILE HEADER: the header, then standard input as its data
safetensors() {
    local length=${#2} i
    {
        for i in 0 8 16 24 32 40 48 56; do
            # shellcheck disable=SC2059
            printf "\\x$(printf %02x $((length >> i & 255)))"
        done
        printf '%s' "$2"
        cat
    } >"$1"
}

finish() {
    [ "$faults" -eq 0 ] && echo "all as expected"
    exit $((faults > 0))
}
