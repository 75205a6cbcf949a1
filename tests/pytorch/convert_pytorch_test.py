"""examples/convert_pytorch.py: both ways, what it refuses, and that it runs no code from a file."""

import collections
import contextlib
import io
import json
import os
import pathlib
import pickle
import stat
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile

import torch

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "examples" / "convert_pytorch.py"
sys.path.insert(0, str(SCRIPT.parent))
import convert_pytorch  # noqa: E402


class MakesAFolder:
    """What a hostile file does to whom unpickles it."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def tensors_of_all_kinds():
    base = torch.arange(12.0).reshape(3, 4)
    return {
        "dense": base,
        "shared": base[1],
        "transposed": base.t(),
        "every second": base[:, ::2],
        "expanded": torch.ones(3, 1).expand(3, 5),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "double": torch.tensor([1 / 3, -0.0, float("inf")], dtype=torch.float64),
        "half": torch.tensor([1 / 3, 65504], dtype=torch.float16),
        "brain": torch.tensor([1 / 3, 3e38], dtype=torch.bfloat16),
        "step": torch.tensor(2**62 + 1),
        "bytes": torch.tensor([0, 255], dtype=torch.uint8),
        "small": torch.tensor([-128, 127], dtype=torch.int8),
        "mask": torch.tensor([True, False]),
        "needs.grad": torch.ones(2, requires_grad=True),
        'odd "name"\n\\ é 漢 \u2028': torch.ones(1),
        "": torch.ones(1),
        "one of two": torch.arange(2.0)[::2],
    }


def safetensors(header, data=b""):
    """A file's bytes; the header is JSON's text or what is to be written as JSON."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype="F32", shape=(1,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


