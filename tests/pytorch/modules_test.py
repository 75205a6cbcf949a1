"""State dicts go from xtape to PyTorch and from PyTorch to xtape, and the modules compute the same.

    modules_test.py PROGRAM     # modules.cpp
"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "examples"))
import convert_pytorch  # noqa: E402

T, B, D, H, P, V, E = 6, 3, 3, 4, 2, 7, 6


class CharModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(V, H)
        self.encoder = nn.GRU(H, H)
        self.norm = nn.LayerNorm(H)
        self.output = nn.Linear(H, V)
        self.output.weight = self.embedding.weight

    def forward(self, ids):
        return self.output(self.norm(self.encoder(self.embedding(ids))[0]))


def first(module, x):
    """Of a layer the outputs, of a cell h."""
    y = module(x)
    return y[0] if isinstance(y, tuple) else y


def attended(module, x):
    return module(x, x, x)[0]


def looked_up(module, x):
    return module(x.abs().long())


SEQUENCE, BATCH = (T, B, D), (B, D)
MODULES = {
    "rnn": (lambda: nn.RNN(D, H, num_layers=2, bidirectional=True), SEQUENCE, first),
    "rnn_relu": (lambda: nn.RNN(D, H, nonlinearity="relu"), SEQUENCE, first),
    "lstm": (lambda: nn.LSTM(D, H, num_layers=2, bidirectional=True), SEQUENCE, first),
    "lstm_projected": (lambda: nn.LSTM(D, H, num_layers=2, proj_size=P), SEQUENCE, first),
    "lstm_no_bias": (lambda: nn.LSTM(D, H, bias=False), SEQUENCE, first),
    "gru": (lambda: nn.GRU(D, H, num_layers=2, bidirectional=True), SEQUENCE, first),
    "rnn_cell": (lambda: nn.RNNCell(D, H), BATCH, first),
    "lstm_cell": (lambda: nn.LSTMCell(D, H), BATCH, first),
    "gru_cell": (lambda: nn.GRUCell(D, H), BATCH, first),
    "linear": (lambda: nn.Linear(D, H), SEQUENCE, first),
    "layer_norm": (lambda: nn.LayerNorm(D), SEQUENCE, first),
    "attention": (lambda: nn.MultiheadAttention(E, 2), (T, B, E), attended),
    "embedding": (lambda: nn.Embedding(V, D), (T, B), looked_up),
    "sequential": (lambda: nn.Sequential(nn.Linear(D, H), nn.Tanh(), nn.Linear(H, P)), SEQUENCE, first),
    "char_model": (lambda: CharModel(), (T, B), looked_up),
}


class ModulesTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.directory = pathlib.Path(holder.name)

    def run_xtape(self, command):
        subprocess.run([PROGRAM, command, self.directory], check=True)

    def read(self, name):
        return convert_pytorch.read_safetensors(self.directory / f"{name}.safetensors")

    def check_equal(self, y, expected):
        self.assertEqual(y.shape, expected.shape)
        self.assertLess((y - expected).abs().max().item(), 1e-6)

    def test_pytorch_loads_what_xtape_saved(self):
        self.run_xtape("save")
        for name, (make, shape, compute) in MODULES.items():
            with self.subTest(name), torch.no_grad():
                module = make()
                module.load_state_dict(self.read(name), strict=True)
                run = self.read(f"{name}.run")
                self.assertEqual(run["x"].shape, shape)
                self.check_equal(run["y"], compute(module, run["x"]))

    def test_xtape_loads_what_pytorch_saved(self):
        torch.manual_seed(1)
        expected = {}
        for name, (make, shape, compute) in MODULES.items():
            module, x = make(), torch.randn(shape)
            for parameter in module.parameters():
                nn.init.normal_(parameter, std=0.5)
            torch.save(module.state_dict(), self.directory / "module.pt")
            convert_pytorch.main([f"{self.directory}/module.pt", f"{self.directory}/{name}.safetensors"])
            convert_pytorch.write_safetensors(self.directory / f"{name}.run.safetensors", {"x": x})
            with torch.no_grad():
                expected[name] = compute(module, x)
        self.run_xtape("load")
        for name, y in expected.items():
            with self.subTest(name):
                self.check_equal(self.read(f"{name}.xtape")["y"], y)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop()
    unittest.main()
