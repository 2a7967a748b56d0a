/* SPDX-License-Identifier: Apache-2.0
 *
 * Which candidates the tuner tries, in which order, and what it takes for a gain. */
#include "tuner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static tune_space spaces[TUNE_MOST_SPACES];

static void reads_what_a_plan_says(void **state) {
    (void)state;
    static const char lines[] = "device some | thing\n"
                                "choices few rows=0:0,1,2\n"
                                "aside few 12 f32 none few 64 0 9 3: rows=0 (default)\n"
                                "choices lanes vectors=0:0,1,2,3 strips=6:1,2,3,4,6,8\n"
                                "plan lanes 34 f32 none many 64 9 9 3: vectors=2 strips=6 (file)\n"
                                "plan lanes 34 f32 none many 64 9 9 3: vectors=2 strips=6 (file)\n"
                                "plan unknown 5 f32: x=1 (default)\n"
                                "plan\nplan :\nchoices\n";
    assert_int_equal(tune_spaces_read(lines, spaces), 1);
    assert_string_equal(spaces[0].kernel, "lanes");
    assert_string_equal(spaces[0].shape, "lanes 34 f32 none many 64 9 9 3");
    assert_string_equal(spaces[0].in_force, "vectors=2 strips=6 (file)");
    assert_int_equal(spaces[0].count, 2);
    assert_string_equal(spaces[0].parameters[1].name, "strips");
    assert_int_equal(spaces[0].parameters[1].count, 6);
    assert_int_equal(spaces[0].parameters[1].first, 4);
    char text[TUNE_TEXT];
    const tune_point start = tune_default(&spaces[0]);
    tune_point_text(&spaces[0], &start, ',', text);
    assert_string_equal(text, "vectors=0,strips=6");
    static const char *const bad[] = {
        "choices lanes vectors=5:0,1\nplan lanes 1: x (default)\n", /* the default is no choice */
        "choices lanes vectors=:0,1\nplan lanes 1: x (default)\n",
        "choices lanes vectors=0:0,x\nplan lanes 1: x (default)\n",
        "choices lanes\nplan lanes 1: x (default)\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i)
        assert_int_equal(tune_spaces_read(bad[i], spaces), 0);
}

static bool has(const tune_queue *q, int a, int b) {
    for (size_t i = 0; i < q->count; ++i)
        if (q->points[i].at[0] == a && q->points[i].at[1] == b) return true;
    return false;
}

static void a_large_space_starts_with_one_change(void **state) {
    (void)state;
    tune_queue q;
    assert_int_equal(
        tune_spaces_read("choices k a=1:1,2,3,4 b=5:4,5,6,7\nplan k: a=1 (file)\n", spaces), 1);
    assert_true(tune_shortlist(&spaces[0], &q));
    assert_int_equal(q.next, 1); /* the default comes first and is not tried */
    assert_true(q.points[0].at[0] == 0 && q.points[0].at[1] == 1);
    assert_int_equal(q.count, 1 + 3 + 3);
    static const int order[][2] = {{0, 1}, {1, 1}, {0, 0}, {0, 2}, {2, 1}, {0, 3}, {3, 1}};
    for (size_t i = 0; i < q.count; ++i) /* steps from the default: 0 1 1 1 2 2 3 */
        assert_true(q.points[i].at[0] == order[i][0] && q.points[i].at[1] == order[i][1]);
    assert_false(has(&q, 1, 0));
    const tune_point corner = {{3, 3}};
    assert_true(tune_neighbours(&spaces[0], &corner, &q));
    assert_int_equal(q.count, 9); /* (2, 3) and (3, 2); nothing beyond the edge */
    assert_true(has(&q, 2, 3) && has(&q, 3, 2));
    assert_true(tune_neighbours(&spaces[0], &corner, &q));
    assert_int_equal(q.count, 9);
    tune_queue_release(&q);
}

static void a_small_space_is_tried_whole(void **state) {
    (void)state;
    tune_queue q;
    assert_int_equal(tune_spaces_read("choices k a=1:1,2,3 b=5:4,5\nplan k: a=1 (file)\n", spaces),
                     1);
    assert_true(tune_shortlist(&spaces[0], &q));
    assert_int_equal(q.count, 6);
    for (size_t i = 0; i + 1 < q.count; ++i) /* the default is (0, 1): further and further away */
        assert_true(q.points[i].at[0] - q.points[i].at[1] <=
                    q.points[i + 1].at[0] - q.points[i + 1].at[1]);
    for (int a = 0; a < 3; ++a)
        for (int b = 0; b < 2; ++b)
            assert_true(has(&q, a, b));
    tune_queue_release(&q);
}

/* At least 3 %, and fewer than 1 in 20 by chance. */
static void noise_is_no_gain(void **state) {
    (void)state;
    assert_true(tune_is_gain(12, 12, 0.9));
    assert_true(tune_is_gain(10, 12, 0.9));   /* 79 of 4096 */
    assert_false(tune_is_gain(9, 12, 0.9));   /* 299 of 4096 */
    assert_false(tune_is_gain(12, 12, 0.98)); /* always, but too little */
    assert_true(tune_is_gain(5, 5, 0.5));     /* 1 of 32 */
    assert_false(tune_is_gain(4, 4, 0.5));    /* 1 of 16 */
    assert_false(tune_is_gain(0, 0, 0.5));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_a_plan_says),
        cmocka_unit_test(a_large_space_starts_with_one_change),
        cmocka_unit_test(a_small_space_is_tried_whole),
        cmocka_unit_test(noise_is_no_gain),
    };
    return cmocka_run_group_tests_name("tune_space", tests, NULL, NULL);
}
