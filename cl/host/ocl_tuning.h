/* SPDX-License-Identifier: Apache-2.0
 *
 * Parameters of kernels that suit one device more than another: how much a work-item takes at once.
 * They decide how work is divided, never the order of a sum, so results keep their bits.
 *
 * A plan asks with its shape and gets, from the first that knows: ATTEND_TUNING (a candidate of the
 * tuner), the tuning file of the user's configuration folder (the same shape, else the nearest),
 * the default of the device's class. ATTEND_TUNING is
 *     off                                  no file
 *     file:PATH                            this file, not the one of the configuration folder
 *     KERNEL:NAME=VALUE,NAME=VALUE;KERNEL:..   these values, for any shape
 *
 * `attend tune` learns from the log what there is to be tuned (topic "tuning"):
 *     device KEY                                    when a device is opened
 *     choices KERNEL NAME=DEFAULT:VALUE,VALUE,.. ..  when a plan asks
 *     plan SHAPE: NAME=VALUE .. (asked, file, nearest or default)
 *     aside SHAPE: ..                               of a kernel for smaller runs of the plan */
#ifndef ATTEND_CL_HOST_OCL_TUNING_H
#define ATTEND_CL_HOST_OCL_TUNING_H

#include "ocl.h"

/* Kernel (its file), parameter, defaults of the classes rows, tile and plain, values to be tried,
 * neighbours beside each other. A kernel's parameters stand together. A plan takes a value that is
 * asked for, or refuses it with a sentence: what depends on the plan is the value 0. */
#define OCL_TUNING_LIST(X)                                                                         \
    /* vectors of 16 rows in a strip, 0: by the head size; strips of a work-item; at most */       \
    X(attention_lanes, vectors, 0, 0, 0, 0, 2, 1, 3)                                               \
    X(attention_lanes, strips, 6, 6, 6, 1, 2, 3, 4, 6, 8)                                          \
    /* query rows of a work-item, 0: as many as waste least */                                     \
    X(attention_few, rows, 0, 0, 0, 0, 1, 2, 4, 8)                                                 \
    X(attention_rows, rows, 8, 8, 2, 1, 2, 4, 8)                                                   \
    /* query rows of a work-group, 0: as many as there are and local memory holds */               \
    X(attention_decode, rows, 0, 0, 0, 0, 1, 2, 4, 8)                                              \
    /* columns of values that a work-group sums, at most, 0: by its size */                        \
    X(attention_tile, columns, 0, 0, 0, 0, 128, 64, 256)                                           \
    /* query rows of a work-group and of a work-item, 0: by the head size */                       \
    X(attention_tile, rows, 0, 0, 0, 0, 32, 64)                                                    \
    X(attention_tile, own, 0, 0, 0, 0, 4, 8)                                                       \
    /* vectors of 16 columns and rows of a work-item, these at most */                             \
    X(project, vectors, 2, 2, 1, 1, 2)                                                             \
    X(project, rows, 64, 64, 4, 4, 8, 16, 32, 64)                                                  \
    /* rows of a work-group, 0: by how many work-groups there are; its columns, half as many as */ \
    /* its work-items; at most */                                                                  \
    X(project_tile, rows, 0, 0, 0, 0, 64, 128)                                                     \
    X(project_tile, columns, 64, 64, 64, 32, 64)

#define OCL_TUNED(kernel, parameter) OCL_TUNED_##kernel##_##parameter
typedef enum ocl_tuned_index {
#define ATTEND_X(kernel, parameter, ...) OCL_TUNED(kernel, parameter),
    OCL_TUNING_LIST(ATTEND_X)
#undef ATTEND_X
        OCL_TUNED_COUNT
} ocl_tuned_index;

/* What a kernel is planned for. Words without blanks; sizes count by their powers of two. */
typedef struct ocl_tuned_shape {
    attend_type type;  /* of what is read most: keys, weights */
    const char *mask;  /* "none", "causal", .. */
    const char *phase; /* "few" or "many" rows */
    int head;          /* size; 0 = has none */
    int64_t sizes[3];
    bool aside; /* a kernel that runs of the largest sizes do not take */
} ocl_tuned_shape;

/* Reads ATTEND_TUNING and the file. INVALID for what the variable should not say. */
attend_status attend__ocl_tuning_open(attend_device *device);
void attend__ocl_tuning_close(attend_device *device);

/* Fills values[OCL_TUNED(kernel, ..)] for the parameters of `source`'s kernel. */
void attend__ocl_tuned(const attend_device *device, const ocl_source *source,
                       const ocl_tuned_shape *shape, int values[OCL_TUNED_COUNT]);

/* Whether ATTEND_TUNING names this value: what it names is refused where the device does not run
 * it, while a default or a file's value gives way to one that fits. */
bool attend__ocl_tuned_asked(const attend_device *device, ocl_tuned_index index);

/* Whether the device runs the kernel with so much local memory. UNSUPPORTED with the sentence.
 * `kernel`: of the plan, from `source`; -1 is left alone. What it says is the same whether values
 * are asked for or not, so that plans may take another kernel then. */
void attend__ocl_kernel_fits(const attend_device *device, const attend_device_plan *plan,
                             int kernel, const ocl_source *source, size_t local_bytes,
                             attend_status *status);
/* For a kernel whose values are asked for, once it is the one that the plan takes: private memory
 * that is no register ends up beyond the caches. Nothing gives way to this: a later plan, whose
 * file has the values, takes this kernel, so no other may be measured in its place. */
void attend__ocl_candidate_fits(const attend_device *device, const attend_device_plan *plan,
                                int kernel, const ocl_source *source, attend_status *status);

/* Whether the driver says that the kernel's variables are not all in registers. */
bool attend__ocl_kernel_spills(const attend_device *device, const attend_device_plan *plan,
                               int kernel);

/* ---- for ocl_tuning.c and ocl_tuning_text.c -------------------------------------------------- */

typedef struct ocl_tuned_parameter {
    const char *kernel, *name;
    int defaults[OCL_CLASS_COUNT];
    const int *values;
    int value_count;
} ocl_tuned_parameter;
extern const ocl_tuned_parameter attend__ocl_tuned_parameters[OCL_TUNED_COUNT];

enum { OCL_NOT_TUNED = -1, OCL_TUNED_TEXT = 512 };

/* Reads "NAME=VALUE,NAME=VALUE" of a kernel (its name has `length` bytes), commas or blanks
 * between, `length` of `text`; values that are not said stay. False: `reason` has the sentence. */
typedef struct ocl_tuned_part {
    const char *kernel, *text;
    size_t kernel_length, length;
} ocl_tuned_part;
bool attend__ocl_tuned_read(const ocl_tuned_part *part, int values[OCL_TUNED_COUNT],
                            char reason[OCL_TUNED_TEXT]);

/* A shape as it stands in the file, and how far two of them are apart: 0 the same, < 0 too far to
 * say anything. */
void attend__ocl_tuned_key(const ocl_source *source, const ocl_tuned_shape *shape,
                           char key[OCL_TUNED_TEXT]);
int attend__ocl_tuned_distance(const char *key, const char *line);

#endif
