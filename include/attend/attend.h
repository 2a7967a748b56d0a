/* SPDX-License-Identifier: Apache-2.0
 *
 * attend - attention on whatever the machine has. This header is all an application needs:
 *
 *     attend_context *ctx;
 *     if (attend_open(NULL, &ctx)) return fail(attend_error_text());   // the environment decides
 *     attend_attention a = attend_attention_default();
 *     a.q = attend_tensor_4d(q, ATTEND_F32, B, H, L, D);
 *     a.k = attend_tensor_4d(k, ATTEND_F32, B, H, S, D);
 *     a.v = attend_tensor_4d(v, ATTEND_F32, B, H, S, D);
 *     a.out = attend_tensor_4d(out, ATTEND_F32, B, H, L, D);
 *     if (attend_run(ctx, &a)) return fail(attend_error_text());
 *     attend_close(ctx);
 *
 * core.h: status, tensors, contexts, devices, buffers, events. attention.h: attention, plans, its
 * steps. stage.h: projection, norms, activations, positions. cache.h: keys and values that are
 * kept between calls. layer.h: multi-head, encoder and decoder layers. */
#ifndef ATTEND_ATTEND_H
#define ATTEND_ATTEND_H

/* IWYU pragma: begin_exports */
#include "attention.h"
#include "cache.h"
#include "core.h"
#include "layer.h"
#include "stage.h"
/* IWYU pragma: end_exports */

#endif
