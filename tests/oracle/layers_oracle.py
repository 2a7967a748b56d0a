#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes random cases of layers and of the operations around attention with what PyTorch says in float64.

Usage: layers_oracle.py OUT.safetensors [--seed N] [--keep N] [--small]
The file has the format of docs/case-format.md; `attend check` reads it. --keep takes N of the cases,
--small takes small sizes. The same seed and version of PyTorch give the same file; exit 77 without PyTorch.

Bounds (docs/numerics.md): float32 5e-5 + 5e-5 |y| for layers, 1e-5 + 1e-5 |y| for single operations; 16-bit
activations twice the largest error that PyTorch makes when it computes the same composition in that type.

One file, over the usual length: each kind of case is a few lines beside the options that it draws from.
"""
import argparse
import json
import math
import struct
import sys

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("PyTorch is not installed")
    sys.exit(77)

NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
         torch.int32: "I32", torch.bool: "BOOL"}
ACTIVATIONS = {
    "none": lambda x: x,
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}
# Types of weights and of activations.
TYPES = [(torch.float32, torch.float32), (torch.float16, torch.float16), (torch.bfloat16, torch.bfloat16),
         (torch.float16, torch.float32), (torch.bfloat16, torch.float32)]


# ---- definitions, in whatever type they are given -------------------------------------------------------

def norm(p, kind, x, eps, name):
    weight, bias = p.get(name + "weight"), p.get(name + "bias")
    if kind == "layer_norm":
        return F.layer_norm(x, x.shape[-1:], weight, bias, eps)
    y = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rotate(x, cos, sin, interleaved):
    n = cos.shape[-1]
    length = x.shape[2]
    c, s = cos[:length].to(x.dtype), sin[:length].to(x.dtype)
    head, rest = x[..., :2 * n], x[..., 2 * n:]
    if interleaved:
        a, b = head[..., 0::2], head[..., 1::2]
        turned = torch.stack((c * a - s * b, s * a + c * b), -1).flatten(-2)
    else:
        a, b = head[..., :n], head[..., n:]
        turned = torch.cat((c * a - s * b, s * a + c * b), -1)
    return torch.cat((turned, rest), -1)


def positions(o, lengths_q, lengths_k, batch, L, S):
    """p of each query row, [B, 1, L, 1]."""
    i = torch.arange(L).view(1, 1, L, 1)
    if o.get("position") != "bottom_right":
        return i.expand(batch, 1, L, 1)
    q = lengths_q if lengths_q is not None else torch.full((batch,), L)
    k = lengths_k if lengths_k is not None else torch.full((batch,), S)
    return i + (k.long() - q.long()).view(-1, 1, 1, 1)


def allowed_keys(o, t, batch, heads, L, S):
    p = positions(o, t.get("query_lengths"), t.get("key_lengths"), batch, L, S)
    j = torch.arange(S).view(1, 1, 1, S)
    ok = torch.ones(batch, heads, L, S, dtype=torch.bool)
    if o.get("causal"):
        ok = ok & (j <= p)
    if o.get("window_left", -1) >= 0:
        ok = ok & (j >= p - o["window_left"])
    if o.get("window_right", -1) >= 0:
        ok = ok & (j <= p + o["window_right"])
    if "key_lengths" in t:
        ok = ok & (j < t["key_lengths"].view(-1, 1, 1, 1))
    if "query_lengths" in t:
        ok = ok & (torch.arange(L).view(1, 1, L, 1) < t["query_lengths"].view(-1, 1, 1, 1))
    if "key_mask" in t:
        ok = ok & t["key_mask"].view(batch, 1, 1, S)
    if "mask" in t:
        mask = t["mask"]
        if mask.shape[-1] not in (1, S):
            mask = F.pad(mask, (0, S - mask.shape[-1]), value=False)
        ok = ok & mask
    if "bias" in t:
        ok = ok & (t["bias"] != -math.inf)
    return ok, (p - j).abs()


def attention(q, k, v, p, o, t):
    """q [B, H, L, D], k and v [B, G, S, .]. Parameters p, options o, masks and lengths t."""
    (batch, heads, L, D), S = q.shape, k.shape[2]
    k = k.repeat_interleave(heads // k.shape[1], 1)
    v = v.repeat_interleave(heads // v.shape[1], 1)
    s = (q @ k.transpose(-1, -2)) * o.get("scale", 1 / math.sqrt(D))
    if o.get("softcap"):
        s = o["softcap"] * torch.tanh(s / o["softcap"])
    ok, distance = allowed_keys(o, t, batch, heads, L, S)
    if "bias" in t:
        s = s + t["bias"].to(s.dtype)
    if "alibi_slopes" in p:
        s = s - p["alibi_slopes"].to(s.dtype).view(1, -1, 1, 1) * distance
    s = s.masked_fill(~ok, -math.inf)
    sink = p.get("sinks")
    wide = s if sink is None else torch.cat(
        (s, sink.to(s.dtype).view(1, -1, 1, 1).expand(batch, heads, L, 1)), -1)
    lse = torch.logsumexp(wide, -1) if wide.shape[-1] else torch.full((batch, heads, L), -math.inf)
    some = ok.any(-1, keepdim=True)
    w = torch.softmax(wide.masked_fill(~some, 0), -1)[..., :S].masked_fill(~some, 0)
    if "query_lengths" in t:
        lse = lse.masked_fill(torch.arange(L).view(1, 1, L) >= t["query_lengths"].view(-1, 1, 1), -math.inf)
    return w @ v, w, lse


def linear(x, p, w, b):
    return F.linear(x, p[w], p.get(b))


def multihead(p, o, t, x_q, x_kv=None, x_v=None):
    """p: parameters w_q, ..; returns merged and projected output, weights, lse."""
    x_k = x_q if x_kv is None else x_kv
    x_v = x_k if x_v is None else x_v
    heads = o["heads"]
    groups = o.get("kv_heads") or heads

    def split(y, n):
        return y.view(y.shape[0], y.shape[1], n, -1).transpose(1, 2)

    q = split(linear(x_q, p, "w_q", "b_q"), heads)
    k = split(linear(x_k, p, "w_k", "b_k"), groups)
    v = split(linear(x_v, p, "w_v", "b_v"), groups)
    if "rope_cos" in p:
        q = rotate(q, p["rope_cos"], p["rope_sin"], o.get("rope_interleaved"))
        k = rotate(k, p["rope_cos"], p["rope_sin"], o.get("rope_interleaved"))
    y, w, lse = attention(q, k, v, p, o, t)
    y = y.transpose(1, 2).flatten(2)
    return (linear(y, p, "w_o", "b_o") if "w_o" in p else y), w, lse


def feedforward(p, activation, x):
    f = ACTIVATIONS[activation]
    if "w_gate" in p:
        hidden = f(linear(x, p, "w_gate", "b_gate")) * linear(x, p, "w_1", "b_1")
    else:
        hidden = f(linear(x, p, "w_1", "b_1"))
    return linear(hidden, p, "w_2", "b_2")


def part(d, prefix):
    return {k[len(prefix):]: v for k, v in d.items() if k.startswith(prefix)}


def block(p, o, t, x, memory=None):
    out = {}

    def self_layer(h):
        y, w, _ = multihead(part(p, "self."), part(o, "self."),
                            {k: v for k, v in t.items() if not k.startswith("memory_")}, h)
        out["weights"], out["weights_mean"] = w, w.mean(1)
        return y

    def cross_layer(h):
        masks = part(t, "memory_")
        if "query_lengths" in t:
            masks["query_lengths"] = t["query_lengths"]
        y, w, _ = multihead(part(p, "cross."), part(o, "cross."), masks, h, memory)
        out["memory_weights"], out["memory_weights_mean"] = w, w.mean(1)
        return y

    layers = [("norm_self_", self_layer), ("norm_cross_", cross_layer),
              ("norm_feedforward_", lambda h: feedforward(part(p, "ff."), o["activation"], h))]
    for name, layer in layers:
        if memory is None and layer is cross_layer:
            continue
        if o["norm_first"]:
            x = x + layer(norm(p, o["norm"], x, o["eps"], name))
        else:
            x = norm(p, o["norm"], x + layer(x), o["eps"], name)
    out["y"] = x
    return out


# ---- cases ------------------------------------------------------------------------------------------------

class Cases:
    def __init__(self, seed, small):
        self.rng = torch.Generator().manual_seed(seed)
        self.small = small
        self.list = []

    def draw(self, low, high):
        return int(torch.randint(low, high + 1, (), generator=self.rng))

    def pick(self, options):
        return options[self.draw(0, len(options) - 1)]

    def chance(self, percent):
        return self.draw(1, 100) <= percent

    def randn(self, *sizes, scale=1.0, dtype=torch.float32):
        return (torch.randn(*sizes, generator=self.rng, dtype=torch.float64) * scale).to(dtype)

    def add(self, op, attributes, inputs, outputs, bound):
        """outputs: float64; kept in float32, whose rounding is far below every bound."""
        stored = dict(inputs)
        for role, value in outputs.items():
            stored[role] = value.to(torch.float32) if value.is_floating_point() else value
        name = f"{op}_{sum(c[1]['op'] == op for c in self.list):03d}"
        self.list.append((name, {"op": op, "atol": bound[0], "rtol": bound[1], **attributes}, stored))


def cast(tensors, dtype):
    """Floating-point values in the type in which the definitions shall compute."""
    return {k: v.to(dtype) if v.is_floating_point() and k.split(".")[-1] not in KEPT else v
            for k, v in tensors.items()}


# float32 by definition, whatever the type of the activations
KEPT = ("alibi_slopes", "sinks", "rope_cos", "rope_sin")


# Activations, whose elements may change places without changing what kind of case it is.
ROWS = ("x", "x_q", "x_kv", "x_v", "memory", "residual", "multiplier")


def evaluate(c, definition, p, t, activations, single=False):
    """Outputs in float64, and the bound: of float32, or of the plain composition in the 16-bit type. Its largest error
    is that over this case and three with the same activations in other places: one alone can be lucky."""
    def double(tensors):
        return {k: v.double() if v.is_floating_point() else v for k, v in tensors.items()}

    exact = definition(double(p), double(t))
    if activations == torch.float32:
        return exact, ((1e-5, 1e-5) if single else (5e-5, 5e-5))
    error, moved = 0.0, t
    for _ in range(4):
        plain, want = definition(cast(p, activations), cast(moved, activations)), definition(double(p), double(moved))
        error = max(error, float((plain["y"].double() - want["y"]).abs().max()))
        moved = {k: v.flatten()[torch.randperm(v.numel(), generator=c.rng)].view(v.shape) if k in ROWS else v
                 for k, v in t.items()}
    return {"y": exact["y"]}, (2 * error, 0.0)


def random_weights(c, prefix, shapes, dtype, bias_chance=75):
    """shapes: name of a matrix after w_ to (rows, columns); vectors b_ of most of them."""
    p = {}
    for name, (rows, columns) in shapes.items():
        p[f"{prefix}w_{name}"] = c.randn(rows, columns, scale=1 / math.sqrt(max(columns, 1)), dtype=dtype)
        if c.chance(bias_chance):
            p[f"{prefix}b_{name}"] = c.randn(rows, scale=0.3, dtype=dtype)
    return p


def random_heads(c, prefix, widths, out_width, dtype, rows):
    """Parameters and attributes of a multi-head layer. widths: of x_q, x_k, x_v; rows: largest length."""
    heads = c.pick([1, 2, 3] if c.small else [1, 2, 3, 4, 6, 8])
    groups = c.pick([g for g in range(1, heads + 1) if heads % g == 0])
    D = c.pick([2, 4, 5] if c.small else [4, 5, 8, 12, 16, 32])
    E = D if c.chance(70) else c.pick([1, 3, 6, 8])
    shapes = {"q": (heads * D, widths[0]), "k": (groups * D, widths[1]), "v": (groups * E, widths[2])}
    if out_width is not None:
        shapes["o"] = (out_width, heads * E)
    p = random_weights(c, prefix, shapes, dtype)
    o = {"heads": heads}
    if groups != heads or c.chance(30):
        o["kv_heads"] = groups
    if c.chance(20):
        o["scale"] = c.draw(-20, 40) / 50
    if c.chance(20):
        o["softcap"] = c.draw(1, 60) / 10
    if c.chance(15):
        p[prefix + "alibi_slopes"] = c.randn(heads, scale=0.2).abs()
    if c.chance(15):
        p[prefix + "sinks"] = c.randn(heads)
    if D >= 2 and c.chance(20) and (D % 2 == 0 or c.chance(50)):
        rotated = 2 * c.draw(1, D // 2)
        if rotated != D:
            o["rope_dim"] = rotated
        angle = torch.arange(rows + 2).view(-1, 1) * 10 ** (-torch.arange(rotated // 2) * 3.0 / rotated).view(1, -1)
        p[prefix + "rope_cos"], p[prefix + "rope_sin"] = angle.cos().float(), angle.sin().float()
        o["rope_interleaved"] = c.chance(50)
    return p, o


def random_positions(c, o, p, L, S, cross):
    if c.chance(40):
        o["causal"] = True
    if c.chance(15):
        o["window_left"] = c.draw(0, S)
    if c.chance(15):
        o["window_right"] = c.draw(0, S)
    used = o.get("causal") or "window_left" in o or "window_right" in o or "alibi_slopes" in p
    if used and (cross or c.chance(30)):
        o["position"] = c.pick(["top_left", "bottom_right"])


def random_masks(c, batch, heads, L, S, dtype, prefix=""):
    """Masks, bias and lengths of one attention. The first key of a row is usually allowed."""
    t = {}
    if c.chance(30):
        shape = c.pick([(L, S), (heads, L, S), (batch, 1, 1, S), (batch, 1, L, S), (S,), (batch, heads, L, 1)])
        if S > 2 and c.chance(20):
            shape = (L, S - 1)
        t[prefix + "mask"] = torch.rand(shape, generator=c.rng) < 0.8
    if c.chance(40):
        bias = c.randn(*c.pick([(heads, L, S), (heads, L, S), (L, S), (batch, heads, L, S)]), dtype=dtype)
        if c.chance(20):
            bias[torch.rand(bias.shape, generator=c.rng) < 0.1] = -math.inf
        t[prefix + "bias"] = bias
    if c.chance(30):
        t[prefix + "key_mask"] = torch.rand(batch, S, generator=c.rng) < 0.8
    if c.chance(25):
        lengths = torch.randint(0, S + 1, (batch,), generator=c.rng)
        t[prefix + "key_lengths"] = lengths.to(c.pick([torch.int32, torch.int64]))
    return t


def prefixed(o, prefix):
    return {prefix + k: v for k, v in o.items()}


def add_multihead(c, types, cross):
    weights, activations = types
    few = 1 if activations == torch.float32 else 2  # as in some_rows
    batch, L = c.draw(few, 3), c.draw(4 * few - 3, 12 if c.small else 40)
    S = c.draw(1, 14 if c.small else 50) if cross else L
    M = c.pick([6, 8, 12, 16] if c.small else [8, 24, 33, 48, 64])
    widths = [M, c.pick([M, M + 3]), c.pick([M, M + 5])] if cross else [M] * 3
    N = None if c.chance(10) else c.pick([M, M + 2])
    p, o = random_heads(c, "", widths, N, weights, max(L, S))
    random_positions(c, o, p, L, S, cross)
    t = random_masks(c, batch, o["heads"], L, S, activations)
    if c.chance(20):
        t["query_lengths"] = torch.randint(0, L + 1, (batch,), generator=c.rng).to(torch.int32)
    t["x_q"] = c.randn(batch, L, M, dtype=activations)
    if cross:
        t["x_kv"] = c.randn(batch, S, widths[1], dtype=activations)
        if widths[1] != widths[2] or c.chance(30):
            t["x_v"] = c.randn(batch, S, widths[2], dtype=activations)
    width = p["w_o"].shape[0] if N else p["w_v"].shape[0] // (o.get("kv_heads") or o["heads"]) * o["heads"]
    if c.chance(30):
        t["residual"] = c.randn(batch, L, width, dtype=activations)

    def definition(p, t):
        y, w, lse = multihead(p, o, t, t["x_q"], t.get("x_kv"), t.get("x_v"))
        return {"y": y + t["residual"] if "residual" in t else y, "weights": w, "weights_mean": w.mean(1), "lse": lse}

    outputs, bound = evaluate(c, definition, p, t, activations)
    for name in ("weights", "weights_mean", "lse"):
        if not c.chance(50):
            outputs.pop(name, None)
    c.add("multihead", o, {**p, **t}, outputs, bound)


def add_block(c, types, kind, first, activation, gated, decoder):
    weights, activations = types
    few = 1 if activations == torch.float32 else 2
    batch, L = c.draw(few, 3), c.draw(4 * few - 3, 10 if c.small else 30)
    S = c.draw(1, 12 if c.small else 40)
    M = c.pick([6, 8, 12] if c.small else [12, 24, 33, 48])
    hidden = c.draw(1, 2 * M)
    o = {"norm": kind, "norm_first": first, "activation": activation, "eps": c.pick([1e-5, 1e-6, 1e-3])}
    p, own = random_heads(c, "self.", [M] * 3, M, weights, L)
    random_positions(c, own, part(p, "self."), L, L, False)
    o.update(prefixed(own, "self."))
    t = random_masks(c, batch, own["heads"], L, L, activations)
    if c.chance(15):
        t["query_lengths"] = torch.randint(0, L + 1, (batch,), generator=c.rng)
    names = ["self", "feedforward"]
    if decoder:
        width = c.pick([M, M + 4])
        q, other = random_heads(c, "cross.", [M, width, width], M, weights, max(L, S))
        random_positions(c, other, part(q, "cross."), L, S, True)
        p.update(q)
        o.update(prefixed(other, "cross."))
        t.update(random_masks(c, batch, other["heads"], L, S, activations, "memory_"))
        t["memory"] = c.randn(batch, S, width, dtype=activations)
        names.append("cross")
    shapes = {"1": (hidden, M), "2": (M, hidden)}
    if gated:
        shapes["gate"] = (hidden, M)
    p.update(random_weights(c, "ff.", shapes, weights))
    for name in names:
        if c.chance(80):
            p[f"norm_{name}_weight"] = (1 + c.randn(M, scale=0.2)).to(weights)
        if c.chance(60):
            p[f"norm_{name}_bias"] = c.randn(M, scale=0.2, dtype=weights)
    t["x"] = c.randn(batch, L, M, dtype=activations)

    def definition(p, t):
        return block(p, o, {k: v for k, v in t.items() if k not in ("x", "memory")}, t["x"], t.get("memory"))

    outputs, bound = evaluate(c, definition, p, t, activations)
    for name in ("weights", "weights_mean", "memory_weights", "memory_weights_mean"):
        if not c.chance(40):
            outputs.pop(name, None)
    c.add("block", o, {**p, **t}, outputs, bound)


def some_rows(c, dtype):
    """Leading sizes. The bound of 16 bits is the largest error of all elements: with few a matter of luck."""
    if dtype != torch.float32:
        return (c.draw(2, 4), c.draw(2, 4), c.draw(8, 12))[c.draw(0, 1):]
    return (c.draw(1, 4), c.draw(1, 4), c.draw(1, 9))[c.draw(0, 3):]


def add_feedforward(c, types, activation, gated):
    weights, activations = types
    most = 14 if c.small else 40
    M, N, hidden = c.draw(4, most), c.draw(4, most), c.draw(1, 2 * most)
    shapes = {"1": (hidden, M), "2": (N, hidden)}
    if gated:
        shapes["gate"] = (hidden, M)
    p = random_weights(c, "", shapes, weights)
    rows = some_rows(c, activations)
    t = {"x": c.randn(*rows, M, dtype=activations)}
    if c.chance(50):
        t["residual"] = c.randn(*rows, N, dtype=activations)

    def definition(p, t):
        y = feedforward(p, activation, t["x"])
        return {"y": y + t["residual"] if "residual" in t else y}

    c.add("feedforward", {"activation": activation}, {**p, **t}, *evaluate(c, definition, p, t, activations))


def add_linear(c, types, activation):
    weights, activations = types
    K, N = c.draw(1, 24 if c.small else 70), c.draw(4, 12 if c.small else 60)
    rows = some_rows(c, activations)
    p = {"w": c.randn(N, K, scale=1 / math.sqrt(K), dtype=weights)}
    t = {"x": c.randn(*rows, K, dtype=activations)}
    if c.chance(70):
        t["b"] = c.randn(N, dtype=activations)
    for name in ("multiplier", "residual"):
        if c.chance(40):
            t[name] = c.randn(*rows, N, dtype=activations)

    def definition(p, t):
        y = ACTIVATIONS[activation](F.linear(t["x"], p["w"], t.get("b")))
        y = y * t["multiplier"] if "multiplier" in t else y
        return {"y": y + t["residual"] if "residual" in t else y}

    c.add("linear", {"activation": activation, "prepared": c.chance(50)}, {**p, **t},
          *evaluate(c, definition, p, t, activations, True))


def add_norm(c, dtype, kind):
    M = c.draw(2, 20 if c.small else 90)
    rows = some_rows(c, dtype)
    t = {"x": c.randn(*rows, M, scale=c.pick([0.1, 1, 20]), dtype=dtype) + c.draw(-2, 2)}
    for name, percent in (("residual", 50), ("weight", 70), ("bias", 50)):
        if c.chance(percent):
            t[name] = c.randn(*(rows + (M,) if name == "residual" else (M,)), dtype=dtype)
    eps = c.pick([1e-5, 1e-6, 0.0, 0.1])

    def definition(_, t):
        x = t["x"] + t["residual"] if "residual" in t else t["x"]
        return {"y": norm(t, kind, x, eps, ""), "sum": x}

    outputs, bound = evaluate(c, definition, {}, t, dtype, True)
    if not c.chance(50):
        outputs.pop("sum", None)
    c.add("norm", {"norm": kind, "eps": eps}, t, outputs, bound)


def add_activate(c, dtype, activation):
    shape = some_rows(c, dtype) + (c.draw(4, 12 if c.small else 80),)
    t = {"x": c.randn(*shape, scale=c.pick([1, 4, 12]), dtype=dtype)}
    for name in ("multiplier", "residual"):
        if c.chance(40):
            t[name] = c.randn(*shape, dtype=dtype)

    def definition(_, t):
        y = ACTIVATIONS[activation](t["x"])
        y = y * t["multiplier"] if "multiplier" in t else y
        return {"y": y + t["residual"] if "residual" in t else y}

    c.add("activate", {"activation": activation}, t, *evaluate(c, definition, {}, t, dtype, True))


def add_embed(c, dtype):
    N, M = c.draw(8, 40), c.draw(4, 12 if c.small else 40)
    o = {}
    t = {"table": c.randn(N, M, dtype=dtype)}
    if c.chance(60):
        shape = some_rows(c, dtype) or (5,)
        t["ids"] = torch.randint(0, N, shape, generator=c.rng).to(c.pick([torch.int32, torch.int64]))
    else:
        shape = (c.draw(1, 3), c.draw(1, 6))
        o["id_offset"] = c.draw(0, N - shape[-1])
    if c.chance(50):
        t["x"] = c.randn(*shape, M, dtype=dtype)
    if c.chance(50):
        o["scale"] = c.draw(-30, 60) / 7

    def definition(_, t):
        ids = t["ids"].long() if "ids" in t else (o["id_offset"] + torch.arange(shape[-1])).expand(shape)
        y = t["table"][ids] * o.get("scale", 1.0)
        y = y + t["x"] if "x" in t else y
        return {"y": y}

    c.add("embed", o, t, *evaluate(c, definition, {}, t, dtype, True))


# ---- cases whose outputs come from PyTorch's own modules ------------------------------------------------

def randomize(c, module):
    with torch.no_grad():
        for name, value in module.named_parameters():
            scale = 0.2 if value.dim() == 1 else 1 / math.sqrt(value.shape[-1])
            value.copy_(c.randn(*value.shape, scale=scale).double() + (1 if "norm" in name and "weight" in name else 0))


def add_torch_layer(c, decoder):
    heads, M = c.pick([1, 2, 4]), 8 * c.draw(1, 2 if c.small else 6)
    hidden = c.draw(4, 12 if c.small else 40)
    batch, L, S = c.draw(1, 3), c.draw(2, 16), c.draw(1, 18)
    o = {"heads": heads, "activation": c.pick(["relu", "gelu"]), "norm_first": c.chance(50),
         "eps": c.pick([1e-5, 1e-6]), "causal": c.chance(50)}
    kind = torch.nn.TransformerDecoderLayer if decoder else torch.nn.TransformerEncoderLayer
    layer = kind(M, heads, hidden, 0.0, o["activation"], o["eps"], True, o["norm_first"], dtype=torch.float64).eval()
    randomize(c, layer)
    t = {"x": c.randn(batch, L, M)}
    future = torch.ones(L, L, dtype=torch.bool).triu(1) if o["causal"] else None
    # the first key takes part, so that no row of PyTorch is NaN
    keys = None
    if c.chance(50):
        t["key_mask"] = torch.rand(batch, L, generator=c.rng) < 0.7
        t["key_mask"][:, 0] = True
        keys = ~t["key_mask"]
    with torch.no_grad():
        if decoder:
            t["memory"] = c.randn(batch, S, M)
            y = layer(t["x"].double(), t["memory"].double(), tgt_mask=future, tgt_key_padding_mask=keys)
        else:
            # a gradient keeps PyTorch off its fused path, which sets padded rows to zero
            y = layer(t["x"].double().requires_grad_(), src_mask=future, src_key_padding_mask=keys)
    stored = {"p." + name: value.detach().float() for name, value in layer.named_parameters()}
    c.add("decoder_layer" if decoder else "encoder_layer", o, {**stored, **t}, {"y": y.detach()}, (5e-5, 5e-5))


def add_torch_mha(c):
    heads = c.pick([1, 2, 4])
    M = heads * c.draw(2, 9)
    batch, L, S, cross = c.draw(1, 3), c.draw(1, 16), c.draw(1, 18), c.chance(50)
    S = S if cross else L
    wk, wv = (c.draw(3, 20), c.draw(3, 20)) if cross else (M, M)
    layer = torch.nn.MultiheadAttention(M, heads, 0.0, True, kdim=wk, vdim=wv, batch_first=True, dtype=torch.float64)
    randomize(c, layer)
    layer.eval()
    t = {"x_q": c.randn(batch, L, M)}
    if cross:
        t["x_k"], t["x_v"] = c.randn(batch, S, wk), c.randn(batch, S, wv)
    if layer.in_proj_weight is not None:
        weights = layer.in_proj_weight.chunk(3)
    else:
        weights = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
    for name, w, b in zip("qkv", weights, layer.in_proj_bias.chunk(3)):
        t["w_" + name], t["b_" + name] = w.detach().float(), b.detach().float()
    t["w_o"], t["b_o"] = layer.out_proj.weight.detach().float(), layer.out_proj.bias.detach().float()
    keys = None
    if c.chance(50):
        t["key_mask"] = torch.rand(batch, S, generator=c.rng) < 0.7
        t["key_mask"][:, 0] = True
        keys = ~t["key_mask"]
    x = [t[n].double() if n in t else t["x_q"].double() for n in ("x_q", "x_k", "x_v")]
    with torch.no_grad():
        y, w = layer(*x, key_padding_mask=keys, average_attn_weights=False)
    c.add("mha", {"heads": heads, "causal": False}, t, {"y": y, "weights": w, "weights_mean": w.mean(1)}, (5e-5, 5e-5))


def add_copies(c):
    batch, L, heads, D = c.draw(1, 3), c.draw(1, 9), c.draw(1, 5), c.draw(1, 9)
    dtype = c.pick([torch.float32, torch.float16, torch.bfloat16])
    flat = c.randn(batch, L, heads * D, dtype=dtype)
    split = flat.view(batch, L, heads, D).transpose(1, 2).contiguous()
    # outputs of copies are compared as stored
    for op, x, y in (("split_heads", flat, split), ("merge_heads", split, flat)):
        c.add(op, {"heads": heads}, {"x": x, "y": y}, {}, (0.0, 0.0))


def add_softmax(c):
    batch, heads, L, S = c.draw(1, 3), c.draw(1, 4), c.draw(1, 12), c.draw(1, 16)
    t = {"scores": c.randn(batch, heads, L, S, scale=3)}
    o = {"scale": c.draw(1, 30) / 20, "causal": c.chance(50), "query_offset": c.draw(0, S)}
    if c.chance(50):
        t["mask"] = torch.rand(L, S, generator=c.rng) < 0.7
    if c.chance(50):
        t["key_lengths"] = torch.randint(0, S + 1, (batch,), generator=c.rng)
    s = t["scores"].double() * o["scale"]
    ok = torch.ones(batch, heads, L, S, dtype=torch.bool)
    if o["causal"]:
        ok = ok & (torch.arange(S) <= torch.arange(L).view(L, 1) + o["query_offset"])
    ok = ok & t.get("mask", torch.tensor(True))
    if "key_lengths" in t:
        ok = ok & (torch.arange(S) < t["key_lengths"].view(-1, 1, 1, 1))
    some = ok.any(-1, keepdim=True)
    w = torch.softmax(s.masked_fill(~ok, -math.inf).masked_fill(~some, 0), -1).masked_fill(~some, 0)
    c.add("softmax", o, t, {"weights": w}, (1e-5, 1e-5))


def add_rope(c):
    batch, heads, L, D = c.draw(1, 3), c.draw(1, 4), c.draw(1, 12), 2 * c.draw(1, 8)
    rotated, rows, interleaved = 2 * c.draw(1, D // 2), L + 5, c.chance(50)
    angle = torch.arange(rows).view(-1, 1) * 100 ** (-torch.arange(rotated // 2) / rotated).view(1, -1)
    t = {"x": c.randn(batch, heads, L, D), "cos": angle.cos().float(), "sin": angle.sin().float()}
    ids = torch.arange(L).expand(batch, L)
    if c.chance(50):
        t["position_ids"] = ids = torch.randint(0, rows, (batch, L), generator=c.rng)
    y = torch.cat([rotate(t["x"][b:b + 1].double(), t["cos"].double()[ids[b]], t["sin"].double()[ids[b]], interleaved)
                   for b in range(batch)])
    c.add("rope", {"interleaved": interleaved, "rotary_dim": rotated}, t, {"y": y}, (1e-5, 1e-5))


def self_test(c):
    """The definitions above against PyTorch's own layer, so that both cannot be wrong in one way."""
    for first in (False, True):
        layer = torch.nn.TransformerDecoderLayer(16, 4, 24, 0.0, "gelu", 1e-5, True, first, dtype=torch.float64).eval()
        randomize(c, layer)
        x, memory = c.randn(2, 7, 16).double(), c.randn(2, 9, 16).double()
        v = dict(layer.named_parameters())
        p = {}
        for prefix, name in (("self.", "self_attn"), ("cross.", "multihead_attn")):
            for i, letter in enumerate("qkv"):
                p[f"{prefix}w_{letter}"] = v[name + ".in_proj_weight"].chunk(3)[i]
                p[f"{prefix}b_{letter}"] = v[name + ".in_proj_bias"].chunk(3)[i]
            p[prefix + "w_o"], p[prefix + "b_o"] = v[name + ".out_proj.weight"], v[name + ".out_proj.bias"]
        for i in "12":
            p["ff.w_" + i], p["ff.b_" + i] = v[f"linear{i}.weight"], v[f"linear{i}.bias"]
        for i, name in enumerate(("self", "cross", "feedforward"), 1):
            p[f"norm_{name}_weight"], p[f"norm_{name}_bias"] = v[f"norm{i}.weight"], v[f"norm{i}.bias"]
        o = {"norm": "layer_norm", "norm_first": first, "activation": "gelu", "eps": 1e-5,
             "self.heads": 4, "self.causal": True, "cross.heads": 4}
        with torch.no_grad():
            want = layer(x, memory, tgt_mask=torch.ones(7, 7, dtype=torch.bool).triu(1))
            got = block(p, o, {}, x, memory)["y"]
        if float((want - got).abs().max()) > 1e-12:
            sys.exit("layers_oracle.py: its definitions disagree with torch.nn.TransformerDecoderLayer")


