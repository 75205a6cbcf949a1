#!/usr/bin/env python3
"""Writes lbfgs.txt: where torch.optim.LBFGS takes parameters in STEPS steps, in double precision.

    python3 make_lbfgs.py      # Debian: python3-torch; written with PyTorch 1.13

Each line holds a name, the rank, the extents and the elements, row-major. The tests only read the file.

    inputs, signs           a logistic regression's: (B, D) and (B), of -1 and 1. Its loss is
                            mean(softplus(-sign (inputs w + b))) + 0.05 sum(w²), from w = 0, b = 0
    start                   of a valley, sum(4 (x[k+1] - x[k]²)² + (1 - x[k])²)
    NAME/path               after each step (STEPS, N): w and b, or x
    NAME/losses             what each step returned
    NAME/calls              how often each step called the closure
"""

import pathlib

import torch
from torch.nn.functional import softplus
from torch.optim import LBFGS

torch.set_default_dtype(torch.float64)
B, D, STEPS = 24, 5, 20
generator = torch.Generator().manual_seed(20240411)

inputs = torch.randn(B, D, generator=generator)
signs = torch.sign(inputs @ torch.randn(D, generator=generator) + 0.7 * torch.randn(B, generator=generator))
start = torch.tensor([-0.9, 0.7, -0.3, 0.4, -0.6, 0.2])


def logistic(w, b):
    return softplus(-signs * (inputs @ w + b)).mean() + 0.05 * (w * w).sum()


def valley(x):
    return (4 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


WOLFE = dict(line_search_fn="strong_wolfe")
RUNS = {
    "plain": (logistic, dict(lr=0.3, max_iter=2, history_size=3)),
    "plain_whole_steps": (logistic, dict(lr=1, max_iter=1)),
    "wolfe": (valley, dict(lr=1, max_iter=2, history_size=4, **WOLFE)),
    "wolfe_from_near": (valley, dict(lr=0.001, max_iter=1, history_size=2, **WOLFE)),
    "wolfe_from_afar": (valley, dict(lr=30, max_iter=1, **WOLFE)),
    "wolfe_to_the_end": (valley, dict(lr=1, max_iter=20, **WOLFE)),
}

with open(pathlib.Path(__file__).with_name("lbfgs.txt"), "w") as file:
    def write(name, tensor):
        print(name, tensor.dim(), *tensor.shape, *map(repr, tensor.reshape(-1).tolist()), file=file)

    write("inputs", inputs)
    write("signs", signs)
    write("start", start)
    for name, (loss_of, options) in RUNS.items():
        parameters = [torch.zeros(D), torch.zeros(())] if loss_of is logistic else [start.clone()]
        for parameter in parameters:
            parameter.requires_grad_()
        optimizer = LBFGS(parameters, **options)
        calls = []

        def closure():
            calls[-1] += 1
            optimizer.zero_grad()
            loss = loss_of(*parameters)
            loss.backward()
            return loss

        path, losses = [], []
        for _ in range(STEPS):
            calls.append(0)
            losses.append(optimizer.step(closure).item())
            path.append(torch.cat([p.detach().reshape(-1) for p in parameters]).clone())
        write(f"{name}/path", torch.stack(path))
        write(f"{name}/losses", torch.tensor(losses))
        write(f"{name}/calls", torch.tensor(calls))
        print(name, calls, losses[0], losses[-1])
