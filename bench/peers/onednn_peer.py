# SPDX-License-Identifier: Apache-2.0
"""oneDNN on the CPU, through its C API, for projections. What makes it fast, and why:
- Weights are constants: they are reordered once to the format that the primitive asks for.
- The fastest of inner_product and matmul with weights of that format, and matmul on the weights as they lie. The bias
  is part of the primitive; primitive, memory objects and arguments are made once.
- OpenMP's threads (OMP_NUM_THREADS); f32 is computed in f32 (fpmath mode strict, the default).
- Types: f32 and bf16, the latter with bias and result in bf16 and sums in f32.
Attention and layers are not here: oneDNN's primitives have no attention, and PyTorch's peer uses oneDNN in layers."""
import ctypes
import importlib.metadata

import numpy as np

from worker import Missing, Unsupported, Worker, bfloat16_bits, fastest, from_bfloat16_bits, named, serve

MAJOR = 3  # the version of the C API
# From dnnl_types.h and dnnl_common_types.h.
SUCCESS, UNIMPLEMENTED = 0, 3
TYPES = {"bf16": 2, "f32": 3}
ANY = 1  # dnnl_format_tag_any
CPU, IN_ORDER = 1, 1
FORWARD_INFERENCE = 96
QUERY_IMPLEMENTATION, QUERY_WEIGHTS = 8, 131
SOURCE, RESULT, WEIGHTS, BIAS = 1, 17, 33, 41
ALIGNMENT = 64

# Arguments: p pointer, h address of the handle that is made, i int, z size_t, d dimensions.
SIGNATURES = {
    "engine_create": "hiz",
    "stream_create": "hpi",
    "stream_wait": "p",
    "memory_desc_create_with_strides": "hidid",
    "memory_desc_create_with_tag": "hidii",
    "memory_desc_destroy": "p",
    "memory_create": "hppp",
    "memory_destroy": "p",
    "reorder_primitive_desc_create": "hppppp",
    "matmul_primitive_desc_create": "hpppppp",
    "inner_product_forward_primitive_desc_create": "hpippppp",
    "primitive_desc_destroy": "p",
    "primitive_desc_query": "piih",
    "primitive_create": "hp",
    "primitive_destroy": "p",
    "primitive_execute": "ppip",
}
LETTERS = {
    "p": ctypes.c_void_p,
    "h": ctypes.POINTER(ctypes.c_void_p),
    "i": ctypes.c_int,
    "z": ctypes.c_size_t,
    "d": ctypes.POINTER(ctypes.c_int64),
}


class Version(ctypes.Structure):
    """The head of dnnl_version_t."""

    _fields_ = [("major", ctypes.c_int), ("minor", ctypes.c_int), ("patch", ctypes.c_int)]


class Argument(ctypes.Structure):
    """dnnl_exec_arg_t."""

    _fields_ = [("role", ctypes.c_int), ("memory", ctypes.c_void_p)]


def library():
    """The package's library, or the system's."""
    names = ["libdnnl.so.%d" % MAJOR]
    try:
        files = importlib.metadata.files("onednn-cpu-gomp") or []
        names = [str(f.locate()) for f in files if f.name.startswith("libdnnl.so")] + names
    except importlib.metadata.PackageNotFoundError:
        pass
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise Missing("onednn-cpu-gomp is not installed and no libdnnl.so.%d is found: bench/install_peers.sh" % MAJOR)


class Api:
    """oneDNN's functions under their names without the prefix; a status that is not success is raised."""

    def __init__(self):
        loaded = library()
        try:
            version = loaded.dnnl_version
            version.restype = ctypes.POINTER(Version)
            self.version = version().contents
            if self.version.major != MAJOR:
                raise Missing("oneDNN %d is installed, not %d" % (self.version.major, MAJOR))
            for name, signature in SIGNATURES.items():
                function = getattr(loaded, "dnnl_" + name)
                function.argtypes = [LETTERS[c] for c in signature]
                setattr(self, name, function)
            self.size = loaded.dnnl_memory_desc_get_size
            self.query_desc = loaded.dnnl_primitive_desc_query_md
        except AttributeError as e:
            raise Missing("oneDNN's library is incomplete (%s)" % e)
        self.size.argtypes, self.size.restype = [ctypes.c_void_p], ctypes.c_size_t
        self.query_desc.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
        self.query_desc.restype = ctypes.c_void_p

    def make(self, name, *arguments):
        """The handle that `name`_create.. makes."""
        handle = ctypes.c_void_p()
        check(name, getattr(self, name)(ctypes.byref(handle), *arguments))
        return handle


def check(name, status):
    if status == UNIMPLEMENTED:
        raise Unsupported("oneDNN has no implementation of this case (%s)" % name)
    if status != SUCCESS:
        raise RuntimeError("dnnl_%s gives the status %d" % (name, status))


def dims(*sizes):
    return (ctypes.c_int64 * len(sizes))(*sizes)


