/* SPDX-License-Identifier: Apache-2.0
 *
 * What `attend explain` prints: every message in both languages with the same directives, prose in
 * lines that fit, and the steps of a head that the test makes up, so that a wrong output of the
 * layer, long texts and narrow terminals can be shown. */
#include "explain/explain.h"
#include "explain/paragraph.h"
#include "printable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <ctype.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- messages -------------------------------------------------------------------------------- */

static const struct {
    const char *name, *english, *chinese;
} messages[] = {
#define MESSAGE(name, english, chinese) {#name, english, chinese},
#include "explain/explain_messages.inc"
#undef MESSAGE
};

/* The directives of a format one after another: "%d%zu%.4f". */
static void directives(const char *format, char found[256]) {
    size_t used = 0;
    for (const char *at = strchr(format, '%'); at; at = strchr(at, '%')) {
        do {
            assert_true(*at && used + 1 < 256);
            found[used++] = *at++;
        } while (!strchr("diouxXeEfFgGaAcspn%", at[-1]) || at[-1] == '%');
    }
    found[used] = '\0';
}

static void every_message_has_both_languages(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        char english[256], chinese[256];
        const char *at = messages[i].english;
        directives(messages[i].english, english);
        directives(messages[i].chinese, chinese);
        if (strcmp(english, chinese) != 0)
            fail_msg("%s: \"%s\" and \"%s\"", messages[i].name, english, chinese);
        assert_true(*at && *messages[i].chinese && !strchr(english, 'n'));
        for (; *at; at++)
            assert_in_range(*at, 0x20, 0x7e);
        bool translated = strcmp(messages[i].name, "column_exp") == 0; /* the function's name */
        for (at = messages[i].chinese; *at; at++) {
            assert_true((unsigned char)*at >= 0x20);
            translated = translated || (unsigned char)*at >= 0x80;
        }
        if (!translated) fail_msg("%s is not in Chinese", messages[i].name);
    }
}

/* ---- lines ----------------------------------------------------------------------------------- */

static char printed[1 << 18];
static int before;

