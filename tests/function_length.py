#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reports functions over 60 lines (100 in *_tmpl.h, and OpenCL kernels) and over 7 parameters (kernels apart, whose
memories are arguments each).

A function is a line at column 0 that is followed, at column 0, by a line starting with '}'; the sources are
formatted so that this holds. A file whose first comment holds "over budget" is allowed longer ones."""
import re
import sys

HEAD = re.compile(r"^[A-Za-z_][\w\s*]*?\**(\w+)\(([^;{}]*)\)\s*\{$", re.S)


def functions(lines):
    start = None
    for number, line in enumerate(lines):
        if line.startswith("}"):
            if start is not None:
                yield start, number
            start = None
        elif line and not line[0].isspace() and line[0] not in "#/*":
            if start is None or lines[number - 1].strip() in ("", "*/"):
                start = number


def main(paths):
    bad = 0
    for path in paths:
        try:
            lines = open(path, encoding="utf-8").read().split("\n")
        except OSError:
            continue
        if any("over budget" in line.lower() for line in lines[:12]):
            continue
        limit = 100 if path.endswith("_tmpl.h") else 60
        for start, end in functions(lines):
            text = []
            for line in lines[start : end + 1]:
                text.append(line)
                if line.endswith("{"):
                    break
            match = HEAD.match("\n".join(text))
            if not match:
                continue
            length = end - start + 1
            kernel = lines[start].startswith("__kernel ")
            most = 100 if kernel else limit
            if length > most:
                print(f"{path}:{start + 1}: {match[1]} has {length} lines, the budget is {most}")
                bad += 1
            if match[2].count(",") >= 7 and not kernel:
                print(f"{path}:{start + 1}: {match[1]} has {match[2].count(',') + 1} parameters, the budget is 7")
                bad += 1
    return bad


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1:]) else 0)
