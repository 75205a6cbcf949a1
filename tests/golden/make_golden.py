#!/usr/bin/env python3
"""Writes recurrent.txt: what PyTorch computes for recurrent layers with an output layer, in double precision.

    python3 make_golden.py          # Debian: python3-torch; written with PyTorch 1.13

Each line holds a name, the rank, the extents and the elements, row-major. The tests only read the file.

Parameters are in xtape's layout and are brought into PyTorch's on the way into its own layers (torch.lstm is what
torch.nn.LSTM calls), so that gradients and optimizer steps come back in xtape's:
    lstm  weight (4H, D+H) over [x; h], rows i, f, o, g (PyTorch: i, f, g, o, and two matrices); one bias, PyTorch's b_hh = 0
    gru   bias is PyTorch's b_ih; bias_n is the n part of b_hh, whose other parts are 0
    gru_before  resets the state before the product, which PyTorch has no module for: written out here
"""

import pathlib

import torch

torch.set_default_dtype(torch.float64)
T, B, D, H, O = 6, 3, 4, 5, 7
STEPS = 5  # of an optimizer
generator = torch.Generator().manual_seed(20240229)


def normal(*shape, scale=0.5):
    return scale * torch.randn(*shape, generator=generator)


LAYER = dict(has_biases=True, num_layers=1, dropout=0.0, train=True, bidirectional=False, batch_first=False)


def rnn(layer):
    def run(p, x, h0):
        outputs, last = layer(x, h0.unsqueeze(0), [p["w_xh"], p["w_hh"], p["b_h"], torch.zeros(H)], **LAYER)
        return outputs, last[0]

    return {"w_xh": (H, D), "w_hh": (H, H), "b_h": (H,)}, run


def lstm():
    def in_torch_order(rows):
        i, f, o, g = rows.split(H)
        return torch.cat([i, f, g, o])

    def run(p, x, h0, c0):
        w, b = in_torch_order(p["weight"]), in_torch_order(p["bias"])
        outputs, h, c = torch.lstm(x, (h0.unsqueeze(0), c0.unsqueeze(0)),
                                   [w[:, :D], w[:, D:], b, torch.zeros(4 * H)], **LAYER)
        return outputs, h[0], c[0]

    return {"weight": (4 * H, D + H), "bias": (4 * H,)}, run


def gru():
    def run(p, x, h0):
        b_hh = torch.cat([torch.zeros(2 * H), p["bias_n"]])
        outputs, last = torch.gru(x, h0.unsqueeze(0), [p["weight_x"], p["weight_h"], p["bias"], b_hh], **LAYER)
        return outputs, last[0]

    return {"weight_x": (3 * H, D), "weight_h": (3 * H, H), "bias": (3 * H,), "bias_n": (H,)}, run


def gru_before():
    def run(p, x, h0):
        h, outputs = h0, []
        w_r, w_z, w_n = p["weight_x"].split(H)
        u_r, u_z, u_n = p["weight_h"].split(H)
        b_r, b_z, b_n = p["bias"].split(H)
        for x_t in x:
            r = torch.sigmoid(x_t @ w_r.T + h @ u_r.T + b_r)
            z = torch.sigmoid(x_t @ w_z.T + h @ u_z.T + b_z)
            n = torch.tanh(x_t @ w_n.T + (r * h) @ u_n.T + b_n)
            h = (1 - z) * n + z * h
            outputs.append(h)
        return torch.stack(outputs), h

    return {"weight_x": (3 * H, D), "weight_h": (3 * H, H), "bias": (3 * H,)}, run


CELLS = {"rnn": rnn(torch.rnn_tanh), "rnn_relu": rnn(torch.rnn_relu), "lstm": lstm(), "gru": gru(), "gru_before": gru_before()}
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.5),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.8, weight_decay=0.01),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.8, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "adam_decay": lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.02),
}

with open(pathlib.Path(__file__).with_name("recurrent.txt"), "w") as file:
    def write(name, tensor):
        elements = tensor.detach().reshape(-1).tolist()
        print(name, tensor.dim(), *tensor.shape, *map(repr, elements), file=file)

    for cell, (shapes, run) in CELLS.items():
        shapes = {**shapes, "head.weight": (O, H), "head.bias": (O,)}
        parameters = {name: normal(*shape).requires_grad_() for name, shape in shapes.items()}
        x = normal(T, B, D, scale=1).requires_grad_()
        states = [normal(B, H).requires_grad_() for _ in range(2 if cell == "lstm" else 1)]
        classes = torch.randint(O, (T, B), generator=generator)

        def forward():
            outputs, *last = run(parameters, x, *states)
            logits = outputs @ parameters["head.weight"].T + parameters["head.bias"]
            loss = torch.nn.functional.cross_entropy(logits.reshape(T * B, O), classes.reshape(T * B))
            return outputs, last, loss

        outputs, last, loss = forward()
        loss.backward()
        write(f"{cell}/x", x)
        write(f"{cell}/x/grad", x.grad)
        write(f"{cell}/classes", classes)
        write(f"{cell}/outputs", outputs)
        write(f"{cell}/loss", loss)
        for name, start, end in zip("hc", states, last):
            write(f"{cell}/{name}", start)
            write(f"{cell}/{name}/grad", start.grad)
            write(f"{cell}/{name}/last", end)
        for name, p in parameters.items():
            write(f"{cell}/{name}", p)
            write(f"{cell}/{name}/grad", p.grad)

        initial = {name: p.detach().clone() for name, p in parameters.items()}
        for optimizer_name in OPTIMIZERS if cell == "lstm" else ["adam"]:
            with torch.no_grad():
                for name, p in parameters.items():
                    p.copy_(initial[name])
            optimizer = OPTIMIZERS[optimizer_name](list(parameters.values()))
            losses = []
            for _ in range(STEPS):
                optimizer.zero_grad()
                loss = forward()[-1]
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            write(f"{cell}/{optimizer_name}/losses", torch.stack(losses))
            for name, p in parameters.items():
                write(f"{cell}/{optimizer_name}/{name}", p)
