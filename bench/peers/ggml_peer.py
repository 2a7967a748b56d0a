# SPDX-License-Identifier: Apache-2.0
"""ggml on the CPU, through its C API, from the libraries that llama-cpp-python compiles for the machine.
What makes it fast, and why:
- Graph, plan, work buffer and thread pool are made once; a call is ggml_graph_compute alone. Intermediate tensors share
  memory as in llama.cpp (gallocr, in place where the operation allows it).
- Attention is the fastest of flash_attn_ext and mul_mat, soft_max_ext, mul_mat; the latter with values that lie
  transposed, as llama.cpp keeps them without flash attention. Without a causal mask also a group's queries as rows of
  one head. The causal mask is dense, f16, made once: ggml knows no other.
- Options: what excludes keys is a dense f16 mask like the causal one; softcap is flash_attn_ext's own.
- A layer is the fastest of three mul_mat or one of width 3M, with either attention.
- Types: ggml computes on f32 and stores keys, values and weights in the case's type; queries, inputs, bias and results
  stay f32. Scores without flash attention are f32. Softmax is f32 only."""
import ctypes
import functools
import glob
import importlib.util
import math
import os

import numpy as np

from worker import Missing, Unsupported, Worker, bfloat16_bits, fastest, from_bfloat16_bits, named, serve

F32, F16, BF16 = 0, 1, 30  # enum ggml_type
TYPES = {"f32": F32, "f16": F16, "bf16": BF16}
GRAPH_SIZE = 64  # nodes; the longest graph here has about 30
UNFUSED_BYTES = 1 << 30  # beyond this the scores are not materialised
ALIGNMENT = 64

# Arguments and result of what is called: p pointer, i int, l int64, f float, z size_t, v nothing.
SIGNATURES = {
    "ggml_cpu_init": ">v",
    "ggml_version": ">s",
    "ggml_tensor_overhead": ">z",
    "ggml_graph_overhead_custom": "zb>z",
    "ggml_free": "p>v",
    "ggml_new_graph_custom": "pzb>p",
    "ggml_build_forward_expand": "pp>v",
    "ggml_new_tensor_4d": "pillll>p",
    "ggml_get_data": "p>p",
    "ggml_nbytes": "p>z",
    "ggml_nelements": "p>l",
    "ggml_set_output": "p>v",
    "ggml_mul_mat": "ppp>p",
    "ggml_add": "ppp>p",
    "ggml_cont": "pp>p",
    "ggml_cast": "ppi>p",
    "ggml_permute": "ppiiii>p",
    "ggml_reshape_4d": "ppllll>p",
    "ggml_view_4d": "ppllllzzzz>p",
    "ggml_soft_max_ext": "pppff>p",
    "ggml_flash_attn_ext": "pppppfff>p",
    "ggml_backend_cpu_buffer_type": ">p",
    "ggml_backend_alloc_ctx_tensors_from_buft": "pp>p",
    "ggml_backend_buffer_free": "p>v",
    "ggml_gallocr_new": "p>p",
    "ggml_gallocr_alloc_graph": "pp>b",
    "ggml_gallocr_free": "p>v",
    "ggml_threadpool_params_init": "pi>v",
    "ggml_threadpool_new": "p>p",
    "ggml_graph_compute": "pp>i",
}
LETTERS = {
    "p": ctypes.c_void_p,
    "i": ctypes.c_int,
    "l": ctypes.c_int64,
    "f": ctypes.c_float,
    "z": ctypes.c_size_t,
    "b": ctypes.c_bool,
    "s": ctypes.c_char_p,
    "v": None,
}


class InitParams(ctypes.Structure):
    """struct ggml_init_params of ggml.h."""

    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


class Plan(ctypes.Structure):
    """struct ggml_cplan of ggml-cpu.h."""

    _fields_ = [
        ("work_size", ctypes.c_size_t),
        ("work_data", ctypes.c_void_p),
        ("n_threads", ctypes.c_int),
        ("threadpool", ctypes.c_void_p),
        ("abort_callback", ctypes.c_void_p),
        ("abort_callback_data", ctypes.c_void_p),
        ("use_ref", ctypes.c_bool),
    ]


