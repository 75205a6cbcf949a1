#!/usr/bin/env python3
"""Writes attention.txt: what torch.nn.MultiheadAttention computes as self-attention, in double precision.

    python3 make_attention.py       # Debian: python3-torch; written with PyTorch 1.13

Each line holds a name, the rank, the extents and the elements, row-major. The tests only read the file. The parameters
have PyTorch's names and layout: in_proj_weight (3E, E), rows of queries, keys and values; out_proj.weight (E, E).
The gradients are those of sum(seed * outputs); weights are those of each head, (B, heads, T, T).
"""

import pathlib

import torch

torch.set_default_dtype(torch.float64)
T, B, E, HEADS = 5, 3, 6, 2
torch.manual_seed(20240301)

with open(pathlib.Path(__file__).with_name("attention.txt"), "w") as file:
    def write(name, tensor):
        elements = tensor.detach().reshape(-1).tolist()
        print(name, tensor.dim(), *tensor.shape, *map(repr, elements), file=file)

    for case in ["full", "causal"]:
        layer = torch.nn.MultiheadAttention(E, HEADS)
        for parameter in layer.parameters():
            torch.nn.init.normal_(parameter, std=0.5)  # biases too, and so that attention isn't even
        x = torch.randn(T, B, E, requires_grad=True)
        seed = torch.randn(T, B, E)
        future = torch.ones(T, T, dtype=torch.bool).triu(1)
        mask = future if case == "causal" else None
        outputs, weights = layer(x, x, x, attn_mask=mask, average_attn_weights=False)
        (seed * outputs).sum().backward()

        write(f"{case}/x", x)
        write(f"{case}/x/grad", x.grad)
        write(f"{case}/seed", seed)
        write(f"{case}/outputs", outputs)
        write(f"{case}/weights", weights)
        for name, parameter in layer.named_parameters():
            write(f"{case}/{name}", parameter)
            write(f"{case}/{name}/grad", parameter.grad)
