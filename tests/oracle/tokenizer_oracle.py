#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes texts with the ids and spans that the Python package `tokenizers` gives them, for tests/test_tokenizer*.c.

Usage: tokenizer_oracle.py MODEL/tokenizer.json tests/data
Writes tokenizer_model.json for that tokenizer, tokenizer_small.json (a tokenizer of ours with every kind of added
token) and tokenizer_small_cases.json (variants of its options, and texts). The same seed gives the same files.
A case is [text, ids, spans]; spans are begin and end in bytes, or null where the package's are an accident: it
assigns spans by position when marks are put into canonical order, not by where a mark came from.
"""
import json
import random
import sys
import unicodedata

from tokenizers import Tokenizer, normalizers, pre_tokenizers

SENTENCES = """
The animal didn't cross the street because it was too tired
Attention is all you need, she said: "softmax(QK^T / sqrt(d))".
na\u00efve Caf\u00e9 \u00c5NGSTR\u00d6M \u2014 unbelievable!!! $3.50 (e-mail: a_b@c.org)
\u4eca\u5929\u5929\u6c14\u771f\u597d\uff0c\u6211\u60f3\u51fa\u53bb\u73a9\u3002
\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3068\u30ab\u30bf\u30ab\u30ca\u3001\u304c\u304e\u3050
\ud55c\uad6d\uc5b4 \ubb38\uc7a5 \uc785\ub2c8\ub2e4 \u1112\u1161\u11ab
\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440! \u0401\u043b\u043a\u0430 \u0439\u043e\u0434
\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u064e\u0627\u0644\u064e\u0645\u061f \u0660\u0661\u0662
\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd \u05e2\u05d5\u05dc\u05dd
\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01 \u0e01\u0e34\u0e19\u0e02\u0e49\u0e32\u0e27
\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e\u0964
\u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2 \u039f\u0394\u039f\u03a3 \u1f08\u03c1\u03c7\u03ae
\u0130stanbul'da I\u015f\u0131k DI\u015e\u0130
Stra\u00dfe GRO\u1e9eE \ufb01ne \ufb03 \ufb05 \u01c5 \u0132
\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd ok\ufe0f \u2764\ufe0f\u200d\U0001f525
a\u0301e\u0300\u0323o\u0302\u0301 \u0344 \u1e69 q\u0307\u0323
zero\u200bwidth\u200djoin\u2060er\ufeffbom soft\u00adhyphen
tab\there\nnew\rline\u000bvt\u000cff\u0085nel\u2028ls\u2029ps\u3000wide\u00a0nbsp\u1680\u202f\u205f
NUL\u0000in\u0001the\u001bmiddle\u007f\u0080\u009f \ufffd
\ud7ff\ue000\uf8ff\ufdd0\ufffe\uffff\U0010ffff\U000e0041\U000f0000
unassigned \u0378 \u0530 \U0001e000 \U00030000 \U0003134b \U000e0000
\u1c89 \ua7cb \ua7dc \ua7cc \U00010d50 \U00010d65 \U00016ea0 \U00016eb8 \u1e9e \u01c5 \u0130i \U000118a0 \u13a0 \u10a0
[CLS] [SEP] [MASK] [UNK] [PAD] [cls] [MASK][MASK] a[SEP]b [ MASK ]
""".strip("\n").split("\n")

SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029" \
         "\u202f\u205f\u3000"
BLOCKS = [(0x00, 0x7F), (0x80, 0x24F), (0x250, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x5FF),
          (0x600, 0x6FF), (0x700, 0x8FF), (0x900, 0xDFF), (0xE00, 0xEFF), (0x1000, 0x10FF), (0x1100, 0x11FF),
          (0x1200, 0x17FF), (0x1800, 0x1DFF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x2BFF), (0x2C00, 0x2FFF),
          (0x3000, 0x30FF), (0x3100, 0x33FF), (0x3400, 0x9FFF), (0xA000, 0xABFF), (0xAC00, 0xD7FF), (0xE000, 0xF8FF),
          (0xF900, 0xFAFF), (0xFB00, 0xFFFF), (0x10000, 0x10FFF), (0x11000, 0x11FFF), (0x12000, 0x1CFFF),
          (0x1D000, 0x1DFFF), (0x1E000, 0x1EFFF), (0x1F000, 0x1FAFF), (0x20000, 0x323AF), (0xE0000, 0x10FFFF)]
MARKS = [c for c in range(0x110000) if unicodedata.combining(chr(c))]
CASED = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000 and chr(c).lower() != chr(c)]


class Maker:
    def __init__(self, seed, tokenizer):
        self.random = random.Random(seed)
        self.words = sorted(word for word in tokenizer.get_vocab() if not word.startswith("["))
        self.specials = sorted(t.content for t in tokenizer.get_added_tokens_decoder().values())
        self.makers = [self.word, self.word, self.word, self.special, self.space, self.character, self.character,
                       self.mark, self.cased, self.long, self.punctuation]

    def word(self):
        word = self.random.choice(self.words)
        return self.random.choice([word, word.capitalize(), word.upper()]) + self.random.choice(["", " ", " "])

    def special(self):
        text = self.random.choice(self.specials)
        return self.random.choice(["", " ", "a"]) + self.random.choice([text, text, text.lower(), text[:-1]])

    def space(self):
        return "".join(self.random.choice(SPACES) for _ in range(self.random.randint(1, 3)))

    def character(self):
        while True:
            code = self.random.randint(*self.random.choice(BLOCKS))
            if not 0xD800 <= code < 0xE000:
                return chr(code)

    def mark(self):
        return "".join(chr(self.random.choice(MARKS)) for _ in range(self.random.randint(1, 3)))

    def cased(self):
        return chr(self.random.choice(CASED))

    def long(self):
        return self.random.choice("aexz\u00e9\u0431\u0e01") * self.random.choice([7, 20, 99, 100, 101]) \
            if self.random.random() < 0.15 else ""

    def punctuation(self):
        return self.random.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\u00a7\u00bf\u2014\u3002\u0964")

    def text(self):
        return "".join(self.random.choice(self.makers)() for _ in range(self.random.randint(0, 12)))


def class_edges():
    """Texts with the first and last character of each run of characters that are treated alike."""
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    steps = [normalizers.BertNormalizer(**{**off, name: True}).normalize_str
             for name in ("clean_text", "handle_chinese_chars", "strip_accents")]
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str

    def treated(code):
        character = chr(code)
        kinds = [(len(text), text == character, text[:1] == " ") for text in (step(character) for step in steps)]
        return kinds, len(split("a" + character + "b"))

    edges, before, last = [], None, None
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        now = treated(code)
        if now != last:
            edges += [code] if before is None else [before, code]
        before, last = code, now
    edges = sorted(set(edges))
    return [" ".join(f"a{chr(c)}b" for c in edges[i:i + 25]) for i in range(0, len(edges), 25)]


def reordered(text):
    """Whether canonical order moves a mark of the text."""
    decomposed = normalizers.NFD().normalize_str
    return decomposed(text) != "".join(decomposed(c) for c in text)


def case(tokenizer, text):
    encoding = tokenizer.encode(text)
    offset = [0]
    for character in text:
        offset.append(offset[-1] + len(character.encode()))
    spans = None if reordered(text) else [offset[i] for span in encoding.offsets for i in span]
    return [text, encoding.ids, spans]


def write(path, head, items):
    """One item a line; ASCII only."""
    lines = ",\n".join(json.dumps(item, separators=(",", ":")) for item in items)
    with open(path, "w", newline="\n") as file:
        file.write("{" + head + "[\n" + lines + "\n]}\n")


def load(text):
    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def small_tokenizer():
    """Letters and a few pieces, and added tokens with every flag."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "solo", "the", "un", "##able", "##believ", "\u5929",
             "\u00e9"]
    letters = "abcdefghijklmnopqrstuvwxyzABCDEIS0123456789.,!?-'" \
              "\u00e4\u00df\u03c3\u03c2\u0431\u05d0\u0627\u0915\uac00\u1100\u0307" \
              "\u1c8a\u0264\u019b\ua7cd\U00010d70\U00010d85\U00016ebb\U00016ed3\u01c6\U000118c0\uab70\u2d00"
    words += list(letters) + ["##" + c for c in letters]
    vocabulary = {word: i for i, word in enumerate(words)}
    flags = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=False)
    added = [("[PAD]", {}), ("[UNK]", {}), ("[CLS]", {}), ("[SEP]", {}), ("[MASK]", dict(lstrip=True)),
             ("solo", dict(single_word=True)), ("Caf\u00e9 Bar", dict(normalized=True)), ("<a>", dict(lstrip=True)),
             ("<b>", dict(rstrip=True)), ("<c>", dict(lstrip=True, rstrip=True)), ("<a><b>", {}),
             ("\u5929", dict(normalized=True, lstrip=True)), (" lead", dict(rstrip=True)),
             ("\u00e9", dict(single_word=True)), ("Word", dict(single_word=True, normalized=True, rstrip=True))]
    tokens, next_id = [], len(words)
    for content, given in added:
        if content in vocabulary:
            number = vocabulary[content]
        else:
            number, next_id = next_id, next_id + 1
        tokens.append({"id": number, "content": content, **flags, **given})
    tokens.sort(key=lambda token: token["id"])
    special = {name: {"id": name, "ids": [vocabulary[name]], "tokens": [name]} for name in ("[CLS]", "[SEP]")}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
                           "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}},
                                      {"Sequence": {"id": "A", "type_id": 1}},
                                      {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": special},
        "decoder": None,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 20, "vocab": vocabulary},
    }


def main():
    source, folder = sys.argv[1:]
    with open(source) as file:
        model = load(file.read())
    maker = Maker(1, model)
    texts = ["", " ", *SENTENCES, " ".join(SENTENCES), *class_edges()] + [maker.text() for _ in range(1200)]
    write(folder + "/tokenizer_model.json", '"cases":', [case(model, text) for text in texts])

    small = small_tokenizer()
    with open(folder + "/tokenizer_small.json", "w", newline="\n") as file:
        json.dump(small, file, separators=(",", ":"))
        file.write("\n")
    variants = []
    for bits in range(24):
        options = dict(clean_text=bool(bits & 1), handle_chinese_chars=bool(bits & 2), lowercase=bool(bits & 4),
                       strip_accents=[None, True, False][bits // 8])
        small["normalizer"].update(options)
        tokenizer = load(json.dumps(small))
        maker = Maker(100 + bits, tokenizer)
        texts = SENTENCES + [maker.text() for _ in range(60)]
        variants.append({"normalizer": options, "cases": [case(tokenizer, text) for text in texts]})
    write(folder + "/tokenizer_small_cases.json", '"variants":', variants)


if __name__ == "__main__":
    main()
