# SPDX-License-Identifier: Apache-2.0
"""CLBlast on the first OpenCL device: what one builds from a BLAS. What makes it fast, and why:
- Attention is SgemmStridedBatched, a softmax kernel of this file on the scores in place, SgemmStridedBatched. A group's
  queries are rows of one head, so each key head is one product of the batch; the scale is the first product's alpha.
- A projection is the bias, spread over the rows by a kernel of this file, then Sgemm with beta 1 on weights as given or
  transposed beforehand; for one row also Sgemv. The fastest is kept.
- Buffers, kernels and their arguments are made once; a call enqueues, and waits once at its end. CLBlast keeps the
  kernels it has compiled, so only the first call compiles. Its parameters are those it was tuned with.
- The device is the one that tinygrad takes: of the first platform a GPU, else its default.
- Types: f32. Attention of more than 1 GiB of scores is left out: CLBlast copies them once more when it pads."""
import ctypes
import functools
import math
import os
import re

import numpy as np

from worker import Missing, Unsupported, Worker, fastest, named, serve

# From cl.h and clblast_c.h.
DEVICE_TYPE, DEVICE_NAME, DRIVER_VERSION, PLATFORM_NAME = 0x1000, 0x102B, 0x102D, 0x0902
TYPE_DEFAULT, TYPE_CPU, TYPE_GPU = 1, 2, 4
READ_WRITE, COPY_HOST = 1, 32
ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112
SCORES_BYTES = 1 << 30
LANES = 64  # of a work-group that computes one row of the softmax
ONE, ZERO = ctypes.c_float(1), ctypes.c_float(0)

SOURCE = """
kernel void soften(global float *scores, uint keys, uint queries, uint causal)
{
    local float part[LANES];
    const size_t row = get_group_id(0), lane = get_local_id(0);
    global float *p = scores + row * keys;
    const uint count = causal ? min(keys, (uint)(row % queries) + 1) : keys;
    float most = -INFINITY, sum = 0;
    for (uint i = lane; i < count; i += LANES) most = fmax(most, p[i]);
    part[lane] = most;
    for (uint step = LANES / 2; step; step /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < step) part[lane] = fmax(part[lane], part[lane + step]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    most = part[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (uint i = lane; i < count; i += LANES) sum += p[i] = exp(p[i] - most);
    part[lane] = sum;
    for (uint step = LANES / 2; step; step /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < step) part[lane] += part[lane + step];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const float scale = 1 / part[0];
    for (uint i = lane; i < keys; i += LANES) p[i] = i < count ? p[i] * scale : 0;
}
kernel void spread(global float *y, global const float *bias)
{
    y[get_global_id(1) * get_global_size(0) + get_global_id(0)] = bias[get_global_id(0)];
}
"""


def library(name, package):
    try:
        return ctypes.CDLL(name)
    except OSError:
        raise Missing("%s is not installed: apt-get install %s" % (name, package))


def check(name, status):
    if status != 0:
        raise RuntimeError("%s gives the status %d" % (name, status))


def arguments(values):
    """Integers become size_t; what is a ctypes value already stays."""
    return [ctypes.c_size_t(v) if isinstance(v, int) else v for v in values]


