/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels whose neighbours exchange values within a sub-group (ATTEND_SUBGROUPS) give the bits of
 * those that go through local memory, whatever the rows, head sizes, types, masks, and where keys
 * lie. By the program's argument:
 *     (none)    the exchange is emulated, on any device
 *     own       the device's own, which it must have
 *     wrong     an exchange that is wrong, or a kernel that does not build with it, or gets small
 *               sub-groups, is not used, and the log says why; tamper.c makes them so. `wrong own`:
 *               the device's */
#include "attention_problem.h"
#include "select_log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 32, NO_DEVICE = 77 };
static const char *way = "emulated"; /* NULL: the device's own */

static attend_status open_with(const char *setting, attend_context **context) {
    attend_options options = attend_options_default();
    options.backend = "opencl";
    options.log = note;
    lines[0] = 0;
    assert_int_equal(
        setting ? setenv("ATTEND_SUBGROUPS", setting, 1) : unsetenv("ATTEND_SUBGROUPS"), 0);
    return attend_open(&options, context);
}

static attend_context *opened(const char *setting) {
    attend_context *context = NULL;
    assert_int_equal(open_with(setting, &context), ATTEND_OK);
    return context;
}

/* The kernel that ran last ends like this. */
static void check_kernel(const attend_context *context, const char *end) {
    attend_decision decision = {.size = sizeof decision};
    assert_int_equal(attend_context_decision(context, &decision), ATTEND_OK);
    const size_t length = strlen(decision.kernel), tail = strlen(end);
    if (length < tail || strcmp(decision.kernel + length - tail, end) != 0)
        fail_msg("\"%s\" does not end with \"%s\"", decision.kernel, end);
}

static const char *name_of(const char *setting) {
    return setting == NULL ? "_subgroups" : strcmp(setting, "off") ? "_subgroups_emulated" : "";
}

static void run_with(const char *setting, const attend_attention *a, const char *end) {
    attend_context *const context = opened(setting);
    if (attend_run(context, a) != ATTEND_OK) fail_msg("%s", attend_error_text());
    check_kernel(context, end);
    attend_close(context);
}

/* ---- attention ------------------------------------------------------------------------------- */

enum { PLAIN, CAUSAL, MASKED, DIRTY, TOGETHER, SETTINGS };

/* Pages of which an element of all tokens lies together. */
static attend_tensor pages_of(problem *p, attend_type type, int64_t pages, int64_t width) {
    attend_tensor t = problem_normals(p, type, 4, (const int64_t[]){pages, p->n.G, width, PAGE});
    const int64_t step = t.strides[2];
    t.sizes[2] = PAGE;
    t.sizes[3] = width;
    t.strides[2] = 1;
    t.strides[3] = step;
    return t;
}

static void put_in_pages(problem *p, attend_type type) {
    const int64_t each = (p->n.S + PAGE - 1) / PAGE, all = p->n.B * each;
    int64_t lengths[8];
    p->a.k = pages_of(p, type, all, p->n.D);
    p->a.v = pages_of(p, type, all, p->n.E);
    p->a.page_table = problem_zeros(p, ATTEND_I32, 2, (const int64_t[]){p->n.B, each});
    for (int64_t n = 0; n < all; n++)
        ((int32_t *)p->a.page_table.data)[n] = (int32_t)(all - 1 - n);
    for (int64_t b = 0; b < p->n.B; b++)
        lengths[b] = p->n.S - 3 * b;
    p->a.key_lengths = problem_integers(p, p->n.B, lengths);
}

static problem make(problem_sizes n, attend_type type, int setting) {
    problem p = problem_make(n, type, 17);
    p.a.lse = problem_zeros(&p, ATTEND_F32, 3, (const int64_t[]){n.B, n.H, n.L});
    if (setting == TOGETHER) put_in_pages(&p, type);
    if (setting == CAUSAL || setting == DIRTY) {
        p.a.causal = 1;
        p.a.position = ATTEND_BOTTOM_RIGHT;
    }
    if (setting == MASKED || setting == DIRTY)
        p.a.mask = problem_truths(&p, 4, (const int64_t[]){n.B, 1, n.L, n.S}, 0.7);
    if (setting == DIRTY) {
        problem_put(&p.a.k, 0, 0, n.S - 2, n.D / 2, NAN);
        problem_put(&p.a.v, 0, 0, n.S - 2, n.E / 2, INFINITY);
    }
    return p;
}

/* Work-groups of 1, 2, 4 and 8 rows that are decoded, of more than one; then rows that are many;
 * tails of head sizes, keys and chunks. */
