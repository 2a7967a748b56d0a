/* SPDX-License-Identifier: Apache-2.0
 *
 * ocl_subgroup.h: the choice of a way, its self-test, and the kernels that use it. */
#include "ocl_subgroup.h"

#include "ocl_trial.h"
#include "ocl_tuning.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

extern const ocl_source attend__ocl_source_subgroup_check;

enum {
    NEIGHBOURS = 16,
    ITEMS = 128,
    RESULTS = 8, /* of a work-item: subgroup_check.cl */
    MASKS = 4,
    OPTIONS_BYTES = 400,
    /* clGetKernelSubGroupInfo */
    MOST_SUB_GROUP_SIZE_FOR = 0x2033,
    SUB_GROUP_COUNT_FOR = 0x2034
};

static const struct {
    const char *name, *options; /* with what comes before it in names of kernels */
} ways[OCL_SUBGROUP_COUNT] = {
#define ATTEND_X(name, text, options) {"_" text, options},
    OCL_SUBGROUP_LIST(ATTEND_X)
#undef ATTEND_X
};

attend_status attend__ocl_subgroups_open(attend_device *device) {
    const attend_host *const host = device->host;
    const char *const asked = host->config(host->self, "SUBGROUPS");
    device->subgroup = device->shared->facts.subgroup;
    if (asked == NULL) return ATTEND_OK;
    device->subgroup = OCL_SUBGROUP_COUNT;
    if (!strcmp(asked, "off")) return ATTEND_OK;
    device->subgroup = OCL_SUBGROUP_EMULATED;
    if (!strcmp(asked, "emulated")) return ATTEND_OK;
    return attend__ocl_refuse(host, ATTEND_INVALID,
                              "ATTEND_SUBGROUPS: \"%.40s\" is none of off, emulated", asked);
}

/* ---- the self-test --------------------------------------------------------------------------- */

/* What each trial would show. */
typedef enum trial_kind {
    RANDOM,   /* values of another work-item, sums in another order */
    SPECIAL,  /* subnormal numbers, zeros of either sign and infinities that change on their way */
    NEGATIVE, /* maxima that begin with 0 or a finite number, sums that lose subnormal numbers */
    TRIALS
} trial_kind;

typedef struct trial {
    float x[ITEMS];
    uint32_t got[ITEMS][RESULTS];
} trial;

/* NEGATIVE, by the group of neighbours: subnormal numbers alone; these among larger ones, whose
 * sums stay finite; with some of -INFINITY; and that alone, as the scores of a row that sees no
 * key. */
static float negative_of(int i, float random) {
    const float below = random - 1.0f; /* [-2, 0) */
    switch (i / NEIGHBOURS % 4) {
    case 0:
        return below * 0x1p-131f;
    case 1:
        return below * (i % 3 ? 0x1p-124f : 0x1p-128f);
    case 2:
        return i % 5 == 1 ? -INFINITY : below * (i % 2 ? 0x1p-130f : 0x1p100f);
    default:
        return -INFINITY;
    }
}

static void fill(float x[ITEMS], trial_kind kind) {
    static const float special[] = {0x1p-149f,    -0.0f, INFINITY, 0.0f,
                                    -0x1.8p-130f, 3.0f,  -0x1p127f};
    uint32_t state = 5;
    for (int i = 0; i < ITEMS; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) * 0x1p-23f - 1.0f;
        if (kind == SPECIAL) x[i] = special[i * 5 % (int)(sizeof special / sizeof *special)];
        if (kind == NEGATIVE) x[i] = negative_of(i, x[i]);
    }
}

/* Of the `count` neighbours of one work-item, in the order of subgroup.h. */
static float sum_of(const float *x, int count) {
    float sums[NEIGHBOURS];
    memcpy(sums, x, (size_t)count * sizeof *x);
    for (int left = count / 2; left > 0; left /= 2)
        for (int i = 0; i < left; i++)
            sums[i] = sums[2 * i] + sums[2 * i + 1];
    return sums[0];
}

