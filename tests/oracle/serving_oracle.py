#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes random cases of serving with what NumPy says in float64: packed batches, query lengths, decoding with a cache.

Usage: serving_oracle.py OUT.safetensors [--cases N] [--seed N]
The file has the format of docs/case-format.md; `attend check` reads it. Caches of 8 bits are computed with the
quantiser that attend/cache.h writes down, so that their bound is that of every other case: 2e-5 + 2e-5 |y|. Behind the
lengths of padded batches K and V hold NaN. Exit 77 without NumPy. The same seed gives the same file.
"""
import argparse
import sys

try:
    import numpy as np
except ImportError:
    print("NumPy is not installed")
    sys.exit(77)

from attention_oracle import bf16_bits, integers, stored, write_file

BOUND = {"atol": 2e-5, "rtol": 2e-5}


def attend(q, k, v, offset, causal):
    """[L, H, D], [S, G, D], [S, G, E] -> [L, H, E], [L, H]; a row without a key gives 0 and -inf."""
    queries, heads, size = q.shape
    keys, groups = k.shape[:2]
    out, lse = np.zeros((queries, heads, v.shape[2])), np.full((queries, heads), -np.inf)
    for h in range(heads):
        g = h // (heads // groups)
        for i in range(queries):
            last = min(keys, i + offset + 1) if causal else keys
            if last <= 0:
                continue
            s = k[:last, g] @ q[i, h] / np.sqrt(size)
            m = s.max()
            w = np.exp(s - m)
            lse[i, h] = m + np.log(w.sum())
            out[i, h] = w / w.sum() @ v[:last, g]
    return out, lse


def round_to(kind, x):
    """What a cache of that type holds, in float64; x is float32."""
    if kind == "f16":
        return x.astype(np.float16).astype(np.float64)
    if kind == "bf16":
        return (bf16_bits(x.astype(np.float64)).astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    if kind == "int8":
        scale = (np.abs(x).max(-1, keepdims=True) / np.float32(127)).astype(np.float32)
        safe = np.where(scale == 0, np.float32(1), scale)
        elements = np.where(scale == 0, np.float32(0), np.rint((x / safe).astype(np.float32)))
        return (np.clip(elements, -127, 127) * scale).astype(np.float64)
    return x.astype(np.float64)


def normal(random, *shape):
    return (random.standard_normal(shape) * random.choice([0.3, 1.0, 3.0])).astype(np.float32)


def heads_of(random):
    groups = int(random.choice([1, 2, 3, 4]))
    return groups * int(random.choice([1, 2, 4])), groups


def sizes_of(random):
    return int(random.choice([1, 5, 16, 24, 40, 64, 80, 128])), int(random.choice([1, 8, 33, 64, 128]))


def packed(random):
    heads, groups = heads_of(random)
    size, values = sizes_of(random)
    samples = int(random.integers(1, 8))
    queries = random.integers(0, 40, samples) * (random.random(samples) > 0.2)
    keys = random.integers(0, 300, samples) * (random.random(samples) > 0.2)
    cu_q, cu_k = (np.concatenate([[0], np.cumsum(n)]) for n in (queries, keys))
    causal, position = bool(random.random() < 0.6), str(random.choice(["bottom_right", "top_left"]))
    q, k, v = (stored("F32", normal(random, n, h, d)) for n, h, d in
               ((cu_q[-1], heads, size), (cu_k[-1], groups, size), (cu_k[-1], groups, values)))
    out, lse = np.zeros((cu_q[-1], heads, values)), np.full((cu_q[-1], heads), -np.inf)
    for b in range(samples):
        rows, cols = slice(cu_q[b], cu_q[b + 1]), slice(cu_k[b], cu_k[b + 1])
        offset = int(keys[b] - queries[b]) if position == "bottom_right" else 0
        out[rows], lse[rows] = attend(q[2][rows], k[2][cols], v[2][cols], offset, causal)
    kind = str(random.choice(["I32", "I64"]))
    return {"op": "packed", "causal": causal, "position": position, **BOUND}, {
        "q": q, "k": k, "v": v, "cu_q": integers(kind, cu_q), "cu_k": integers(kind, cu_k),
        "y": stored("F32", out), "lse": stored("F32", lse)}


def lengths(random):
    heads, groups = heads_of(random)
    size, values = sizes_of(random)
    samples, most_q, most_k = int(random.integers(1, 5)), int(random.integers(1, 40)), int(random.integers(1, 300))
    queries, keys = random.integers(0, most_q + 1, samples), random.integers(0, most_k + 1, samples)
    q, k, v = (normal(random, samples, h, n, d) for h, n, d in
               ((heads, most_q, size), (groups, most_k, size), (groups, most_k, values)))
    out, lse = np.zeros((samples, heads, most_q, values)), np.full((samples, heads, most_q), -np.inf)
    causal = bool(random.random() < 0.7)
    for b in range(samples):
        y, z = attend(*(x[b, :, :n].astype(np.float64).swapaxes(0, 1) for x, n in
                        ((q, queries[b]), (k, keys[b]), (v, keys[b]))), int(keys[b] - queries[b]), causal)
        out[b, :, :queries[b]], lse[b, :, :queries[b]] = y.swapaxes(0, 1), z.swapaxes(0, 1)
        k[b, :, keys[b]:] = v[b, :, keys[b]:] = np.nan
    return {"op": "attention", "layout": "bhld", "causal": causal, "position": "bottom_right", **BOUND}, {
        "q": stored("F32", q), "k": stored("F32", k), "v": stored("F32", v),
        "query_lengths": integers("I64", queries), "key_lengths": integers("I64", keys),
        "y": stored("F32", out), "lse": stored("F32", lse)}


def decode(random):
    heads, groups = heads_of(random)
    size, values = sizes_of(random)
    samples = int(random.integers(1, 4))
    steps = [int(n) for n in random.choice([0, 1, 1, 1, 2, 5, 16, 17, 60, 255, 300], int(random.integers(1, 9)))]
    total, kind = sum(steps), str(random.choice(["f32", "f16", "bf16", "int8"]))
    q, k, v = (normal(random, samples, h, total, d) for h, d in ((heads, size), (groups, size), (groups, values)))
    held_k, held_v = round_to(kind, k), round_to(kind, v)
    out, lse = np.zeros((samples, heads, total, values)), np.full((samples, heads, total), -np.inf)
    for b in range(samples):
        y, z = attend(*(x[b].astype(np.float64).swapaxes(0, 1) for x in (q, held_k, held_v)), 0, True)
        out[b], lse[b] = y.swapaxes(0, 1), z.swapaxes(0, 1)
    page = int(random.choice([0, 1, 2, 3, 7, 16, 32, 100, 256, 300]))
    return {"op": "decode", "steps": steps, "page": page, "cache_type": kind, **BOUND}, {
        "q": stored("F32", q), "k": stored("F32", k), "v": stored("F32", v),
        "y": stored("F32", out), "lse": stored("F32", lse)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seed", type=int, default=5)
    asked = parser.parse_args()
    cases = []
    for n in range(asked.cases):
        random = np.random.default_rng([asked.seed, n])
        make = (packed, lengths, decode)[n % 3]
        cases.append((f"{make.__name__}_{n}", *make(random)))
    write_file(asked.out, cases)


if __name__ == "__main__":
    main()
