# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU. What makes it fast, and why:
- PERFORMANCE_HINT LATENCY, one stream, the asked number of threads; INFERENCE_PRECISION_HINT is the case's type, so
  that nothing is rounded behind one's back; for the same reason key/value caches in that type, no dynamic quantisation.
- Inputs are bound once to memory made before; a call is infer(share_outputs=True), which copies nothing in or out.
- Attention is the fastest of: scaled_dot_product_attention as the compiler likes it (one generated kernel); the same
  with SNIPPETS_MODE=DISABLE (its node with matrix kernels); without a causal mask also MatMul, Softmax, MatMul.
  Fewer key heads: a group's heads share one key head by broadcasting; without a causal mask also a group's queries as
  rows of one head.
- Options: masks are an input, bool or float, of either form of attention; softcap in steps only.
- A layer has constant weights (packed when it is compiled): three MatMul or one of width 3M with a Split, then the
  same choice of attention.
- Types: f32 and bf16, both stored and computed in the type. f16 has no arithmetic on CPUs without AVX512-FP16."""
import functools

import numpy as np

from worker import Missing, Unsupported, Worker, added_mask, bfloat16_bits, fastest, from_bfloat16_bits, named, serve


class OpenVino(Worker):
    name = "openvino"
    can_say = {"len", "window", "mask", "end", "bias", "alibi", "softcap", "packed"}

    def open(self, threads):
        try:
            import openvino
            import openvino.opset13 as ops
        except ImportError as e:
            raise Missing("openvino is not installed (%s)" % e)
        self.ov, self.ops, self.core = openvino, ops, openvino.Core()
        self.able = self.core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.config = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
        }
        settings = "LATENCY, 1 stream, %d threads, precision of the case, no quantisation, shared tensors" % threads
        return {"version": openvino.__version__, "device": "cpu", "settings": settings}

    def prepare(self, case, arrays):
        if case["dtype"] not in ("f32", "bf16"):
            raise Unsupported("no arithmetic in " + case["dtype"])
        if case["dtype"] == "bf16" and "BF16" not in self.able:
            raise Unsupported("OpenVINO has no bf16 on this CPU")
        self.type = getattr(self.ov.Type, case["dtype"])
        self.precision = case["dtype"]
        made = {n: self.tensor(a) for n, a in arrays.items() if n not in ("allowed", "added")}
        if "allowed" in arrays or "added" in arrays:
            made["plus"] = self.tensor(np.ascontiguousarray(added_mask(arrays)))
        if "allowed" in arrays and "added" not in arrays:
            made["keep"] = self.ov.Tensor(np.ascontiguousarray(arrays["allowed"]))
        return fastest(self.maker(case)(case, made))

    def rows(self, result):
        tensor, shape = result
        values = tensor.data
        if self.ov.Type.bf16 == tensor.element_type:
            values = from_bfloat16_bits(values.view(np.uint16))
        return values.reshape(shape)

    def tensor(self, array):
        """Memory that the tensor owns, in the case's type."""
        made = self.ov.Tensor(self.type, self.ov.Shape(array.shape))
        if self.type == self.ov.Type.bf16:
            made.data.view(np.uint16)[...] = bfloat16_bits(array)
        else:
            made.data[...] = array
        return made

    def reshaped(self, tensor, shape):
        made = self.ov.Tensor(tensor.element_type, self.ov.Shape(shape))
        made.data[...] = tensor.data.reshape(shape)
        return made

    def constant(self, tensor):
        return self.ops.constant(tensor)

    def model(self, kernel, graph, tensors, shape, **config):
        """A builder: graph(parameters) is the result, `shape` the protocol's view of it."""

        def build():
            parameters = [self.ops.parameter(list(x.shape), x.element_type) for x in tensors]
            model = self.ov.Model([graph(*parameters)], parameters)
            types = {"INFERENCE_PRECISION_HINT": self.precision, "KV_CACHE_PRECISION": self.precision}
            how = dict(self.config, **types, **config)
            request = self.core.compile_model(model, "CPU", how).create_infer_request()
            for i, x in enumerate(tensors):
                request.set_input_tensor(i, x)
            result = (request.get_output_tensor(0), shape)
            run = functools.partial(request.infer, share_outputs=True)

            def call():
                run()
                return result

            call.inputs = tensors  # the request points into them
            return named(kernel, call)

        return build

    def attention(self, case, t):
        b, h, g, l, s, d = (case[x] for x in "BHGLSD")
        group, causal = h // g, case["causal"]
        q, k, v = t["q"], t["k"], t["v"]
        if "plus" in t or case.get("softcap"):
            return self.attention_options(case, t)
        found = []
        if group == 1:
            found += self.attenders("", case, [q, k, v])
        else:
            queries = self.reshaped(q, [b * g, group, l, d])
            keys = [self.reshaped(x, [b * g, 1, s, d]) for x in (k, v)]
            found += self.attenders(", broadcast keys", case, [queries] + keys)
            if not causal:
                found += self.attenders(", folded group", case, [self.reshaped(q, [b, g, group * l, d]), k, v])
        return found

    def attenders(self, note, case, tensors):
        shape = [case[x] for x in "BHLD"]
        fused = functools.partial(self.ops.scaled_dot_product_attention, causal=case["causal"])
        found = [
            self.model("SDPA" + note, fused, tensors, shape),
            self.model("SDPA node" + note, fused, tensors, shape, SNIPPETS_MODE="DISABLE"),
        ]
        if not case["causal"]:
            steps = functools.partial(self.three_steps, case["D"])
            found.append(self.model("MatMul, Softmax, MatMul" + note, steps, tensors, shape))
        return found

    def attention_options(self, case, t):
        b, h, g, l, s, d = (case[x] for x in "BHGLSD")
        shape, wide = [b, h, l, d], [t[n] for n in "qkv"]
        if g < h:  # a group's heads share one key head by broadcasting in five dimensions, which SDPA does not take
            wide[0] = self.reshaped(t["q"], [b, g, h // g, l, d])
            wide[1:] = [self.reshaped(x, [b, g, 1, s, d]) for x in wide[1:]]
        cap, found = float(case.get("softcap", 0)), []
        masks = [("bool", t["keep"])] if "keep" in t else []
        masks += [("float", t["plus"])] if "plus" in t else []
        for name, mask in masks if g == h and not cap else []:
            fused = self.ops.scaled_dot_product_attention
            tensors = wide + [mask]
            found.append(self.model("SDPA, %s mask" % name, fused, tensors, shape))
            found.append(self.model("SDPA node, %s mask" % name, fused, tensors, shape, SNIPPETS_MODE="DISABLE"))
        plus = [t["plus"]] if "plus" in t else []
        if case["causal"]:
            hidden = np.triu(np.ones((l, s), bool), 1)
            plus = [self.tensor(np.where(hidden, np.float32("-inf"), np.float32(0))[None, None])]
        if g < h and plus:
            a, heads, rows, keys = plus[0].shape
            deep = [a, heads if heads == 1 else g, 1 if heads == 1 else h // g, rows, keys]
            plus = [self.reshaped(plus[0], deep)]
        steps = functools.partial(self.three_steps, d, cap=cap)
        found.append(self.model("MatMul, Softmax, MatMul, float mask", steps, wide + plus, shape))
        return found

    def three_steps(self, size, q, k, v, plus=None, cap=0):
        ops, scale = self.ops, self.constant(self.tensor(np.full(1, size**-0.5, np.float32)))
        scores = ops.matmul(ops.multiply(q, scale), k, False, True)
        if cap:
            limit = self.constant(self.tensor(np.full(1, cap, np.float32)))
            scores = ops.multiply(ops.tanh(ops.divide(scores, limit)), limit)
        if plus is not None:
            scores = ops.add(scores, plus)
        return ops.matmul(ops.softmax(scores, -1), v, False, False)

    def layer(self, case, t):
        fused = functools.partial(self.ops.scaled_dot_product_attention, causal=case["causal"])
        ways = [("SDPA", fused, {}), ("SDPA node", fused, {"SNIPPETS_MODE": "DISABLE"})]
        if not case["causal"]:
            ways.append(("MatMul, Softmax, MatMul", functools.partial(self.three_steps, case["M"] // case["H"]), {}))
        shape = [case[x] for x in "BLM"]
        found = []
        for name, attend, config in ways:
            for enter, first in (("3 MatMul", self.enter_three), ("fused MatMul", self.enter_fused)):
                graph = functools.partial(self.layer_graph, case, t, first, attend)
                found.append(self.model("%s, %s" % (enter, name), graph, [t["x"]], shape, **config))
        return found

    def layer_graph(self, case, t, first, attend, x):
        ops = self.ops
        b, l, m = (case[n] for n in "BLM")
        heads = attend(*first(case, t, x))
        joined = ops.reshape(ops.transpose(heads, [0, 2, 1, 3]), [b, l, m], False)
        return self.linear(joined, self.constant(t["w_o"]), self.constant(t["b_o"]))

    def linear(self, x, w, bias):
        return self.ops.add(self.ops.matmul(x, w, False, True), bias)

    def enter_three(self, case, t, x):
        b, l, m, h = (case[n] for n in "BLMH")
        ops = self.ops
        for part in "qkv":
            y = self.linear(x, self.constant(t["w_" + part]), self.constant(t["b_" + part]))
            yield ops.transpose(ops.reshape(y, [b, l, h, m // h], False), [0, 2, 1, 3])

    def enter_fused(self, case, t, x):
        b, l, m, h = (case[n] for n in "BLMH")
        ops = self.ops
        w, bias = (self.joined([t[kind + part] for part in "qkv"]) for kind in ("w_", "b_"))
        deep = ops.reshape(self.linear(x, w, bias), [b, l, 3, h, m // h], False)
        parts = ops.split(ops.transpose(deep, [2, 0, 3, 1, 4]), 0, 3)
        return [ops.squeeze(parts.output(i), [0]) for i in range(3)]

    def joined(self, tensors):
        together = np.concatenate([x.data for x in tensors])
        made = self.ov.Tensor(tensors[0].element_type, self.ov.Shape(together.shape))
        made.data[...] = together
        return self.constant(made)

    def project(self, case, t):
        def graph(x):
            return self.linear(x, self.constant(t["w"]), self.constant(t["bias"]))

        return [self.model("MatMul, Add", graph, [t["x"]], [case["rows"], case["out"]])]

    def softmax(self, case, t):
        ops = self.ops
        eighth = self.constant(self.tensor(np.full(1, 0.125, np.float32)))
        if case["causal"]:
            hidden = np.triu(np.ones((case["L"], case["S"]), bool), 1)
            mask = self.constant(self.tensor(np.where(hidden, np.float32("-inf"), np.float32(0))))

        def graph(x):
            scaled = ops.multiply(x, eighth)
            return ops.softmax(ops.add(scaled, mask) if case["causal"] else scaled, -1)

        return [self.model("Multiply, Softmax", graph, [t["x"]], [case[x] for x in "BHLS"])]

    def merge(self, case, t):
        b, h, l, d = (case[x] for x in "BHLD")
        return [self.model("Transpose", lambda x: self.ops.transpose(x, [0, 2, 1, 3]), [t["x"]], [b, l, h * d])]


if __name__ == "__main__":
    serve(OpenVino())
