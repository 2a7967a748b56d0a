# SPDX-License-Identifier: Apache-2.0
"""onnxruntime on the CPU. What makes it fast, and why:
- All graph optimisations, the asked number of intra-op threads (they may spin, the default), one inter-op thread;
  inputs and outputs are bound once to memory made before, so that a call copies nothing in or out.
- Attention is the fastest of the operators that can say the case: the standard Attention (opset 23); com.microsoft
  MultiHeadAttention (without mask: the flash path) with keys as [B,H,S,D] or as [B,S,H*D]; GroupQueryAttention (causal
  from the first key, or one query after a cache of keys that it shares); without a causal mask also a group's queries
  as rows of one head. Queries of com.microsoft's operators lie as [B,L,H*D], as a projection before them gives them.
- Options: masks are inputs of Attention (bool, or float where a bias is added), or MultiHeadAttention's attention_bias;
  softcap is an attribute of Attention.
- A layer is the fastest of: three MatMul + Add, or one of width 3M with a Split, or one Gemm; then Attention or
  MultiHeadAttention; MatMul + Add. Weights are constants, so they are packed when the session is made.
- Types: f32 and f16 (its f16 matrix products are computed in f32 on x86). The CPU provider has no bf16 attention."""
import functools

import numpy as np

from worker import Missing, Unsupported, Worker, added_mask, fastest, named, serve

MICROSOFT = "com.microsoft"
OPSET, IR = 23, 11  # opset 23 has Attention; an IR version that runtimes with this opset read


