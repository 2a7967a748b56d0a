#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Usage: layers_check.sh PROGRAM FOLDER: writes fresh cases with PyTorch into FOLDER and holds every built-in backend
# against them. Exit 77 without PyTorch (scripts/get_oracles.sh installs it).
set -eu
program=$1 folder=$2 root=$(cd "$(dirname "$0")/../.." && pwd)
for python in "${ATTEND_ORACLE_PYTHON:-}" "$root/.venv/bin/python" python3 /usr/bin/python3; do
    [ -n "$python" ] && "$python" -c "import torch" 2>/dev/null && break
    python=
done
[ -n "$python" ] || { echo "PyTorch is not installed: scripts/get_oracles.sh"; exit 77; }
"$python" "$root/tests/oracle/layers_oracle.py" "$folder/layers-oracle.safetensors" --seed "${3:-2}"
for backend in reference cpu; do
    "$program" check --backend "$backend" "$folder/layers-oracle.safetensors"
done
