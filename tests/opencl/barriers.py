#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""barriers.py FOLDER: what a reader of cl/kernels can check about barriers, since a work-group of which some items miss
one hangs or computes garbage, on some drivers alone: no return before one, none under an if or a loop that asks for a
work-item's own number, none in a function that is called so. Conditions without such a name are taken to be the same for
the whole group, as they are written to be. Nor may a `continue` pass over a barrier, even where all do: PoCL 3.1 then
runs a loop behind the barrier for work-items that should not, which overwrote other rows' sums. Exits 1 if there was a
fault; --self-test shows that it finds them."""
import glob
import re
import sys

OWN = re.compile(r"\b(get_local_id|get_global_id\(0\)|item|t->x|t->y|t\.x|t\.y|lane|part|band)\b")
DEFINITION = re.compile(r"^(?:static|__kernel)[^;{}]*?\b(\w+)\((?:[^{};]|\n)*?\)\s*\{\n(.*?)^\}", re.M | re.S)


def strip(text):
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)
    return re.sub(r"//[^\n]*|\\\n", "", text)


def statements(body):
    """(indentation, text, line) of each statement, joined over its lines."""
    whole, start, depth = "", 0, 0
    for number, line in enumerate(body.split("\n")):
        if not line.strip() or line.startswith("#"):
            continue
        if not whole:
            start, indent = number, len(line) - len(line.lstrip())
        whole += " " + line.strip()
        depth = whole.count("(") - whole.count(")")
        if depth == 0 and re.search(r"[;{}]$|^\s*(else|for|if|while)\b.*\)$|\belse$|:$", whole):
            yield indent, whole.strip(), start
            whole = ""


def check(name, body, waiting, fault):
    waits = re.compile(r"\b(%s)\(" % "|".join(sorted(waiting)))
    under, seen_return, passed = [], None, set()
    for indent, text, line in statements(body):
        under = [u for u in under if u[0] < indent]
        if waits.search(text):
            if seen_return is not None:
                fault(line, f"{name}: a return in line {seen_return + 1} of its body, before a barrier")
                seen_return = None
            conditions = [u[1] for u in under]
            if re.match(r"(\} )?(else )?(if|for|while)\b", text):
                conditions.append(text)
            for condition in conditions:
                if OWN.search(condition):
                    fault(line, f"{name}: a barrier under: {condition}")
            for loop in passed.intersection(under):
                fault(line, f"{name}: a barrier that a continue passes over in: {loop[1]}")
        loops = [u for u in under if re.match(r"for|while", u[1])]
        if re.search(r"\bcontinue;", text) and loops:
            passed.add(loops[-1])
        if re.search(r"\breturn\b", text):
            seen_return = line
        if re.match(r"(\} )?(else )?(if|for|while)\b", text):
            under.append((indent, text, line))


def faults_of(sources):
    found, functions = [], []
    for path, text in sources:
        for m in DEFINITION.finditer(strip(text)):
            functions.append((path, text, m.group(1), m.group(2)))
    waiting = {"barrier"}
    while True:
        pattern = re.compile(r"\b(%s)\(" % "|".join(waiting))
        more = {f[2] for f in functions if pattern.search(f[3])} - waiting
        if not more:
            break
        waiting |= more
    for path, _, name, body in functions:
        if any(re.search(r"\b%s\(" % w, body) for w in waiting):
            check(name, body, waiting, lambda line, what, path=path: found.append(f"{path}: {what}"))
    return found, len(waiting) - 1


GOOD = "static void f(int n) {\n    for (int k = 0; k < n; k++) {\n        barrier(1);\n    }\n}\n"
BAD = [
    "static void f(int n) {\n    if (n == 0) return;\n    barrier(1);\n}\n",
    "static void f(int item) {\n    if (item == 0) barrier(1);\n}\n",
    "static void f(int item) {\n    for (int n = item; n < 4; n++) {\n        barrier(1);\n    }\n}\n",
    "static void f(int n) {\n    for (int k = 0; k < n; k++) {\n        if (k == 3) continue;\n        barrier(1);\n    }\n}\n",
    GOOD + "__kernel void g(int n) {\n    if (get_local_id(0) == 0)\n        f(n);\n}\n",
]

if sys.argv[1] == "--self-test":
    missed = [text for text in BAD if not faults_of([("bad", text)])[0]] + faults_of([("good", GOOD)])[0]
    print(*missed or ["barriers.py finds what it should"], sep="\n")
    sys.exit(bool(missed))
paths = sorted(glob.glob(sys.argv[1] + "/*.cl") + glob.glob(sys.argv[1] + "/*.h"))
groups = {}
for kernel in [p for p in paths if p.endswith(".cl")]:  # with the headers it includes, as it is compiled
    todo, seen = [kernel], []
    while todo:
        path = todo.pop()
        if path in seen or path not in paths:
            continue
        seen.append(path)
        todo += [f"{sys.argv[1]}/{h}" for h in re.findall(r'#include "([^"]+)"', open(path).read())]
    groups[kernel] = seen
faults, count = set(), 0
for kernel, files in groups.items():
    found, waiting = faults_of([(p, open(p).read()) for p in files])
    faults |= set(found)
    count += waiting
print(*sorted(faults) or [f"{len(groups)} kernels, {count} functions with barriers, no fault"], sep="\n")
sys.exit(bool(faults))
