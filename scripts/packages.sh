# SPDX-License-Identifier: Apache-2.0
# Sourced by demo.sh and tests/run.sh: installs the Debian packages they need.
# shellcheck shell=bash

packages_build="gcc libc6-dev make cmake pkg-config libjansson-dev libutf8proc-dev libpng-dev"
packages_opencl="opencl-headers ocl-icd-libopencl1 pocl-opencl-icd libclblast-dev"
packages_opencl_full="oclgrind mesa-opencl-icd python3-venv"
packages_arm64="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"
packages_model="python3-minimal python3-pip"
packages_browser="chromium chromium-driver"
packages_tests="libcmocka-dev python3-minimal python3-numpy ocl-icd-opencl-dev oclgrind"

# need_packages "PURPOSE" PACKAGE..: installs what is missing and says so; without the right to install, says in
# one line what is missing and returns 1.
need_packages() {
    local purpose=$1 missing=() package
    shift
    command -v dpkg-query >/dev/null || return 0 # not Debian: the build says what it lacks
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
            as_root=(sudo -n)
        else
            echo "cannot install for $purpose (neither root nor sudo): ${missing[*]}"
            return 1
        fi
    fi
    echo "installing for $purpose: ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { "${as_root[@]}" apt-get update &&
           "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
               apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        echo "could not install for $purpose: ${missing[*]} ($(grep -m1 '^E:' "$log" || echo 'see apt-get'))"
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# configure PRESET [ARGUMENT..]: with the model library and the program where their packages are there. The demo and
# the tests share folders: what one switched off, the other has to switch on.
configure() {
    local preset=$1 model=ON
    shift
    if ! pkg-config --exists jansson libutf8proc 2>/dev/null; then
        model=OFF
        echo "building without the program: libjansson-dev or libutf8proc-dev is missing"
    fi
    cmake --preset "$preset" -DATTEND_MODEL=$model "$@" >"build-$preset.log" 2>&1 ||
        { tail -n 30 "build-$preset.log"; return 1; }
    rm -f "build-$preset.log"
}

# What nothing works without; says so in one line.
need_tools() {
    local tool
    for tool in cc cmake make pkg-config; do
        command -v $tool >/dev/null || { echo "cannot build: $tool is missing"; exit 1; }
    done
}
