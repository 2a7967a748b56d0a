/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of stage kernels of one instruction set; a kernels_<isa>.c includes its verbs, then
 * this. */
#ifndef ATTEND_CPU_STAGES_TMPL_H
#define ATTEND_CPU_STAGES_TMPL_H

#include "convert_tmpl.h"
#include "elementwise_tmpl.h"
#include "gemm_finish_tmpl.h"
#include "gemm_pack_tmpl.h"
#include "gemm_tmpl.h"
#include "norm_tmpl.h"

#define ATTEND__STAGE_KERNELS                                                                      \
    {                                                                                              \
        TILE_ROWS, PANEL_COLUMNS, widen, narrow, pack_panel, pack_rows, multiply, finish,          \
            activate, combine, norm_sum, norm_apply                                                \
    }

#endif
