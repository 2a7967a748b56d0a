/* SPDX-License-Identifier: Apache-2.0
 *
 * The runner of stage_trial.h. */
#include "stage_trial.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t seed(void) {
    const char *const text = getenv("ATTEND_TEST_SEED");
    return text != NULL ? strtoull(text, NULL, 0) : 1;
}

void stage_give(trial *t, int slot, stage_tensor *out) {
    t->out[slot] = out;
    t->want[slot] = stage_numbers(out->count);
    t->bound[slot] = stage_numbers(out->count);
}

void stage_expect(trial *t, int slot, int64_t i, double want, double bound) {
    t->want[slot][i] = want;
    t->bound[slot][i] = bound + gate_half_unit(t->out[slot]->view.type, want) + 1e-37;
}

static void free_trial(trial *t) {
    for (int slot = 0; slot < 2; slot++) {
        free(t->want[slot]);
        free(t->bound[slot]);
    }
    stage_end(&t->c);
}

static double *run_trial(trial *t, attend_context *context, double *worst) {
    if (t->run(context, t->description) != ATTEND_OK)
        fail_msg("%s: %s", t->text, attend_error_text());
    double *first = NULL;
    for (int slot = 0; slot < 2 && t->out[slot] != NULL; slot++) {
        double *const got = stage_numbers(t->out[slot]->count);
        if (!stage_read(t->out[slot], got))
            fail_msg("%s: wrote outside of %s", t->text, t->out[slot]->name);
        for (int64_t i = 0; i < t->out[slot]->count; i++) {
            const double ratio = stage_ratio(got[i], t->want[slot][i], t->bound[slot][i]);
            if (!(ratio <= 1))
                fail_msg("%s: output %d, element %lld: %.9g, not %.9g; %g times the bound", t->text,
                         slot, (long long)i, got[i], t->want[slot][i], ratio);
            double *const kept = &worst[t->out[slot]->view.type != ATTEND_F32];
            *kept = fmax(*kept, ratio);
        }
        if (slot == 0)
            first = got;
        else
            free(got);
    }
    return first;
}

void stage_run_trials(make_fn *make, const char *name) {
    for (const char *const *isa = stage_isas(); *isa != NULL; isa++) {
        attend_context *const one = stage_open(*isa, 1), *const three = stage_open(*isa, 3);
        double worst[2] = {0, 0}; /* f32, 16-bit */
        for (uint64_t i = 0; i < STAGE_CASES; i++) {
            trial a = {.c = stage_begin(seed(), i)}, b = {.c = stage_begin(seed(), i)};
            snprintf(a.text, sizeof a.text, "ATTEND_TEST_SEED=%llu %s case %llu, isa '%s'",
                     (unsigned long long)seed(), name, (unsigned long long)i, *isa);
            memcpy(b.text, a.text, sizeof a.text);
            make(&a);
            double *const from_one = run_trial(&a, one, worst);
            make(&b);
            double *const from_three = run_trial(&b, three, worst);
            for (int64_t e = 0; e < a.out[0]->count; e++)
                if (from_one[e] != from_three[e] && !isnan(from_one[e]))
                    fail_msg("%s: threads change element %lld", a.text, (long long)e);
            free(from_one);
            free(from_three);
            free_trial(&a);
            free_trial(&b);
        }
        printf("%s, isa '%s': %d cases, worst error / bound %.3f (f32), %.3f (16-bit)\n", name,
               *isa, STAGE_CASES, worst[0], worst[1]);
        attend_close(one);
        attend_close(three);
    }
}
