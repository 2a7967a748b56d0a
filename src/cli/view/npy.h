/* SPDX-License-Identifier: Apache-2.0
 *
 * Reader of NumPy's format of one array: the magic "\x93NUMPY", two bytes of version (1.0, 2.0,
 * 3.0), the header's length (two bytes little endian, four from 2.0 on), the header (a Python
 * dictionary of descr, fortran_order and shape), then the elements without gaps. A file comes from
 * anywhere, so every number in it is checked before it is used. Format: numpy.lib.format. */
#ifndef ATTEND_CLI_NPY_H
#define ATTEND_CLI_NPY_H

#include "view/stored_number.h"

enum { NPY_MOST_RANK = 8, NPY_FAULT_BYTES = 160 };

typedef struct npy_array {
    number_format format; /* f2, f4 or f8 */
    bool fortran;         /* the first index runs fastest, else the last */
    int rank;
    size_t sizes[NPY_MOST_RANK];
    size_t count;              /* elements */
    const unsigned char *data; /* into the file's bytes, at any address */
} npy_array;

/* False: `fault` says what is wrong with the file. */
bool npy_read(const unsigned char *bytes, size_t size, npy_array *array,
              char fault[NPY_FAULT_BYTES]);

#endif
