# SPDX-License-Identifier: Apache-2.0
"""PyTorch on the CPU. What makes it fast, and why:
- Inference mode, no gradients; one thread pool of the asked size, one inter-op thread; blocks that calls free stay in
  the process (mallopt), so that results do not cost page faults in every call.
- Attention is scaled_dot_product_attention on contiguous [B,H,L,D]. With fewer key heads the fastest of: enable_gqa;
  keys expanded before the timing; a group's heads as views of one key head; without a causal mask also a group's
  queries as rows of one head.
- Weights are constants: next to F.linear (MKL, which is slow on AMD) the weights packed for oneDNN, the call that
  torch.compile's freezing makes of F.linear.
- A layer is the fastest of nn.MultiheadAttention (eval, need_weights=False: its fast path) and the same by hand: one
  fused input projection, SDPA on views, output projection, with F.linear or with packed weights. `kernel` says which.
- Options: bool masks where nothing is added to the scores, else float masks. What SDPA cannot do (softcap, weights,
  their mean, lse) is matmul, softmax, matmul by hand.
- Softmax and merge write into results made once, where PyTorch has an out= form."""
import ctypes
import functools

import numpy as np

from worker import Missing, Unsupported, Worker, added_mask, fastest, named, serve

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def keep_freed_memory():
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return "no mallopt"
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, 1 << 30)
    return "freed memory kept"


