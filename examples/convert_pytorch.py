#!/usr/bin/env python3
"""Turns a state dict of PyTorch into a safetensors file, which xtape::nn::load_state_dict reads, and back.

    convert_pytorch.py model.pt model.safetensors
    convert_pytorch.py model.safetensors model.pt      # then: model.load_state_dict(torch.load("model.pt"))

The suffixes say which way: .pt, .pth, .bin or .ckpt is PyTorch's file. It may hold a state dict, or a dict with one
under "state_dict", "model_state_dict" or --key. Such a file can hold code: what isn't tensors, numbers, texts and lists
of these is refused, and so is a whole module. --trust takes that too, and runs the code; a module's classes have to be
on PYTHONPATH. Needs PyTorch 1.13 or newer, with NumPy (Debian: python3-torch).

Tensors keep their types and names. Those that share memory are written once for each name, dense and in C order.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import pickle
import struct
import sys
import tempfile
import zipfile

try:
    import torch
except ImportError:
    sys.exit(f"convert_pytorch.py: needs PyTorch, which {sys.executable} hasn't: apt install python3-torch, and run it "
             "with /usr/bin/python3")

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
LONGEST_HEADER = 100_000_000
NESTED = ("state_dict", "model_state_dict")
PYTORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")


class ConversionError(Exception):
    """A file that can't be converted, and why."""


def size_of(dtype):
    return torch.empty((), dtype=dtype).element_size()


def tensor_of(numbers, dtype):
    return torch.frombuffer(numbers, dtype=dtype) if numbers else torch.empty(0, dtype=dtype)


@contextlib.contextmanager
def replacing(path):
    """A new file that becomes `path` once all of it is on the disk. Else `path` stays as it was."""
    path = pathlib.Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        raise ConversionError(f"{path} isn't a file that can be replaced")
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            mode = path.stat().st_mode & 0o777
        else:
            mask = os.umask(0)
            os.umask(mask)
            mode = 0o666 & ~mask
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


# safetensors ----------------------------------------------------------------------------------------------------------


def write_safetensors(path, tensors):
    """Writes tensors by name. The widest numbers come first, so that all of them are aligned."""
    for name, tensor in tensors.items():
        if name == "__metadata__":
            raise ConversionError("a tensor called __metadata__: safetensors keeps this name for itself")
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta or tensor.dtype not in NAMES:
            layout = "torch.meta" if tensor.is_meta else tensor.layout
            raise ConversionError(f"{name!r} is a tensor of {tensor.dtype} ({layout}): expected a dense one of "
                                  + ", ".join(NAMES.values()))
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in order:
        tensor = tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    except UnicodeEncodeError:
        raise ConversionError("a tensor's name isn't Unicode") from None
    text += b" " * (-len(text) % 8)
    if len(text) > LONGEST_HEADER:
        raise ConversionError(f"a header of {len(text)} bytes: readers take {LONGEST_HEADER}")
    with replacing(path) as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name in order:
            file.write(bytes_of(tensors[name]))


def bytes_of(tensor):
    if tensor.numel() == 0:
        return b""
    dense = tensor.detach().cpu().resolve_neg().contiguous()
    flat = dense.as_strided((dense.numel(),), (1,))  # a stride along which there is one element may be anything
    return flat.view(torch.uint8).numpy().data  # NumPy has no bfloat16, but bytes


