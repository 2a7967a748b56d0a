#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench_results.py same A.json B.jsonl C.csv: the three hold the same numbers, and what a row derives follows from its samples.
bench_results.py fault FILE.json BACKEND REASON SAMPLES: the rows of that backend are not ok, say REASON, and hold SAMPLES (none, some);
every other row is ok."""
import csv
import json
import math
import statistics
import sys

KEYS = ("case op backend device dtype threads median_s min_s samples_s gflops peak_fraction max_error ok").split()


def check(condition, text):
    if not condition:
        sys.exit("FAILED: " + text)


def close(a, b):
    return math.isclose(a, b, rel_tol=1e-12)


def derived(row):
    samples = row["samples_s"]
    check(len(samples) >= 10 and sum(row["round_sizes"]) == len(samples), "samples of " + row["case"])
    median = statistics.median(samples)
    check(close(row["median_s"], median), "median of " + row["case"])
    check(close(row["min_s"], min(samples)), "minimum of " + row["case"])
    check(close(row["mad_s"], statistics.median(abs(s - median) for s in samples)), "mad of " + row["case"])
    check(close(row["gflops"], row["flops"] / median * 1e-9), "gflops of " + row["case"])
    # a copy that stays in the cache has no limit that is measured
    check((row["peak_fraction"] or 0) > 0 or row["flops"] == 0, "share of the peak of " + row["case"])
    check(row["rows_checked"] > 0 and 0 <= row["error_ratio"] <= 1, "error of " + row["case"])


def same(whole, lines, table):
    document = json.load(open(whole))
    check(document["schema"] == "attend-bench/1" and document["context"]["cpu"], "schema and context")
    rows = document["results"]
    check(len(rows) >= 4, "rows")
    for row in rows:
        check(all(key in row for key in KEYS), "keys of " + row["case"])
        derived(row)
    listed = [json.loads(line) for line in open(lines)]
    check(listed[0]["schema"] == document["schema"] and listed[1:] == rows, "jsonl")
    written = list(csv.DictReader(open(table, newline="")))
    check(len(written) == len(rows), "rows of csv")
    for a, b in zip(rows, written):
        for key in KEYS:
            if key == "samples_s":
                check([float(x) for x in b[key].split(";")] == a[key], "csv samples")
            elif a[key] is None:
                check(b[key] == "", "csv " + key)
            elif isinstance(a[key], bool):
                check(b[key] == str(a[key]).lower(), "csv " + key)
            elif isinstance(a[key], (int, float)):
                check(float(b[key]) == a[key], "csv " + key)
            else:
                check(b[key] == a[key], "csv " + key)


def fault(path, backend, reason, samples):
    rows = json.load(open(path))["results"]
    struck = [row for row in rows if row["backend"] == backend]
    check(struck and len(struck) < len(rows), "rows of both")
    for row in rows:
        check(row["ok"] == (row["backend"] != backend), "ok of %s on %s" % (row["case"], row["backend"]))
    for row in struck:
        check(reason in row["reason"], "reason: " + row["reason"])
        check(bool(row["samples_s"]) == (samples == "some"), "samples of " + row["case"])
        check((row["median_s"] is None) == (samples == "none"), "median of " + row["case"])


{"same": same, "fault": fault}[sys.argv[1]](*sys.argv[2:])