def libraries():
    """The folder with libggml*.so; llama_cpp itself is not imported, it loads more than is needed."""
    found = importlib.util.find_spec("llama_cpp")
    for place in found.submodule_search_locations if found else ():
        folder = os.path.join(place, "lib")
        if glob.glob(os.path.join(folder, "libggml-cpu.so*")):
            return folder
    raise Missing("llama-cpp-python is not installed with its ggml libraries: bench/install_peers.sh")


class Api:
    """ggml's functions under their names without the prefix."""

    def __init__(self):
        folder = libraries()
        try:
            loaded = [ctypes.CDLL(os.path.join(folder, "libggml%s.so" % part)) for part in ("-base", "-cpu")]
            for name, signature in SIGNATURES.items():
                self.bind(loaded, name, signature)
            self.init = self.bind(loaded, "ggml_init", ">p")
            self.init.argtypes = [InitParams]
            self.graph_plan = self.bind(loaded, "ggml_graph_plan", ">p")
            self.graph_plan.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
            self.graph_plan.restype = Plan
        except (OSError, AttributeError) as e:
            raise Missing("ggml's libraries do not load (%s)" % e)

    def bind(self, loaded, name, signature):
        function = next((getattr(l, name) for l in loaded if hasattr(l, name)), None)
        if function is None:
            raise AttributeError("no function " + name)
        given, taken = signature.split(">")
        function.argtypes = [LETTERS[c] for c in given]
        function.restype = LETTERS[taken]
        setattr(self, name[len("ggml_") :], function)
        return function


class Graph:
    """One case's tensors, graph and plan. Methods named as ggml's operations take and give tensors (addresses)."""

    def __init__(self, api, threads, pool):
        self.api, self.threads, self.pool = api, threads, pool
        self.held, self.buffer, self.memory = [], None, None
        room = GRAPH_SIZE * api.tensor_overhead() + api.graph_overhead_custom(GRAPH_SIZE, False)
        self.constants, self.steps = (api.init(InitParams(room, None, True)) for _ in range(2))

    def __getattr__(self, name):
        return functools.partial(getattr(self.api, name), self.steps)

    def tensor(self, array, kind=F32):
        """An input or constant; its innermost dimension is the array's last one."""
        shape = (1,) * (4 - array.ndim) + array.shape
        made = self.api.new_tensor_4d(self.constants, kind, *shape[::-1])
        self.held.append((made, array, kind))
        return made

    def fill(self):
        self.buffer = self.api.backend_alloc_ctx_tensors_from_buft(self.constants, self.api.backend_cpu_buffer_type())
        if not self.buffer:
            raise MemoryError("ggml has no memory for the inputs")
        for made, array, kind in self.held:
            data = as_type(array, kind)
            ctypes.memmove(self.api.get_data(made), data.ctypes.data, data.nbytes)
        self.held = []

    def call(self, last, shape, order, dtype=np.float32):
        """The thing that is timed, with `last` as its result."""
        api = self.api
        self.fill()
        graph = api.new_graph_custom(self.steps, GRAPH_SIZE, False)
        api.set_output(last)
        api.build_forward_expand(graph, last)
        self.memory = api.gallocr_new(api.backend_cpu_buffer_type())
        if not api.gallocr_alloc_graph(self.memory, graph):
            raise MemoryError("ggml has no memory for the graph")
        plan = api.graph_plan(graph, self.threads, self.pool)
        self.work = np.empty(plan.work_size + ALIGNMENT, np.uint8)
        plan.work_data = self.work.ctypes.data + -self.work.ctypes.data % ALIGNMENT
        data = (ctypes.c_uint8 * api.nbytes(last)).from_address(api.get_data(last))
        result = np.frombuffer(data, dtype).reshape(shape), order
        status = api.graph_compute(graph, ctypes.byref(plan))
        if status != 0:
            raise RuntimeError("ggml_graph_compute gives the status %d" % status)
        compute = functools.partial(api.graph_compute, graph, ctypes.byref(plan))

        def call():
            compute()
            return result

        call.owner = self
        return call

    def __del__(self):
        api = self.api
        if self.memory:
            api.gallocr_free(self.memory)
        if self.buffer:
            api.backend_buffer_free(self.buffer)
        api.free(self.steps)
        api.free(self.constants)


def as_type(array, kind):
    if kind == BF16:
        return bfloat16_bits(array)
    return np.ascontiguousarray(array, np.float16 if kind == F16 else np.float32)


