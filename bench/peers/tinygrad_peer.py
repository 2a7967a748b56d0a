# SPDX-License-Identifier: Apache-2.0
"""tinygrad on its OpenCL device (DEV=CL: of the first platform a GPU, else its default). What makes it fast, and why:
- TinyJit: after two calls the kernels are captured, a call enqueues them and waits once. Inputs and weights are on the
  device before.
- Attention is the fastest of scaled_dot_product_attention, with fewer key heads also a group as one more dimension and,
  without a causal mask, a group's queries as rows of one head.
- Weights are constants: as they lie or transposed beforehand; a layer has three projections or one of width 3M.
- Kernels are those of tinygrad's heuristics. The search for better ones takes minutes on a processor; tinygrad's own
  variable for it, BEAM, works here when it is set.
- Types: f32; f16 where the device computes in it. Attention of more than 1 GiB of scores is left out (it stores
  them), and, without BEAM, a case whose first call takes more than 20 s: the choice alone would take minutes."""
import ctypes
import functools
import importlib.metadata
import os
import time

import numpy as np

from worker import Missing, Unsupported, Worker, fastest, named, serve

SCORES_BYTES = 1 << 30
CAPTURED = 2  # calls until TinyJit replays
FIRST_CALL_S = 20


class TinyGrad(Worker):
    name = "tinygrad"

    def open(self, threads):
        os.environ["DEV"] = "CL"  # read when tinygrad is imported
        try:
            import tinygrad
        except ImportError as e:
            raise Missing("tinygrad is not installed (%s): bench/install_peers.sh" % e)
        try:
            self.device = tinygrad.Device["CL"]
        except Exception as e:  # it says in many ways that there is no library, platform or device
            reason = " ".join(str(e).split())[:200]
            raise Missing("tinygrad finds no OpenCL device (%s): apt-get install pocl-opencl-icd" % reason)
        self.tiny = tinygrad
        self.types = {"f32": tinygrad.dtypes.float32}
        if "cl_khr_fp16" in self.device.device_exts:
            self.types["f16"] = tinygrad.dtypes.float16
        about = {
            "version": importlib.metadata.version("tinygrad"),
            "device": "opencl:0",
            "device_name": self.device.device_name,
            "driver": self.device.driver_version,
            "on_cpu": self.on_cpu(),
            "settings": "TinyJit, inputs on the device, one wait a call, BEAM=%s" % os.environ.get("BEAM", "0"),
        }
        if about["on_cpu"]:
            about["settings"] += ", %d threads (POCL_MAX_PTHREAD_COUNT)" % threads
        return about

    def on_cpu(self):
        from tinygrad.runtime.autogen import opencl

        kind = ctypes.c_uint64()
        opencl.clGetDeviceInfo(self.device.cl_dev, opencl.CL_DEVICE_TYPE, ctypes.sizeof(kind), ctypes.byref(kind), None)
        return bool(kind.value & opencl.CL_DEVICE_TYPE_CPU)

    def prepare(self, case, arrays):
        if case["dtype"] not in self.types:
            raise Unsupported("the device does not compute in %s for tinygrad" % case["dtype"])
        self.limit(case)
        self.too_slow = None  # why the other variants of this case are not tried
        tensors = {n: self.constant(a, self.types[case["dtype"]]) for n, a in arrays.items()}
        return fastest(self.maker(case)(case, tensors))

    def limit(self, case):
        b, h, l = (case.get(x, 1) for x in "BHL")
        s = case.get("S", l)
        if case["op"] in ("attention", "layer") and 4 * b * h * l * s > SCORES_BYTES:
            raise Unsupported("its scores are more than 1 GiB")

    def rows(self, result):
        return result.float().numpy()

    def constant(self, array, dtype):
        return self.tiny.Tensor(np.ascontiguousarray(array)).cast(dtype).contiguous().realize()

    def captured(self, kernel, compute):
        """A builder: `compute` gives the result as a lazy tensor."""

        def build():
            if self.too_slow:
                raise Unsupported(self.too_slow)
            jit, wait = self.tiny.TinyJit(lambda: compute().contiguous().realize()), self.device.synchronize

            def call():
                result = jit()
                wait()
                return result

            start = time.perf_counter()
            call()
            took = time.perf_counter() - start
            if took > FIRST_CALL_S and "BEAM" not in os.environ:
                self.too_slow = "its first call takes %.0f s" % took
                raise Unsupported(self.too_slow)
            for _ in range(CAPTURED - 1):
                call()
            return named(kernel, call)

        return build

    def attention(self, case, t):
        b, h, g, l, s, d = (case[x] for x in "BHGLSD")
        q, k, v, causal, group = t["q"], t["k"], t["v"], case["causal"], case["H"] // case["G"]
        native = functools.partial(attend, q, k, v, causal, enable_gqa=group > 1)
        found = [self.captured("sdpa", native)]
        if group > 1:
            wide = [x.reshape(b, g, 1, s, d) for x in (k, v)]
            views = functools.partial(attend, q.reshape(b, g, group, l, d), *wide, causal)
            found.append(self.captured("sdpa, group as a dimension", lambda: views().reshape(b, h, l, d)))
        if group > 1 and not causal:
            folded = functools.partial(attend, q.reshape(b, g, group * l, d), k, v, causal)
            found.append(self.captured("sdpa, folded group", lambda: folded().reshape(b, h, l, d)))
        return found

    def weights(self, w, bias, turned):
        """What Tensor.linear wants: [in,out], in memory so when `turned`."""
        return (w.T.contiguous().realize() if turned else w.T), bias

    def project(self, case, t):
        found = []
        for turned, note in ((False, "as given"), (True, "transposed")):
            how = self.weights(t["w"], t["bias"], turned)
            found.append(self.captured("linear, weights " + note, functools.partial(t["x"].linear, *how)))
        return found

    def layer(self, case, t):
        found = []
        for turned, note in ((False, "as given"), (True, "transposed")):
            for fused in (False, True):
                kernel = "%s linear, weights %s" % ("fused" if fused else "3", note)
                found.append(self.captured(kernel, self.whole(case, t, turned, fused)))
        return found

    def whole(self, case, t, turned, fused):
        b, l, m, h = (case[x] for x in "BLMH")
        x, leave = t["x"], self.weights(t["w_o"], t["b_o"], turned)
        if fused:
            w, bias = (t[kind + "q"].cat(t[kind + "k"], t[kind + "v"]).contiguous().realize() for kind in ("w_", "b_"))
            enter = [self.weights(w, bias, turned)]
        else:
            enter = [self.weights(t["w_" + p], t["b_" + p], turned) for p in "qkv"]

        def compute():
            # contiguous() ends a kernel: else the products are computed again inside the attention.
            parts = [x.linear(*how).contiguous() for how in enter]
            if fused:
                parts = parts[0].chunk(3, dim=-1)
            q, k, v = (part.reshape(b, l, h, m // h).transpose(1, 2) for part in parts)
            joined = attend(q, k, v, case.get("causal", False)).transpose(1, 2).reshape(b, l, m)
            return joined.contiguous().linear(*leave)

        return compute

    def softmax(self, case, t):
        x, causal = t["x"], case["causal"]

        def compute():
            scores = x * 0.125
            if causal:
                keep = scores.const_like(True).cast(self.tiny.dtypes.bool).tril()
                scores = keep.where(scores, -float("inf"))
            return scores.softmax(-1)

        return [self.captured("softmax", compute)]

    def merge(self, case, t):
        b, h, l, d = (case[x] for x in "BHLD")
        return [self.captured("transpose", lambda: t["x"].transpose(1, 2).reshape(b, l, h * d))]


def attend(q, k, v, causal, **how):
    return q.scaled_dot_product_attention(k, v, is_causal=causal, **how)


if __name__ == "__main__":
    serve(TinyGrad())
