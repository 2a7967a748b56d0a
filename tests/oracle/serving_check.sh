#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: serving_check.sh PROGRAM FOLDER [SEED [BACKEND..]]: writes fresh cases of serving with NumPy into FOLDER and holds
# the backends to them, `reference` and `cpu` if none is named. Exit 77 without NumPy (scripts/get_oracles.sh installs it).
set -eu
program=$1 folder=$2 seed=${3:-7} root=$(cd "$(dirname "$0")/../.." && pwd)
shift $(($# < 3 ? $# : 3))
[ $# -gt 0 ] || set -- reference cpu
for python in "${ATTEND_ORACLE_PYTHON:-}" "$root/.venv/bin/python" python3 /usr/bin/python3; do
    [ -n "$python" ] && "$python" -c "import numpy" 2>/dev/null && break
    python=
done
[ -n "$python" ] || { echo "NumPy is not installed: scripts/get_oracles.sh"; exit 77; }
file=$folder/serving-oracle-$seed.safetensors
"$python" "$root/tests/oracle/serving_oracle.py" "$file" --cases 60 --seed "$seed"
for backend; do
    "$program" check --backend "$backend" "$file"
done