def rounded(array, dtype):
    """Float32 with the values of the case's type."""
    if dtype == "f16":
        return array.astype(np.float16).astype(np.float32)
    if dtype == "bf16":
        return from_bfloat16_bits(bfloat16_bits(array))
    return array


def causal_mask(case):
    if not case["causal"]:
        return None
    s = case["S"] if "S" in case else case["L"]
    return np.where(np.triu(np.ones((case["L"], s), bool), 1), np.float16("-inf"), np.float16(0))


class Ggml(Worker):
    name = "ggml"
    can_say = {"len", "window", "mask", "end", "softcap", "packed", "kv"}

    def open(self, threads):
        self.api, self.threads = Api(), threads
        self.api.cpu_init()
        params = ctypes.create_string_buffer(4096)  # struct ggml_threadpool_params, about 530 bytes, of defaults
        self.api.threadpool_params_init(params, threads)
        self.pool = self.api.threadpool_new(params)
        if not self.pool:
            raise Missing("ggml makes no thread pool of %d threads" % threads)
        settings = "%d threads, one pool, graph and plan made once; q, x, bias and results f32, " % threads
        settings += "keys, values and weights in the case's type; dense f16 causal mask"
        return {"version": self.api.version().decode(), "device": "cpu", "settings": settings}

    def prepare(self, case, arrays):
        if case["dtype"] not in TYPES:
            raise Unsupported("no type " + case["dtype"])
        kind = case.get("kv", case["dtype"])
        if kind not in TYPES:
            raise Unsupported("no keys of type " + kind)
        types = {"k": kind, "v": kind}
        arrays = {n: a if n == "allowed" else rounded(a, types.get(n, case["dtype"])) for n, a in arrays.items()}
        return fastest(self.maker(case)(case, arrays, TYPES[kind]))

    def rows(self, result):
        values, order = result
        return order(values)

    def graph(self):
        return Graph(self.api, self.threads, self.pool)

    def attention(self, case, t, kind):
        b, h, g, l, s, d = (case[x] for x in "BHGLSD")
        forms, cap = [("", t["q"])], float(case.get("softcap", 0))
        if g < h and not case["causal"] and "allowed" not in t:
            forms.append((", folded group", t["q"].reshape(b, g, h // g * l, d)))
        shape, mask = (b, h, l, d), causal_mask(case)
        if "allowed" in t:
            every = np.broadcast_to(t["allowed"], t["allowed"].shape[:2] + (l, s))
            mask = np.where(every, np.float16(0), np.float16("-inf"))
        found = []
        for note, q in forms:
            found.append(named_builder("flash_attn_ext" + note, self.flash, (q, t, mask, kind, shape, cap)))
            if not cap and 4 * b * h * l * s <= UNFUSED_BYTES:
                found.append(named_builder("mul_mat, soft_max_ext" + note, self.unfused, (q, t, mask, kind, shape)))
        return found

    def flash(self, q, t, mask, kind, shape, cap):
        graph = self.graph()
        hidden = None if mask is None else graph.tensor(mask, F16)
        k, v = (graph.tensor(t[n], kind) for n in "kv")
        y = graph.flash_attn_ext(graph.tensor(q), k, v, hidden, 1 / math.sqrt(q.shape[3]), 0, cap)
        b, h, l, d = q.shape
        return graph.call(y, (b, l, h, d), lambda y: y.transpose(0, 2, 1, 3).reshape(shape))

    def unfused(self, q, t, mask, kind, shape):
        graph = self.graph()
        hidden = None if mask is None else graph.tensor(mask, F16)
        k, v = graph.tensor(t["k"], kind), graph.tensor(np.ascontiguousarray(t["v"].transpose(0, 1, 3, 2)), kind)
        scores = graph.mul_mat(k, graph.tensor(q))
        weights = graph.soft_max_ext(scores, hidden, 1 / math.sqrt(q.shape[3]), 0)
        return graph.call(graph.mul_mat(v, weights), shape, lambda y: y)

    def layer(self, case, t, kind):
        found = []
        for heads, attend in (("flash_attn_ext", self.layer_flash), ("mul_mat, soft_max_ext", self.layer_unfused)):
            for enter, project in (("3 mul_mat", self.three), ("fused mul_mat", self.one)):
                found.append(named_builder("%s, %s" % (enter, heads), self.whole, (case, t, kind, project, attend)))
        return found

    def whole(self, case, t, kind, project, attend):
        graph = self.graph()
        b, l, m, h = (case[x] for x in "BLMH")
        mask = causal_mask(case)
        hidden = None if mask is None else graph.tensor(mask, F16)
        q, k, v = project(graph, case, t, kind)  # views [D,H,L,B] in ggml's order of dimensions
        joined = attend(graph, kind, q, k, v, hidden, 1 / math.sqrt(m // h))  # [D,H,L,B], contiguous
        flat = graph.reshape_4d(joined, m, l * b, 1, 1)
        y = graph.add(graph.mul_mat(graph.tensor(t["w_o"], kind), flat), graph.tensor(t["b_o"]))
        return graph.call(y, (b, l, m), lambda y: y)

    def three(self, graph, case, t, kind):
        b, l, m, h = (case[x] for x in "BLMH")
        x = graph.tensor(t["x"].reshape(b * l, m))
        made = []
        for part in "qkv":
            flat = graph.mul_mat(graph.tensor(t["w_" + part], kind), x)
            made.append(graph.reshape_4d(graph.add(flat, graph.tensor(t["b_" + part])), m // h, h, l, b))
        return made

    def one(self, graph, case, t, kind):
        b, l, m, h = (case[x] for x in "BLMH")
        w, bias = (np.concatenate([t[some + part] for part in "qkv"]) for some in ("w_", "b_"))
        flat = graph.mul_mat(graph.tensor(w, kind), graph.tensor(t["x"].reshape(b * l, m)))
        wide, row = graph.add(flat, graph.tensor(bias)), 4 * 3 * m  # bytes
        return [graph.view_4d(wide, m // h, h, l, b, 4 * (m // h), row, row * l, 4 * m * i) for i in range(3)]

    def layer_flash(self, graph, kind, q, k, v, hidden, scale):
        q, k, v = (graph.permute(x, 0, 2, 1, 3) for x in (q, k, v))
        if kind != F32:
            k, v = (graph.cast(x, kind) for x in (k, v))
        return graph.flash_attn_ext(q, k, v, hidden, scale, 0, 0)

    def layer_unfused(self, graph, kind, q, k, v, hidden, scale):
        q = graph.cont(graph.permute(q, 0, 2, 1, 3))  # llamafile's sgemm takes a contiguous second matrix only
        k, v = graph.permute(k, 0, 2, 1, 3), graph.permute(v, 1, 2, 0, 3)
        k, v = (graph.cont(x) if kind == F32 else graph.cast(x, kind) for x in (k, v))
        weights = graph.soft_max_ext(graph.mul_mat(k, q), hidden, scale, 0)
        return graph.cont(graph.permute(graph.mul_mat(v, weights), 0, 2, 1, 3))

    def project(self, case, t, kind):
        def build():
            graph = self.graph()
            y = graph.mul_mat(graph.tensor(t["w"], kind), graph.tensor(t["x"]))
            return graph.call(graph.add(y, graph.tensor(t["bias"])), (case["rows"], case["out"]), lambda y: y)

        return [named_builder("mul_mat, add", build)]

    def softmax(self, case, t, kind):
        if kind != F32:
            raise Unsupported("soft_max_ext reads and writes f32 only")
        mask = causal_mask(case)

        def build():
            graph = self.graph()
            hidden = None if mask is None else graph.tensor(mask, F16)
            return graph.call(graph.soft_max_ext(graph.tensor(t["x"]), hidden, 1 / 8, 0), t["x"].shape, lambda y: y)

        return [named_builder("soft_max_ext", build)]

    def merge(self, case, t, kind):
        b, h, l, d = (case[x] for x in "BHLD")
        dtype = np.float32 if kind == F32 else np.uint16

        def build():
            graph = self.graph()
            y = graph.cont(graph.permute(graph.tensor(t["x"], kind), 0, 2, 1, 3))
            return graph.call(y, (b, l, h * d), functools.partial(widened, kind), dtype)

        return [named_builder("cont of permute", build)]


def widened(kind, bits):
    if kind == F16:
        return bits.view(np.float16)
    return from_bfloat16_bits(bits) if kind == BF16 else bits


def named_builder(kernel, build, arguments=()):
    return lambda: named(kernel, build(*arguments))


if __name__ == "__main__":
    serve(Ggml())