class OpenCl:
    """One device with its queue."""

    def __init__(self):
        self.lib = library("libOpenCL.so.1", "ocl-icd-libopencl1 pocl-opencl-icd")
        pointers = "clCreateContext clCreateCommandQueue clCreateBuffer clCreateProgramWithSource clCreateKernel"
        for name in pointers.split():
            getattr(self.lib, name).restype = ctypes.c_void_p
        platform = self.first(self.lib.clGetPlatformIDs, "OpenCL has no platform: apt-get install pocl-opencl-icd")
        self.device = None
        for kind in (TYPE_GPU, TYPE_DEFAULT):
            ask = functools.partial(self.lib.clGetDeviceIDs, platform, ctypes.c_uint64(kind))
            self.device = self.device or self.first(ask)
        if not self.device:
            raise Missing("OpenCL's first platform has no device: apt-get install pocl-opencl-icd")
        handles = (ctypes.c_void_p * 1)(self.device.value)
        self.context = self.make("clCreateContext", None, 1, handles, None, None)
        self.queue = self.make("clCreateCommandQueue", self.context, self.device, ctypes.c_uint64(0))
        text = functools.partial(self.text, self.lib.clGetDeviceInfo, self.device)
        self.name, self.driver = text(DEVICE_NAME), text(DRIVER_VERSION)
        self.platform = self.text(self.lib.clGetPlatformInfo, platform, PLATFORM_NAME)
        kind = ctypes.c_uint64()
        check("clGetDeviceInfo", self.lib.clGetDeviceInfo(self.device, DEVICE_TYPE, 8, ctypes.byref(kind), None))
        self.on_cpu = bool(kind.value & TYPE_CPU)
        source = (ctypes.c_char_p * 1)(SOURCE.encode())
        self.program = self.make("clCreateProgramWithSource", self.context, 1, source, None)
        options = b"-DLANES=%d" % LANES
        check("clBuildProgram", self.lib.clBuildProgram(self.program, 1, handles, options, None, None))

    def first(self, ask, missing=None):
        found, count = ctypes.c_void_p(), ctypes.c_uint32()
        if ask(1, ctypes.byref(found), ctypes.byref(count)) == 0 and count.value:
            return found
        if missing:
            raise Missing(missing)
        return None

    def make(self, name, *values):
        status = ctypes.c_int32()
        handle = getattr(self.lib, name)(*values, ctypes.byref(status))
        check(name, status.value)
        return ctypes.c_void_p(handle)

    def text(self, ask, thing, what):
        buffer = ctypes.create_string_buffer(1024)
        check("clGet..Info", ask(thing, what, ctypes.c_size_t(1024), buffer, None))
        return buffer.value.decode(errors="replace")

    def kernel(self, name, values):
        handle = self.make("clCreateKernel", self.program, name.encode())
        for i, value in enumerate(values):
            size = ctypes.c_size_t(ctypes.sizeof(value))
            check("clSetKernelArg", self.lib.clSetKernelArg(handle, i, size, ctypes.byref(value)))
        return handle


class Case:
    """The buffers and kernels of one call, freed with it."""

    def __init__(self, cl, blas):
        self.cl, self.blas, self.buffers, self.kernels, self.steps = cl, blas, [], [], []

    def given(self, array):
        array = np.ascontiguousarray(array, np.float32)
        flags = ctypes.c_uint64(READ_WRITE | COPY_HOST)
        return self.buffer(flags, array.nbytes, array.ctypes.data_as(ctypes.c_void_p))

    def empty(self, count):
        return self.buffer(ctypes.c_uint64(READ_WRITE), 4 * count, None)

    def buffer(self, flags, size, data):
        made = self.cl.make("clCreateBuffer", self.cl.context, flags, ctypes.c_size_t(size), data)
        self.buffers.append(made)
        return made

    def kernel(self, name, values, sizes, local):
        handle = self.cl.kernel(name, values)
        self.kernels.append(handle)
        whole = (ctypes.c_size_t * len(sizes))(*sizes)
        group = (ctypes.c_size_t * len(local))(*local) if local else None
        enqueue = self.cl.lib.clEnqueueNDRangeKernel
        self.step(name, enqueue, self.cl.queue, handle, len(sizes), None, whole, group, 0, None, None)

    def product(self, name, flags, values):
        """`flags` are enums, the integers of `values` sizes."""
        enums = [ctypes.c_int(x) for x in (ROW_MAJOR, *flags)]
        function = getattr(self.blas, "CLBlast" + name)
        self.step(name, function, *enums, *arguments(values), ctypes.byref(self.cl.queue), None)

    def step(self, name, function, *values):
        self.steps.append((name, functools.partial(function, *values)))

    def call(self, kernel, result, shape):
        steps, finish, queue = self.steps, self.cl.lib.clFinish, self.cl.queue

        def call():
            for name, step in steps:
                status = step()
                if status:
                    check(name, status)
            check("clFinish", finish(queue))
            return self, result, shape

        return named(kernel, call)

    def read(self, buffer, shape):
        values = np.empty(shape, np.float32)
        size, target = ctypes.c_size_t(values.nbytes), values.ctypes.data_as(ctypes.c_void_p)
        read = self.cl.lib.clEnqueueReadBuffer
        status = read(self.cl.queue, buffer, 1, ctypes.c_size_t(0), size, target, 0, None, None)
        check("clEnqueueReadBuffer", status)
        return values

    def __del__(self):
        for kernel in self.kernels:
            self.cl.lib.clReleaseKernel(kernel)
        for buffer in self.buffers:
            self.cl.lib.clReleaseMemObject(buffer)