static const problem_sizes shapes[] = {
    {2, 3, 3, 1, 700, 64, 64},  {1, 4, 2, 1, 31, 20, 5},     {1, 3, 1, 1, 257, 128, 128},
    {1, 8, 1, 1, 300, 80, 33},  {2, 2, 1, 7, 513, 130, 200}, {1, 2, 1, 8, 40, 1, 3},
    {1, 2, 1, 37, 333, 64, 64}, {2, 1, 1, 17, 70, 100, 130},
};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void check(const problem *p, const char *what) {
    problem other = *p;
    other.a.out = problem_zeros(&other, p->a.out.type, 4, p->a.out.sizes);
    other.a.lse = problem_zeros(&other, ATTEND_F32, 3, p->a.lse.sizes);
    run_with(way, &other.a, name_of(way));
    if (!problem_same_bits(&p->a.out, &other.a.out) || !problem_same_bits(&p->a.lse, &other.a.lse))
        fail_msg("%s: H %d, L %d, S %d, D %d, E %d: other bits", what, (int)p->n.H, (int)p->n.L,
                 (int)p->n.S, (int)p->n.D, (int)p->n.E);
    while (other.count > p->count)
        free(other.memory[--other.count]);
}

static void attention_has_the_bits_of_the_baseline(void **state) {
    static const attend_type types[] = {ATTEND_F32, ATTEND_F16, ATTEND_BF16};
    static const char *const names[SETTINGS] = {"plain", "causal", "masked", "dirty", "together"};
    (void)state;
    /* all else in turn; each shape twice, but where many programs are compiled for it */
    for (int i = 0; i < (way ? SHAPES + 1 : 2 * SHAPES); i++) {
        const int setting = (i + i / SHAPES) % SETTINGS;
        problem p = make(shapes[i % SHAPES], types[i % 3], setting);
        run_with("off", &p.a, "opencl_tile");
        check(&p, names[setting]);
        problem_free(&p);
    }
}

/* ---- norms ----------------------------------------------------------------------------------- */

static void norm_with(const char *setting, const attend_norm *n, const char *end) {
    attend_context *const context = opened(setting);
    if (attend_norm_run(context, n) != ATTEND_OK) fail_msg("%s", attend_error_text());
    check_kernel(context, end);
    attend_close(context);
}

static void norms_have_the_bits_of_the_baseline(void **state) {
    static const int64_t columns[] = {1, 63, 64, 65, 768, 4500};
    (void)state;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        problem p = {.random = {i}};
        char end[40];
        const int64_t sizes[] = {5, columns[i]};
        attend_norm n = attend_norm_default();
        n.kind = i % 2 ? ATTEND_RMS_NORM : ATTEND_LAYER_NORM;
        n.x = problem_normals(&p, ATTEND_F32, 2, sizes);
        n.out = problem_zeros(&p, ATTEND_F32, 2, sizes);
        const attend_tensor without = n.out;
        norm_with("off", &n, "_norm_group");
        n.out = problem_zeros(&p, ATTEND_F32, 2, sizes);
        (void)snprintf(end, sizeof end, "_norm_group%s", name_of(way));
        norm_with(way, &n, end);
        if (!problem_same_bits(&without, &n.out))
            fail_msg("%d columns: other bits", (int)columns[i]);
        problem_free(&p);
    }
}

static void the_variable_is_read_strictly(void **state) {
    static const char *const wrong[] = {"on", "emulate", "emulated2"};
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        attend_context *context = NULL;
        assert_int_equal(open_with(wrong[i], &context), ATTEND_INVALID);
        assert_non_null(strstr(attend_error_text(), "ATTEND_SUBGROUPS"));
    }
}

/* ---- wrong ones ------------------------------------------------------------------------------ */

static void tamper(const char *from, const char *to) {
    assert_int_equal(from ? setenv("ATTEND_TEST_FROM", from, 1) : unsetenv("ATTEND_TEST_FROM"), 0);
    assert_int_equal(setenv("ATTEND_TEST_TO", to ? to : "", 1), 0);
}

static const char *reason;

/* Decodes as tampered with: without the exchange, right, and the log says why. */
static void is_refused(void **state) {
    problem p = make(shapes[0], ATTEND_F16, PLAIN);
    attend_context *const context = opened(way);
    (void)state;
    if (attend_run(context, &p.a) != ATTEND_OK) fail_msg("%s", attend_error_text());
    check_kernel(context, "opencl_tile");
    if (strstr(lines, reason) == NULL) fail_msg("\"%s\", not \"%s\"", lines, reason);
    attend_close(context);
    problem_compare(&p);
    problem_free(&p);
}

