#!/usr/bin/env python3
"""Writes numbers.safetensors, byte by byte from the format's description, with nothing but Python's own struct and json.

    python3 make_safetensors.py

A tensor of each type, named after it, holds the numbers that are given here, which tests/nn/safetensors_test.cpp has
too. Nothing is aligned: the header's length is odd, and so are most offsets. The tensors are listed in another order than
that of their numbers, "__metadata__" in between.
"""

import json
import pathlib
import struct

HALVES = [0.0, -0.0, 1.0, -2.5, 65504.0, 2.0**-24, float("inf")]


def bfloat16(number):  # of a float whose lower half is zero
    upper, lower = struct.unpack("<HH", struct.pack("<f", number))[::-1]
    assert lower == 0
    return struct.pack("<H", upper)


def packed(code, numbers):
    return struct.pack(f"<{len(numbers)}{code}", *numbers)


TENSORS = {  # in the order of their numbers: the shape, the bytes
    "BOOL": ([3], packed("?", [True, False, True])),
    "F64": ([2, 2], packed("d", [0.1, -1e308, 5e-324, float("inf")])),
    "F32": ([1, 2, 1], packed("f", [0.5, -3.0])),
    "U8": ([1], packed("B", [255])),
    "F16": ([7], packed("e", HALVES)),
    "BF16": ([2, 2], b"".join(map(bfloat16, [1.0, -2.5, 2.0**127, 2.0**-126]))),
    "none": ([3, 0, 2], b""),
    "I64": ([], packed("q", [-(2**63)])),
    "I32": ([2], packed("i", [-(2**31), 2**31 - 1])),
    "I16": ([2], packed("h", [-(2**15), 2**15 - 1])),
    "I8": ([2], packed("b", [-128, 127])),
    "U64": ([2], packed("Q", [0, 2**64 - 1])),
    "U32": ([1], packed("I", [2**32 - 1])),
    "U16": ([1], packed("H", [2**16 - 1])),
    "naïve \"name\"\n": ([1], packed("f", [7.0])),
}

entries, data = {}, b""
for name, (shape, numbers) in TENSORS.items():
    dtype = {"none": "F64"}.get(name, name if name.isupper() else "F32")
    entries[name] = {"shape": shape, "data_offsets": [len(data), len(data) + len(numbers)], "dtype": dtype}
    data += numbers

names = sorted(entries, reverse=True)
header = {name: entries[name] for name in names[:5]}
header["__metadata__"] = {"made by": "make_safetensors.py", "": "ü"}
header |= {name: entries[name] for name in names[5:]}
text = json.dumps(header, indent=1).encode()  # "ü" becomes \u00fc
text += b" " * (1 - len(text) % 2)

path = pathlib.Path(__file__).with_name("numbers.safetensors")
path.write_bytes(struct.pack("<Q", len(text)) + text + data)
