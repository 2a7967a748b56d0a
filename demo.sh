#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a bare Debian 12 to attention weights on the screen: installs what is missing, builds, gets a model, and shows
# it on every usable backend. Everything but the packages stays inside the clone.
set -euo pipefail
cd "$(dirname "$0")"
source scripts/packages.sh

need_packages "the build" $packages_build || true
need_packages "OpenCL and CLBlast" $packages_opencl || true
need_packages "the model" $packages_model || true

need_tools

echo "building"
configure release -DATTEND_TESTS=OFF
cmake --build --preset release -j "$(nproc)" >build.log 2>&1 || { tail -n 30 build.log; exit 1; }
rm -f build.log
attend=build/release/bin/attend
model=models/all-MiniLM-L6-v2

echo
[ ! -x "$attend" ] || "$attend" devices
if [ ! -x "$attend" ] || ! scripts/get_model.sh; then
    echo "no sentence to show; examples/attention.c gives:"
    build/release/bin/example-attention
    exit 0
fi
backends=$("$attend" devices --names)
for backend in $backends; do
    echo
    echo "== $backend"
    "$attend" view --backend "$backend" --model "$model" --layer 6 --head 12 --focus it \
        "The animal didn't cross the street because it was too tired"
done
"$attend" view --model "$model" --focus it --out build/attention.html \
    "The animal didn't cross the street because it was too tired"
echo
echo "all layers and heads, to look at in a browser: build/attention.html"
echo
echo "similarity of \"A man is eating food.\" and \"Someone has a meal.\":"
"$attend" embed --model "$model" "A man is eating food." "Someone has a meal."
