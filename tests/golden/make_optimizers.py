#!/usr/bin/env python3
"""Writes optimizers.txt: where torch.optim takes a parameter, and the rates of its schedulers, in double precision.

    python3 make_optimizers.py      # Debian: python3-torch; written with PyTorch 1.13

Each line holds a name, the rank, the extents and the elements, row-major. The tests only read the file.

    start, gradients        the parameter (N), and its gradient in each step (STEPS, N), which doesn't depend on it
    optimizer/...           the parameter after each step (STEPS, N)
    groups/...              the same, of which the first SPLIT elements are in one group and the others in another; from step
                            STEPS / 2 on both rates are halved
    schedule/...            the rates of the first RATES steps
    metrics, plateau/...    what ReduceLROnPlateau is told, and the rate after each; 4 less it where larger is better
"""

import pathlib

import torch
from torch.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from torch.optim import lr_scheduler as lr

torch.set_default_dtype(torch.float64)
N, SPLIT, STEPS, RATES = 11, 4, 20, 30
generator = torch.Generator().manual_seed(20240303)

OPTIMIZERS = {
    "sgd": (SGD, dict(lr=0.1)),
    "sgd_decay": (SGD, dict(lr=0.1, weight_decay=0.03)),
    "sgd_momentum": (SGD, dict(lr=0.1, momentum=0.8)),
    "sgd_dampening": (SGD, dict(lr=0.1, momentum=0.8, dampening=0.3, weight_decay=0.03)),
    "sgd_nesterov": (SGD, dict(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.03)),
    "adam": (Adam, dict(lr=0.05)),
    "adam_decay": (Adam, dict(lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2)),
    "adam_amsgrad": (Adam, dict(lr=0.05, betas=(0.8, 0.6), weight_decay=0.2, amsgrad=True)),
    "adamw": (AdamW, dict(lr=0.05)),
    "adamw_decay": (AdamW, dict(lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2)),
    "adamw_amsgrad": (AdamW, dict(lr=0.05, betas=(0.8, 0.6), weight_decay=0.2, amsgrad=True)),
    "rmsprop": (RMSprop, dict(lr=0.02)),
    "rmsprop_decay": (RMSprop, dict(lr=0.02, alpha=0.9, eps=1e-3, weight_decay=0.2)),
    "rmsprop_momentum": (RMSprop, dict(lr=0.02, momentum=0.7)),
    "rmsprop_centered": (RMSprop, dict(lr=0.02, alpha=0.9, centered=True)),
    "rmsprop_all": (RMSprop, dict(lr=0.02, alpha=0.9, momentum=0.7, centered=True, weight_decay=0.2)),
    "adagrad": (Adagrad, dict(lr=0.3)),
    "adagrad_all": (Adagrad, dict(lr=0.3, lr_decay=0.1, initial_accumulator_value=0.5, eps=1e-3, weight_decay=0.2)),
}

GROUPS = {
    "sgd": (SGD, dict(lr=0.1, momentum=0.8), dict(lr=0.03, weight_decay=0.1)),
    "adam": (Adam, dict(lr=0.05), dict(lr=0.2, betas=(0.8, 0.6), eps=1e-3, weight_decay=0.2, amsgrad=True)),
    "adamw": (AdamW, dict(lr=0.05), dict(lr=0.2, betas=(0.8, 0.6), eps=1e-3, weight_decay=0, amsgrad=True)),
    "rmsprop": (RMSprop, dict(lr=0.02, centered=True), dict(lr=0.04, alpha=0.9, momentum=0.7, weight_decay=0.2)),
    "adagrad": (Adagrad, dict(lr=0.3), dict(lr=0.1, lr_decay=0.1, initial_accumulator_value=0.5, weight_decay=0.2)),
}

