#!/usr/bin/env python3
"""Writes the .npy files of this folder with NumPy.

    python3 make_npy.py             # Debian: python3-numpy; written with NumPy 1.24

Their names say what they are; tests/nn/npy_test.cpp knows the numbers.
"""

import pathlib

import numpy as np

ARRAYS = {
    "f8": np.array([[0.1, -1e308, 5e-324], [1, 2, 3]]),
    "f4_fortran": np.asfortranarray(np.arange(24, dtype="f4").reshape(2, 3, 4)),
    "f2": np.array([-0.0, 65504, 2.0**-24, np.inf], dtype="f2"),
    "i8_scalar": np.array(-(2**63)),
    "i1": np.array([-128, 127], dtype="i1"),
    "u8": np.array([0, 2**64 - 1], dtype="u8"),
    "b1": np.array([[True], [False]]),
    "u4_empty": np.zeros((3, 0), dtype="u4"),
    "big_endian": np.array([1.0], dtype=">f8"),
}

folder = pathlib.Path(__file__).parent
for name, array in ARRAYS.items():
    np.save(folder / f"{name}.npy", array)
for version in [(2, 0), (3, 0)]:
    with open(folder / f"version_{version[0]}.npy", "wb") as file:
        np.lib.format.write_array(file, np.array([1, -2], dtype="i2"), version)