class OnnxRuntime(Worker):
    name = "onnxruntime"
    can_say = {"len", "window", "mask", "end", "bias", "alibi", "softcap", "packed"}

    def open(self, threads):
        try:
            import onnx
            import onnxruntime
        except ImportError as e:
            raise Missing("onnxruntime and onnx are not both installed (%s)" % e)
        self.onnx, self.ort = onnx, onnxruntime
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        self.options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.options.log_severity_level = 3
        settings = "ORT_ENABLE_ALL, %d intra-op threads that spin, bound inputs and outputs, weights constant" % threads
        return {"version": onnxruntime.__version__, "device": "cpu", "settings": settings}

    def prepare(self, case, arrays):
        if case["dtype"] not in ("f32", "f16"):
            raise Unsupported("the CPU provider does not compute in " + case["dtype"])
        self.type = np.dtype(np.float32 if case["dtype"] == "f32" else np.float16)
        made = {n: a.astype(self.type) for n, a in arrays.items() if n not in ("allowed", "added")}
        if "allowed" in arrays or "added" in arrays:
            made["plus"] = np.ascontiguousarray(added_mask(arrays)).astype(self.type)
            made["mask"] = made["plus"] if "added" in arrays else np.ascontiguousarray(arrays["allowed"])
        return fastest(self.maker(case)(case, made))

    def rows(self, result):
        values, order = result
        return order(values.numpy())

    def node(self, kind, inputs, outputs, **attributes):
        return self.onnx.helper.make_node(kind, inputs, outputs, **attributes)

    def value(self, name, array):
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        return self.onnx.helper.make_tensor_value_info(name, kind, array.shape)

    def session(self, kernel, nodes, inputs, outputs, constants=None, shared=(), order=lambda y: y):
        """A builder. inputs, constants: arrays by name; outputs: shapes by name, the first is the result; shared: pairs
        of an input and an output that are the same memory; order: the result's array as the protocol has it."""

        def build():
            made = {n: np.zeros(shape, self.type) for n, shape in outputs.items()}
            given, taken = ([self.value(n, a) for n, a in some.items()] for some in (inputs, made))
            weights = [self.onnx.numpy_helper.from_array(a, n) for n, a in (constants or {}).items()]
            graph = self.onnx.helper.make_graph(nodes, "case", given, taken, weights)
            sets = [self.onnx.helper.make_opsetid("", OPSET), self.onnx.helper.make_opsetid(MICROSOFT, 1)]
            model = self.onnx.helper.make_model(graph, opset_imports=sets, ir_version=IR)
            run = self.ort.InferenceSession(model.SerializeToString(), self.options, ["CPUExecutionProvider"])
            memory = self.ort.OrtValue.ortvalue_from_numpy
            values = {n: memory(a) for n, a in dict(inputs, **made).items()}
            for source, target in shared:
                values[target] = values[source]
            binding = run.io_binding()
            for n in inputs:
                binding.bind_ortvalue_input(n, values[n])
            for n in outputs:
                binding.bind_ortvalue_output(n, values[n])
            return named(kernel, self.bound(run, binding, (values[next(iter(outputs))], order), (inputs, made)))

        return build

    def bound(self, run, binding, result, arrays):
        """`arrays` is the memory that the binding points into: it lives as long as the call."""
        step = functools.partial(run.run_with_iobinding, binding)

        def call():
            step()
            return result

        call.arrays = arrays
        return call

    def attention(self, case, t):
        b, h, g, l, s, d = (case[x] for x in "BHGLSD")
        if "mask" in t or case.get("softcap"):
            return self.attention_options(case, t)
        q, k, v, causal = t["q"], t["k"], t["v"], int(case["causal"])
        names, out = ["q", "k", "v"], {"y": (b, h, l, d)}
        found = [self.session("Attention-23", [self.node("Attention", names, ["y"], is_causal=causal)], t, out)]
        if g == h and (not causal or l == s):  # its causal mask is aligned to the last key
            found += self.multi_head(case, t)
        if causal and l == s:
            found.append(self.group_prompt(case, t))
        if not causal and l == 1 and s > 1:
            found.append(self.group_decode(case, t))
        if not causal and g < h:
            fold = (b, g, h // g * l, d)
            rows = {"q": q.reshape(fold), "k": k, "v": v}
            node = self.node("Attention", names, ["y"])
            found.append(self.session("Attention-23, folded group", [node], rows, {"y": fold}))
            found.append(self.multi_head_fold(case, rows))
        return found

    def attention_options(self, case, t):
        b, h, g, l, s, d = (case[x] for x in "BHGLSD")
        cap, mask = float(case.get("softcap", 0)), t.get("mask")
        given = {n: t[n] for n in ("q", "k", "v", "mask") if n in t}
        node = self.node("Attention", list(given), ["y"], is_causal=int(case["causal"]), softcap=cap)
        found = [self.session("Attention-23, mask", [node], given, {"y": (b, h, l, d)})]
        if mask is None or cap or g < h:
            return found
        # com.microsoft's bias covers every query
        wide = np.ascontiguousarray(np.broadcast_to(t["plus"], t["plus"].shape[:2] + (l, s)))
        given = {"q": join_heads(t["q"]), "k": t["k"], "v": t["v"], "plus": wide}
        names = ["q", "k", "v", "", "", "plus"]
        node = self.node("MultiHeadAttention", names, ["y"], domain=MICROSOFT, num_heads=h)
        order, out = functools.partial(split_heads, h), {"y": (b, l, h * d)}
        found.append(self.session("MultiHeadAttention, attention_bias", [node], given, out, order=order))
        return found

    def multi_head(self, case, t):
        b, h, l, d = (case[x] for x in "BHLD")
        how = {"domain": MICROSOFT, "num_heads": h, "unidirectional": int(case["causal"])}
        nodes = [self.node("MultiHeadAttention", ["q", "k", "v"], ["y"], **how)]
        order = functools.partial(split_heads, h)
        flat = {n: join_heads(a) for n, a in t.items()}
        mixed = {"q": flat["q"], "k": t["k"], "v": t["v"]}
        out = {"y": (b, l, h * d)}
        return [
            self.session("MultiHeadAttention, BHSD keys", nodes, mixed, out, order=order),
            self.session("MultiHeadAttention, BSM keys", nodes, flat, out, order=order),
        ]

    def multi_head_fold(self, case, rows):
        """With the queries' order changed in the graph: their rows lie as [B,G,H/G*L,D]."""
        b, g, d = case["B"], case["G"], case["D"]
        length = rows["q"].shape[2]
        nodes = [
            self.node("Transpose", ["q"], ["turned"], perm=[0, 2, 1, 3]),
            self.node("Reshape", ["turned", "flat"], ["q3"]),
            self.node("MultiHeadAttention", ["q3", "k", "v"], ["y3"], domain=MICROSOFT, num_heads=g),
            self.node("Reshape", ["y3", "deep"], ["y4"]),
            self.node("Transpose", ["y4"], ["y"], perm=[0, 2, 1, 3]),
        ]
        shapes = {"flat": np.array([b, length, g * d]), "deep": np.array([b, length, g, d])}
        return self.session("MultiHeadAttention, folded group", nodes, rows, {"y": rows["q"].shape}, shapes)

    def group_prompt(self, case, t):
        b, h, g, l, d = (case[x] for x in "BHGLD")
        flat = {n: join_heads(a) for n, a in t.items()}
        out = {"y": (b, l, h * d), "keys": (b, g, l, d), "values": (b, g, l, d)}
        return self.group_query(case, flat, out, ["", ""], ())

    def group_decode(self, case, t):
        """One query after a cache of S-1 keys; each call writes the last key into the cache, the same bytes again."""
        b, h, g, s, d = (case[x] for x in "BHGSD")
        last = {n: np.ascontiguousarray(join_heads(t[n][:, :, s - 1 :])) for n in "kv"}
        given = {"q": join_heads(t["q"]), "k": last["k"], "v": last["v"], "old_k": t["k"], "old_v": t["v"]}
        out = {"y": (b, 1, h * d), "keys": (b, g, s, d), "values": (b, g, s, d)}
        return self.group_query(case, given, out, ["old_k", "old_v"], (("old_k", "keys"), ("old_v", "values")))

    def group_query(self, case, given, out, cache, shared):
        b, h, g, s = (case[x] for x in "BHGS")
        names = ["q", "k", "v"] + cache + ["last", "total"]
        how = {"domain": MICROSOFT, "num_heads": h, "kv_num_heads": g}
        nodes = [self.node("GroupQueryAttention", names, list(out), **how)]
        lengths = {"last": np.full(b, s - 1, np.int32), "total": np.array([s], np.int32)}
        order = functools.partial(split_heads, h)
        return self.session("GroupQueryAttention", nodes, given, out, lengths, shared, order)

    def layer(self, case, t):
        m = case["M"]
        constants = {"w" + p: np.ascontiguousarray(t["w_" + p].T) for p in "qkvo"}
        constants.update({"b" + p: t["b_" + p] for p in "qkvo"})
        constants["w3"] = np.concatenate([constants["w" + p] for p in "qkv"], 1)
        constants["b3"] = np.concatenate([constants["b" + p] for p in "qkv"])
        constants["widths"] = np.array([m, m, m])
        constants["rows"] = np.array([-1, m])
        constants["items"] = np.array([case["B"], case["L"], 3 * m])
        found = []
        for heads, attend in self.attenders(case):
            for enter, first in self.enterers():
                nodes = first + [attend] + self.matmul("z", "wo", "bo", "y")
                used = {n for node in nodes for n in node.input}
                weights = {n: a for n, a in constants.items() if n in used}
                kernel = "%s, %s" % (enter, heads)
                found.append(self.session(kernel, nodes, {"x": t["x"]}, {"y": t["x"].shape}, weights))
        return found

    def attenders(self, case):
        h, causal, names = case["H"], int(case["causal"]), ["q", "k", "v"]
        standard = self.node("Attention", names, ["z"], q_num_heads=h, kv_num_heads=h, is_causal=causal)
        how = {"domain": MICROSOFT, "num_heads": h, "unidirectional": causal}
        multi_head = self.node("MultiHeadAttention", names, ["z"], **how)
        return [("Attention-23", standard), ("MultiHeadAttention", multi_head)]

    def enterers(self):
        split = self.node("Split", ["p", "widths"], ["q", "k", "v"], axis=2)
        gemm = [
            self.node("Reshape", ["x", "rows"], ["x2"]),
            self.node("Gemm", ["x2", "w3", "b3"], ["p2"]),
            self.node("Reshape", ["p2", "items"], ["p"]),
            split,
        ]
        three = [node for p in "qkv" for node in self.matmul("x", "w" + p, "b" + p, p)]
        fused = self.matmul("x", "w3", "b3", "p") + [split]
        return [("3 MatMul", three), ("fused MatMul", fused), ("fused Gemm", gemm)]

    def matmul(self, x, w, bias, y):
        return [self.node("MatMul", [x, w], [y + "0"]), self.node("Add", [y + "0", bias], [y])]

    def project(self, case, t):
        x, out = {"x": t["x"]}, {"y": (case["rows"], case["out"])}
        turned = {"w": np.ascontiguousarray(t["w"].T), "bias": t["bias"]}
        plain = {"w": t["w"], "bias": t["bias"]}
        gemm = self.node("Gemm", ["x", "w", "bias"], ["y"], transB=1)
        return [
            self.session("MatMul, Add", self.matmul("x", "w", "bias", "y"), x, out, turned),
            self.session("Gemm", [gemm], x, out, plain),
        ]

    def softmax(self, case, t):
        constants = {"scale": np.array(0.125, self.type)}
        nodes, last = [self.node("Mul", ["x", "scale"], ["scaled"])], "scaled"
        if case["causal"]:
            hidden = np.triu(np.ones((case["L"], case["S"]), bool), 1)
            constants["mask"] = np.where(hidden, -np.inf, 0).astype(self.type)
            nodes.append(self.node("Add", [last, "mask"], ["masked"]))
            last = "masked"
        nodes.append(self.node("Softmax", [last], ["y"], axis=-1))
        return [self.session("Mul, Softmax", nodes, t, {"y": t["x"].shape}, constants)]

    def merge(self, case, t):
        b, h, l, d = (case[x] for x in "BHLD")
        nodes = [self.node("Transpose", ["x"], ["y"], perm=[0, 2, 1, 3])]
        return [self.session("Transpose", nodes, t, {"y": (b, l, h, d)}, order=lambda y: y.reshape(b, l, h * d))]


def join_heads(x):
    """[B,H,L,D] to [B,L,H*D]."""
    b, h, l, d = x.shape
    return np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(b, l, h * d)


def split_heads(heads, y):
    """[B,L,H*D] to [B,H,L,D]."""
    b, l, m = y.shape
    return y.reshape(b, l, heads, m // heads).transpose(0, 2, 1, 3)


if __name__ == "__main__":
    serve(OnnxRuntime())
