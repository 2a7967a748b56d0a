#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes random cases of attention with what NumPy says in float64, written from the formula alone.

Usage: attention_oracle.py OUT.safetensors [--cases N] [--seed N] [--gate]
The file has the format of docs/case-format.md; `attend check` reads it. Where no query may attend to a key, K, V and
bias hold NaN and infinities. Exit 77 without NumPy.

Bounds: one rounding of the stored type, as the backend `reference` must give; with --gate 2e-5 + 2e-5 |y| on top,
which every backend must meet for these sizes and values. The same seed gives the same file.
"""
import argparse
import json
import struct
import sys

try:
    import numpy as np
except ImportError:
    print("NumPy is not installed")
    sys.exit(77)

INF = np.inf
UNITS = {"F32": 2.0 ** -24, "F16": 2.0 ** -11, "BF16": 2.0 ** -8}
SMALLEST = {"F32": 2.0 ** -149, "F16": 2.0 ** -24, "BF16": 2.0 ** -133}


# ---- stored types: (name, raw array, the values in float64) ------------------------------------------------

def bf16_bits(x):
    """Round to nearest even in one step: float64 is first rounded to odd in float32."""
    f = x.astype(np.float32)
    bits = f.view(np.uint32).copy()
    inexact = np.isfinite(x) & (f.astype(np.float64) != x)
    bits = np.where(inexact & (np.abs(f.astype(np.float64)) > np.abs(x)), bits - 1, bits)
    bits = np.where(inexact, bits | 1, bits).astype(np.uint64)
    nan = np.isnan(x)
    rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16
    return np.where(nan, 0x7fc0, rounded).astype(np.uint16)


def stored(kind, x):
    x = np.asarray(x, np.float64)
    with np.errstate(over="ignore"):
        if kind == "BF16":
            raw = bf16_bits(x)
            return kind, raw, (raw.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        raw = x.astype({"F32": np.float32, "F16": np.float16}[kind])
        return kind, raw, raw.astype(np.float64)


def integers(kind, x):
    raw = np.asarray(x, {"I32": np.int32, "I64": np.int64, "BOOL": np.bool_, "U8": np.uint8}[kind])
    return kind, raw, raw.astype(np.int64)


def write_file(path, cases):
    header, blobs, at = {"__metadata__": {"format": "attend-cases/1"}}, [], 0
    for name, attributes, tensors in cases:
        header["__metadata__"][name] = json.dumps(attributes)
        for role, (kind, raw, _) in tensors.items():
            blob = np.ascontiguousarray(raw).tobytes()
            header[f"{name}/{role}"] = {"dtype": kind, "shape": list(raw.shape),
                                        "data_offsets": [at, at + len(blob)]}
            blobs.append(blob)
            at += len(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


# ---- the formula ------------------------------------------------------------------------------------------

def spread(mask, shape, absent):
    """A mask of rank 1 to 4 at [B, H, L, S]; what a short last dimension does not cover is `absent`."""
    S = shape[3]
    if mask.shape[-1] not in (1, S):
        rest = np.full(mask.shape[:-1] + (S - mask.shape[-1],), absent, mask.dtype)
        mask = np.concatenate([mask, rest], -1)
    return np.broadcast_to(mask, shape)


def allowed_keys(o, t, shape):
    """[B, H, L, S] true where the key takes part, the distances |p - j|, and which rows and keys exist."""
    B, H, L, S = shape
    i, j = np.arange(L).reshape(1, 1, L, 1), np.arange(S).reshape(1, 1, 1, S)
    queries = t["query_lengths"][2] if "query_lengths" in t else np.full(B, L)
    keys = t["key_lengths"][2] if "key_lengths" in t else np.full(B, S)
    offset = np.full(B, o.get("query_offset", 0))
    if "query_offsets" in t:
        offset = offset + t["query_offsets"][2]
    if o.get("position") == "bottom_right":
        offset = keys - queries
    p = i + offset.reshape(B, 1, 1, 1)
    exists = (i < queries.reshape(B, 1, 1, 1)) & (j < keys.reshape(B, 1, 1, 1)) & np.ones(shape, bool)
    ok = exists.copy()
    if o.get("causal"):
        ok &= j <= p
    if o.get("window_left", -1) >= 0:
        ok &= j >= p - o["window_left"]
    if o.get("window_right", -1) >= 0:
        ok &= j <= p + o["window_right"]
    if "mask" in t:
        ok &= spread(t["mask"][2] != 0, shape, False)
    if "key_mask" in t:
        ok &= (t["key_mask"][2] != 0).reshape(B, 1, 1, S)
    if "bias" in t:
        ok &= spread(t["bias"][2], shape, -INF) != -INF
    return ok, np.abs(p - j).astype(np.float64), exists


def softmax(s, ok, sinks):
    """Weights and lse; excluded keys 0, a row without a key 0 and -inf (or the sink)."""
    B, H, L, S = s.shape
    sink = np.full((1, H, 1, 1), -INF) if sinks is None else sinks.reshape(1, H, 1, 1)
    s = np.where(ok, s, -INF)
    top = np.maximum(s.max(-1, keepdims=True, initial=-INF), sink)
    base = np.where(np.isfinite(top), top, 0)
    e = np.exp(s - base)
    z = e.sum(-1, keepdims=True) + np.exp(sink - base)
    with np.errstate(divide="ignore"):
        lse = (base + np.log(z))[..., 0]
    return e / np.where(z == 0, 1, z), lse


def attention(o, t):
    """Every output in float64, from the stored values of the inputs. q [B, H, L, D], k and v [B, G, S, .]."""
    q, k, v = t["q"][2], t["k"][2], t["v"][2]
    H, G, D = q.shape[1], k.shape[1], q.shape[3]
    k, v = np.repeat(k, H // G, 1), np.repeat(v, H // G, 1)
    shape = q.shape[:3] + k.shape[2:3]
    stages = {"raw": np.einsum("bhld,bhsd->bhls", q, k)}
    stages["scaled"] = stages["raw"] * o.get("scale", 1 / np.sqrt(D) if D else 1.0)
    cap = o.get("softcap", 0)
    stages["softcapped"] = cap * np.tanh(stages["scaled"] / cap) if cap else stages["scaled"]
    ok, distance, exists = allowed_keys(o, t, shape)
    s = stages["softcapped"]
    if "bias" in t:
        s = s + spread(t["bias"][2], shape, -INF)
    if "alibi_slopes" in t:
        s = s - t["alibi_slopes"][2].reshape(1, H, 1, 1) * distance
    stages["masked"] = s
    w, lse = softmax(s, ok, t["sinks"][2] if "sinks" in t else None)
    if "query_lengths" in t:
        beyond = np.arange(shape[2]) >= t["query_lengths"][2][:, None, None]
        lse = np.where(beyond, -INF, lse)
    stage = o.get("scores_stage", "masked")
    shown = ok if stage == "masked" else exists
    return {"y": np.einsum("bhls,bhse->bhle", w, v), "weights": w, "weights_mean": w.mean(1), "lse": lse,
            "scores": np.where(shown, stages[stage], -INF)}, ok, exists


# ---- cases ------------------------------------------------------------------------------------------------

def poison(o, t, ok, exists, rng, outputs):
    """NaN and infinities where nobody looks; a float mask that excludes must stay."""
    G = t["k"][2].shape[1]
    B, H, L, S = ok.shape
    unread = ~ok.reshape(B, G, H // G, L, S).any((2, 3))
    unread_k = unread
    if "scores" in outputs and o["scores_stage"] != "masked":
        unread_k = ~exists.reshape(B, G, H // G, L, S).any((2, 3))
    for role, where in (("k", unread_k), ("v", unread)):
        kind, _, x = t[role]
        junk = rng.choice([np.nan, INF, -INF], x.shape)
        t[role] = stored(kind, np.where(where[..., None], junk, x))
    if "bias" in t and t["bias"][2].shape == ok.shape:
        kind, _, x = t["bias"]
        t["bias"] = stored(kind, np.where(~ok & (x != -INF), rng.choice([np.nan, INF], x.shape), x))


def random_mask_shape(rng, full):
    rank = rng.integers(1, 5)
    shape = [1 if rng.random() < 0.3 else n for n in full[4 - rank:]]
    shape[-1] = full[3] if rng.random() < 0.8 or full[3] < 3 else int(rng.integers(2, full[3]))
    return shape


def random_options(rng, t, sizes):
    """Masks, lengths and numbers go to `t` and the returned attributes."""
    B, H, L, S, D = sizes
    o, chance = {}, lambda percent: rng.random() * 100 < percent
    if chance(40):
        o["causal"] = True
    for name in ("window_left", "window_right"):
        if chance(20):
            o[name] = int(rng.integers(0, S + 2))
    place = rng.integers(0, 3)
    if place == 0:
        o["position"] = str(rng.choice(["top_left", "bottom_right"]))
    elif place == 1:
        o["query_offset"] = int(rng.integers(-L, S + 1))
    if place != 0 and chance(50):
        t["query_offsets"] = integers("I64", rng.integers(-L, S + 1, B))
    for name, most in (("query_lengths", L), ("key_lengths", S)):
        if chance(30):
            t[name] = integers(str(rng.choice(["I32", "I64"])), rng.integers(0, most + 1, B))
    if chance(30):
        keep = rng.choice([0.9, 0.5, 0.1])
        t["mask"] = integers(str(rng.choice(["BOOL", "U8"])), rng.random(random_mask_shape(rng, (B, H, L, S))) < keep)
    if chance(30):
        t["key_mask"] = integers("BOOL", rng.random((B, S)) < 0.7)
    if chance(30):
        b = rng.normal(size=random_mask_shape(rng, (B, H, L, S)))
        t["bias"] = stored(str(rng.choice(["F32", "F16", "BF16"])),
                           np.where(rng.random(b.shape) < rng.choice([0, 0.3]), -INF, b))
    if chance(25):
        t["alibi_slopes"] = stored("F32", rng.random(H))
    if chance(25):
        t["sinks"] = stored("F32", np.where(rng.random(H) < 0.2, -INF, 2 * rng.normal(size=H)))
    if chance(25):
        o["softcap"] = float(rng.choice([0.5, 5.0, 50.0]))
    if chance(25):
        o["scale"] = float(rng.choice([0.0, -0.5, 0.3, 1.0]))
    return o


def to_layout(o, t, heads, groups):
    """[B, heads, L, D] to [B, L, heads * D] for the layout blhd."""
    if o["layout"] != "blhd":
        return
    o["heads"], o["kv_heads"] = heads, groups
    for role in ("q", "k", "v", "y"):
        if role in t:
            kind, raw, x = t[role]
            b, n, length, size = raw.shape
            t[role] = kind, raw.transpose(0, 2, 1, 3).reshape(b, length, n * size), x


def make_case(rng, gate):
    B, H = int(rng.integers(1, 4)), int(rng.integers(1, 7))
    G = int(rng.choice([g for g in range(1, H + 1) if H % g == 0]))
    L, S = (int(np.exp(rng.uniform(0, np.log(41)))) for _ in range(2))
    D, E = (int(np.exp(rng.uniform(0, np.log(41)))) for _ in range(2))
    E = D if rng.random() < 0.5 else E
    if rng.random() < 0.03:
        S = 0
    kinds = [("F32", "F32"), ("F16", "F16"), ("BF16", "BF16"), ("F32", "F16"), ("F32", "BF16")]
    q_kind, kv_kind = kinds[rng.integers(0, len(kinds))]
    size = rng.choice([1.0, 1.0, 6.0])
    t = {"q": stored(q_kind, size * rng.normal(size=(B, H, L, D))),
         "k": stored(kv_kind, rng.normal(size=(B, G, S, D))), "v": stored(kv_kind, rng.normal(size=(B, G, S, E)))}
    o = {"op": "attention", "layout": str(rng.choice(["bhld", "blhd"])),
         "scores_stage": str(rng.choice(["raw", "scaled", "softcapped", "masked"]))}
    o.update(random_options(rng, t, (B, H, L, S, D)))
    results, ok, exists = attention(o, t)
    wanted = ["y"] + [r for r in ("weights", "weights_mean", "scores", "lse") if rng.random() < 0.4]
    poison(o, t, ok, exists, rng, wanted)
    for role in wanted:
        t[role] = stored("F32" if role == "lse" or rng.random() < 0.4 else q_kind, results[role])
    kinds = {t[role][0] for role in wanted}
    unit = max(UNITS[kind] for kind in kinds)
    # results near a tie may round either way: one unit in the last place
    o["rtol"] = 2.05 * unit + (2e-5 if gate else 0)
    o["atol"] = 1e-13 + max(SMALLEST[kind] for kind in kinds) + (2e-5 if gate else 0)
    to_layout(o, t, H, G)
    return o, t


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gate", action="store_true")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    cases = []
    for n in range(arguments.cases):
        o, t = make_case(rng, arguments.gate)
        cases.append((f"attention_{n:04d}", o, t))
    write_file(arguments.out, cases)


main()
