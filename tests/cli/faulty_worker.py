#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""faulty_worker.py: a peer for `attend bench` that passes every ask on to attend's own worker ($ATTEND_TEST_PROGRAM) and does the wrong
thing where $FAULT says so. It needs nothing but Python, and shows that a fault of a worker costs its own row only."""
import json
import os
import subprocess
import sys
import time

fault = os.environ["FAULT"]
after = int(os.environ.get("FAULT_AFTER", "3"))  # answers with samples that are still good
inner = subprocess.Popen([os.environ["ATTEND_TEST_PROGRAM"], "bench", "--worker", "--backend", "cpu", "--device", "cpu:0"],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


def spoil(answer, row):
    """The first value of a row becomes another one; hexadecimal of little-endian float32."""
    answer["values"][0] = row + answer["values"][0][8:]


def strike():
    if fault == "die":
        print("about to fall over", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 11)
    if fault == "hang":
        time.sleep(1000)
    if fault == "interrupt":  # as if the user had pressed Ctrl-C in the middle of this worker's samples
        os.kill(os.getppid(), 2)
        time.sleep(1000)
    if fault == "leave":
        print("going home", file=sys.stderr, flush=True)
        sys.exit(7)
    if fault == "babble":
        print("hello there", flush=True)
        return True
    if fault == "zero":
        print(json.dumps({"ok": True, "samples": [0]}), flush=True)
        return True
    return False


sampled = 0
for line in sys.stdin:
    ask = json.loads(line)
    if ask["ask"] == "hello" and fault == "missing":
        print(json.dumps({"ok": False, "missing": "this peer is not installed"}), flush=True)
        continue
    if ask["ask"] == "sample":
        sampled += 1
        if sampled > after and strike():
            continue
    inner.stdin.write(line)
    answer = json.loads(inner.stdout.readline())
    if ask["ask"] == "rows" and fault == "wrong":
        spoil(answer, "0000003f")  # 0.5
    if ask["ask"] == "rows" and fault == "nan":
        spoil(answer, "0000c07f")
    if ask["ask"] == "rows" and fault == "short":
        answer["values"].pop()
    print(json.dumps(answer), flush=True)