SCHEDULES = {
    "step": lambda o: lr.StepLR(o, 7, 0.3),
    "exponential": lambda o: lr.ExponentialLR(o, 0.9),
    "linear": lambda o: lr.LinearLR(o, 0.1, 1, 8),
    "cosine": lambda o: lr.CosineAnnealingLR(o, 12, 0.01),
    "restarts": lambda o: lr.CosineAnnealingWarmRestarts(o, 7, 1, 0.01),
    "longer_restarts": lambda o: lr.CosineAnnealingWarmRestarts(o, 4, 2, 0.01),
    "one_cycle": lambda o: lr.OneCycleLR(o, 0.2, RATES, cycle_momentum=False),
    "one_cycle_three": lambda o: lr.OneCycleLR(
        o, 0.2, RATES, pct_start=0.25, div_factor=10, final_div_factor=100, three_phase=True, cycle_momentum=False),
    "one_cycle_linear": lambda o: lr.OneCycleLR(
        o, 0.2, RATES, pct_start=0.4, anneal_strategy="linear", cycle_momentum=False),
    "warm_up_and_decay": lambda o: lr.ChainedScheduler([lr.LinearLR(o, 0.1, 1, 8), lr.ExponentialLR(o, 0.9)]),
}

PLATEAUS = {
    "plain": dict(patience=2),
    "cooldown": dict(patience=1, factor=0.3, cooldown=3, min_lr=0.03),
    "absolute": dict(patience=1, factor=0.5, threshold=0.2, threshold_mode="abs"),
    "larger": dict(patience=1, factor=0.5, mode="max", threshold=0.05),
    "larger_absolute": dict(patience=1, factor=0.5, mode="max", threshold=0.2, threshold_mode="abs"),
    "least_change": dict(patience=0, factor=0.5, eps=0.01),
}

start = torch.randn(N, generator=generator)
gradients = torch.randn(STEPS, N, generator=generator)
falling = 2 * torch.exp(-torch.arange(RATES) / 5.0)
metrics = 1 + falling + 0.1 * torch.randn(RATES, generator=generator)

with open(pathlib.Path(__file__).with_name("optimizers.txt"), "w") as file:
    def write(name, tensor):
        print(name, tensor.dim(), *tensor.shape, *map(repr, tensor.reshape(-1).tolist()), file=file)

    def rate(optimizer):
        return optimizer.param_groups[0]["lr"]

    write("start", start)
    write("gradients", gradients)
    for name, (optimizer, options) in OPTIMIZERS.items():
        p = start.clone().requires_grad_()
        o = optimizer([p], **options)
        path = []
        for p.grad in gradients.clone():
            o.step()
            path.append(p.detach().clone())
        write(f"optimizer/{name}", torch.stack(path))

    for name, (optimizer, first, second) in GROUPS.items():
        parts = [part.clone().requires_grad_() for part in start.split([SPLIT, N - SPLIT])]
        if optimizer is Adagrad:  # knows one initial_accumulator_value, for all groups
            each = [optimizer([part], **options) for part, options in zip(parts, (first, second))]
        else:
            each = [optimizer([{"params": [part], **options} for part, options in zip(parts, (first, second))])]
        path = []
        for step, gradient in enumerate(gradients):
            for part, part_gradient in zip(parts, gradient.split([SPLIT, N - SPLIT])):
                part.grad = part_gradient.clone()
            for o in each:
                if step == STEPS // 2:
                    for group in o.param_groups:
                        group["lr"] /= 2
                o.step()
            path.append(torch.cat(parts).detach())
        write(f"groups/{name}", torch.stack(path))

    for name, schedule in SCHEDULES.items():
        o = SGD([torch.zeros(1)], lr=0.2)
        s = schedule(o)
        rates = []
        for _ in range(RATES):
            rates.append(rate(o))
            o.step()
            if len(rates) < RATES:
                s.step()
        write(f"schedule/{name}", torch.tensor(rates))

    write("metrics", metrics)
    for name, options in PLATEAUS.items():
        o = SGD([torch.zeros(1)], lr=0.2)
        s = lr.ReduceLROnPlateau(o, **options)
        rates = []
        for metric in metrics.tolist():
            s.step(4 - metric if s.mode == "max" else metric)
            rates.append(rate(o))
        write(f"plateau/{name}", torch.tensor(rates))