class ConvertTest(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.directory = pathlib.Path(holder.name)

    def path(self, name):
        return self.directory / name

    def convert(self, source, target, *options):
        """None, or the error."""
        errors = io.StringIO()
        try:
            with contextlib.redirect_stderr(errors):
                convert_pytorch.main([str(self.path(source)), str(self.path(target)), *options])
        except SystemExit as exit:
            return exit.code if isinstance(exit.code, str) else errors.getvalue()
        return None

    def save(self, name, thing, **options):
        torch.save(thing, self.path(name), **options)

    def check_equal(self, tensors, expected):
        self.assertEqual(set(tensors), set(expected))
        for name, tensor in expected.items():
            with self.subTest(name):
                self.assertEqual(tensors[name].dtype, tensor.dtype)
                self.assertEqual(tensors[name].shape, tensor.shape)
                self.assertTrue(torch.equal(tensors[name], tensor))

    def test_there_and_back_every_tensor_is_the_same(self):
        tensors = tensors_of_all_kinds()
        self.save("model.pt", tensors)
        self.assertIsNone(self.convert("model.pt", "model.safetensors"))
        self.assertIsNone(self.convert("model.safetensors", "back.pt"))
        self.check_equal(torch.load(self.path("back.pt")), tensors)
        self.assertIsNone(self.convert("back.pt", "again.safetensors"))
        self.assertEqual(self.path("again.safetensors").read_bytes(), self.path("model.safetensors").read_bytes())

    def test_numbers_lie_where_the_format_says(self):
        self.save("model.pt", {"b": torch.tensor([[1.0, 2.0]]), "a": torch.tensor([3], dtype=torch.int64)})
        self.assertIsNone(self.convert("model.pt", "model.safetensors"))
        contents = self.path("model.safetensors").read_bytes()
        (length,) = struct.unpack("<Q", contents[:8])
        header = json.loads(contents[8:8 + length])
        self.assertEqual(header, {"__metadata__": {"format": "pt"}, "a": entry("I64", [1], [0, 8]),
                                  "b": entry("F32", [1, 2], [8, 16])})
        self.assertEqual(length % 8, 0)
        self.assertEqual(contents[8 + length:], struct.pack("<q2f", 3, 1, 2))

    def test_a_state_dict_is_found_in_a_checkpoint(self):
        model = torch.nn.Linear(2, 3)
        optimizer = torch.optim.Adam(model.parameters())
        model(torch.ones(2)).sum().backward()
        optimizer.step()
        others = {"epoch": 3, "loss": 0.25, "optimizer": optimizer.state_dict(), "name": "x", "shape": torch.Size([1])}
        for key in ["state_dict", "model_state_dict", "net"]:
            self.save("checkpoint.pt", {**others, key: model.state_dict()})
            options = ["--key", key] if key == "net" else []
            self.assertIsNone(self.convert("checkpoint.pt", "model.safetensors", *options))
            self.check_equal(convert_pytorch.read_safetensors(self.path("model.safetensors")), model.state_dict())
        self.assertIn("more than named tensors: 'epoch', 'loss', 'optimizer', 'name', 'shape', 'net'; if one of these "
                      "is the state dict, say --key", self.convert("checkpoint.pt", "model.safetensors"))
        self.assertIn("no 'nets' in it: expected one of 'epoch'",
                      self.convert("checkpoint.pt", "model.safetensors", "--key", "nets"))
        self.assertIn("a float: expected a state dict",
                      self.convert("checkpoint.pt", "model.safetensors", "--key", "loss"))

    def test_a_module_is_read_if_it_is_trusted(self):
        model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
        self.save("module.pt", model)
        self.assertIn("is in it, which isn't data; if you trust the file, read it with --trust",
                      self.convert("module.pt", "model.safetensors"))
        self.assertIsNone(self.convert("module.pt", "model.safetensors", "--trust"))
        self.check_equal(convert_pytorch.read_safetensors(self.path("model.safetensors")), model.state_dict())
        self.save("old.pt", model.state_dict(), _use_new_zipfile_serialization=False)
        self.assertIn("an older file that you trust is read with --trust", self.convert("old.pt", "model.safetensors"))
        self.assertIsNone(self.convert("old.pt", "model.safetensors", "--trust"))

    def test_no_code_in_a_file_is_run(self):
        made = self.path("made")
        for zipped in [True, False]:
            self.save("hostile.pt", {"a": torch.ones(1), "b": MakesAFolder(made)},
                      _use_new_zipfile_serialization=zipped)
            error = self.convert("hostile.pt", "model.safetensors")
            self.assertIn("'posix.mkdir' is in it, which isn't data" if zipped else "not a zip archive", error)
            self.assertFalse(made.exists())
        self.convert("hostile.pt", "model.safetensors", "--trust")
        self.assertTrue(made.exists())  # so the file was indeed a hostile one

    def test_names_that_only_look_like_data_are_refused(self):
        for module, name in [("torch", "load"), ("torch.storage", "_load_from_bytes"), ("builtins", "eval"),
                             ("torch", "serialization.os.system"), ("os", "Storage"), ("torch.hub", "FloatStorage")]:
            with self.subTest(f"{module}.{name}"), zipfile.ZipFile(self.path("hostile.pt"), "w") as archive:
                archive.writestr("archive/data.pkl", b"\x80\x02c" + f"{module}\n{name}\n".encode() + b".")
                archive.close()
                self.assertIn(f"'{module}.{name}' is in it, which isn't data",
                              self.convert("hostile.pt", "model.safetensors"))

    def test_broken_files_of_pytorch_are_refused(self):
        self.save("model.pt", {"a": torch.ones(100)})
        whole = self.path("model.pt").read_bytes()
        for contents in [b"", b"PK", whole[:len(whole) // 2], b"hello world", pickle.dumps({"a": 1})]:
            self.path("broken.pt").write_bytes(contents)
            self.assertIn("not a zip archive", self.convert("broken.pt", "model.safetensors"))
        unfinished = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(ctorch\nFloatStorage\n"
        for name, pickled in [("nothing", b"\x80\x02."), ("no pickle", b""), ("unfinished", unfinished)]:
            with self.subTest(name):
                with zipfile.ZipFile(self.path("broken.pt"), "w") as archive:
                    archive.writestr("archive/data.pkl", pickled)
                self.assertIn("not a file of torch.save", self.convert("broken.pt", "model.safetensors"))
        with zipfile.ZipFile(self.path("broken.pt"), "w") as archive:
            archive.writestr("archive/other", b"")
        self.assertIn("not a file of torch.save", self.convert("broken.pt", "model.safetensors"))

    def test_a_tensor_reaches_no_further_than_its_numbers(self):
        self.save("model.pt", {"a": torch.ones(100)})
        with zipfile.ZipFile(self.path("model.pt")) as archive:
            records = {name: archive.read(name) for name in archive.namelist()}
        pickled = records["model/data.pkl"]
        for fault, change in {
            "fewer numbers": {"model/data/0": bytes(40)},
            "a longer shape": {"model/data.pkl": pickled.replace(b"Kd\x85", b"Ke\x85")},
            "a later beginning": {"model/data.pkl": pickled.replace(b"QK\x00", b"QK\x01")},
        }.items():
            with self.subTest(fault):
                self.assertNotEqual({**records, **change}, records)
                with zipfile.ZipFile(self.path("broken.pt"), "w") as archive:
                    for record, contents in {**records, **change}.items():
                        archive.writestr(record, contents)
                self.assertIn("reaches beyond its numbers" if "numbers" not in fault else "40 bytes for 100 numbers",
                              self.convert("broken.pt", "model.safetensors") or "")
        self.assertFalse(self.path("model.safetensors").exists())

    def test_a_tensor_whose_end_is_beyond_64_bits_is_refused(self):
        for begin, shape, strides in [(2**62 - 1000, (1001,), (1,)), (2**62 - 2**40, (2,), (2**40,)),
                                      (0, (2,), (-1,)), (-1, (1,), (1,)), (0, (1, 1), (1,)), (0, (2.0,), (1,))]:
            with self.subTest((begin, shape, strides)), self.assertRaises(convert_pytorch.ConversionError):
                convert_pytorch.rebuilt(torch.ones(1), begin, shape, strides, False, None)

    def test_what_is_only_to_be_negated_is_negated(self):
        imaginary = torch.tensor([1 + 2j]).conj().imag
        self.assertTrue(imaginary.is_neg())
        convert_pytorch.write_safetensors(self.path("x.safetensors"), {"x": imaginary})
        self.check_equal(convert_pytorch.read_safetensors(self.path("x.safetensors")), {"x": torch.tensor([-2.0])})
        # PyTorch 1.13 forgets it when it saves a tensor; newer ones don't.
        newer = convert_pytorch.rebuilt(torch.tensor([2.0]), 0, (1,), (1,), False, {}, {"neg": True})
        self.check_equal({"x": newer}, {"x": torch.tensor([-2.0])})

    def test_tensors_that_safetensors_has_not_are_refused(self):
        for tensor in [torch.zeros(2, dtype=torch.complex64), torch.zeros(1, device="meta")]:
            with self.assertRaisesRegex(convert_pytorch.ConversionError, "'x' is a tensor of .*: expected a dense one"):
                convert_pytorch.write_safetensors(self.path("x.safetensors"), {"x": tensor})
        with self.assertRaisesRegex(convert_pytorch.ConversionError, "__metadata__"):
            convert_pytorch.write_safetensors(self.path("x.safetensors"), {"__metadata__": torch.zeros(1)})
        with self.assertRaisesRegex(convert_pytorch.ConversionError, "isn't Unicode"):
            convert_pytorch.write_safetensors(self.path("x.safetensors"), {"\ud800": torch.zeros(1)})
        self.assertEqual(os.listdir(self.directory), [])

    def test_malformed_safetensors_are_refused(self):
        good = safetensors({"a": entry()}, bytes(4))
        cases = {
            "expected 8 for the length": b"1234567",
            "a header of 72057594037927936 bytes": struct.pack("<Q", 2**56) + b"{}",
            "a header of 3 bytes in a file of 10": struct.pack("<Q", 3) + b"{}",
            "isn't JSON": safetensors(b"{"),
            "isn't JSON in UTF-8": safetensors(b'{"\xff": 1}'),
            "isn't JSON in UTF-8: 'utf-8'": safetensors(b'{"\\ud800": 1}'),
            "isn't JSON in UTF-8: maximum recursion": safetensors(b'{"a":' + b"[" * 100000),
            "isn't an object": safetensors(b"[]"),
            "'a' is in the header twice": safetensors(b'{"a": 1, "a": 2}'),
            "a __metadata__ that isn't an object of strings": safetensors({"__metadata__": {"step": 1}}),
            "'a': expected an object of dtype": safetensors({"a": {"dtype": "F32"}}),
            "'a' has dtype 'F8_E4M3'": safetensors({"a": entry("F8_E4M3")}),
            "'a' has dtype ['F32']": safetensors({"a": entry(["F32"])}),
            "'a' has shape [-1]": safetensors({"a": entry(shape=[-1])}),
            "'a' has shape [1.0]": safetensors({"a": entry(shape=[1.0])}),
            "'a' has shape [True]": safetensors({"a": entry(shape=[True])}),
            "'a' has data_offsets [0, 4, 8]": safetensors({"a": entry(offsets=[0, 4, 8])}),
            "'a' has data_offsets [4, 0]: expected 4 bytes": safetensors({"a": entry(offsets=[4, 0])}),
            "'a' has data_offsets [0, 4]: expected 8 bytes": safetensors({"a": entry(shape=[2])}, bytes(4)),
            "'b' begins at byte 0 of the data: expected 4": safetensors({"a": entry(), "b": entry()}, bytes(4)),
            "'b' begins at byte 5 of the data: expected 4":
                safetensors({"a": entry(), "b": entry(offsets=[5, 9])}, bytes(9)),
            "'a' begins at byte 1 of the data: expected 0": safetensors({"a": entry(offsets=[1, 5])}, bytes(5)),
            "3 bytes of data: expected 4": good[:-1],
            "5 bytes of data: expected 4": good + b"0",
            "a bool that is neither 0 nor 1": safetensors({"a": entry("BOOL", [1], [0, 1])}, b"\x02"),
        }
        self.path("good.safetensors").write_bytes(good)
        self.assertIsNone(self.convert("good.safetensors", "model.pt"))
        before = self.path("model.pt").read_bytes()
        for fault, contents in cases.items():
            with self.subTest(fault):
                self.path("bad.safetensors").write_bytes(contents)
                error = self.convert("bad.safetensors", "model.pt")
                self.assertIn(f"convert_pytorch.py: {self.path('bad.safetensors')}: ", error or "")
                self.assertIn(fault, error)
        self.assertEqual(self.path("model.pt").read_bytes(), before)

    def test_a_file_is_replaced_whole_or_not_at_all(self):
        self.save("model.pt", {"a": torch.ones(1)})
        target = self.path("model.safetensors")
        target.write_bytes(b"old")
        target.chmod(0o640)
        self.save("mixed.pt", {"a": 1})
        self.assertIsNotNone(self.convert("mixed.pt", "model.safetensors"))
        self.assertEqual(target.read_bytes(), b"old")
        self.assertIsNone(self.convert("model.pt", "model.safetensors"))
        self.assertEqual(stat.S_IMODE(target.stat().st_mode), 0o640)
        with self.assertRaises(ZeroDivisionError), convert_pytorch.replacing(target) as file:
            file.write(b"half")
            1 / 0
        self.assertEqual(len(convert_pytorch.read_safetensors(target)), 1)
        self.path("folder.safetensors").mkdir()
        self.assertIn("isn't a file that can be replaced", self.convert("model.pt", "folder.safetensors"))
        self.assertIn("No such file", self.convert("model.pt", "nowhere/model.safetensors"))
        self.assertIn("No such file", self.convert("nothing.pt", "model.safetensors"))
        self.assertFalse([name for name in os.listdir(self.directory) if name.startswith(".")])

    def test_the_command_line_is_explained(self):
        self.assertIn("ends in .safetensors, .pt", self.convert("model.txt", "model.safetensors"))
        self.assertIn("expected one file of PyTorch and one .safetensors", self.convert("model.pt", "model.pth"))
        self.assertIn("are for reading a file of PyTorch", self.convert("model.safetensors", "model.pt", "--trust"))
        shown = subprocess.run([sys.executable, "-B", SCRIPT, "--help"], capture_output=True, text=True, check=True)
        self.assertIn("--trust", shown.stdout)
        self.save("model.pt", collections.OrderedDict(a=torch.ones(1)))
        arguments = [sys.executable, "-B", SCRIPT, self.path("model.pt")]
        failed = subprocess.run([*arguments, "model.pt"], capture_output=True, text=True)
        self.assertEqual(failed.returncode, 2)
        subprocess.run([*arguments, self.path("model.safetensors")], check=True)
        self.assertEqual(len(convert_pytorch.read_safetensors(self.path("model.safetensors"))), 1)


if __name__ == "__main__":
    unittest.main()
