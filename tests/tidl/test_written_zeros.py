"""Zeros of a sparse training in the files that it ends in, read without any code of the plugin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from tests.tidl.test_stages import NETWORK

from nibblefit.recipe import Recipe
from nibblefit.runner import run
from nibblefit.workspace import open_run

LAYERS = ("0", "4")


def trained(folder: Path, **target: Any) -> tuple[Mapping[str, np.ndarray], Path]:
    """Run a recipe to its files; return the masks of the sparse stage and the files' folder."""
    (folder / "net.py").write_text(NETWORK)
    recipe = Recipe.model_validate({
        "model": {"source": "net.py:build"},
        "target": {"sparsify": True, "l1_stage": False,
                   "sparsity": {"target": 0.4, "threshold_maxratio": 1.0}, **target},
        "train": {"epochs": 1, "optimizer": "sgd", "learning_rate": 0.1, "batch_size": 64},
        "train_steps": {"qat": {"epochs": 1, "learning_rate": 1e-3}} if target.get("qat") else {},
        "quantize": {"calibration_samples": 32},
        "evaluate": {"samples": 32, "judge_samples": 2, "max_drop": 1.0},
        "folder": str(folder),
    })  # fmt: skip
    run(recipe, folder / "run")
    masks = open_run(folder / "run").model("sparse").masks
    assert sum(int((~mask).sum()) for mask in masks.values()) > 2000
    (readme,) = (folder / "run").rglob("README.md")
    return masks, readme.parent


def wire(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield field number and content of a protobuf message, by its wire format alone."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = raw[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(raw):
        tag = varint()
        kind = tag & 7
        size = {1: 8, 5: 4}.get(kind, 0)
        if kind == 0:
            start = place
            varint()
        else:
            size = size or varint()
            start, place = place, place + size
        yield tag >> 3, raw[start:place]


def caffe_weights(path: Path) -> dict[str, np.ndarray]:
    """Return layer → first blob: NetParameter.layer 100, its name 1, blobs 7, their data 5."""
    found = {}
    for number, layer in wire(path.read_bytes()):
        if number != 100:
            continue
        fields = list(wire(layer))
        name = next(value for field, value in fields if field == 1).decode()
        blobs = [value for field, value in fields if field == 7]
        if blobs:
            data = b"".join(value for field, value in wire(blobs[0]) if field == 5)
            found[name] = np.frombuffer(data, "<f4")
    return found


@pytest.mark.extra("train")
def test_zeros_of_a_caffemodel_are_those_of_the_mask(tmp_path: Path) -> None:
    """Weight by weight, behind batch-norm folding; none lost, none made."""
    masks, files = trained(tmp_path, name="tidl-classic")
    weights = caffe_weights(files / "net.caffemodel")
    for layer in LAYERS:
        mask = masks[f"{layer}.weight"]
        assert np.array_equal(weights[layer] != 0, mask.ravel())


@pytest.mark.extra("train")
@pytest.mark.parametrize(
    ("part", "scales", "qat"), [("tda4vm", 1, False), ("am68a", 32, False), ("am68a", 32, True)]
)
def test_zeros_of_a_qdq_file_are_those_of_the_mask(
    tmp_path: Path, part: str, scales: int, qat: bool
) -> None:
    """Powers of two, per channel, trained quantized: code 0 in the mask, and where weights round.

    The float file beside it has exactly the zeros of the mask.
    """
    masks, files = trained(tmp_path, name="tidl", part=part, calibration_iterations=1, qat=qat)
    floats = {one.name: numpy_helper.to_array(one)
              for one in onnx.load(files / "float.onnx").graph.initializer}  # fmt: skip
    model = onnx.load(files / "qdq.onnx")
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    readers = {node.input[1]: node for node in model.graph.node if node.op_type == "Conv"}
    pairs = {node.output[0]: node for node in model.graph.node if node.op_type.startswith("Deq")}
    assert len(readers) == len(LAYERS)
    for layer, (weights, _) in zip(LAYERS, readers.items(), strict=True):
        mask, real = masks[f"{layer}.weight"], floats[f"{layer}.weight"]
        assert np.array_equal(real != 0, mask)
        codes, scale, zero = (constants[name] for name in pairs[weights].input)
        assert codes.dtype == np.int8
        assert scale.size == scales
        assert not zero.any()
        assert not codes[~mask].any()
        steps = scale.reshape(-1, 1, 1, 1).astype(np.float64)
        assert np.array_equal(codes == 0, np.abs(real) <= steps / 2)
