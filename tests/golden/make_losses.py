#!/usr/bin/env python3
"""Writes losses.txt: what the losses of torch.nn.functional compute, in double precision, and every gradient.

    python3 make_losses.py          # Debian: python3-torch; written with PyTorch 1.13

Each line holds a name, the rank, the extents and the elements, row-major. The tests only read the file. The gradient
is that of the sum of the losses, each times an element of ".../seed".
"""

import pathlib

import torch
from torch.nn import functional as F

torch.set_default_dtype(torch.float64)
N, C = 6, 4
generator = torch.Generator().manual_seed(20240302)


def normal(*shape):
    return torch.randn(shape, generator=generator)


logits, y = 2 * normal(N, C), 2 * normal(N, C)
classes = torch.tensor([3, 0, 2, 2, 1, 0])
weights = torch.tensor([0.5, 2.0, 1.0, 3.0])
probabilities = torch.softmax(normal(N, C), 1)
probabilities[0] = torch.tensor([0.0, 1.0, 0.0, 0.0])
bits = torch.tensor([[0.0, 1.0, 1.0, 0.25]]).repeat(N, 1)
log_p = torch.log_softmax(normal(N, C), 1)

CASES = {
    "mse": (F.mse_loss, logits, y, {}),
    "l1": (F.l1_loss, logits, y, {}),
    "smooth_l1": (F.smooth_l1_loss, logits, y, dict(beta=0.7)),
    "huber": (F.huber_loss, logits, y, dict(delta=1.5)),
    "bce": (F.binary_cross_entropy_with_logits, logits, bits, {}),
    "bce_weights": (F.binary_cross_entropy_with_logits, logits, bits, dict(pos_weight=weights)),
    "kl_div": (F.kl_div, log_p, probabilities, {}),
    "nll": (F.nll_loss, log_p, classes, {}),
    "nll_weights": (F.nll_loss, log_p, classes, dict(weight=weights)),
    "nll_ignore": (F.nll_loss, log_p, classes, dict(weight=weights, ignore_index=2)),
    "classes": (F.cross_entropy, logits, classes, {}),
    "classes_weights": (F.cross_entropy, logits, classes, dict(weight=weights)),
    "classes_ignore": (F.cross_entropy, logits, classes, dict(ignore_index=2)),
    "classes_smooth": (F.cross_entropy, logits, classes, dict(label_smoothing=0.2)),
    "classes_all": (F.cross_entropy, logits, classes, dict(weight=weights, ignore_index=2, label_smoothing=0.2)),
    "probabilities": (F.cross_entropy, logits, probabilities, {}),
    "probabilities_all": (F.cross_entropy, logits, probabilities, dict(weight=weights, label_smoothing=0.2)),
}

with open(pathlib.Path(__file__).with_name("losses.txt"), "w") as file:
    def write(name, tensor):
        print(name, tensor.dim(), *tensor.shape, *map(repr, tensor.detach().reshape(-1).tolist()), file=file)

    for name in ["classes", "weights"]:
        write(name, globals()[name])
    for case, (loss, x, target, options) in CASES.items():
        write(f"{case}/x", x)
        write(f"{case}/target", target)
        for reduction in ["mean", "sum", "none"]:
            leaf = x.clone().requires_grad_()
            result = loss(leaf, target, reduction=reduction, **options)
            seed = normal(*result.shape)
            (seed * result).sum().backward()
            write(f"{case}/{reduction}", result)
            write(f"{case}/{reduction}/seed", seed)
            write(f"{case}/{reduction}/grad", leaf.grad)