class Primitive:
    """A primitive with its memory; what was made is freed with it, the last first."""

    def __init__(self, api, engine, stream, kind):
        self.api, self.engine, self.stream, self.kind = api, engine, stream, kind
        self.made, self.arrays = [], []

    def keep(self, destroy, name, *arguments):
        handle = self.api.make(name, *arguments)
        self.made.append((destroy, handle))
        return handle

    def plain(self, shape, strides):
        how = (len(shape), dims(*shape), self.kind, dims(*strides))
        return self.keep(self.api.memory_desc_destroy, "memory_desc_create_with_strides", *how)

    def free(self, shape):
        """A descriptor whose format the primitive chooses."""
        how = (len(shape), dims(*shape), self.kind, ANY)
        return self.keep(self.api.memory_desc_destroy, "memory_desc_create_with_tag", *how)

    def memory(self, desc, data=None):
        """A memory object of that descriptor, and its bytes."""
        size = self.api.size(desc)
        room = np.zeros(size + ALIGNMENT, np.uint8)
        start = -room.ctypes.data % ALIGNMENT
        room = room[start : start + size]
        if data is not None:
            room[:] = data.reshape(-1).view(np.uint8)
        self.arrays.append(room)
        handle = self.keep(self.api.memory_destroy, "memory_create", desc, self.engine, room.ctypes.data)
        return handle, room

    def primitive(self, desc):
        return self.keep(self.api.primitive_destroy, "primitive_create", desc)

    def describe(self, name, *arguments):
        return self.keep(self.api.primitive_desc_destroy, name, *arguments)

    def runner(self, primitive, memories):
        """Executes on these memories by role and waits."""
        arguments = (Argument * len(memories))(*[(role, m.value) for role, m in memories.items()])
        execute, wait, stream, count = self.api.primitive_execute, self.api.stream_wait, self.stream, len(memories)

        def run():
            status = execute(primitive, stream, count, arguments) or wait(stream)
            if status:
                check("primitive_execute", status)

        return run

    def reordered(self, desc, memory, target):
        """The memory's content in the format of the descriptor `target`."""
        how = (desc, self.engine, target, self.engine, None)
        primitive = self.primitive(self.describe("reorder_primitive_desc_create", *how))
        result, _ = self.memory(target)
        self.runner(primitive, {SOURCE: memory, RESULT: result})()
        return result

    def implementation(self, desc):
        text = ctypes.c_void_p()
        check("primitive_desc_query", self.api.primitive_desc_query(desc, QUERY_IMPLEMENTATION, 0, ctypes.byref(text)))
        return ctypes.string_at(text.value).decode()

    def __del__(self):
        for destroy, handle in reversed(self.made):
            destroy(handle)


class OneDnn(Worker):
    name = "onednn"

    def open(self, threads):
        self.api = Api()
        self.engine = self.api.make("engine_create", CPU, 0)
        self.stream = self.api.make("stream_create", self.engine, IN_ORDER)
        version = self.api.version
        settings = "OpenMP with %d threads, constant weights in the primitive's format, bias fused" % threads
        return {
            "version": "%d.%d.%d" % (version.major, version.minor, version.patch),
            "device": "cpu",
            "settings": settings,
        }

    def prepare(self, case, arrays):
        if case["op"] != "project":
            raise Unsupported("oneDNN takes part in projections only")
        if case["dtype"] not in TYPES:
            raise Unsupported("projections of oneDNN are f32 and bf16 here, not " + case["dtype"])
        if case["dtype"] == "bf16":
            arrays = {n: bfloat16_bits(a) for n, a in arrays.items()}
        variants = [(True, "any"), (False, "any"), (False, "plain")]
        return fastest([lambda v=v: self.build(case, arrays, *v) for v in variants])

    def rows(self, result):
        return from_bfloat16_bits(result) if result.dtype == np.uint16 else result

    def build(self, case, t, inner_product, weights):
        rows, out, width = case["rows"], case["out"], case["in"]
        p = Primitive(self.api, self.engine, self.stream, TYPES[case["dtype"]])
        x, y = p.plain((rows, width), (width, 1)), p.plain((rows, out), (out, 1))
        if inner_product:
            shape, strides, bias = (out, width), (width, 1), p.plain((out,), (1,))
        else:
            shape, strides, bias = (width, out), (1, width), p.plain((1, out), (out, 1))
        given = p.plain(shape, strides)
        wanted = p.free(shape) if weights == "any" else given
        if inner_product:
            name, how = "inner_product_forward_primitive_desc_create", (self.engine, FORWARD_INFERENCE)
        else:
            name, how = "matmul_primitive_desc_create", (self.engine,)
        desc = p.describe(name, *how, x, wanted, bias, y, None)
        w, _ = p.memory(given, t["w"])
        if weights == "any":
            w = p.reordered(given, w, self.api.query_desc(desc, QUERY_WEIGHTS, 0))
        result, room = p.memory(y)
        memories = {SOURCE: p.memory(x, t["x"])[0], WEIGHTS: w, BIAS: p.memory(bias, t["bias"])[0], RESULT: result}
        run = p.runner(p.primitive(desc), memories)
        values = room.view(t["x"].dtype).reshape(rows, out)

        def call():
            run()
            return values

        call.owner = p
        kind = "inner_product" if inner_product else "matmul"
        return named("%s, %s weights, %s" % (kind, weights, p.implementation(desc)), call)


if __name__ == "__main__":
    serve(OneDnn())
