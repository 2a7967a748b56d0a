# SPDX-License-Identifier: Apache-2.0
"""OpenBLAS on the CPU, for projections: cblas_sgemm of the library in PyPI's scipy-openblas32. What makes it fast:
- The fastest of weights as they lie and weights transposed beforehand (they are constants); for one row also sgemv.
- BLAS has no bias: the result starts as the bias and the product is added to it (beta 1). The start is the faster of
  NumPy's copy, which is one thread, and a product of a column of ones with the bias, which has them all.
- The processor's own kernels: variables that pin another processor are removed before the library is loaded.
- Types: f32; this build has no bf16 product. BLAS has neither softmax nor attention."""
import ctypes
import functools
import importlib.util
import os

import numpy as np

from worker import Missing, Unsupported, Worker, fastest, named, serve

ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112  # enums of cblas.h
PREFIX = "scipy_"
PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")

ONE = ctypes.c_float(1)
ZERO = ctypes.c_float(0)


def library():
    found = importlib.util.find_spec("scipy_openblas32")
    if not found:
        raise Missing("scipy-openblas32 is not installed: bench/install_peers.sh")
    for pin in PINS:
        os.environ.pop(pin, None)
    folder = os.path.join(found.submodule_search_locations[0], "lib")
    try:
        return ctypes.CDLL(os.path.join(folder, "libscipy_openblas.so"))
    except OSError as e:
        raise Missing("OpenBLAS does not load (%s)" % e)


class OpenBlas(Worker):
    name = "openblas"

    def open(self, threads):
        loaded = library()
        p, i, f = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
        try:
            self.sgemm = getattr(loaded, PREFIX + "cblas_sgemm")
            self.sgemv = getattr(loaded, PREFIX + "cblas_sgemv")
            config, core, limit = (
                getattr(loaded, PREFIX + "openblas_" + name)
                for name in ("get_config", "get_corename", "set_num_threads")
            )
        except AttributeError as e:
            raise Missing("OpenBLAS' library is incomplete (%s)" % e)
        self.sgemm.argtypes, self.sgemm.restype = [i] * 6 + [f, p, i, p, i, f, p, i], None
        self.sgemv.argtypes, self.sgemv.restype = [i] * 4 + [f, p, i, p, i, f, p, i], None
        config.restype = core.restype = ctypes.c_char_p
        limit.argtypes, limit.restype = [i], None
        limit(threads)
        version = config().decode().split()[1]
        return {
            "version": version,
            "device": "cpu",
            "settings": "%d threads, kernels of %s, constant weights" % (threads, core().decode()),
        }

    def prepare(self, case, arrays):
        if case["op"] != "project":
            raise Unsupported("BLAS has projections only")
        if case["dtype"] != "f32":
            raise Unsupported("this OpenBLAS has no product of type " + case["dtype"])
        found = []
        for turned in (False, True):
            for start in (self.copied, self.multiplied):
                found.append(functools.partial(self.product, case, arrays, turned, start))
            if case["rows"] == 1:
                found.append(functools.partial(self.vector, case, arrays, turned))
        return fastest(found)

    def copied(self, y, bias):
        return "copied bias", functools.partial(np.copyto, y, bias)

    def multiplied(self, y, bias):
        """The product of ones and bias; the arrays live as long as the call."""
        rows, out = y.shape
        ones = np.ones(rows, np.float32)
        sizes = (ROW_MAJOR, PLAIN, PLAIN, rows, out, 1, ONE)
        given = (ones.ctypes.data, 1, bias.ctypes.data, out, ZERO, y.ctypes.data, out)
        start = functools.partial(self.sgemm, *sizes, *given)
        start.arrays = ones, bias
        return "multiplied bias", start

    def product(self, case, t, turned, start):
        rows, out, width = case["rows"], case["out"], case["in"]
        x, w, bias, y = self.arrays(case, t, turned)
        sizes = (ROW_MAJOR, PLAIN, PLAIN if turned else TRANSPOSED, rows, out, width, ONE)
        given = (x.ctypes.data, width, w.ctypes.data, w.shape[1], ONE, y.ctypes.data, out)
        multiply = functools.partial(self.sgemm, *sizes, *given)
        note, begin = start(y, bias)
        return self.call("sgemm, %s, %s" % (order(turned), note), begin, multiply, (y, x, w))

    def vector(self, case, t, turned):
        x, w, bias, y = self.arrays(case, t, turned)
        sizes = (ROW_MAJOR, TRANSPOSED if turned else PLAIN, *w.shape, ONE, w.ctypes.data, w.shape[1])
        multiply = functools.partial(self.sgemv, *sizes, x.ctypes.data, 1, ONE, y.ctypes.data, 1)
        note, begin = self.copied(y, bias)
        return self.call("sgemv, %s, %s" % (order(turned), note), begin, multiply, (y, x, w))

    def arrays(self, case, t, turned):
        w = np.ascontiguousarray(t["w"].T) if turned else t["w"]
        return t["x"], w, t["bias"], np.empty((case["rows"], case["out"]), np.float32)

    def call(self, kernel, begin, multiply, arrays):
        y = arrays[0]

        def call():
            begin()
            multiply()
            return y

        call.arrays = arrays
        return named(kernel, call)


def order(turned):
    return "weights transposed" if turned else "weights as given"


if __name__ == "__main__":
    serve(OpenBlas())