def read_safetensors(path):
    """All tensors of a file, by name. Raises ConversionError for a file that isn't as it should be."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise ConversionError(f"{size} bytes: expected 8 for the length of a header, and the header")
        (length,) = struct.unpack("<Q", file.read(8))
        if length > min(size - 8, LONGEST_HEADER):
            raise ConversionError(f"a header of {length} bytes in a file of {size}: expected at most "
                                  f"{min(size - 8, LONGEST_HEADER)}")
        tensors = {}
        for name, dtype, shape, begin, end in parsed_header(file.read(length), size - 8 - length):
            numbers = bytearray(end - begin)
            file.seek(8 + length + begin)
            if file.readinto(numbers) != len(numbers):
                raise ConversionError(f"{name!r} ends early: the file was cut meanwhile")
            if dtype == torch.bool and numbers.strip(b"\0\1"):
                raise ConversionError(f"{name!r} has a bool that is neither 0 nor 1")
            tensors[name] = tensor_of(numbers, dtype).reshape(shape)
        return tensors


def parsed_header(text, data_size):
    """(name, dtype, shape, begin, end) of each tensor, in the order of the header."""
    def without_duplicates(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            name = next(name for name, count in collections.Counter(name for name, _ in pairs).items() if count > 1)
            raise ConversionError(f"{name!r} is in the header twice")
        return found

    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=without_duplicates)
        "".join(header).encode("utf-8")  # half a surrogate pair is JSON, but no text
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"a header that isn't JSON in UTF-8: {error}") from None
    if not text.startswith(b"{"):
        raise ConversionError("a header that isn't an object of JSON")

    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ConversionError("a __metadata__ that isn't an object of strings")

    entries = []
    for name, entry in header.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise ConversionError(f"{name!r}: expected an object of dtype, shape and data_offsets")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise ConversionError(f"{name!r} has dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
        if not are_sizes(shape):
            raise ConversionError(f"{name!r} has shape {shape!r}: expected a list of sizes")
        if not are_sizes(offsets) or len(offsets) != 2:
            raise ConversionError(f"{name!r} has data_offsets {offsets!r}: expected a beginning and an end")
        count = 1
        for extent in shape:
            count *= extent
        begin, end = offsets
        size = count * size_of(DTYPES[dtype])
        if end - begin != size:
            raise ConversionError(f"{name!r} has data_offsets {offsets}: expected {size} bytes for shape {shape} of "
                                  f"{dtype}")
        entries.append((name, DTYPES[dtype], shape, begin, end))

    covered = 0
    for name, _, _, begin, end in sorted(entries, key=lambda entry: entry[3:]):
        if begin != covered:
            raise ConversionError(f"{name!r} begins at byte {begin} of the data: expected {covered}, where the one "
                                  "before it ends")
        covered = end
    if covered != data_size:
        raise ConversionError(f"{data_size} bytes of data: expected {covered}, where the last tensor ends")
    return entries


def are_sizes(numbers):
    # In Python True is a number too.
    return isinstance(numbers, list) and all(type(n) is int and 0 <= n < 2**63 for n in numbers)


# PyTorch --------------------------------------------------------------------------------------------------------------


class DataUnpickler(pickle.Unpickler):
    """Makes tensors, numbers, texts and lists of these of a file of torch.save, and looks up nothing else.

    torch.load of PyTorch 1.13 can't do it: it ignores a pickle_module, and with weights_only it refuses any file with a
    float in it, so any with an optimizer's state.
    """

    def __init__(self, archive):
        self.archive = archive
        self.root = archive.namelist()[0].split("/")[0]
        self.storages = {}
        super().__init__(archive.open(f"{self.root}/data.pkl"))

    def find_class(self, module, name):
        found = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch", "Size"): torch.Size,
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            ("torch._utils", "_rebuild_tensor_v2"): rebuilt,
        }.get((module, name))
        attribute = getattr(torch, name, None) if module == "torch" else None
        if isinstance(attribute, torch.dtype) or name.endswith("Storage"):
            found = attribute
        if found is None:
            raise ConversionError(f"{f'{module}.{name}'!r} is in it, which isn't data; if you trust the file, read it with "
                                  "--trust, which runs the code in it")
        return found

    def persistent_load(self, saved):
        _, kind, key, _, count = saved
        if key not in self.storages:
            numbers = bytearray(self.archive.read(f"{self.root}/data/{key}"))
            if len(numbers) != count * size_of(kind.dtype):
                raise ConversionError(f"{len(numbers)} bytes for {count} numbers of {kind.dtype}")
            self.storages[key] = tensor_of(numbers, kind.dtype)
        return self.storages[key]


def rebuilt(numbers, begin, shape, strides, needs_grad, hooks, metadata=None):
    sizes = [begin, *shape, *strides]
    if len(shape) != len(strides) or not all(isinstance(size, int) and size >= 0 for size in sizes):
        raise ConversionError("a tensor of impossible shape")
    if 0 not in shape and begin + sum((n - 1) * stride for n, stride in zip(shape, strides)) >= numbers.numel():
        raise ConversionError("a tensor that reaches beyond its numbers")
    tensor = torch.as_strided(numbers, shape, strides, begin)
    return -tensor if (metadata or {}).get("neg") else tensor  # the imaginary part of a conjugate, not computed yet


def read_pickle(path):
    if not zipfile.is_zipfile(path):
        raise ConversionError("not a zip archive, which torch.save writes since PyTorch 1.6; an older file that you "
                              "trust is read with --trust")
    with zipfile.ZipFile(path) as archive:
        unpickler = DataUnpickler(archive)
        byte_order = f"{unpickler.root}/byteorder"
        if byte_order in archive.namelist() and archive.read(byte_order) != b"little":
            raise ConversionError("written by a machine of another byte order: load and save it there")
        return unpickler.load()


def read_pytorch(path, key=None, trust=False):
    """The state dict in a file of torch.save."""
    with open(path, "rb"):
        pass  # so that the error is an OSError if it can't be read
    try:
        found = torch.load(path, map_location="cpu", weights_only=False) if trust else read_pickle(path)
    except ConversionError:
        raise
    except Exception as error:  # unpickling what isn't a pickle may raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ConversionError(f"not a file of torch.save: {reason}") from None
    if isinstance(found, torch.nn.Module):
        found = found.state_dict()
    if not isinstance(found, dict):
        raise ConversionError(f"a {type(found).__name__}: expected a state dict")
    if key is not None:
        if key not in found:
            raise ConversionError(f"no {key!r} in it: expected one of " + ", ".join(map(repr, found)))
        found = found[key]
    else:
        found = next((found[name] for name in NESTED if isinstance(found.get(name), dict)), found)
    if isinstance(found, torch.nn.Module):
        found = found.state_dict()
    if not isinstance(found, dict):
        raise ConversionError(f"a {type(found).__name__}: expected a state dict")
    others = [name for name, value in found.items() if not isinstance(name, str) or not isinstance(value, torch.Tensor)]
    if others:
        raise ConversionError("more than named tensors: " + ", ".join(map(repr, others)) +
                              "; if one of these is the state dict, say --key")
    return found


def write_pytorch(path, tensors):
    with replacing(path) as file:
        torch.save(collections.OrderedDict(tensors), file)


# ----------------------------------------------------------------------------------------------------------------------


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path, help="the file to read")
    parser.add_argument("target", type=pathlib.Path, help="the file to write; one that is there is replaced")
    parser.add_argument("--key", help="where the state dict is in the file of PyTorch")
    parser.add_argument("--trust", action="store_true", help="run the code in the file of PyTorch, if there is any")
    options = parser.parse_args(arguments)

    def is_pytorch(path):
        if path.suffix.lower() in PYTORCH_SUFFIXES:
            return True
        if path.suffix.lower() == ".safetensors":
            return False
        parser.error(f"{path}: expected a name that ends in .safetensors, {', '.join(PYTORCH_SUFFIXES)}")

    to_safetensors = is_pytorch(options.source)
    if to_safetensors == is_pytorch(options.target):
        parser.error("expected one file of PyTorch and one .safetensors")
    if not to_safetensors and (options.key is not None or options.trust):
        parser.error("--key and --trust are for reading a file of PyTorch")
    try:
        if to_safetensors:
            write_safetensors(options.target, read_pytorch(options.source, options.key, options.trust))
        else:
            write_pytorch(options.target, read_safetensors(options.source))
    except ConversionError as error:
        sys.exit(f"convert_pytorch.py: {options.source}: {error}")
    except (OSError, MemoryError, RuntimeError) as error:  # torch's own are RuntimeErrors
        sys.exit(f"convert_pytorch.py: {error}")


if __name__ == "__main__":
    main()
