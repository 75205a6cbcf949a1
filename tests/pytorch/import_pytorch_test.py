"""examples/import_pytorch runs models that PyTorch saved, and gives what PyTorch gives."""

import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from torch import nn

PROGRAM = sys.argv[1]
SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "examples" / "convert_pytorch.py"


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.lstm = nn.LSTM(6, 8, 2, bidirectional=True, proj_size=5)
        self.norm = nn.LayerNorm(10)
        self.head = nn.Linear(10, 3, bias=False)

    def forward(self, ids):
        return self.head(self.norm(self.lstm(self.embedding(ids))[0]))


class Recurrent(nn.Module):
    """A layer and what it puts out, without the state."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, xs):
        return self.layer(xs)[0]


class Unrolled(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, xs):
        state, outputs = None, []
        for x in xs:
            state = self.cell(x, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs)


torch.manual_seed(3)
ids, xs = torch.randint(0, 11, (7, 2)), torch.randn(5, 2, 3)
cases = {
    "tagger": (Tagger(), ids, []),
    "one sequence of ids": (Tagger(), ids[:, 0], []),
    "rnn": (Recurrent(nn.RNN(3, 4, nonlinearity="relu")), xs, ["--relu"]),
    "lstm": (Recurrent(nn.LSTM(3, 4, bias=False)), xs, []),
    "gru": (Recurrent(nn.GRU(3, 4, 2, bidirectional=True)), xs[:, 0], []),
    "rnn cell": (Unrolled(nn.RNNCell(3, 4)), xs, []),
    "lstm cell": (Unrolled(nn.LSTMCell(3, 4)), xs, []),
    "gru cell": (Unrolled(nn.GRUCell(3, 4)), xs, []),
    "layers in a row": (nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)), xs, []),
}
for name, (model, inputs, options) in cases.items():
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        torch.save(model.state_dict(), f"{folder}/model.pt")
        numpy.save(f"{folder}/in.npy", inputs.numpy())
        numpy.save(f"{folder}/out.npy", model.eval()(inputs).numpy())
        subprocess.run([sys.executable, SCRIPT, "model.pt", "model.safetensors"], cwd=folder, check=True)
        subprocess.run([PROGRAM, "model.safetensors", "--input", "in.npy", "--expected", "out.npy",
                        "--tolerance", "1e-6", *options], cwd=folder, check=True)
    print(f"{name}: agrees\n", flush=True)