def version():
    """CLBlast tells its version in its file's name only."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        found = re.search(r"\S*/libclblast\.so\S*", maps.read())
    name = os.path.realpath(found.group()) if found else ""
    return name.split(".so.")[-1] if ".so." in name else "unknown"


class ClBlast(Worker):
    name = "clblast"

    def open(self, threads):
        self.blas = library("libclblast.so.1", "libclblast1")
        self.cl = OpenCl()
        settings = "buffers and kernels made once, one wait a call"
        if self.cl.on_cpu:
            settings += ", %d threads (POCL_MAX_PTHREAD_COUNT)" % threads
        return {
            "version": version(),
            "device": "opencl:0",
            "device_name": self.cl.name,
            "platform": self.cl.platform,
            "driver": self.cl.driver,
            "on_cpu": self.cl.on_cpu,
            "settings": settings,
        }

    def prepare(self, case, arrays):
        if case["dtype"] != "f32":
            raise Unsupported("f32 only: half precision of CLBlast needs a device with it")
        if case["op"] == "attention":
            return self.attention(case, arrays)
        if case["op"] != "project":
            raise Unsupported("CLBlast has products only; attention and projections are built from them")
        found = [functools.partial(self.project, case, arrays, turned) for turned in (False, True)]
        if case["rows"] == 1:
            found.append(functools.partial(self.vector, case, arrays))
        return fastest(found)

    def rows(self, result):
        case, buffer, shape = result
        return case.read(buffer, shape)

    def attention(self, case, t):
        b, h, g, l, s, d = (case[x] for x in "BHGLSD")
        rows = h // g * l  # of one key head
        if 4 * b * h * l * s > SCORES_BYTES:
            raise Unsupported("its scores are more than 1 GiB")
        made = Case(self.cl, self.blas)
        q, k, v = (made.given(t[n]) for n in "qkv")
        scores, y = made.empty(b * h * l * s), made.empty(b * h * l * d)
        scale = ctypes.c_float(1 / math.sqrt(d))
        first = (rows, s, d, scale, q, 0, d, rows * d, k, 0, d, s * d, ZERO, scores, 0, s, rows * s, b * g)
        made.product("SgemmStridedBatched", (PLAIN, TRANSPOSED), first)
        sizes = [ctypes.c_uint32(x) for x in (s, l, int(case["causal"]))]
        made.kernel("soften", [scores] + sizes, [b * h * l * LANES], [LANES])
        second = (rows, d, s, ONE, scores, 0, s, rows * s, v, 0, d, s * d, ZERO, y, 0, d, rows * d, b * g)
        made.product("SgemmStridedBatched", (PLAIN, PLAIN), second)
        return made.call("SgemmStridedBatched, own softmax", y, (b, h, l, d))

    def begin(self, case, t, w):
        """The case with the bias in its result, and the buffers."""
        made = Case(self.cl, self.blas)
        rows, out = case["rows"], case["out"]
        x, w, bias, y = made.given(t["x"]), made.given(w), made.given(t["bias"]), made.empty(rows * out)
        made.kernel("spread", [y, bias], [out, rows], None)
        return made, x, w, y

    def project(self, case, t, turned):
        rows, out, width = case["rows"], case["out"], case["in"]
        made, x, w, y = self.begin(case, t, t["w"].T if turned else t["w"])
        values = (rows, out, width, ONE, x, 0, width, w, 0, out if turned else width, ONE, y, 0, out)
        made.product("Sgemm", (PLAIN, PLAIN if turned else TRANSPOSED), values)
        return made.call("Sgemm, weights " + ("transposed" if turned else "as given"), y, (rows, out))

    def vector(self, case, t):
        out, width = case["out"], case["in"]
        made, x, w, y = self.begin(case, t, t["w"])
        made.product("Sgemv", (PLAIN,), (out, width, ONE, w, 0, width, x, 0, 1, ONE, y, 0, 1))
        return made.call("Sgemv", y, (1, out))


if __name__ == "__main__":
    serve(ClBlast())
