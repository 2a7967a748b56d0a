#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""compare_runs.py write FILE [SEED [SETTING..]]: a made-up run of twenty cases, rounds of five samples each with 2 % of noise within
a round and between rounds. Settings: slow=F (case-7 takes F times as long), threads=N, drop=N (that case is missing), fail=N (that case
is wrong), noise=F (times the usual), rounds=N (ten), rounds=no (no round_sizes).
compare_runs.py chance PROGRAM FOLDER: of 200 pairs of runs that differ by chance alone, fewer than 5 % may have anything slower."""
import json
import random
import statistics
import subprocess
import sys


def run(seed, slow=1.0, threads=2, drop=None, fail=None, noise=1.0, rounds="10"):
    rng = random.Random(seed)
    count = 10 if rounds == "no" else int(rounds)
    results = []
    for case in range(20):
        if drop is not None and case == int(drop):
            continue
        base = 1e-3 * (case + 1) * (float(slow) if case == 7 else 1)
        samples = []
        for _ in range(count):
            level = base * (1 + float(noise) * rng.gauss(0, 0.02))
            samples += [level * (1 + float(noise) * rng.gauss(0, 0.02)) for _ in range(5)]
        wrong = fail is not None and case == int(fail)
        row = {"case": "case-%d" % case, "op": "attention", "dtype": "f32", "backend": "cpu", "device": "cpu:0",
               "threads": int(threads), "ok": not wrong, "samples_s": [] if wrong else samples,
               "median_s": None if wrong else statistics.median(samples), "round_sizes": [0 if wrong else 5] * count}
        if rounds == "no":
            del row["round_sizes"]
        results.append(row)
    return {"schema": "attend-bench/1", "context": {"cpu": "made up", "threads": [int(threads)]}, "results": results}


def write(path, seed=1, *settings):
    with open(path, "w") as file:
        json.dump(run(int(seed), **dict(s.split("=") for s in settings)), file)


def chance(program, folder):
    struck = 0
    for pair in range(200):
        write(folder + "/a.json", 2 * pair)
        write(folder + "/b.json", 2 * pair + 1)
        text = subprocess.run([program, "compare", "--format", "json", folder + "/a.json", folder + "/b.json"],
                              check=True, capture_output=True).stdout
        struck += any(p["verdict"] == "slower" for p in json.loads(text)["pairs"])
    print(struck, "of 200")
    sys.exit(struck >= 10)


{"write": write, "chance": chance}[sys.argv[1]](*sys.argv[2:])