static float most_of(const float *x) {
    float most = x[0];
    for (int i = 1; i < NEIGHBOURS; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

static bool same(uint32_t bits, float value) {
    uint32_t other;
    memcpy(&other, &value, sizeof other);
    return bits == other;
}

/* Which result of work-item i is wrong; RESULTS: none. Maxima of zeros have any sign. */
static int wrong_of(const trial *t, int i) {
    const float *const all = t->x + i / NEIGHBOURS * NEIGHBOURS, *const half = t->x + i / 8 * 8;
    uint32_t count = 0;
    float most;
    for (int mask = 0; mask < MASKS; mask++)
        if (!same(t->got[i][mask], t->x[i ^ 1 << mask])) return mask;
    memcpy(&most, &t->got[i][MASKS + 1], sizeof most);
    if (!same(t->got[i][MASKS], sum_of(all, NEIGHBOURS))) return MASKS;
    if (!(most == most_of(all))) return MASKS + 1;
    if (!same(t->got[i][MASKS + 2], sum_of(half, 8))) return MASKS + 2;
    for (int n = 0; n < i % 5; n++)
        count += !same(0, t->x[n]);
    return t->got[i][MASKS + 3] == count ? RESULTS : MASKS + 3;
}

static bool judge(const trial *t, trial_kind kind, char text[OCL_TRIAL_TEXT]) {
    static const char *const results[RESULTS] = {
        "neighbour 1 away", "neighbour 2 away", "neighbour 4 away", "neighbour 8 away",
        "sum of 16",        "maximum of 16",    "sum of 8",         "count"};
    static const char *const numbers[TRIALS] = {"random", "special", "negative"};
    for (int i = 0; i < ITEMS; i++) {
        const int wrong = wrong_of(t, i);
        if (wrong == RESULTS) continue;
        (void)snprintf(text, OCL_TRIAL_TEXT,
                       "its self-test gives work-item %d a wrong %s (%s numbers)", i,
                       results[wrong], numbers[kind]);
        return false;
    }
    return true;
}

/* Of a kernel whose work-groups are of so many work-items. */
static size_t sub_group_size(const ocl_device *device, cl_kernel kernel, size_t items) {
    const ocl_api *const cl = device->cl;
    size_t size = 0, count = 0;
    if (cl->kernel_sub_group_info(kernel, device->id, MOST_SUB_GROUP_SIZE_FOR, sizeof items, &items,
                                  sizeof size, &size, NULL) != CL_SUCCESS ||
        cl->kernel_sub_group_info(kernel, device->id, SUB_GROUP_COUNT_FOR, sizeof items, &items,
                                  sizeof count, &count, NULL) != CL_SUCCESS)
        return 0;
    return size * count == items ? size : 0;
}

static bool is_wide(const ocl_device *device, ocl_subgroup_way way, cl_kernel kernel,
                    size_t items) {
    if (way != OCL_SUBGROUP_KHR) return true; /* neighbours by the hardware */
    const size_t size = sub_group_size(device, kernel, items);
    return size > 0 && size % NEIGHBOURS == 0;
}

static bool check(const ocl_device *device, const void *what, char text[OCL_TRIAL_TEXT],
                  bool *again) {
    const ocl_subgroup_way way = *(const ocl_subgroup_way *)what;
    ocl_trial r;
    trial t;
    bool good = true;
    attend__ocl_trial_open(&r, device, &attend__ocl_source_subgroup_check, ways[way].options);
    attend__ocl_trial_array(&r, t.x, sizeof t.x);
    attend__ocl_trial_array(&r, t.got, sizeof t.got);
    attend__ocl_trial_local(&r, ITEMS * sizeof(cl_float));
    if (r.error == CL_SUCCESS && !is_wide(device, way, r.kernel, ITEMS)) {
        (void)snprintf(text, OCL_TRIAL_TEXT, "its self-test has sub-groups of less than %d",
                       NEIGHBOURS);
        good = false;
    }
    for (int kind = 0; kind < TRIALS && good; kind++) {
        fill(t.x, (trial_kind)kind);
        memset(t.got, 0xff, sizeof t.got);
        good = attend__ocl_trial_run(&r, ITEMS) && judge(&t, (trial_kind)kind, text);
    }
    attend__ocl_trial_close(&r, text, again);
    return good;
}

/* ---- plans ----------------------------------------------------------------------------------- */

ocl_subgroups attend__ocl_subgroups(attend_device *device, char *note, size_t bytes) {
    const ocl_subgroup_way way = device->subgroup;
    ocl_subgroups use = {.way = OCL_SUBGROUP_COUNT};
    if (way == OCL_SUBGROUP_COUNT) return use;
    const ocl_question question = {.name = ways[way].name + 1,
                                   .options = ways[way].options,
                                   .source = &attend__ocl_source_subgroup_check,
                                   .test = check,
                                   .what = &way};
    if (!attend__ocl_verdict(device, &device->shared->subgroup[way], &question, note, bytes))
        return use;
    use.way = way;
    use.item_bytes = way == OCL_SUBGROUP_EMULATED ? sizeof(cl_float) : 0;
    return use;
}

const char *attend__ocl_subgroups_text(const ocl_subgroups *subgroups) {
    return subgroups->way == OCL_SUBGROUP_COUNT ? "" : ways[subgroups->way].name;
}

/* -1: not as it should be. */
static int build_with(attend_device *device, attend_device_plan *plan, const ocl_wanted *wanted,
                      const ocl_subgroups *use) {
    char options[OPTIONS_BYTES];
    attend_status status = ATTEND_OK;
    (void)snprintf(options, sizeof options, "%s %s", wanted->options, ways[use->way].options);
    const int kernel = attend__ocl_plan_kernel(device, plan, wanted->source, options, wanted->name,
                                               wanted->items, &status);
    attend__ocl_kernel_fits(device, plan, kernel, wanted->source,
                            wanted->local_bytes + wanted->items * use->item_bytes, &status);
    if (status == ATTEND_OK &&
        is_wide(device->shared, use->way, plan->kernels[kernel], wanted->items))
        return kernel;
    if (kernel >= 0) attend__ocl_plan_drop(device, plan);
    return -1;
}

int attend__ocl_plan_neighbours(attend_device *device, attend_device_plan *plan,
                                const ocl_wanted *wanted, ocl_subgroups *subgroups,
                                attend_status *status) {
    char line[120];
    if (*status != ATTEND_OK) return -1;
    if (subgroups->way != OCL_SUBGROUP_COUNT) {
        const int kernel = build_with(device, plan, wanted, subgroups);
        if (kernel >= 0) return kernel;
        (void)snprintf(line, sizeof line, "%s: without %s, with which it does not run",
                       wanted->name, ways[subgroups->way].name + 1);
        device->host->log(device->host->self, ATTEND_LOG_INFO, "select", line);
        *subgroups = (ocl_subgroups){.way = OCL_SUBGROUP_COUNT};
    }
    const int kernel = attend__ocl_plan_kernel(device, plan, wanted->source, wanted->options,
                                               wanted->name, wanted->items, status);
    attend__ocl_kernel_fits(device, plan, kernel, wanted->source, wanted->local_bytes, status);
    return kernel;
}
