# SPDX-License-Identifier: Apache-2.0
"""The loop of a worker in Python (../protocol.md). A peer's file makes a subclass of Worker and calls serve(); nothing it
imports at the top may be missing, so that what is not installed can be said in the answer to "hello"."""
import json
import os
import sys
import time

import numpy as np


class Unsupported(Exception):
    """What this worker cannot do, with the reason: a skip, not a failure."""


class Missing(Exception):
    """A package or device that is not here: the whole worker is a skip."""


def values(seed, amplitude, shape):
    """Float32 values of the protocol, in blocks so that the mixer needs little memory."""
    count = int(np.prod(shape, dtype=np.int64))
    out = np.empty(count, np.float32)
    block = 1 << 20
    for start in range(0, count, block):
        n = np.arange(start, min(start + block, count), dtype=np.uint64)
        h = (n + np.uint64((seed * 0x9E3779B9) & 0xFFFFFFFF)).astype(np.uint32)
        h ^= h >> np.uint32(16)
        h *= np.uint32(0x7FEB352D)
        h ^= h >> np.uint32(15)
        h *= np.uint32(0x846CA68B)
        h ^= h >> np.uint32(16)
        unit = (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
        out[start : start + len(unit)] = unit * np.float32(amplitude)
    return out.reshape(shape)


def inputs(case):
    """The named float32 arrays of a case, before they are rounded to its type."""
    op = case["op"]
    if op == "attention":
        b, h, g, l, s, d = (case[x] for x in "BHGLSD")
        return {
            "q": values(1, 4, (b, h, l, d)),
            "k": values(2, 1, (b, g, s, d)),
            "v": values(3, 1, (b, g, s, d)),
        }
    if op == "layer":
        b, l, m = (case[x] for x in "BLM")
        made = {"x": values(1, 1, (b, l, m))}
        for i, part in enumerate("qkvo"):
            made["w_" + part] = values(2 + i, 1 / 16, (m, m))
            made["b_" + part] = values(6 + i, 1, (m,))
        return made
    if op == "project":
        rows, out, width = case["rows"], case["out"], case["in"]
        return {
            "x": values(1, 1, (rows, width)),
            "w": values(2, 1 / 16, (out, width)),
            "bias": values(3, 1, (out,)),
        }
    if op == "softmax":
        return {"x": values(1, 16, tuple(case[x] for x in "BHLS"))}
    if op == "merge":
        return {"x": values(1, 1, tuple(case[x] for x in "BHLD"))}
    raise Unsupported("no inputs are known for the operation " + op)


def bfloat16_bits(array):
    """Float32 rounded to nearest even, as the 16 bits of bfloat16: NumPy has no such type."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def from_bfloat16_bits(bits):
    return (np.asarray(bits, np.uint16).astype(np.uint32) << np.uint32(16)).view(np.float32)


def named(kernel, call):
    """Gives a call the name of its kernel."""
    call.kernel = kernel
    return call


def fastest(builders, seconds=0.15):
    """Builds the call of each variant (each builder returns a named call), times them in turns and returns the one
    whose best time is the shortest. Its first_s is its own building and first call. A variant that its library refuses
    is said on standard error; that all are refused is the last one's error."""
    clock, calls, refused = time.perf_counter, [], None
    for build in builders:
        start = clock()
        try:
            call = build()
            call()
        except Exception as e:  # a library says "not implemented" with exceptions of its own
            sys.stderr.write("a variant is refused: %s\n" % " ".join(str(e).split())[:300])
            refused = e
            continue
        call.first_s = clock() - start
        calls.append(call)
    if not calls:
        raise refused or Unsupported("no variant can express this case")
    best = [float("inf")] * len(calls)
    rounds = 3 if len(calls) > 1 else 0
    for _ in range(rounds):
        for i, call in enumerate(calls):
            end = clock() + seconds / rounds
            while True:  # at least one call a round, however slow it is
                start = clock()
                call()
                stop = clock()
                best[i] = min(best[i], stop - start)
                if stop > end:
                    break
    return calls[best.index(min(best))]


class Worker:
    """What a peer defines. `name` is the peer's name in the tables.

    open(threads) imports and configures; returns {"version", "device", "settings"}; raises Missing.
    prepare(case, arrays) makes all that a call needs; returns call() -> result, the thing that is timed; raises
    Unsupported. The call may carry `kernel`, the name in the tables, and `first_s`, when its first call with all that
    it builds has run already.
    rows(result) turns what call() returned into a float32 array whose last dimension is the row, outside the timing."""

    name = ""

    def open(self, threads):
        raise NotImplementedError

    def prepare(self, case, arrays):
        raise NotImplementedError

    def maker(self, case):
        """The method that is named like the operation."""
        if not hasattr(self, case["op"]):
            raise Unsupported("no operation " + case["op"])
        return getattr(self, case["op"])

    def rows(self, result):
        return np.asarray(result)


def _prepare(worker, cases, ask):
    call = worker.prepare(ask["case"], inputs(ask["case"]))
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    cases[ask["id"]] = call
    return {"first_s": getattr(call, "first_s", first), "kernel": getattr(call, "kernel", "")}


def _rows(worker, cases, ask):
    result = np.asarray(worker.rows(cases[ask["id"]]()), np.float32)
    flat = np.ascontiguousarray(result.reshape(-1, result.shape[-1]))
    return {"values": [flat[r].astype("<f4").tobytes().hex() for r in ask["rows"]]}


def _sample(cases, ask):
    call, repeat, clock = cases[ask["id"]], ask["repeat"], time.perf_counter
    end = clock() + ask["warm_s"]
    while clock() < end:
        call()
    samples = []
    for _ in range(ask["count"]):
        start = clock()
        for _ in range(repeat):
            call()
        samples.append((clock() - start) / repeat)
    return {"samples": samples}


def _answer(worker, cases, ask):
    kind = ask["ask"]
    if kind == "hello":
        start = time.perf_counter()
        about = worker.open(ask["threads"])
        return dict(about, name=worker.name, open_s=time.perf_counter() - start)
    if kind == "prepare":
        return _prepare(worker, cases, ask)
    if kind == "rows":
        return _rows(worker, cases, ask)
    if kind == "sample":
        return _sample(cases, ask)
    if kind == "drop":
        cases.pop(ask["id"], None)
        return {}
    raise ValueError("unknown ask " + str(kind))


def serve(worker):
    # Libraries print; the protocol keeps the real standard output for itself.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    cases = {}
    for line in sys.stdin:
        try:
            answer = dict({"ok": True}, **_answer(worker, cases, json.loads(line)))
        except Missing as e:
            answer = {"ok": False, "missing": str(e)}
        except Unsupported as e:
            answer = {"ok": False, "unsupported": str(e)}
        except Exception as e:  # whatever a peer raises is its row's reason
            answer = {"ok": False, "error": "%s: %s" % (type(e).__name__, e)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