class PyTorch(Worker):
    name = "pytorch"
    can_say = {"len", "window", "mask", "end", "bias", "alibi", "softcap", "weights", "mean", "lse", "packed"}

    def open(self, threads):
        try:
            import torch
        except ImportError as e:
            raise Missing("torch is not installed (%s)" % e)
        memory = keep_freed_memory()
        torch.set_num_threads(threads)
        torch.set_num_interop_threads(1)
        self.torch, self.F = torch, torch.nn.functional
        self.mode = torch.inference_mode()
        self.mode.__enter__()
        self.types = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
        settings = "inference mode, %d threads, interop 1, %s" % (torch.get_num_threads(), memory)
        return {"version": torch.__version__, "device": "cpu", "settings": settings}

    def prepare(self, case, arrays):
        if case["dtype"] not in self.types:
            raise Unsupported("no type " + case["dtype"])
        dtype = self.types[case["dtype"]]
        tensors = {n: self.torch.from_numpy(a).to(dtype) for n, a in arrays.items() if n not in ("allowed", "added")}
        if "added" in arrays:
            tensors["mask"] = self.torch.from_numpy(added_mask(arrays)).to(dtype)
        elif "allowed" in arrays:
            tensors["mask"] = self.torch.from_numpy(np.ascontiguousarray(arrays["allowed"]))
        return fastest(self.maker(case)(case, tensors))

    def rows(self, result):
        if not isinstance(result, tuple):
            return result.float().contiguous().numpy()
        out, lse, weights, mean = result
        parts = [out]
        if lse is not None:
            parts.append(lse[..., None])
        if weights is not None:
            parts.append(weights)
        if mean is not None:
            parts.append(mean[:, None].expand(-1, out.shape[1], -1, -1))
        return self.torch.cat([x.float() for x in parts], -1).numpy()

    def attention(self, case, t):
        g, s, d = (case[x] for x in "GSD")
        q, k, v, causal, group = t["q"], t["k"], t["v"], case["causal"], case["H"] // case["G"]
        mask = t.get("mask")
        if any(case.get(x) for x in ("softcap", "weights", "mean", "lse")):
            return [self.three_steps(case, t)]
        sdpa = functools.partial(self.F.scaled_dot_product_attention, is_causal=causal, attn_mask=mask)
        if group == 1:
            return [lambda: named("sdpa", functools.partial(sdpa, q, k, v))]

        def views():
            wide = [x.view(-1, 1, s, d).expand(-1, group, s, d) for x in (k, v)]
            return named("sdpa views of keys", functools.partial(sdpa, q.view(-1, group, case["L"], d), *wide))

        def folded():  # a group's queries are rows of one head: the same bytes in the same order
            return named("sdpa folded group", functools.partial(sdpa, q.view(case["B"], g, -1, d), k, v))

        def expanded():
            wide = [x.repeat_interleave(group, 1) for x in (k, v)]
            return named("sdpa expanded keys", functools.partial(sdpa, q, *wide))

        def native():
            return named("sdpa enable_gqa", functools.partial(sdpa, q, k, v, enable_gqa=True))

        if mask is not None:  # a mask of each head does not fit views of groups
            return [native, expanded]
        return [native, views, expanded] if causal else [native, views, expanded, folded]

    def three_steps(self, case, t):
        torch, group, cap = self.torch, case["H"] // case["G"], float(case.get("softcap", 0))
        q, scale = t["q"], case["D"] ** -0.5
        k, v = (x.repeat_interleave(group, 1) if group > 1 else x for x in (t["k"], t["v"]))
        mask = t.get("mask")
        if case["causal"]:
            mask = torch.ones(case["L"], case["S"], dtype=torch.bool).tril()
        if mask is not None and mask.dtype == torch.bool:
            mask = torch.zeros(mask.shape, dtype=q.dtype).masked_fill_(~mask, float("-inf"))
        turned = k.transpose(-1, -2)

        def call():
            scores = torch.matmul(q, turned).mul_(scale)
            if cap:
                scores = scores.div_(cap).tanh_().mul_(cap)
            if mask is not None:
                scores = scores.add_(mask)
            lse = torch.logsumexp(scores, -1) if case.get("lse") else None
            weights = torch.softmax(scores, -1)
            mean = weights.mean(1) if case.get("mean") else None
            return torch.matmul(weights, v), lse, weights if case.get("weights") else None, mean

        return lambda: named("matmul, softmax, matmul", call)

    def linear(self, x, w, bias, packed):
        if not packed:
            return functools.partial(self.F.linear, x, w, bias)
        ops = self.torch.ops.mkldnn
        rows = x.shape[:-1].numel()
        return functools.partial(ops._linear_pointwise, x, ops._reorder_linear_weight(w, rows), bias, "none", [], "")

    def project(self, case, t):
        def build(kernel, packed):
            return lambda: named(kernel, self.linear(t["x"], t["w"], t["bias"], packed))

        return [build("F.linear", False), build("oneDNN packed linear", True)]

    def layer(self, case, t):
        return [self.module(case, t)] + [self.by_hand(case, t, packed) for packed in (False, True)]

    def module(self, case, t):
        torch, l, m = self.torch, case["L"], case["M"]
        made = torch.nn.MultiheadAttention(m, case["H"], batch_first=True, dtype=t["x"].dtype).eval()
        made.in_proj_weight.copy_(torch.cat([t["w_q"], t["w_k"], t["w_v"]]))
        made.in_proj_bias.copy_(torch.cat([t["b_q"], t["b_k"], t["b_v"]]))
        made.out_proj.weight.copy_(t["w_o"])
        made.out_proj.bias.copy_(t["b_o"])
        how = {"need_weights": False}
        if case["causal"]:
            mask = torch.full((l, l), float("-inf"), dtype=t["x"].dtype).triu(1)
            how.update(attn_mask=mask, is_causal=True)
        x = t["x"]
        return lambda: named("nn.MultiheadAttention", lambda: made(x, x, x, **how)[0])

    def by_hand(self, case, t, packed):
        torch, sdpa, causal = self.torch, self.F.scaled_dot_product_attention, case["causal"]
        b, l, m, h = (case[x] for x in "BLMH")

        def build():
            w, bias = (torch.cat([t[kind + "_" + part] for part in "qkv"]) for kind in "wb")
            enter = self.linear(t["x"], w, bias, packed)
            last = self.linear(t["x"], t["w_o"], t["b_o"], packed)
            leave, weights = last.func, last.args[1:]

            def call():
                q, k, v = enter().view(b, l, 3, h, m // h).permute(2, 0, 3, 1, 4)
                return leave(sdpa(q, k, v, is_causal=causal).transpose(1, 2).reshape(b, l, m), *weights)

            return named("SDPA by hand, " + ("oneDNN packed linear" if packed else "F.linear"), call)

        return build

    def softmax(self, case, t):
        torch, x = self.torch, t["x"]
        out, scaled = torch.empty_like(x), torch.empty_like(x)
        if not case["causal"]:
            return [lambda: named("mul, softmax", lambda: torch.softmax(torch.mul(x, 0.125, out=scaled), -1, out=out))]
        hidden = torch.ones(case["L"], case["S"], dtype=torch.bool).triu(1)
        mask = torch.zeros(case["L"], case["S"], dtype=x.dtype).masked_fill_(hidden, float("-inf"))

        def added():
            return torch.softmax(torch.add(mask, x, alpha=0.125, out=scaled), -1, out=out)

        def filled():
            return torch.softmax(torch.mul(x, 0.125, out=scaled).masked_fill_(hidden, float("-inf")), -1, out=out)

        return [lambda: named("add mask, softmax", added), lambda: named("masked_fill, softmax", filled)]

    def merge(self, case, t):
        b, h, l, d = (case[x] for x in "BHLD")
        x = t["x"].transpose(1, 2)
        out = self.torch.empty(b, l, h, d, dtype=x.dtype)
        flat = out.view(b, l, h * d)

        def call():
            out.copy_(x)
            return flat

        return [lambda: named("copy_", call)]


if __name__ == "__main__":
    serve(PyTorch())
