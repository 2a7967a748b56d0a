#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks a benchmark worker (bench/protocol.md) from outside: the protocol itself, and every row of small odd cases
against a truth in float64 that shares no code with any worker. One line a case; exit 1 when one is wrong, 77 when the
worker says what it is missing.

    worker_check.py [--threads N] [--dtypes f32,bf16,f16] [--shapes FILE [--rows N]] [--case PART] -- COMMAND [ARG..]

--shapes asks for the cases of a shapes.json instead, N random rows of each, and prints the speed as well."""
import argparse
import json
import os
import random
import select
import struct
import subprocess
import sys
import time

import numpy as np

# Error allowed, as a share of the largest value of the rows (at least of 1): some units in the last place of the type.
# The truth starts from the same rounded inputs; a worker may round what lies between (scores, heads) to the type.
TOLERANCE = {"f32": 1e-5, "bf16": 1e-2, "f16": 2e-3}
SOFTMAX_SCALE = 1 / 8
NO_ANSWER_S = 300


class Wrong(Exception):
    pass


class Talk:
    """A worker process and its lines."""

    def __init__(self, command, threads):
        names = "OMP OPENBLAS MKL".split()
        env = dict(os.environ, **{n + "_NUM_THREADS": str(threads) for n in names})
        env.update(POCL_MAX_PTHREAD_COUNT=str(threads), POCL_CPU_MAX_CU_COUNT=str(threads))
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, bufsize=0)
        self.left = b""

    def line(self, text):
        try:
            self.process.stdin.write(text.encode() + b"\n")
        except BrokenPipeError:
            raise Wrong("the worker has ended before it was asked " + text[:200])
        end = time.monotonic() + NO_ANSWER_S
        while b"\n" not in self.left:
            ready = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]
            data = os.read(self.process.stdout.fileno(), 1 << 20) if ready else None
            if not data:
                raise Wrong("no answer to " + text[:200] + (" in time" if data is None else ", the worker has ended"))
            self.left += data
        line, self.left = self.left.split(b"\n", 1)
        try:
            answer = json.loads(line)
        except ValueError:
            raise Wrong("no JSON: %r" % line[:200])
        if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
            raise Wrong("not an answer: %r" % line[:200])
        return answer

    def ask(self, kind, **more):
        return self.line(json.dumps(dict(more, ask=kind)))

    def close(self):
        """The worker ends at the end of its input, without another word."""
        self.process.stdin.close()
        rest = self.left + self.process.stdout.read()
        status = self.process.wait(timeout=60)
        if rest or status:
            raise Wrong("at the end of its input the worker exits with %d and says %r" % (status, rest[:200]))


def rounded(array, dtype):
    """To the storage type, to nearest even, as float64."""
    if dtype == "f16":
        return array.astype(np.float16).astype(np.float64)
    if dtype == "bf16":
        step = np.frexp(array)[1].astype(np.int32) - 8  # 8 significant bits
        return np.ldexp(np.rint(np.ldexp(array.astype(np.float64), -step)), step)
    return array.astype(np.float64)


def tensor(dtype, seed, amplitude, shape):
    """The protocol's numbers, from its text."""
    n = np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.uint64)
    low = np.uint64(0xFFFFFFFF)
    h = (n + np.uint64(seed) * np.uint64(0x9E3779B9)) & low
    h ^= h >> np.uint64(16)
    h = h * np.uint64(0x7FEB352D) & low
    h ^= h >> np.uint64(15)
    h = h * np.uint64(0x846CA68B) & low
    h ^= h >> np.uint64(16)
    value = amplitude * ((h >> np.uint64(8)).astype(np.float64) / 2**23 - 1)
    return rounded(value.astype(np.float32), dtype).reshape(shape)


