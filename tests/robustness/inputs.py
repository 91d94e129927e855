"""Every kind of file a user hands over, in a small valid specimen, and what reads it."""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from nibblefit.data import make_data
from nibblefit.nn.load import load_source
from nibblefit.recipe import DataSection, ModelSection, Recipe, TargetSection

NETWORK = """
from torch import nn
def build():
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4))
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of file.

    Attributes:
        file: Name of the file that is damaged.
        make: Writes a valid specimen, and what belongs to it, into a folder.
        read: Reads the folder as nibblefit would.
        words: Recipe of a run that reads it, as TOML; the rest is the example's.
    """

    file: str
    make: Callable[[Path], None]
    read: Callable[[Path], object]
    words: str


def network() -> nn.Module:
    """Return the network of `NETWORK` with fixed weights."""
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4))


def _make_onnx(folder: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    state = [tensor.detach().numpy() for tensor in network().state_dict().values()]
    names = ("w1", "b1", "w2", "b2")
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c"], name="conv", kernel_shape=[3, 3]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"], name="gemm", transB=1),
    ]
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(value, name) for name, value in zip(names, state, strict=True)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "net.onnx")


def _make_weights(ending: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "net.py").write_text(NETWORK)
        state, path = network().state_dict(), folder / f"weights.{ending}"
        if ending == "pt":
            torch.save(state, path)
        elif ending == "npz":
            np.savez(path, **{name: tensor.numpy() for name, tensor in state.items()})
        else:
            path.write_bytes(_safetensors({n: t.numpy() for n, t in state.items()}))

    return make


def _safetensors(arrays: dict[str, np.ndarray]) -> bytes:
    header, body = {}, b""
    for name, array in arrays.items():
        start = len(body)
        body += array.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": [start, len(body)]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def _idx(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


def _make_idx(pack: Callable[[bytes], bytes], ending: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "net.py").write_text(NETWORK)
        random = np.random.default_rng(1)
        for part, count in (("train", 40), ("t10k", 20)):
            images = random.integers(0, 256, (count, 8, 8)).astype(np.uint8)
            labels = (np.arange(count) % 4).astype(np.uint8)
            (folder / f"{part}-images-idx3-ubyte{ending}").write_bytes(pack(_idx(images)))
            (folder / f"{part}-labels-idx1-ubyte{ending}").write_bytes(pack(_idx(labels)))

    return make


def _make_npz(folder: Path) -> None:
    (folder / "net.py").write_text(NETWORK)
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (60, 8, 8)).astype(np.uint8)
    np.savez_compressed(folder / "data.npz", x=images, y=np.arange(60) % 4)


def _load_network(source: str, weights: str = "") -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        return load_source(ModelSection(source=source, weights=weights), folder, (1, 8, 8))

    return read


def _load_data(source: str, path: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        recipe = Recipe(
            model=ModelSection(source="net.py:build"), target=TargetSection(name="generic"),
            data=DataSection(source=source, path=path), folder=str(folder),
        )  # fmt: skip
        return make_data(recipe)

    return read


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


_DIGITS = '[model]\nsource = "net.py:build"\nweights = "weights.{}"\n'
_DATA = '[model]\nsource = "net.py:build"\n[data]\nsource = "{}"\npath = "{}"\n'
KINDS = {
    "onnx": Kind("net.onnx", _make_onnx, _load_network("net.onnx"),
                 '[model]\nsource = "net.onnx"\n'),
    **{ending: Kind(f"weights.{ending}", _make_weights(ending),
                    _load_network("net.py:build", f"weights.{ending}"), _DIGITS.format(ending))
       for ending in ("pt", "npz", "safetensors")},
    "idx-images": Kind("train-images-idx3-ubyte", _make_idx(bytes, ""), _load_data("idx", "."),
                       _DATA.format("idx", ".")),
    "idx-labels-gz": Kind("train-labels-idx1-ubyte.gz", _make_idx(_gzip, ".gz"),
                          _load_data("idx", "."), _DATA.format("idx", ".")),
    "idx-images-gz": Kind("t10k-images-idx3-ubyte.gz", _make_idx(_gzip, ".gz"),
                          _load_data("idx", "."), _DATA.format("idx", ".")),
    "data-npz": Kind("data.npz", _make_npz, _load_data("npz", "data.npz"),
                     _DATA.format("npz", "data.npz")),
}  # fmt: skip
