#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: worker_check.sh PROGRAM: holds attend's own worker against NumPy in double precision. Exit 77 without NumPy
# (scripts/get_oracles.sh installs it).
set -eu
program=$1 root=$(cd "$(dirname "$0")/../.." && pwd)
for python in "${ATTEND_ORACLE_PYTHON:-}" "$root/.venv/bin/python" python3; do
    [ -n "$python" ] && "$python" -c "import numpy" 2>/dev/null && break
    python=
done
[ -n "$python" ] || { echo "NumPy is not installed: scripts/get_oracles.sh"; exit 77; }
for backend in cpu reference; do
    "$python" "$root/tests/bench/worker_check.py" -- "$program" bench --worker --backend "$backend"
done
