#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: attention_check.sh PROGRAM FOLDER [SEED]: writes fresh cases with NumPy into FOLDER and holds `reference` to
# one rounding of them, `cpu` to a bound. Exit 77 without NumPy (scripts/get_oracles.sh installs it).
set -eu
program=$1 folder=$2 seed=${3:-5} root=$(cd "$(dirname "$0")/../.." && pwd)
for python in "${ATTEND_ORACLE_PYTHON:-}" "$root/.venv/bin/python" python3 /usr/bin/python3; do
    [ -n "$python" ] && "$python" -c "import numpy" 2>/dev/null && break
    python=
done
[ -n "$python" ] || { echo "NumPy is not installed: scripts/get_oracles.sh"; exit 77; }
oracle=$root/tests/oracle/attention_oracle.py file=$folder/attention-oracle.safetensors
"$python" "$oracle" "$file" --cases 500 --seed "$seed"
"$program" check --backend reference "$file"
"$python" "$oracle" "$file" --cases 500 --seed "$seed" --gate
"$program" check --backend cpu "$file"
