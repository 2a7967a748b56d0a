/* SPDX-License-Identifier: Apache-2.0
 *
 * The names of the instruction sets that backend cpu may have on this kind of processor, the
 * best last. Written here and not taken from the library, so that one that is lost there is missed.
 */
#ifndef ATTEND_TESTS_ISAS_H
#define ATTEND_TESTS_ISAS_H

#if defined(__x86_64__) || defined(_M_X64) || defined(__i386__) || defined(_M_IX86)
static const char *const isas[] = {"scalar", "avx2", "avx512", "avx512bf16"};
#elif defined(__aarch64__) || defined(_M_ARM64)
static const char *const isas[] = {"scalar", "neon"};
#else
static const char *const isas[] = {"scalar"};
#endif
enum { ISA_COUNT = sizeof isas / sizeof isas[0] };

#endif
