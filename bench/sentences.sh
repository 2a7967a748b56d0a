#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# sentences.sh [OPTION..]: sentences a second of all-MiniLM-L6-v2, attend beside onnxruntime and PyTorch (sentences.py says
# how). OPTIONs: --threads N (2), --rounds N (9), --peers NAMES. ATTEND_LIBRARY names libattend-model
# (build/release/lib/libattend-model.so), BENCH_MODEL the model's folder (models/all-MiniLM-L6-v2, by scripts/get_model.sh),
# BENCH_PEERS the environment of the peers (build/peers, by bench/install_peers.sh).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
library=${ATTEND_LIBRARY:-$root/build/release/lib/libattend-model.so}
model=${BENCH_MODEL:-$root/models/all-MiniLM-L6-v2}
python=${BENCH_PEERS:-$root/build/peers}/bin/python
missing() { echo "sentences.sh: $1 is missing: $2" >&2; exit 1; }
[ -f "$library" ] || missing "$library" "build first (cmake --preset release && cmake --build --preset release)"
[ -f "$model/model.safetensors" ] || missing "$model" "scripts/get_model.sh gets it"
[ -x "$python" ] || missing "$python" "bench/install_peers.sh makes it"
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE
exec "$python" "$here/sentences.py" --library "$library" --model "$model" "$@"
