/* SPDX-License-Identifier: Apache-2.0
 *
 * What cases of single operations and of layers read alike. */
#ifndef ATTEND_CLI_CHECK_OPTIONS_H
#define ATTEND_CLI_CHECK_OPTIONS_H

#include "check_case.h"

attend_activation check_activation_option(check_case *c);
void check_norm_options(check_case *c, attend_norm_kind *kind, double *eps);
/* As check_output, but computed in `type`: the file may hold what is wanted with more digits. */
attend_tensor check_typed_output(check_case *c, const char *role, attend_type type);

#endif
