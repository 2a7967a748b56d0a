# SPDX-License-Identifier: Apache-2.0
"""all-MiniLM-L6-v2 by PyTorch and onnxruntime, for sentences.py: each in several forms and batch sizes, of which the
fastest counts."""
import json
import os
import sys

import numpy as np

BATCHES = (1, 8, 16, 32)


def read_model(folder):
    """config.json, and the tensors of model.safetensors as float32."""
    with open(os.path.join(folder, "config.json")) as file:
        config = json.load(file)
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        head = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    tensors = {}
    for name, about in head.items():
        if name != "__metadata__" and about["dtype"] == "F32":
            begin, end = about["data_offsets"]
            tensors[name] = np.frombuffer(data[begin:end], np.float32).reshape(about["shape"])
    return config, tensors


def batches_of(ids, size):
    """Sorted by length and cut: [indices, ids padded with 0, lengths]."""
    order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
    made = []
    for at in range(0, len(order), size):
        some = order[at : at + size]
        lengths = np.array([len(ids[i]) for i in some], np.int32)
        padded = np.zeros((len(some), lengths.max()), np.int64)
        for row, i in enumerate(some):
            padded[row, : len(ids[i])] = ids[i]
        made.append((some, padded, lengths))
    return made


class Peer:
    """A peer defines kinds() -> {name: prepare}; prepare(padded, lengths) -> call() -> unit vectors [B, M]."""

    def __init__(self, threads, model, ids):
        self.ids, self.threads = ids, threads
        self.config, self.tensors = read_model(model)
        self.open()

    def part(self, layer, name):
        return self.tensors["encoder.layer.%d.%s" % (layer, name)]

    def forms(self):
        made = {}
        for kind, prepare in self.kinds().items():
            for size in BATCHES:
                try:
                    calls = [prepare(padded, lengths) for _, padded, lengths in batches_of(self.ids, size)]
                    for call in calls:
                        call()
                except Exception as e:  # a library says "not implemented" with exceptions of its own
                    sys.stderr.write("%s is refused: %s\n" % (kind, " ".join(str(e).split())[:200]))
                    break
                made["%s, batches of %d" % (kind, size)] = lambda calls=calls: [call() for call in calls]
        return made

    def vectors(self):
        out = [None] * len(self.ids)
        prepare = next(iter(self.kinds().values()))
        for some, padded, lengths in batches_of(self.ids, 8):
            for i, vector in zip(some, np.asarray(prepare(padded, lengths)())):
                out[i] = vector
        return out, None


