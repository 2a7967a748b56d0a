# SPDX-License-Identifier: Apache-2.0
# 64-bit ARM with Debian's cross compiler (gcc-aarch64-linux-gnu); what is built runs under qemu-user. Libraries beyond
# libc come from the folder ATTEND_SYSROOT, into which scripts/get_arm64_libraries.sh unpacks them.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64;-L;/usr/aarch64-linux-gnu)

list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ATTEND_SYSROOT) # they read this file too, in the same environment
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu ${ATTEND_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
# Nothing of the building machine: without a sysroot no package is found.
set(ENV{PKG_CONFIG_LIBDIR} "${ATTEND_SYSROOT}/usr/lib/aarch64-linux-gnu/pkgconfig")
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${ATTEND_SYSROOT}")
