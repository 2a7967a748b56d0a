#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the case files of tests/data out of the full ones: every file below 1 MiB, so that a clone stays
small. Small files are copied whole, larger ones split into numbered parts. The first case of each kind is kept
as it is unless it is large; the others lose their `weights`, then all samples of the batch but the first,
until they are small. What is left out is named.

usage: trim_cases.py FOLDER    the folder that holds onnx.safetensors, pytorch.safetensors, .."""
import json
import pathlib
import re
import struct
import sys

MOST_BYTES = 1 << 20
LARGE_CASE, FIRST_CASE, SMALL_CASE = 160_000, 90_000, 20_000
MOST_PARTS = {"minilm": 1, "onnx": 1, "stages": 2, "pytorch": 3, "serving": 1}
# Roles without a batch dimension, whatever their first size.
SHARED = {"alibi_slopes", "sinks", "cos", "sin"}


def read(path):
    """The cases of a file: name -> (description, {role: (dtype, shape, bytes)})."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8:8 + length])
    metadata = header.pop("__metadata__")
    assert metadata.pop("format") == "attend-cases/1", path
    cases = {name: (text, {}) for name, text in metadata.items()}
    for name, entry in header.items():
        case, role = name.rsplit("/", 1)
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        cases[case][1][role] = (entry["dtype"], entry["shape"], content[begin:end])
    return cases


def encode(cases):
    header = {"__metadata__": {"format": "attend-cases/1", **{n: c[0] for n, c in cases.items()}}}
    data = b""
    # widest elements first, so that every tensor is aligned
    width = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
    tensors = [(f"{n}/{role}", t) for n, c in cases.items() for role, t in c[1].items()]
    for name, (dtype, shape, content) in sorted(tensors, key=lambda x: (-width.get(x[1][0], 1), x[0])):
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def size(case):
    return sum(len(tensor[2]) for tensor in case[1].values())


def batch_of(roles):
    first = roles.get("q") or roles.get("x_q") or roles.get("x") or roles.get("scores")
    return first[1][0] if first else 1


def first_sample(role, tensor, batch):
    dtype, shape, content = tensor
    shared = role in SHARED or role.startswith(("w_", "b_", "p.")) or role in ("w", "b")
    if shared or (role == "mask" and len(shape) < 4) or shape[0] != batch:
        return tensor
    return dtype, [1] + shape[1:], content[:len(content) // batch]


def trimmed(case, limit):
    """The case with less in it until it is within the limit, or None if that cannot be."""
    text, roles = case
    if size(case) > limit and "y" in roles:
        roles = {role: tensor for role, tensor in roles.items() if role != "weights"}
    batch = batch_of(roles)
    if size((text, roles)) > limit and batch > 1 and "packed" not in text:
        roles = {role: first_sample(role, tensor, batch) for role, tensor in roles.items()}
    return (text, roles) if size((text, roles)) <= LARGE_CASE else None


def group(name):
    """Cases of one kind differ in their last part: head_dim_64, head_dim_80."""
    return re.split(r"_m?\d", name)[0]


def ordered(cases):
    """Names with their place among their kind, one of each kind before the second of any."""
    seen, order = {}, []
    for name in sorted(cases, key=lambda n: size(cases[n])):
        seen[group(name)] = seen.get(group(name), 0) + 1
        order.append((seen[group(name)], size(cases[name]), name))
    return sorted(order)


def parts(cases, most):
    """The cases, trimmed, in at most `most` parts below MOST_BYTES."""
    result = [{}]
    for place, _, name in ordered(cases):
        case = trimmed(cases[name], FIRST_CASE if place == 1 else SMALL_CASE)
        room = [p for p in result if case and len(encode({**p, name: case})) < MOST_BYTES]
        if room:
            room[0][name] = case
        elif case and len(result) < most:
            result.append({name: case})
        else:
            print(f"left out: {name}")
    return result


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.split("\n\n")[-1])
    target = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data"
    target.mkdir(parents=True, exist_ok=True)
    for source, most in MOST_PARTS.items():
        path = pathlib.Path(sys.argv[1]) / f"{source}.safetensors"
        cases = read(path)
        if path.stat().st_size < MOST_BYTES:
            (target / path.name).write_bytes(path.read_bytes())
            print(f"{path.name}: {len(cases)} cases")
            continue
        pieces = parts(cases, most)
        for number, part in enumerate(pieces, 1):
            name = f"{source}-{number}.safetensors" if len(pieces) > 1 else path.name
            (target / name).write_bytes(encode(part))
            print(f"{name}: {len(part)} of {len(cases)} cases")


if __name__ == "__main__":
    main()
