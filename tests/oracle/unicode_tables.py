#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Asks the Python package `tokenizers` how it treats every code point and writes src/model/bert_tables.h.

Usage: unicode_tables.py >src/model/bert_tables.h; clang-format -i src/model/bert_tables.h
For decompositions and lower case only what differs from the utf8proc of this machine is written.
"""
import ctypes

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

UTF8PROC = ctypes.CDLL("libutf8proc.so.2")


class Property(ctypes.Structure):
    """The head of utf8proc_property_t."""
    _fields_ = [("category", ctypes.c_int16), ("combining_class", ctypes.c_int16)]


UTF8PROC.utf8proc_get_property.restype = ctypes.POINTER(Property)
UTF8PROC.utf8proc_category_string.restype = ctypes.c_char_p
DECOMPOSE = 1 << 4
# Decomposed since Unicode 16: a newer utf8proc will do so, too.
DECOMPOSED_LATER = {0x105C9, 0x105E4, 0x11383, 0x11385, 0x1138E, 0x11391, 0x113C5, 0x113C7, 0x113C8,
                    *range(0x16121, 0x16129), *range(0x16D68, 0x16D6B)}

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def bert(**on):
    options = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    options.update(on)
    return normalizers.BertNormalizer(**options).normalize_str


def is_punctuation(split, code):
    return len(split("a" + chr(code) + "b")) == 3


def ranges(codes):
    result = []
    for code in sorted(codes):
        if result and result[-1][1] == code - 1:
            result[-1][1] = code
        else:
            result.append([code, code])
    return result


def joins_words():
    """Whether a character keeps a single_word token from being found beside it: the \\w of the package."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0, "q": 1}, unk_token="?"))
    tokenizer.add_tokens([AddedToken("q", single_word=True, normalized=False)])
    return lambda code: tokenizer.encode(chr(code) + "q").ids[-1] != 1


def table(name, comment, codes):
    print(f"\n/* {comment} */\nstatic const bert_range {name}[] = {{")
    line = "   "
    for first, last in ranges(codes):
        item = f" {{0x{first:x}, 0x{last:x}}},"
        if len(line) + len(item) > 100:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")


def moves(pairs):
    """Runs of code points that are all mapped the same distance away."""
    result = []
    for code, to in sorted(pairs):
        if result and result[-1][1] == code - 1 and result[-1][2] == to - code:
            result[-1][1] = code
        else:
            result.append([code, code, to - code])
    return result


def decompose(code):
    parts = (ctypes.c_int32 * 8)()
    count = UTF8PROC.utf8proc_decompose_char(code, parts, 8, DECOMPOSE, None)
    return "".join(map(chr, parts[:count]))


def main():
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    clean, strip, lower = bert(clean_text=True), bert(strip_accents=True), bert(lowercase=True)
    nfd = normalizers.NFD().normalize_str

    removed = {c for c in CODES if clean(chr(c)) == ""}
    stripped = {c for c in CODES if strip(chr(c)) == ""}
    whole, ordered, lowered = set(), set(), []
    for c in CODES:
        low = UTF8PROC.utf8proc_tolower(c)
        combining = UTF8PROC.utf8proc_get_property(c).contents.combining_class
        if nfd(chr(c)) != decompose(c) or c in DECOMPOSED_LATER:
            assert nfd(chr(c)) == chr(c)
            whole.add(c)
        if combining and c not in stripped:
            # Marks of another class on either side: one of them changes places with a mark that is ordered.
            around = ["a" + chr(c) + "\u0334", "a\u0345" + chr(c)]
            if any(nfd(text) != text for text in around):
                ordered.add(c)
        mapped = lower(chr(c))
        if len(mapped) == 1 and ord(mapped) != low:
            lowered.append((c, ord(mapped)))
        assert len(mapped) == 1 or c == 0x130

    print("""/* SPDX-License-Identifier: Apache-2.0
 *
 * How BERT tokenizers class characters: the tables behind Hugging Face's `tokenizers` are of Unicode 8 and 9
 * (categories, decompositions) and newer (lower case), so that a library of one Unicode version cannot give their
 * answers. Written by tests/oracle/unicode_tables.py, which asks that package about every code point. */
#ifndef ATTEND_MODEL_BERT_TABLES_H
#define ATTEND_MODEL_BERT_TABLES_H

#include <stdint.h>

typedef struct bert_range {
    int32_t first, last;
} bert_range;

typedef struct bert_move {
    int32_t first, last, distance;
} bert_move;""")
    table("bert_removed", "What clean_text removes: NUL, U+FFFD, categories Cc, Cf, Co.", removed)
    table("bert_punctuation", "ASCII punctuation and categories P.",
          [c for c in CODES if is_punctuation(split, c)])
    table("bert_stripped", "What strip_accents removes: category Mn.", stripped)
    table("bert_ordered", "Marks that are kept and have a canonical combining class.", ordered)
    table("bert_whole", "Decomposed by utf8proc, but not here.", whole)
    word = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "Pc"}
    joins, joined = joins_words(), []
    for c in CODES:
        listed = UTF8PROC.utf8proc_category_string(c).decode() in word
        if joins(c) and not listed:
            joined.append(c)
        assert joins(c) or not listed
    table("bert_joined", "Word characters (\\\\w) outside the categories L, M, Nd, Nl, Pc, or newer than utf8proc.",
          joined)
    print("\n/* Lower case where utf8proc's differs: characters newer than it. */"
          "\nstatic const bert_move bert_lowered[] = {")
    for first, last, distance in moves(lowered):
        print(f"    {{0x{first:x}, 0x{last:x}, {distance}}},")
    print("};\n\n#endif")


if __name__ == "__main__":
    main()