/* The same in a process of its own, which knows nothing yet. */
static void check_refused(const char *want) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)execl("/proc/self/exe", "refused", "refused", want, way ? "emulated" : "own", NULL);
        _exit(1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == NO_DEVICE) skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

typedef struct fault {
    const char *from, *to, *reason;
} fault;
/* Of either way. */
static const fault faults_of_sums[] = {
#define FIRST_MAXIMUM "x = fmax(x, neighbour_value(x, 1, exchange));"
    {FIRST_MAXIMUM, "x = fmax(x, 0.0f);" FIRST_MAXIMUM, "maximum of 16 (negative numbers)"},
    {FIRST_MAXIMUM, "x = fmax(x, -FLT_MAX);" FIRST_MAXIMUM, "maximum of 16 (negative numbers)"},
#define LAST_SUM "if (count > 8) x += neighbour_value(x, 8, exchange);"
    {LAST_SUM, LAST_SUM " if (fabs(x) < 0x1p-126f) x = 0.0f;", "sum of 16 (negative numbers)"},
};
static const fault emulated_faults[] = {
    {"exchange[item ^ mask]", "exchange[item ^ 1]", "neighbour 2 away"},
    {"exchange[item ^ mask]", "exchange[item]", "neighbour 1 away"},
    {"exchange[item] = x;", "exchange[item] = fabs(x) < 0x1p-126f ? 0.0f : x;", "special numbers"},
    {"uint count = 0;", "no such thing;", "clBuildProgram"},
};
static const fault own_faults[] = {
    {"sub_group_shuffle_xor(x, (uint)mask)", "sub_group_shuffle_xor(x, 4u)", "neighbour 1 away"},
    {"get_sub_group_local_id());", "get_sub_group_local_id() / 2 * 2);", "its self-test gives"},
};

static void check_faults(const fault *faults, size_t count) {
    for (size_t i = 0; i < count; i++) {
        tamper(faults[i].from, faults[i].to);
        check_refused(faults[i].reason);
    }
    tamper(NULL, NULL);
}

static void are_refused(void **state) {
    (void)state;
    if (way)
        check_faults(emulated_faults, sizeof emulated_faults / sizeof *emulated_faults);
    else
        check_faults(own_faults, sizeof own_faults / sizeof *own_faults);
    check_faults(faults_of_sums, sizeof faults_of_sums / sizeof *faults_of_sums);
}

/* The self-test agrees, but the kernel does not build with the exchange. */
static void without_a_kernel(void **state) {
    (void)state;
    tamper("static void fold(", "\n#error\nstatic void fold(");
    check_refused("attention_decode: without subgroups");
    tamper(NULL, NULL);
}

/* Its sub-groups have 8 work-items. */
static void too_small(void **state) {
    (void)state;
    if (way) skip(); /* emulation has no size */
    assert_int_equal(setenv("ATTEND_TEST_SMALL", "attention_decode", 1), 0);
    check_refused("attention_decode: without subgroups");
    assert_int_equal(setenv("ATTEND_TEST_SMALL", "check", 1), 0);
    check_refused("sub-groups of less than 16");
    assert_int_equal(unsetenv("ATTEND_TEST_SMALL"), 0);
}

int main(int argc, char **argv) {
    attend_context *context = NULL;
    bool wrong = false;
    if (setenv("OPENCL_LAYERS", ATTEND_TEST_LAYER, 1) || setenv("ATTEND_KERNELS", "tile", 1) ||
        setenv("ATTEND_CACHE", "off", 1))
        return 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "own") == 0) way = NULL;
        if (strcmp(argv[i], "wrong") == 0) wrong = true;
        if (strcmp(argv[i], "refused") == 0) reason = argv[i + 1];
    }
    const struct CMUnitTest wrong_tests[] = {
        cmocka_unit_test(are_refused),
        cmocka_unit_test(without_a_kernel),
        cmocka_unit_test(too_small),
    };
    if (wrong) return cmocka_run_group_tests_name("wrong sub-groups", wrong_tests, NULL, NULL);
    if (open_with("off", &context)) return NO_DEVICE;
    attend_close(context);
    const struct CMUnitTest refused_tests[] = {cmocka_unit_test(is_refused)};
    if (reason) return cmocka_run_group_tests_name("refused", refused_tests, NULL, NULL);
    const struct CMUnitTest good_tests[] = {
        cmocka_unit_test(attention_has_the_bits_of_the_baseline),
        cmocka_unit_test(norms_have_the_bits_of_the_baseline),
        cmocka_unit_test(the_variable_is_read_strictly),
    };
    return cmocka_run_group_tests_name("sub-groups", good_tests, NULL, NULL);
}
