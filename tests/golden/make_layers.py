#!/usr/bin/env python3
"""Writes layers.txt: what torch.nn.RNN, LSTM and GRU compute, in double precision, and every gradient.

    python3 make_layers.py          # Debian: python3-torch; written with PyTorch 1.13

Each line holds a name, the rank, the extents and the elements, row-major. The tests only read the file.

The loss is the sum of outputs, h and c, each times a random tensor of its shape (".../weight"). PyTorch's parameters
are random; they and their gradients are written in xtape's layout:
    rows of an LSTM's matrices go from i, f, g, o to i, f, o, g; weight is [weight_ih, weight_hh], projection weight_hr
    b_h, bias   b_ih + b_hh: only the sum matters, and both have its gradient
    GRU         bias is b_ih + b_hh, but b_ih in the n rows; bias_n is b_hh there, whose gradient is its own
"""

import pathlib

import torch
from torch.nn.utils import rnn

torch.set_default_dtype(torch.float64)
T, B, D, H, P = 5, 4, 3, 4, 2
LENGTHS = [3, 1, 5, 1]
generator = torch.Generator().manual_seed(20240301)


def normal(*shape):
    return torch.randn(*shape, generator=generator)


def in_our_order(rows):
    i, f, g, o = rows.chunk(4)
    return torch.cat([i, f, o, g])


def our_parameters(layer, end, of):
    """Of one cell; `of` looks at a parameter or at its gradient."""
    is_gradient = of is gradient
    get = lambda name: of(getattr(layer, name + end))
    w, u = get("weight_ih"), get("weight_hh")
    b = c = None
    if layer.bias:
        b, c = get("bias_ih"), get("bias_hh")
    if layer.mode == "LSTM":
        yield "weight", torch.cat([in_our_order(w), in_our_order(u)], 1)
        if layer.bias:
            yield "bias", in_our_order(b if is_gradient else b + c)
        if layer.proj_size:
            yield "projection", get("weight_hr")
    elif layer.mode == "GRU":
        yield "weight_x", w
        yield "weight_h", u
        if layer.bias:
            yield "bias", b if is_gradient else torch.cat([(b + c)[:2 * H], b[2 * H:]])
            yield "bias_n", c[2 * H:]
    else:
        yield "w_xh", w
        yield "w_hh", u
        if layer.bias:
            yield "b_h", b if is_gradient else b + c


def gradient(p):
    return p.grad


def value(p):
    return p.detach()


CASES = {
    "rnn": (torch.nn.RNN, dict(num_layers=2)),
    "rnn_relu": (torch.nn.RNN, dict(bidirectional=True, nonlinearity="relu")),
    "lstm": (torch.nn.LSTM, dict(num_layers=2, bidirectional=True)),
    "lstm_projected": (torch.nn.LSTM, dict(num_layers=2, bidirectional=True, proj_size=P)),
    "lstm_no_bias": (torch.nn.LSTM, dict(bias=False)),
    "lstm_unbatched": (torch.nn.LSTM, dict(num_layers=2)),
    "gru": (torch.nn.GRU, dict(num_layers=2, bidirectional=True)),
    "gru_no_bias": (torch.nn.GRU, dict(bias=False)),
    "gru_batch_first": (torch.nn.GRU, dict(bidirectional=True, batch_first=True)),
    "rnn_packed": (torch.nn.RNN, dict()),
    "lstm_packed": (torch.nn.LSTM, dict(num_layers=2, bidirectional=True)),
    "gru_packed": (torch.nn.GRU, dict(num_layers=2, bidirectional=True)),
}

with open(pathlib.Path(__file__).with_name("layers.txt"), "w") as file:
    def write(name, tensor):
        print(name, tensor.dim(), *tensor.shape, *map(repr, tensor.detach().reshape(-1).tolist()), file=file)

    for case, (kind, options) in CASES.items():
        layer = kind(D, H, **options)
        for p in layer.parameters():
            p.data = 0.5 * normal(*p.shape)
        cells = layer.num_layers * (2 if layer.bidirectional else 1)
        batch = () if case.endswith("unbatched") else (B,)
        extents = (B, T) if layer.batch_first else (T, *batch)
        starts = [normal(cells, *batch, layer.proj_size or H).requires_grad_()]
        if layer.mode == "LSTM":
            starts.append(normal(cells, *batch, H).requires_grad_())
        x = normal(*extents, D).requires_grad_()

        xs = rnn.pack_padded_sequence(x, LENGTHS, enforce_sorted=False) if case.endswith("packed") else x
        outputs, lasts = layer(xs, tuple(starts) if layer.mode == "LSTM" else starts[0])
        if case.endswith("packed"):
            outputs, _ = rnn.pad_packed_sequence(outputs)
            write(f"{case}/lengths", torch.tensor(LENGTHS))
        lasts = lasts if layer.mode == "LSTM" else [lasts]
        loss = 0
        for name, result in zip(("outputs", "h_last", "c_last"), (outputs, *lasts)):
            weight = normal(*result.shape)
            loss = loss + (weight * result).sum()
            write(f"{case}/{name}", result)
            write(f"{case}/{name}/weight", weight)
        loss.backward()
        for name, tensor in zip(("x", "h", "c"), (x, *starts)):
            write(f"{case}/{name}", tensor)
            write(f"{case}/{name}/grad", tensor.grad)
        for k in range(layer.num_layers):
            for end in [f"_l{k}", f"_l{k}_reverse"] if layer.bidirectional else [f"_l{k}"]:
                direction = ""
                if layer.bidirectional:
                    direction = ".backwards" if end.endswith("reverse") else ".forwards"
                if layer.bias and layer.mode != "GRU":
                    assert torch.allclose(getattr(layer, "bias_ih" + end).grad, getattr(layer, "bias_hh" + end).grad)
                for name, tensor in our_parameters(layer, end, value):
                    write(f"{case}/layers.{k}{direction}.{name}", tensor)
                for name, tensor in our_parameters(layer, end, gradient):
                    write(f"{case}/layers.{k}{direction}.{name}/grad", tensor)
