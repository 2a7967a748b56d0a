/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of transfers have in common: contexts that bring host memory and the device's
 * together in each way, one problem of attention in host memory, and its oracle in double
 * precision. */
#ifndef TRANSFER_DATA_H
#define TRANSFER_DATA_H

#include <attend/attend.h>

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
/* clang-format on */
#include <stdbool.h>

/* Without being asked a CPU shares, and needs no map as a device does that was told to. */
enum { COPY, SHARE, STAGE, CHOSEN, WAYS };
extern const char *transfer_backend; /* "opencl" or "clblast" */
/* The program's argument; false, and its exit status, where there is no device. */
bool transfer_choose_backend(int argc, char **argv, int *status);
attend_context *open_way(int way);

void run(attend_context *context, const attend_attention *a);
void fill(float *x, size_t count);
void *memory_of(size_t bytes); /* aligned to pages */

enum { B = 2, H = 3, L = 70, D = 24, ROW = H * D, PART = B * L * ROW };
extern const int64_t square[2][4];
/* q, k, v, out as rank 4 tensors at byte offsets of `memory`; sizes of q and out, of k and v. */
attend_attention problem(char *memory, const size_t at[4], const int64_t sizes[2][4],
                         const int64_t strides[4][4]);
/* Elements along the diagonals of the output: double sums for each would take long. */
void check_oracle(const attend_attention *a);

#endif