class PyTorch(Peer):
    """Linear layers by oneDNN with packed weights, GELU in its epilogue, or F.linear; SDPA with a mask where rows are
    padded; nn.TransformerEncoder, whose fast path leaves the padding out (nested tensors)."""

    def open(self):
        import torch

        sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
        from pytorch_peer import keep_freed_memory

        keep_freed_memory()
        torch.set_num_threads(self.threads)
        torch.set_num_interop_threads(1)
        self.torch, self.F = torch, torch.nn.functional
        torch.inference_mode().__enter__()
        self.t = {n: torch.from_numpy(a.copy()) for n, a in self.tensors.items()}

    def kinds(self):
        return {
            "F.linear and SDPA": lambda p, n: self.by_hand(p, n, False),
            "oneDNN packed linear and SDPA": lambda p, n: self.by_hand(p, n, True),
            "nn.TransformerEncoder": self.encoder,
        }

    def embed(self, ids):
        t, e = self.t, "embeddings."
        x = self.F.embedding(ids, t[e + "word_embeddings.weight"])
        x = x + t[e + "position_embeddings.weight"][: ids.shape[1]] + t[e + "token_type_embeddings.weight"][0]
        return self.norm(x, e + "LayerNorm")

    def norm(self, x, name):
        weight, bias = self.t[name + ".weight"], self.t[name + ".bias"]
        return self.F.layer_norm(x, weight.shape, weight, bias, self.config["layer_norm_eps"])

    def pool(self, x, lengths):
        keep = (self.torch.arange(x.shape[1])[None] < lengths[:, None]).to(x.dtype)
        return self.F.normalize((x * keep[..., None]).sum(1) / lengths[:, None], dim=1)

    def by_hand(self, padded, lengths, packed):
        torch, F, h = self.torch, self.F, self.config["num_attention_heads"]
        ids, n = torch.from_numpy(padded), torch.from_numpy(lengths)
        b, l = padded.shape
        mask = None if lengths.min() == l else (torch.arange(l)[None] < n[:, None])[:, None, None]
        ops, rows, layers = torch.ops.mkldnn, b * l, []
        for i in range(self.config["num_hidden_layers"]):
            name = "encoder.layer.%d." % i
            three = ["attention.self.%s." % x for x in ("query", "key", "value")]
            pairs = [tuple(torch.cat([self.t[name + x + kind] for x in three]) for kind in ("weight", "bias"))]
            for x in ("attention.output.dense", "intermediate.dense", "output.dense"):
                pairs.append((self.t[name + x + ".weight"], self.t[name + x + ".bias"]))
            if packed:
                pairs = [(self.reordered(w, rows), bias) for w, bias in pairs]
            layers.append((name, pairs))

        def linear(x, pair, gelu=False):
            if packed:
                return ops._linear_pointwise(x, *pair, "gelu" if gelu else "none", [], "none" if gelu else "")
            y = F.linear(x, *pair)
            return F.gelu(y) if gelu else y

        def call():
            x = self.embed(ids)
            for name, (enter, leave, up, down) in layers:
                q, k, v = linear(x, enter).view(b, l, 3, h, -1).permute(2, 0, 3, 1, 4)
                heads = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).reshape(b, l, -1)
                x = self.norm(x + linear(heads, leave), name + "attention.output.LayerNorm")
                x = self.norm(x + linear(linear(x, up, True), down), name + "output.LayerNorm")
            return self.pool(x, n)

        return call

    def reordered(self, w, rows, kept={}):
        # packed for the number of rows: batches of one shape share them
        key = (w.data_ptr() if w.shape[0] != 3 * w.shape[1] else float(w[0, 0]), rows)
        if key not in kept:
            kept[key] = self.torch.ops.mkldnn._reorder_linear_weight(w, rows)
        return kept[key]

    def encoder(self, padded, lengths, kept={}):
        torch = self.torch
        if "made" not in kept:
            m, f = self.config["hidden_size"], self.config["intermediate_size"]
            layer = torch.nn.TransformerEncoderLayer(m, self.config["num_attention_heads"], f, 0.0, "gelu",
                                                     self.config["layer_norm_eps"], batch_first=True)
            made = torch.nn.TransformerEncoder(layer, self.config["num_hidden_layers"]).eval().requires_grad_(False)
            for i, one in enumerate(made.layers):
                name = "encoder.layer.%d." % i
                three = ["attention.self.%s." % x for x in ("query", "key", "value")]
                attention = one.self_attn
                attention.in_proj_weight.copy_(torch.cat([self.t[name + x + "weight"] for x in three]))
                attention.in_proj_bias.copy_(torch.cat([self.t[name + x + "bias"] for x in three]))
                for module, x in ((attention.out_proj, "attention.output.dense"), (one.linear1, "intermediate.dense"),
                                  (one.linear2, "output.dense"), (one.norm1, "attention.output.LayerNorm"),
                                  (one.norm2, "output.LayerNorm")):
                    module.weight.copy_(self.t[name + x + ".weight"])
                    module.bias.copy_(self.t[name + x + ".bias"])
            kept["made"] = made
        ids, n = torch.from_numpy(padded), torch.from_numpy(lengths)
        hidden = None if lengths.min() == padded.shape[1] else torch.arange(padded.shape[1])[None] >= n[:, None]
        return lambda: self.pool(kept["made"](self.embed(ids), src_key_padding_mask=hidden), n)