static void start_capture(void) {
    fflush(stdout);
    before = dup(1);
    const int file =
        open(ATTEND_TEST_SCRATCH "/test_explain.txt", O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(before >= 0 && file >= 0 && dup2(file, 1) == 1);
    close(file);
}

static void end_capture(void) {
    fflush(stdout);
    assert_int_equal(lseek(1, 0, SEEK_SET), 0);
    const ssize_t size = read(1, printed, sizeof printed - 1);
    assert_true(dup2(before, 1) == 1 && size >= 0);
    close(before);
    printed[size] = '\0';
}

static void assert_lines(const char *text, size_t columns, const char *lines) {
    start_capture();
    paragraph_put(stdout, text, columns);
    end_capture();
    assert_string_equal(printed, lines);
}

static void lines_end_where_they_may(void **state) {
    (void)state;
    assert_lines("", 20, "\n");
    assert_lines("aa bb cc", 5, "aa bb\ncc\n");
    assert_lines("aa bb cc", 4, "aa\nbb\ncc\n");
    assert_lines("a \"b c\" (d) --e", 3, "a\n\"b\nc\"\n(d)\n--e\n");
    assert_lines("longer than it", 4, "longer\nthan\nit\n");
    assert_lines("中文，中文。", 4, "中\n文，\n中\n文。\n");
    assert_lines("中文（ab）中", 6, "中文\n（ab）\n中\n");
    assert_lines("中“文”中", 4, "中\n“文”\n中\n");
    assert_lines("中a b", 3, "中a\nb\n");
    assert_lines("e\xcc\x81 e\xcc\x81", 3, "e\xcc\x81 e\xcc\x81\n");
}

/* ---- a made-up head -------------------------------------------------------------------------- */

enum { MOST = 300, WIDE = 4, D = 2, HEADS = 3 };

static const char *tokens[MOST];
static size_t count;
static float steps[ATTEND_TRACE_BOUND + 1][MOST * MOST];

size_t attend_encoding_length(const attend_encoding *encoding) {
    (void)encoding;
    return count;
}

const char *attend_encoding_token(const attend_encoding *encoding, size_t token) {
    (void)encoding;
    return token < count ? tokens[token] : NULL;
}

const float *attend_head_trace_values(const attend_head_trace *trace, attend_trace_step step,
                                      int64_t *rows, int64_t *columns) {
    (void)trace;
    const bool square = step >= ATTEND_TRACE_SCORES && step <= ATTEND_TRACE_WEIGHTS;
    if (rows) *rows = (int64_t)count;
    if (columns) *columns = step == ATTEND_TRACE_INPUT ? WIDE : square ? (int64_t)count : D;
    return steps[step];
}

/* Token i has the score i in every row, so that the last key has the largest weight. */
static void make_head(size_t length, size_t excluded) {
    count = length;
    memset(steps, 0, sizeof steps);
    double sum = 0;
    for (size_t j = 0; j + excluded < length; j++)
        sum += exp((double)j - (double)length);
    for (size_t i = 0; i < length; i++) {
        tokens[i] = i % 3 == 0 ? "[CLS]" : i % 3 == 1 ? "天气" : "a\x1b[31mverylongtokenindeed";
        for (size_t j = 0; j < length; j++) {
            const size_t at = i * length + j;
            const bool seen = j + excluded < length;
            steps[ATTEND_TRACE_SCORES][at] = (float)j * 1.41421356f;
            steps[ATTEND_TRACE_SCALED][at] = (float)j;
            steps[ATTEND_TRACE_MASKED][at] = seen ? (float)j : -INFINITY;
            steps[ATTEND_TRACE_WEIGHTS][at] =
                seen ? (float)(exp((double)j - (double)length) / sum) : 0;
        }
    }
    for (size_t i = 0; i < length * D; i++)
        steps[ATTEND_TRACE_BOUND][i] = 1e-5f;
}

static bool explain(const explanation *wish) {
    explanation e = *wish;
    e.heads = HEADS;
    start_capture();
    const bool agrees = explain_print(&e);
    end_capture();
    return agrees;
}

static void says(const char *text) {
    if (!strstr(printed, text)) fail_msg("no \"%s\" in:\n%s", text, printed);
}

static void lacks(const char *text) {
    if (strstr(printed, text)) fail_msg("there is \"%s\" in:\n%s", text, printed);
}

static void agrees_or_says_not(void **state) {
    (void)state;
    static const struct {
        size_t at;
        float output;
        bool agrees;
        const char *english, *chinese;
    } cases[] = {
        {0, 9e-6f, true, "largest difference is 9e-06, and rounding allows 1e-05",
         "最大差值为 9e-06"},
        {7, -9e-6f, true, "largest difference is 9e-06", "两者一致"},
        {3, 0.5f, false, "do NOT agree: for \"天气\" (token 1) they differ by 0.5",
         "两者不一致：“天气”（词元 1）"},
        {9, -2e-5f, false, "(token 4) they differ by 2e-05, more than the 1e-05", "相差 2e-05"},
        {2, NAN, false, "(token 1) they differ by nan", "两者不一致"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_head(5, 0);
        steps[ATTEND_TRACE_OUTPUT][cases[i].at] = cases[i].output;
        explanation e = {.columns = 1000, .query = 2, .query_count = 1};
        assert_int_equal(explain(&e), cases[i].agrees);
        says(cases[i].english);
        e.chinese = true;
        assert_int_equal(explain(&e), cases[i].agrees);
        says(cases[i].chinese);
    }
}

/* A row of a table whose widest label has 30 columns; "" at the end is no cell. */
static void says_row(const char *label, const char *a, const char *b, const char *c,
                     const char *bar) {
    char row[128];
    snprintf(row, sizeof row, "\n%-31s%11s%11s%*s%s\n", label, a, b, *c ? 11 : 0, c, bar);
    says(row);
}

static void shows_masks(void **state) {
    (void)state;
    make_head(6, 2);
    explanation e = {.columns = 1000, .query = 0, .query_count = 1};
    explain(&e);
    says("nothing is excluded here");
    e.causal = true;
    explain(&e);
    says("so for 2 of 6 keys");
    says("Causal mask");
    lacks("Padding mask");
    says_row(" 5 a\\x1b[31mverylongtokenindeed", "5.0000", "excluded", "", "");
    says_row(" 3 [CLS]", "3.0000", "1.0000", "0.6439", "  ###################");
    says_row(" sum", "", "1.5530", "1.0000", "");
    e.causal = false;
    e.padding = 2;
    e.chinese = true;
    explain(&e);
    says("这样的键有 2 个（共 6 个）");
    says("2 个 [PAD] 词元");
    says("填充掩码");
    lacks("因果掩码");
    says("     5.0000     已排除\n");
}

/* Few keys of many, and lines that fit: only a word may be longer than a line. */
static void long_texts_and_narrow_terminals(void **state) {
    (void)state;
    make_head(MOST, 0);
    for (size_t columns = 20; columns <= 140; columns += 15)
        for (int chinese = 0; chinese < 2; chinese++) {
            const explanation e = {.columns = columns,
                                   .chinese = chinese,
                                   .query = MOST - 1,
                                   .query_count = 2,
                                   .head_chosen = true};
            assert_true(explain(&e));
            lacks("\x1b");
            for (char *line = strtok(printed, "\n"); line; line = strtok(NULL, "\n")) {
                if (printable_width(line) <= columns) continue;
                if (line[0] == ' ' || strpbrk(line, " ")) fail_msg("%zu: \"%s\"", columns, line);
            }
        }
    const explanation e = {.columns = 80, .query = 5, .query_count = 1};
    explain(&e);
    says("and 276 more, none with a weight above 0.0000");
    char *const tables = strstr(printed, "\n3. ");
    assert_non_null(tables);
    memmove(printed, tables, strlen(tables) + 1);
    says("\n 276 [CLS]");
    lacks("\n 275 ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_has_both_languages),
        cmocka_unit_test(lines_end_where_they_may),
        cmocka_unit_test(agrees_or_says_not),
        cmocka_unit_test(shows_masks),
        cmocka_unit_test(long_texts_and_narrow_terminals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
