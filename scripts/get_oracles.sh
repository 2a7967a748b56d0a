#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts the Python packages that the full tests compare with into .venv of the clone; says in one line why if it
# cannot. ATTEND_ORACLE_PYTHON names an interpreter that has them already.
set -u
cd "$(dirname "$0")/.."
modules="import numpy, torch, tokenizers"
for python in "${ATTEND_ORACLE_PYTHON:-}" .venv/bin/python; do
    [ -n "$python" ] && "$python" -c "$modules" 2>/dev/null && exit 0
done
python3 -m venv .venv 2>/dev/null || { echo "no oracles: python3 cannot make a virtual environment"; exit 1; }
echo "installing into .venv for the full tests: numpy torch tokenizers (several GiB)"
log=$(mktemp)
if ! .venv/bin/pip install -q numpy torch tokenizers >"$log" 2>&1; then
    echo "no oracles: $(tail -n 1 "$log")"
    rm -f "$log"
    exit 1
fi
rm -f "$log"