def make(c):
    kinds = ("layer_norm", "rms_norm")
    turn = 0
    for kind in kinds:
        for first in (False, True):
            for activation in ACTIVATIONS:
                for gated in (False, True):
                    for _ in range(3):
                        add_block(c, TYPES[turn % 5], kind, first, activation, gated, turn % 3 == 2)
                        turn += 1
    for i in range(60):
        add_multihead(c, TYPES[i % 5], i % 2 == 1)
    for i, activation in enumerate(list(ACTIVATIONS) * 5):
        add_feedforward(c, TYPES[(i + i // 7) % 5], activation, i % 2 == 1)
        add_linear(c, TYPES[(i + i // 7) % 5], activation)
        add_activate(c, TYPES[(i + i // 7) % 3][0], activation)
    for i in range(30):
        add_norm(c, TYPES[i % 3][0], kinds[i // 3 % 2])
        add_embed(c, TYPES[i % 3][0])
    for i in range(12):
        add_torch_layer(c, i % 2 == 1)
        add_torch_mha(c)
        add_copies(c)
        add_softmax(c)
        add_rope(c)


# ---- the file ---------------------------------------------------------------------------------------------

def write(path, cases):
    meta = {"format": "attend-cases/1", **{name: json.dumps(attributes) for name, attributes, _ in cases}}
    tensors = [(f"{name}/{role}", value) for name, _, roles in cases for role, value in roles.items()]
    # the widest elements first, so that each tensor starts at a multiple of its element's size
    tensors.sort(key=lambda named: -named[1].element_size())
    header, blobs, at = {"__metadata__": meta}, [], 0
    for name, value in tensors:
        raw = value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""
        header[name] = {"dtype": NAMES[value.dtype], "shape": list(value.shape), "data_offsets": [at, at + len(raw)]}
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=int, default=0)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    c = Cases(arguments.seed, arguments.small)
    self_test(c)
    make(c)
    kept = c.list
    if arguments.keep and arguments.keep < len(kept):
        chosen = torch.randperm(len(kept), generator=c.rng)[:arguments.keep].tolist()
        kept = [kept[i] for i in sorted(chosen)]
    write(arguments.out, kept)
    print(f"{len(kept)} cases")


if __name__ == "__main__":
    main()