def soft(scores, queries, causal):
    """Rows of scores, each of the query of that number."""
    if causal:
        scores = np.where(np.arange(scores.shape[1]) <= np.asarray(queries)[:, None], scores, -np.inf)
    e = np.exp(scores - scores.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def heads(q, k, v, queries, causal):
    return soft(q @ k.T / np.sqrt(q.shape[1]), queries, causal) @ v


def attention(c, t, rows):
    b, h, g, l, s, d = (c[x] for x in "BHGLSD")
    q, k, v = t(1, 4, (b * h * l, d)), t(2, 1, (b, g, s, d)), t(3, 1, (b, g, s, d))
    out = np.empty((len(rows), d))
    for head in {r // l for r in rows}:
        here = [n for n, r in enumerate(rows) if r // l == head]
        which = [rows[n] for n in here]
        one, key = head // h, head % h // (h // g)
        out[here] = heads(q[which], k[one, key], v[one, key], [r % l for r in which], c["causal"])
    return out


def layer(c, t, rows):
    b, l, m, h = (c[x] for x in "BLMH")
    x, d = t(1, 1, (b, l, m)), m // h
    w, bias = {}, {}
    for i, part in enumerate("qkvo"):
        w[part], bias[part] = t(2 + i, 1 / 16, (m, m)), t(6 + i, 1, (m,))
    out = np.empty((len(rows), m))
    for one in {r // l for r in rows}:
        here = [n for n, r in enumerate(rows) if r // l == one]
        queries = [rows[n] % l for n in here]
        k, v = (x[one] @ w[p].T + bias[p] for p in "kv")
        q = x[one][queries] @ w["q"].T + bias["q"]
        parts = [slice(i, i + d) for i in range(0, m, d)]
        joined = np.concatenate([heads(q[:, p], k[:, p], v[:, p], queries, c["causal"]) for p in parts], 1)
        out[here] = joined @ w["o"].T + bias["o"]
    return out


def project(c, t, rows):
    return t(1, 1, (c["rows"], c["in"]))[rows] @ t(2, 1 / 16, (c["out"], c["in"])).T + t(3, 1, (c["out"],))


def softmax(c, t, rows):
    scores = t(1, 16, (c["B"] * c["H"] * c["L"], c["S"]))[rows] * SOFTMAX_SCALE
    return soft(scores, [r % c["L"] for r in rows], c["causal"])


def scores(c, t, rows):
    b, h, g, l, s, d = (c[x] for x in "BHGLSD")
    q, k = t(1, 4, (b * h * l, d)), t(2, 1, (b * g, s, d))
    return np.stack([k[r // l // (h // g)] @ q[r] / np.sqrt(d) for r in rows])


def merge(c, t, rows):
    x = t(1, 1, tuple(c[x] for x in "BHLD"))
    return x.transpose(0, 2, 1, 3).reshape(c["B"] * c["L"], -1)[rows]


TRUTH = {"attention": attention, "layer": layer, "project": project, "scores": scores, "softmax": softmax, "merge": merge}
COUNT = {
    "attention": lambda c: c["B"] * c["H"] * c["L"],
    "layer": lambda c: c["B"] * c["L"],
    "project": lambda c: c["rows"],
    "scores": lambda c: c["B"] * c["H"] * c["L"],
    "softmax": lambda c: c["B"] * c["H"] * c["L"],
    "merge": lambda c: c["B"] * c["L"],
}
FLOPS = {  # the formulas of shapes.json
    "attention": lambda c: 4.0 * c["B"] * c["H"] * c["L"] * c["S"] * c["D"] / (2 if c["causal"] else 1),
    "layer": lambda c: 8.0 * c["B"] * c["L"] * c["M"] ** 2 + 4.0 * c["B"] * c["L"] ** 2 * c["M"],
    "project": lambda c: 2.0 * c["rows"] * c["out"] * c["in"],
}


def case(op, name, **sizes):
    return dict(sizes, op=op, name=name)


def small_cases():
    """Odd sizes: not one is a multiple of a vector, more than a few are smaller than one."""

    def att(b, h, g, l, s, d, causal):
        name = "att-%d.%d.%d.%d.%d.%d" % (b, h, g, l, s, d)
        return case("attention", name, B=b, H=h, G=g, L=l, S=s, D=d, causal=causal)

    def lay(b, l, m, h, causal):
        return case("layer", "layer-%d.%d.%d.%d" % (b, l, m, h), B=b, L=l, M=m, H=h, causal=causal)

    def sm(b, h, l, s, causal):
        return case("softmax", "softmax-%d.%d.%d.%d" % (b, h, l, s), B=b, H=h, L=l, S=s, causal=causal)

    made = [att(2, 3, 3, 37, 37, 24, c) for c in (False, True)] + [att(1, 6, 2, 19, 19, 40, c) for c in (False, True)]
    made += [att(2, 2, 2, 5, 71, 33, False), att(1, 5, 1, 1, 203, 64, False), att(3, 4, 2, 1, 1, 16, False)]
    made += [att(1, 2, 2, 11, 29, 16, True), att(1, 1, 1, 1, 1, 1, False)]
    made += [lay(2, 13, 48, 3, c) for c in (False, True)] + [lay(1, 1, 8, 2, False)]
    for rows, out, width in ((7, 13, 29), (1, 33, 65), (70, 17, 31)):
        made.append(case("project", "project-%d.%d.%d" % (rows, out, width), **{"rows": rows, "out": out, "in": width}))
    for b, h, g, l, s, d in ((2, 6, 2, 7, 37, 24), (1, 3, 3, 1, 1, 1)):
        name = "scores-%d.%d.%d.%d.%d.%d" % (b, h, g, l, s, d)
        made.append(case("scores", name, B=b, H=h, G=g, L=l, S=s, D=d))
    made += [sm(2, 3, 17, 17, c) for c in (False, True)] + [sm(1, 2, 5, 67, False), sm(1, 1, 1, 1, False)]
    made += [case("merge", "merge-2.3.5.7", B=2, H=3, L=5, D=7), case("merge", "merge-1.4.33.16", B=1, H=4, L=33, D=16)]
    return made


def shape_cases(path):
    with open(path, encoding="utf-8") as f:
        shapes = json.load(f)
    made = []
    for op in ("attention", "layer", "project"):
        for name, sizes in shapes[op].items():
            made.append(case(op, name, **(dict({"causal": False}, **sizes) if op != "project" else sizes)))
    return made


def row_values(talk, number, rows):
    answer = talk.ask("rows", id=number, rows=rows)
    if not answer["ok"] or len(answer.get("values", [])) != len(rows):
        raise Wrong("rows: %s" % str(answer)[:200])
    return [np.array(struct.unpack("<%df" % (len(v) // 8), bytes.fromhex(v))) for v in answer["values"]]


def compare(c, rows, got):
    truth = TRUTH[c["op"]](c, lambda *how: tensor(c["dtype"], *how), rows)
    for row, mine, want in zip(rows, got, truth):
        if mine.shape != want.shape:
            raise Wrong("row %d has %d elements, not %d" % (row, mine.size, want.size))
    scale = max(1.0, float(np.abs(truth).max()))
    error = np.abs(np.array(got) - truth)
    if not np.isfinite(error).all():
        raise Wrong("a row is not finite")
    worst = float(error.max()) / scale
    if worst > (0 if c["op"] == "merge" else TOLERANCE[c["dtype"]]):  # a copy is exact
        where = np.unravel_index(int(error.argmax()), error.shape)
        raise Wrong("row %d element %d: error %.3g of %.3g" % (rows[where[0]], where[1], error[where], truth[where]))
    if c["op"] == "softmax" and c["causal"]:
        if np.array(got)[truth == 0].any():
            raise Wrong("an excluded key has a weight that is not 0")
    return worst


def samples(talk, number, count, repeat, warm):
    answer = talk.ask("sample", id=number, count=count, repeat=repeat, warm_s=warm)
    taken = answer.get("samples")
    if not answer["ok"] or not isinstance(taken, list) or len(taken) != count or min(taken) <= 0:
        raise Wrong("sample: %s" % str(answer)[:200])
    return taken


def speed(talk, number, c):
    """A look, not a measurement: the best of about a second says what a busy machine hides in the median."""
    once = samples(talk, number, 1, 1, 0.05)[0]
    repeat = max(1, int(0.002 / once))
    taken = sorted(samples(talk, number, min(200, max(5, int(1 / (once * repeat)))), repeat, 0.1))
    middle, best = taken[len(taken) // 2] * 1e6, taken[0] * 1e6
    return ", median %.1f us, best %.1f us = %.0f GFLOP/s" % (middle, best, FLOPS[c["op"]](c) / best / 1e3)


def check(talk, number, c, row_limit):
    """What to print of a case; raises Wrong."""
    answer = talk.ask("prepare", id=number, case=c)
    if not answer["ok"]:
        if "unsupported" in answer:
            return "skip: " + str(answer["unsupported"])
        raise Wrong("prepare: %s" % str(answer.get("error", answer))[:300])
    if not answer["first_s"] > 0 or not isinstance(answer["kernel"], str):
        raise Wrong("prepare: %s" % answer)
    rows = list(range(COUNT[c["op"]](c)))
    if row_limit and len(rows) > row_limit:
        rows = random.Random(7).sample(rows, row_limit)
    before = compare(c, rows, row_values(talk, number, rows))
    note = speed(talk, number, c) if row_limit else ""
    if not row_limit:
        samples(talk, number, 2, 3, 0)
    # Calls that were timed leave the answer as it was.
    worst = max(before, compare(c, rows, row_values(talk, number, rows)))
    if not talk.ask("drop", id=number)["ok"]:
        raise Wrong("drop is refused")
    return "ok: error %.1e, %d rows, %s%s" % (worst, len(rows), answer["kernel"] or "no name", note)


def manners(talk):
    """What is no ask gets an answer, and the worker goes on."""
    refused = (
        '{"ask":"dance"}',
        "this is no JSON",
        "[1,2]",
        "{}",
        '{"ask":"sample","id":999,"count":1,"repeat":1,"warm_s":0}',
        '{"ask":"rows","id":999,"rows":[0]}',
    )
    for text in refused:
        answer = talk.line(text)
        if answer["ok"] or not isinstance(answer.get("error"), str):
            raise Wrong("the answer to %s is %s" % (text, answer))
    c = dict(case("dance", "no-such-op"), dtype="f32")
    if talk.ask("prepare", id=1, case=c)["ok"]:
        raise Wrong("an operation that nobody knows is prepared")


def together(talk):
    """Two cases at once, each under its own id."""
    kept = []
    for number, sizes in ((41, (3, 5, 6)), (42, (4, 3, 9))):
        c = dict(case("project", "p", **dict(zip(("rows", "out", "in"), sizes))), dtype="f32")
        answer = talk.ask("prepare", id=number, case=c)
        if "unsupported" in answer:
            return "skip: " + answer["unsupported"]
        kept.append((number, c))
    for number, c in kept + kept[::-1]:
        compare(c, [1, 0], row_values(talk, number, [1, 0]))
    talk.ask("drop", id=41)
    compare(kept[1][1], [2], row_values(talk, 42, [2]))
    if talk.ask("rows", id=41, rows=[0])["ok"]:
        raise Wrong("a case that was dropped still answers")
    talk.ask("drop", id=42)


def report(label, work):
    """Prints a line; 1 when it is a fault."""
    try:
        print("%-34s %s" % (label, work() or "ok"), flush=True)
        return 0
    except (Wrong, ValueError, KeyError, OSError, TypeError) as e:
        print("%-34s WRONG: %s" % (label, e), flush=True)
        return 1


def main():
    parser = argparse.ArgumentParser(description="Checks a benchmark worker against a truth in float64.")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtypes", default="f32,bf16,f16")
    parser.add_argument("--shapes")
    parser.add_argument("--rows", type=int, default=20)
    parser.add_argument("--case", help="only the cases whose name has this in it", default="")
    parser.add_argument("command", nargs="+", help="after --")
    options = parser.parse_args()
    try:
        talk = Talk(options.command, options.threads)
        hello = talk.ask("hello", protocol=1, threads=options.threads)
    except (Wrong, OSError, ValueError) as e:
        print("WRONG: %s" % e)
        return 1
    if "missing" in hello:
        print("skip: " + hello["missing"])
        return 77
    faults = 0

    def greeting():
        for key in ("name", "version", "device", "settings"):
            if not isinstance(hello.get(key), str):
                raise Wrong("hello has no text %s: %s" % (key, hello))
        return "%(name)s %(version)s on %(device)s: %(settings)s (%(open_s).2f s)" % hello

    faults += report("hello", greeting)
    faults += report("what is no ask", lambda: manners(talk))
    faults += report("two cases at once", lambda: together(talk))
    number = 100
    for dtype in options.dtypes.split(","):
        for c in shape_cases(options.shapes) if options.shapes else small_cases():
            if options.case not in c["name"]:
                continue
            number += 1
            c = dict(c, dtype=dtype)
            label = "%s %s%s" % (dtype, c["name"], " causal" if c.get("causal") else "")
            faults += report(label, lambda: check(talk, number, c, options.rows if options.shapes else 0))
            if talk.process.poll() is not None:
                return 1
    faults += report("end of input", talk.close)
    print("%d wrong" % faults)
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
