#!/usr/bin/env python3
"""Writes state_dicts/*.safetensors, state dicts of torch.nn modules, and state_dicts.txt, what these modules compute.

    python3 make_state_dicts.py     # Debian: python3-torch; written with PyTorch 1.13

Parameters are random, in single precision, biases too. Each line of state_dicts.txt holds a name, the rank, the extents and
the elements, row-major:
    lstm/x             the inputs (of an embedding, ids)
    lstm/h, lstm/c     the states at the start; cells and layers
    lstm/y             the outputs, computed in single precision, and lstm/y/double, with the same numbers in double
    lstm/h_last, ...   the states at the end, likewise
The tests only read the files.
"""

import pathlib
import sys

import torch
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "examples"))
sys.dont_write_bytecode = True
from convert_pytorch import write_safetensors  # noqa: E402

T, B, D, H, P, V, E = 5, 4, 3, 4, 2, 7, 6
torch.manual_seed(20240301)


class WithStates(nn.Module):
    """Of cells: what they give, as layers do."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x, states):
        states = self.cell(x, states)
        return (states[0] if isinstance(states, tuple) else states), states


class CharModel(nn.Module):
    """Its embedding is also what scores the symbols."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(V, H)
        self.encoder = nn.LSTM(H, H, num_layers=2)
        self.norm = nn.LayerNorm(H)
        self.output = nn.Linear(H, V)
        self.output.weight = self.embedding.weight

    def forward(self, ids):
        return self.output(self.norm(self.encoder(self.embedding(ids))[0]))


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(E, 2)

    def forward(self, x):
        return self.attention(x, x, x)[0]


LAYERS = {
    "rnn": nn.RNN(D, H, num_layers=2),
    "rnn_relu": nn.RNN(D, H, bidirectional=True, nonlinearity="relu"),
    "lstm": nn.LSTM(D, H, num_layers=2, bidirectional=True),
    "lstm_projected": nn.LSTM(D, H, num_layers=2, bidirectional=True, proj_size=P),
    "lstm_no_bias": nn.LSTM(D, H, bias=False),
    "gru": nn.GRU(D, H, num_layers=2, bidirectional=True),
    "gru_no_bias": nn.GRU(D, H, bias=False),
}
CELLS = {
    "rnn_cell": nn.RNNCell(D, H),
    "rnn_cell_relu": nn.RNNCell(D, H, nonlinearity="relu"),
    "lstm_cell": nn.LSTMCell(D, H),
    "gru_cell": nn.GRUCell(D, H),
    "gru_cell_no_bias": nn.GRUCell(D, H, bias=False),
}
OTHERS = {
    "linear": (nn.Linear(D, H), torch.randn(T, B, D)),
    "embedding": (nn.Embedding(V, D, padding_idx=2), torch.randint(V, (T, B))),
    "layer_norm": (nn.LayerNorm(D), torch.randn(T, B, D)),
    "sequential": (nn.Sequential(nn.Linear(D, H), nn.Tanh(), nn.LayerNorm(H), nn.Dropout(0.5), nn.Linear(H, P)),
                   torch.randn(B, D)),
    "attention": (SelfAttention(), torch.randn(T, B, E)),
    "char_model": (CharModel(), torch.randint(V, (T, B))),
}


def tuple_of(states):
    return states if isinstance(states, tuple) else (states,)


def randomize(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)  # biases and norms too
    return module.eval()


with open(HERE / "state_dicts.txt", "w") as file, torch.no_grad():
    def write(name, tensor):
        print(name, tensor.dim(), *tensor.shape, *map(repr, tensor.reshape(-1).tolist()), file=file)

    def run(case, module, x, states=None):
        for suffix in ["", "/double"]:
            def moved(tensor):
                return tensor.double() if suffix and tensor.is_floating_point() else tensor
            if suffix:
                module.double()
            if states is None:
                write(f"{case}/y{suffix}", module(moved(x)))
                continue
            start = tuple(map(moved, states))
            y, last = module(moved(x), start if len(start) > 1 else start[0])
            write(f"{case}/y{suffix}", y)
            for name, state in zip("hc", tuple_of(last)):
                write(f"{case}/{name}_last{suffix}", state)
        write(f"{case}/x", x)
        for name, state in zip("hc", states or ()):
            write(f"{case}/{name}", state)

    for case, layer in LAYERS.items():
        randomize(layer)
        write_safetensors(HERE / f"state_dicts/{case}.safetensors", layer.state_dict())
        rows = layer.num_layers * (2 if layer.bidirectional else 1)
        states = [torch.randn(rows, B, layer.proj_size or H)]
        if layer.mode == "LSTM":
            states.append(torch.randn(rows, B, H))
        run(case, layer, torch.randn(T, B, D), states)

    for case, cell in CELLS.items():
        randomize(cell)
        write_safetensors(HERE / f"state_dicts/{case}.safetensors", cell.state_dict())
        states = [torch.randn(B, H) for _ in range(2 if case.startswith("lstm") else 1)]
        run(case, WithStates(cell), torch.randn(B, D), states)

    for case, (module, x) in OTHERS.items():
        randomize(module)
        write_safetensors(HERE / f"state_dicts/{case}.safetensors", module.state_dict())
        run(case, module, x)
