/* SPDX-License-Identifier: Apache-2.0
 *
 * The findings of attend doctor: doctor_checks.c makes them, doctor_command.c shows them. */
#ifndef ATTEND_CLI_DOCTOR_H
#define ATTEND_CLI_DOCTOR_H

#include "cli.h"

typedef enum doctor_verdict { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL } doctor_verdict;

typedef struct doctor_finding {
    doctor_verdict verdict;
    char *subject; /* "opencl:0"; strings are printable */
    char *text;    /* what was found */
    char *remedy;  /* what to do about it; NULL if nothing */
    size_t device; /* the index in doctor_report.devices + 1; 0: no device */
} doctor_finding;

typedef struct doctor_report {
    doctor_finding *findings;
    size_t count, room;
    attend_device_list *devices; /* NULL if they could not be listed */
} doctor_report;

/* Looks at everything; devices are tested in other processes, each for `seconds` at most (0 = the
 * library's default). */
void doctor_check(const cli_globals *globals, double seconds, doctor_report *report);
doctor_verdict doctor_worst(const doctor_report *report);
void doctor_release(doctor_report *report);

#endif
