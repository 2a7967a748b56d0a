# SPDX-License-Identifier: Apache-2.0
"""Sentences a second of all-MiniLM-L6-v2: attend packed, onnxruntime and PyTorch padded and sorted by length, in turns
on the same 100 sentences with the same threads. bench/sentences.sh calls it.

Every library is a process of its own that says how long one pass over all sentences took; passes alternate, and who is
not asked is stopped, so that threads that spin take nothing from the others. A peer gets
the ids for nothing (attend's time has the tokenizer in it), sorts the sentences and tries batches of 1, 8, 16 and
32 in each of its forms; its fastest counts. All vectors must agree, or nothing is printed."""
import argparse
import ctypes
import json
import os
import signal
import statistics
import subprocess
import sys
import time

import numpy as np

WORDS = """time year people way day man thing woman life child world school state family student group country problem
hand part place case week company system program question work government number night point home water room mother area
money story fact month lot right study book eye job word business issue side kind head house service friend father power
hour game line end member law car city community name president team minute idea body information back parent face
others level office door health person art war history party result change morning reason research girl guy moment air
teacher force education the a of and to in is was on for with under between over quickly slowly never often because
although river mountain bridge letter window garden winter summer blue green small large old new""".split()


def sentences(count=100, longest=200):
    """Lengths of 3 to `longest` words, as many short as long ones on a logarithmic scale, in an order that is not
    sorted; words by a linear congruence."""
    state, made = 12345, []
    for i in range(count):
        place = i * 37 % count / (count - 1)
        length = round(3 * (longest / 3) ** place)
        words = []
        for _ in range(length):
            state = (state * 1103515245 + 12345) % 2**31
            words.append(WORDS[(state >> 8) % len(WORDS)])
        made.append(" ".join(words).capitalize() + ".")
    return made


# ---- attend ----------------------------------------------------------------------------------------------------------


class Attend:
    """libattend-model by ctypes: attend.h and model.h say what the calls are."""

    class Options(ctypes.Structure):
        _fields_ = [("size", ctypes.c_size_t), ("layer", ctypes.c_int32), ("head", ctypes.c_int32)]

    def __init__(self, library, model, texts):
        self.lib = ctypes.CDLL(library)
        self.lib.attend_error_text.restype = ctypes.c_char_p
        for name in ("embedding", "ids"):
            getattr(self.lib, "attend_encoding_" + name).restype = ctypes.c_void_p
        self.lib.attend_encoding_length.restype = ctypes.c_size_t
        context, self.model = ctypes.c_void_p(), ctypes.c_void_p()
        self.ok(self.lib.attend_open(None, ctypes.byref(context)))
        self.ok(self.lib.attend_model_open(context, model.encode(), ctypes.byref(self.model)))
        self.texts = (ctypes.c_char_p * len(texts))(*[t.encode() for t in texts])
        self.encodings = (ctypes.c_void_p * len(texts))()
        self.options = self.Options(ctypes.sizeof(self.Options), -2, -1)

    def ok(self, status):
        if status != 0:
            raise SystemExit("attend: " + self.lib.attend_error_text().decode())

    def release(self):
        for e in self.encodings:
            self.lib.attend_encoding_release(ctypes.c_void_p(e))

    def floats(self, e, size=384):
        at = self.lib.attend_encoding_embedding(ctypes.c_void_p(e))
        return np.ctypeslib.as_array(ctypes.cast(at, ctypes.POINTER(ctypes.c_float)), (size,)).copy()

    def ids(self, e):
        e = ctypes.c_void_p(e)
        at, count = self.lib.attend_encoding_ids(e), self.lib.attend_encoding_length(e)
        return np.ctypeslib.as_array(ctypes.cast(at, ctypes.POINTER(ctypes.c_int32)), (count,)).tolist()

    def encode(self):
        self.ok(self.lib.attend_model_encode_many(self.model, ctypes.c_size_t(len(self.texts)), self.texts, None,
                                                  ctypes.byref(self.options), self.encodings))

    def forms(self):
        def one():
            self.encode()
            self.release()

        return {"packed": one}

    def vectors(self):
        self.encode()
        made = [self.floats(e) for e in self.encodings], [self.ids(e) for e in self.encodings]
        self.release()
        return made