class OnnxRuntime(Peer):
    """The graph that its own optimizer makes of BERT, built directly: EmbedLayerNormalization, Attention or
    MultiHeadAttention, BiasGelu, SkipLayerNormalization; one session, its inner threads spin."""

    def open(self):
        import onnx
        import onnxruntime

        self.onnx, self.ort = onnx, onnxruntime
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = self.threads
        self.options.inter_op_num_threads = 1
        self.options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.options.log_severity_level = 3
        self.sessions = {}

    def kinds(self):
        return {kind: lambda p, n, kind=kind: self.prepare(kind, p, n) for kind in ("Attention", "MultiHeadAttention")}

    def graph(self, kind, masked):
        helper, nodes, weights = self.onnx.helper, [], []
        eps, h = self.config["layer_norm_eps"], self.config["num_attention_heads"]
        node = lambda op, given, made, domain="com.microsoft", **how: nodes.append(
            helper.make_node(op, given, made, domain=domain, **how))

        def weight(name, array):
            weights.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
            return name

        def stored(name):
            return weight(name, self.tensors[name])

        def product(x, name, turned, out):
            node("MatMul", [x, weight(name, turned)], [out], domain="")

        e = "embeddings."
        tables = [stored(e + x) for x in ("word_embeddings.weight", "position_embeddings.weight",
                                          "token_type_embeddings.weight", "LayerNorm.weight", "LayerNorm.bias")]
        node("EmbedLayerNormalization", ["ids", "types"] + tables, ["x0", "unused"], epsilon=eps)
        x = "x0"
        for i in range(self.config["num_hidden_layers"]):
            n, p = "encoder.layer.%d." % i, "l%d_" % i
            parts = ["attention.self.%s." % s for s in ("query", "key", "value")]
            w = np.concatenate([self.tensors[n + s + "weight"] for s in parts]).T
            b = weight(p + "b", np.concatenate([self.tensors[n + s + "bias"] for s in parts]))
            if kind == "Attention":
                given = [x, weight(p + "w", w), b] + (["lengths"] if masked else [])
                node("Attention", given, [p + "heads"], num_heads=h)
            else:
                product(x, p + "w", w, p + "three")
                node("Split", [p + "three"], [p + "q", p + "k", p + "v"], domain="", axis=2, num_outputs=3)
                given = [p + "q", p + "k", p + "v", b] + (["lengths"] if masked else [])
                node("MultiHeadAttention", given, [p + "heads"], num_heads=h)
            o = n + "attention.output."
            product(p + "heads", p + "wo", self.tensors[o + "dense.weight"].T, p + "leave")
            norm = [stored(o + "LayerNorm.weight"), stored(o + "LayerNorm.bias"), stored(o + "dense.bias")]
            node("SkipLayerNormalization", [p + "leave", x] + norm, [p + "y"], epsilon=eps)
            product(p + "y", p + "w1", self.tensors[n + "intermediate.dense.weight"].T, p + "up")
            node("BiasGelu", [p + "up", stored(n + "intermediate.dense.bias")], [p + "inner"])
            product(p + "inner", p + "w2", self.tensors[n + "output.dense.weight"].T, p + "down")
            o = n + "output."
            norm = [stored(o + "LayerNorm.weight"), stored(o + "LayerNorm.bias"), stored(o + "dense.bias")]
            x = p + "x"
            node("SkipLayerNormalization", [p + "down", p + "y"] + norm, [x], epsilon=eps)
        info, types = helper.make_tensor_value_info, self.onnx.TensorProto
        given = [info("ids", types.INT32, ["B", "L"]), info("types", types.INT32, ["B", "L"])]
        if masked:
            given.append(info("lengths", types.INT32, ["B"]))
        graph = helper.make_graph(nodes, "bert", given, [info(x, types.FLOAT, ["B", "L", "M"])], weights)
        sets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=sets, ir_version=9)
        return self.ort.InferenceSession(model.SerializeToString(), self.options, ["CPUExecutionProvider"])

    def prepare(self, kind, padded, lengths):
        masked = bool(lengths.min() < padded.shape[1])
        if (kind, masked) not in self.sessions:
            self.sessions[kind, masked] = self.graph(kind, masked)
        session = self.sessions[kind, masked]
        feed = {"ids": padded.astype(np.int32), "types": np.zeros(padded.shape, np.int32)}
        if masked:
            feed["lengths"] = lengths
        keep = (np.arange(padded.shape[1])[None] < lengths[:, None]).astype(np.float32)[..., None]

        def call():
            (x,) = session.run(None, feed)
            mean = (x * keep).sum(1) / lengths[:, None] if masked else x.mean(1)
            return mean / np.linalg.norm(mean, axis=1, keepdims=True)

        return call


PEERS = {"onnxruntime": OnnxRuntime, "pytorch": PyTorch}
