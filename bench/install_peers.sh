#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# install_peers.sh [FOLDER]: the libraries that bench/duel.sh compares with, in a Python virtual environment (build/peers
# unless FOLDER says another). What is there already stays. One that cannot be installed is a line with the reason, its
# peer a skip later; exit 1 only when there is no environment or no NumPy, without which no peer runs.
set -u
[ $# -le 1 ] && [[ ${1:-} != -* ]] || { echo "usage: install_peers.sh [FOLDER]" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$root/build/peers}
python=$folder/bin/python
# llama-cpp-python is compiled for this machine: it brings ggml.
packages=(numpy torch onnx onnxruntime openvino llama-cpp-python onednn-cpu-gomp scipy-openblas32 tinygrad)

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
if ! "$python" -m pip --version >"$log" 2>&1; then
    mkdir -p "$(dirname "$folder")" && python3 -m venv "$folder" >"$log" 2>&1 ||
        { echo "no peers: python3 cannot make a virtual environment in $folder: $(tail -n 1 "$log")" >&2; exit 1; }
fi

compiler() { command -v c++ || command -v g++ || command -v clang++; }

failed=0
for package in "${packages[@]}"; do
    if "$python" -m pip show -q "$package" >"$log" 2>&1; then
        echo "$package: already there"
        continue
    fi
    case $package in
    torch) echo "torch: installing (several GiB)" ;;
    llama-cpp-python)
        compiler >"$log" 2>&1 || { echo "llama-cpp-python: not installed: it needs a C++ compiler" >&2; failed=$((failed + 1)); continue; }
        echo "llama-cpp-python: compiling (about 5 minutes on two cores)"
        ;;
    *) echo "$package: installing" ;;
    esac
    "$python" -m pip install -q "$package" >"$log" 2>&1 && continue
    reason=$(grep -m 1 -i error "$log" || tail -n 1 "$log")
    echo "$package: not installed: $reason" >&2
    failed=$((failed + 1))
done

echo "CLBlast and tinygrad need an OpenCL device: on Debian and Ubuntu 'apt-get install libclblast1 pocl-opencl-icd' (PoCL: the processor)"
[ "$failed" = 0 ] || echo "$failed of ${#packages[@]} packages are not installed: their peers are skips" >&2
"$python" -c "import numpy" 2>"$log" || { echo "no peers: NumPy is not installed in $folder" >&2; exit 1; }
