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


def hashed(n, seed):
    """h of the protocol for numbers n."""
    h = (np.asarray(n, np.uint64) + np.uint64((seed * 0x9E3779B9) & 0xFFFFFFFF)).astype(np.uint32)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7FEB352D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846CA68B)
    h ^= h >> np.uint32(16)
    return h


def values(seed, amplitude, shape):
    """Float32 values of the protocol, in blocks so that the mixer needs little memory."""
    count = int(np.prod(shape, dtype=np.int64))
    out = np.empty(count, np.float32)
    block = 1 << 20
    for start in range(0, count, block):
        h = hashed(np.arange(start, min(start + block, count), dtype=np.uint64), seed)
        unit = (h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)
        out[start : start + len(unit)] = unit * np.float32(amplitude)
    return out.reshape(shape)


def inputs(case):
    """The named float32 arrays of a case, before they are rounded to its type."""
    op = case["op"]
    if op == "attention":
        b, h, g, l, s, d = (case[x] for x in "BHGLSD")
        if case.get("packed"):
            rows = int(lengths(case).sum())
            b, l, s = 1, rows, rows
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


# ---- options of attention: what a library gets instead of them ----------------------------------------

# Of a case, what is no option of attention.
PLAIN = {"name", "op", "dtype", "causal", "threads"} | set("BHGLSDM") | {"rows", "out", "in"}


def lengths(case):
    """Keys of each sample."""
    text = str(case.get("len", case["S"])).split("-")
    low, high = int(text[0]), int(text[-1])
    return low + (hashed(np.arange(case["B"]), 10) % np.uint32(high - low + 1)).astype(np.int64)


def positions(case):
    """[B or 1, L]: where queries stand on the key axis."""
    rows = np.arange(case["L"])[None]
    if not case.get("end"):
        return rows
    own = lengths(case)
    return rows + (own - (own if case.get("packed") else case["L"]))[:, None]


def masked(case):
    """The case's own bool mask, [B or 1, 1, L or 1, S], or None."""
    kind, _, number = case.get("mask", "").partition(":")
    l, s = case["L"], case["S"]
    i, j = np.arange(l)[:, None], np.arange(s)
    if kind == "causal":
        return (j <= i)[None, None]
    if kind == "random":
        return ((hashed((i * s + j) & 0xFFFFFFFF, 12) >> np.uint32(31) != 0) | (j == i % s))[None, None]
    if kind in ("keys", "pad"):
        return np.broadcast_to(j < int(number), (case["B"], 1, 1 if kind == "keys" else l, s))
    return None


def allowed(case):
    """All that excludes keys as one bool mask, [B or 1, 1, L or 1, S]; None where only `causal` does
    and nothing is added, which libraries do not take together."""
    found = [masked(case)] if case.get("mask") else []
    p, j = positions(case)[:, None, :, None], np.arange(case["S"])
    if case.get("len") or case.get("packed"):
        found.append(j < lengths(case)[:, None, None, None])
    if case.get("window"):
        left, _, right = case["window"].partition(":")
        if int(left) >= 0:
            found.append(j >= p - int(left))
        if right:
            found.append(j <= p + int(right))
    if case["causal"] and (found or any(case.get(x) for x in ("end", "bias", "alibi"))):
        found.append(j <= p)
    together = None
    for one in found:
        together = one if together is None else together & one
    return together


def added(case):
    """Bias and ALiBi as one float32 array, [B or 1, H, L, S], or None."""
    h, l, s = (case[x] for x in "HLS")
    total = values(11, 1, (1, h, l, s)) if case.get("bias") else None
    if case.get("alibi"):
        slopes = np.exp2(-8.0 * np.arange(1, h + 1) / h).astype(np.float32)[:, None, None]
        distance = np.abs(positions(case)[:, None, :, None] - np.arange(s)).astype(np.float32)
        total = -slopes * distance if total is None else total - slopes * distance
    return total


def added_mask(t):
    """Both as one float32 array that is added to the scores, or None."""
    keep, plus = t.get("allowed"), t.get("added")
    if keep is None:
        return plus
    return np.where(keep, np.float32(0) if plus is None else plus, np.float32("-inf")).astype(np.float32)


def padded(case, x):
    """[1,H,T,D] of a packed batch to [B,H,L,D]; what lies behind a sample's rows is 0."""
    out = np.zeros((case["B"], x.shape[1], case["L"], x.shape[3]), x.dtype)
    start = 0
    for b, count in enumerate(lengths(case)):
        out[b, :, :count] = x[0, :, start : start + count]
        start += count
    return out


def packed_again(case, rows):
    """Rows [B,H,L,..] in the order of a packed batch."""
    flat = rows.reshape(case["B"], case["H"], case["L"], rows.shape[-1])
    return np.concatenate([flat[b, :, :count] for b, count in enumerate(lengths(case))], 1)


def without_options(worker, case, t):
    """The case and its arrays with masks in the place of options: arrays `allowed` (bool) and `added` (float32), where
    there are such; `softcap`, side outputs and `kv` stay. A packed batch is padded. Raises Unsupported."""
    extra = {name for name in case if name not in PLAIN}
    if case["op"] != "attention" or not extra:
        return case, t
    if "cache" in extra and case.get("kv", case["dtype"]) != case["dtype"] and "kv" not in worker.can_say:
        raise Unsupported("a cache of another type (%s)" % case["kv"])
    for name in sorted(extra - worker.can_say - {"cache"}):
        if name == "kv" and case["kv"] == case["dtype"]:
            continue
        raise Unsupported("the option %s cannot be expressed" % name)
    t = dict(t)
    if case.get("packed"):
        t = {name: padded(case, x) for name, x in t.items()}
    made = {"allowed": allowed(case), "added": added(case)}
    t.update({name: x for name, x in made.items() if x is not None})
    plain = {name: x for name, x in case.items() if name in PLAIN or name in ("softcap", "weights", "mean", "lse", "kv")}
    plain["causal"] = case["causal"] and "allowed" not in t
    return plain, t


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
    # What its attention can express by masks or otherwise: names of the protocol. A cache is its keys and values.
    can_say = set()

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
    case, arrays = without_options(worker, ask["case"], inputs(ask["case"]))
    call = worker.prepare(case, arrays)
    start = time.perf_counter()
    call()
    first = time.perf_counter() - start
    cases[ask["id"]] = (call, ask["case"])
    return {"first_s": getattr(call, "first_s", first), "kernel": getattr(call, "kernel", "")}


def _rows(worker, cases, ask):
    call, case = cases[ask["id"]]
    result = np.asarray(worker.rows(call()), np.float32)
    if case.get("packed"):
        result = packed_again(case, result)
    flat = np.ascontiguousarray(result.reshape(-1, result.shape[-1]))
    return {"values": [flat[r].astype("<f4").tobytes().hex() for r in ask["rows"]]}


def _sample(cases, ask):
    call, repeat, clock = cases[ask["id"]][0], ask["repeat"], time.perf_counter
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
