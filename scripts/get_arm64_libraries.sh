#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# get_arm64_libraries.sh FOLDER: unpacks cmocka, jansson and utf8proc for 64-bit ARM from this machine's Debian archives
# into FOLDER, for tests/aarch64.sh. apt works in a state of its own below FOLDER: the system gets no second architecture.
set -euo pipefail
folder=$1
packages=(libcmocka0 libcmocka-dev libjansson4 libjansson-dev libutf8proc2 libutf8proc-dev)
[ -e "$folder/complete" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || { echo "no libraries for arm64: this is not Debian"; exit 1; }

mkdir -p "$folder/apt/lists/partial" "$folder/apt/cache/archives/partial"
cd "$folder"
touch apt/status
apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State="$PWD/apt" -o Dir::State::lists="$PWD/apt/lists"
     -o Dir::State::status="$PWD/apt/status" -o Dir::Cache="$PWD/apt/cache" -o Acquire::Languages=none -o APT::Sandbox::User=)
if ! { "${apt[@]}" update && "${apt[@]}" download "${packages[@]}"; } >apt/log 2>&1; then
    echo "no libraries for arm64: $(grep -m1 '^E:' apt/log || echo 'see apt-get')"
    exit 1
fi
for package in *.deb; do
    dpkg-deb -x "$package" .
done
rm -rf apt ./*.deb
touch complete
