# SPDX-License-Identifier: Apache-2.0
# Sourced by demo.sh and tests/run.sh: installs the Debian packages they need.
# shellcheck shell=bash

packages_build="gcc libc6-dev make cmake pkg-config libjansson-dev libutf8proc-dev"
packages_model="python3-minimal python3-pip"
packages_tests="libcmocka-dev python3-minimal"

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