# ---- processes -------------------------------------------------------------------------------------------------------


def serve(made):
    """Answers "vectors", "forms" and "pass NAME" on the real standard output; libraries print to the other."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    forms = None
    for line in sys.stdin:
        ask, _, name = line.rstrip("\n").partition(" ")
        if ask == "vectors":
            vectors, ids = made.vectors()
            answer = {"vectors": [[float(v) for v in x] for x in vectors], "ids": ids}
        elif ask == "forms":
            forms = made.forms()
            answer = list(forms)
        else:
            start = time.perf_counter()
            forms[name]()
            answer = time.perf_counter() - start
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Process:
    def __init__(self, name, settings, ids=None):
        self.name = name
        command = [sys.executable, os.path.abspath(__file__), "--serve", name, "--model", settings.model, "--library",
                   settings.library, "--threads", str(settings.threads)]
        environment = dict(os.environ, ATTEND_NUM_THREADS=str(settings.threads), ATTEND_BACKEND="cpu")
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                      env=environment)
        if name != "attend":
            self.child.stdin.write(json.dumps(ids) + "\n")
            self.child.stdin.flush()

    def ask(self, what):
        self.child.send_signal(signal.SIGCONT)
        self.child.stdin.write(what + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit(self.name + ": its process ended")
        self.child.send_signal(signal.SIGSTOP)
        return json.loads(line)

    def end(self):
        self.child.send_signal(signal.SIGCONT)
        self.child.stdin.close()
        self.child.wait()

    def choose(self):
        """The form with the shortest pass; each has run once before, when it was made."""
        best = {form: self.ask("pass " + form) for form in self.ask("forms")}
        self.form = min(best, key=best.get)


def compare(settings):
    texts = sentences()
    ours = Process("attend", settings)
    mine = ours.ask("vectors")
    processes = [ours] + [Process(name, settings, mine["ids"]) for name in settings.peers.split(",")]
    for p in processes[1:]:
        theirs = p.ask("vectors")["vectors"]
        worst = max(float(np.abs(np.array(a) - np.array(b)).max()) for a, b in zip(mine["vectors"], theirs))
        if not worst < 1e-4:
            raise SystemExit("%s: a vector differs by %g" % (p.name, worst))
    for p in processes:
        p.choose()
    times = {p: [] for p in processes}
    for _ in range(settings.rounds):
        for p in processes:
            times[p].append(p.ask("pass " + p.form))
    tokens = sum(len(x) for x in mine["ids"])
    print("%d sentences, %d tokens, %d threads, %d rounds" % (len(texts), tokens, settings.threads, settings.rounds))
    base = statistics.median(times[ours])
    for p in processes:
        t = times[p]
        print("%-12s %8.1f sentences/s  median %7.1f ms, %.1f to %.1f  attend is %.2f times as fast  (%s)" % (
            p.name, len(texts) / statistics.median(t), 1e3 * statistics.median(t), 1e3 * min(t), 1e3 * max(t),
            statistics.median(t) / base, p.form))
    for p in processes:
        p.end()


def main():
    words = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    words.add_argument("--model", required=True)
    words.add_argument("--library", required=True)
    words.add_argument("--threads", type=int, default=2)
    words.add_argument("--rounds", type=int, default=9)
    words.add_argument("--peers", default="onnxruntime,pytorch")
    words.add_argument("--serve", help=argparse.SUPPRESS)
    settings = words.parse_args()
    if settings.serve == "attend":
        serve(Attend(settings.library, settings.model, sentences()))
    elif settings.serve:
        import sentence_peers

        serve(sentence_peers.PEERS[settings.serve](settings.threads, settings.model, json.loads(sys.stdin.readline())))
    else:
        compare(settings)


main()
