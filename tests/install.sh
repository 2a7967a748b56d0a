#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# install.sh BUILD-DIR: installs into a scratch folder, moves it, and uses it as a stranger would: CMake package,
# pkg-config, every header alone as C99, C11 and C++11, the exported symbols, the SONAME, the program.
set -euo pipefail
source_dir=$(cd "$(dirname "$0")/.." && pwd)
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset ATTEND_BACKEND ATTEND_DEVICE ATTEND_PLUGIN_PATH

cmake --install "$build" --prefix "$work/first" >/dev/null
mv "$work/first" "$work/moved"
prefix=$work/moved
libdir=$(dirname "$(find "$prefix" -name 'libattend.so' | head -n 1)")
[ -n "$libdir" ] || { echo "no libattend.so installed"; exit 1; }

for header in "$prefix"/include/attend/*.h; do
    for standard in c99 c11; do
        cc -std=$standard -Wall -Wextra -Werror -pedantic -fsyntax-only -x c "$header"
    done
    if command -v c++ >/dev/null; then
        c++ -std=c++11 -Wall -Wextra -Werror -pedantic -fsyntax-only -x c++ "$header"
    fi
done

foreign=$(nm -D --defined-only "$libdir"/libattend*.so | awk 'NF==3 && $2 ~ /[TDBRV]/ {print $3}' |
          grep -vE '^attend_[a-z0-9]' || true)
[ -z "$foreign" ] || { echo "exported without the prefix attend_: $foreign"; exit 1; }
# What the headers declare and what the library exports are one list.
declared=$(cat "$prefix"/include/attend/{core,attention,cache,stage,layer}.h | tr '\n' ' ' |
           grep -oE 'ATTEND_API [^;(]*\(' | grep -oE 'attend_[a-z0-9_]+\($' | tr -d '(' | sort -u)
exported=$(nm -D --defined-only "$libdir/libattend.so" | awk 'NF==3 && $2 == "T" {print $3}' | sort -u)
diff <(echo "$declared") <(echo "$exported") || { echo "headers (<) and library (>) disagree"; exit 1; }
objdump -p "$libdir/libattend.so" | grep -q 'SONAME.*libattend.so.1' || { echo "no SONAME"; exit 1; }
needed=$(objdump -p "$libdir/libattend.so" | awk '/NEEDED/ {print $2}' | grep -vE '^(libc|libm|libdl|libpthread|ld-linux.*)\.so' || true)
[ -z "$needed" ] || { echo "libattend needs $needed"; exit 1; }

export PKG_CONFIG_PATH=$libdir/pkgconfig
cc -std=c99 "$source_dir/examples/attention.c" $(pkg-config --cflags --libs attend) -o "$work/by-pkg-config"
LD_LIBRARY_PATH=$libdir "$work/by-pkg-config" | tee "$work/out" | grep -q 'query 3: 0' || { cat "$work/out"; exit 1; }
LD_LIBRARY_PATH=$libdir ATTEND_BACKEND=reference "$work/by-pkg-config" | grep -q '^reference:'

mkdir "$work/consumer"
cat >"$work/consumer/CMakeLists.txt" <<EOF
cmake_minimum_required(VERSION 3.22)
project(consumer C)
find_package(attend 1 CONFIG REQUIRED)
add_executable(consumer "$source_dir/examples/attention.c")
target_link_libraries(consumer attend::attend)
EOF
cmake -S "$work/consumer" -B "$work/consumer/build" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$work/consumer/build" >/dev/null
"$work/consumer/build/consumer" >/dev/null

if [ -x "$prefix/bin/attend" ]; then
    "$prefix/bin/attend" devices | grep -q '^cpu:0'
    # the module finds libattend-cl beside itself; a line for it comes with a device or with a reason
    [ ! -e "$libdir/attend/1/attend-opencl.so" ] || "$prefix/bin/attend" devices | grep -q '^opencl:'
    ATTEND_CACHE=off "$prefix/bin/attend" doctor --backend cpu | grep -q '^OK  *cpu:0 .*self-test right'
fi
echo "install: headers, symbols, pkg-config, CMake package and program work from a moved folder"
