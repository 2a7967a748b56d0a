#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# duel.sh [--install] [--peers NAMES] [OPTION..]: attend and its peers side by side on the shapes of shapes.json, interleaved, with the
# same threads and the same inputs; prints one row a shape. Options after that go to `attend bench` (--case, --dtype, --threads,
# --out FILE..). --install first makes the virtual environment of the peers (bench/install_peers.sh); one that is not there is a
# named skip. NAMES is a list with commas, cpu (default: all that run on the processor) or all (CLBlast and tinygrad, too).
# BENCH_PROGRAM names the program (build/release/bin/attend), BENCH_PEERS the environment's folder (build/peers).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
program=${BENCH_PROGRAM:-$root/build/release/bin/attend}
peers=${BENCH_PEERS:-$root/build/peers}
names=cpu
while [ $# -gt 0 ]; do
    case $1 in
    --install) "$here/install_peers.sh" "$peers" ;;
    --peers)
        [ $# -gt 1 ] || { echo "duel.sh: --peers needs a list" >&2; exit 2; }
        names=$2
        shift
        ;;
    -h | --help) sed -n '3,8s/^# //p' "$0"; exit 0 ;;
    *) break ;;
    esac
    shift
done
case $names in
cpu) names=pytorch,onnxruntime,openvino,ggml,onednn,openblas ;;
all) names=pytorch,onnxruntime,openvino,ggml,onednn,openblas,clblast,tinygrad ;;
esac
[ -x "$program" ] || { echo "duel.sh: $program is missing: build first (cmake --preset release && cmake --build --preset release)" >&2; exit 1; }
python=$peers/bin/python
[ -x "$python" ] || { echo "duel.sh: no peers in $peers: bench/duel.sh --install makes them; only what the system's Python has takes part" >&2; python=python3; }

# Some machines pin OpenBLAS to an older processor; a peer gets its best.
unset OPENBLAS_CORETYPE OPENBLAS_L2_SIZE

options=()
for name in ${names//,/ }; do
    [ -f "$here/peers/${name}_peer.py" ] || { echo "duel.sh: no peer is called $name" >&2; exit 2; }
    options+=(--peer "$here/peers/${name}_peer.py")
done
given=" $* "
[[ $given == *" --case "* || $given == *" --seq "* || $given == *" --op "* ]] || options+=(--case attention,layer,project)
[[ $given == *" --backend "* ]] || options+=(--backend cpu)
[[ $given == *" --format "* ]] || options+=(--format duel)
exec "$program" bench --python "$python" "${options[@]}" "$@"
