"""The original's own deploy-check dump: every operator's integers, bit for bit."""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nibblefit.engine import Engine
from nibblefit.fixed.formats import IntArray, Rounding
from nibblefit.fixed.steps import ShiftRight
from nibblefit.ir.quantized import QuantizedGraph
from nibblefit.ir.reference import run
from nibblefit.quantization.twin import Twin
from nibblefit_vitis.quantize.integers import lower_network
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.xir.importing.network import network_of
from nibblefit_vitis.xir.reading import read_xmodel

PREFIX = "deploy_check_data_int/SmallCNN/"


@pytest.fixture(scope="module")
def dump(shared: Path) -> Mapping[str, IntArray]:
    """Return the dumped int8 codes by XIR name, flat, channels last."""
    found = {}
    with tarfile.open(shared / "vendor/vitis/xmodel/deploy_check_data_int.tar.gz") as archive:
        for member in archive.getmembers():
            stream = archive.extractfile(member)
            if stream is not None and member.name.endswith("_fix.bin"):
                name = member.name.removeprefix(PREFIX).removesuffix("_fix.bin")
                found[name] = np.frombuffer(stream.read(), np.int8).astype(np.int64)
    return found


@pytest.fixture(scope="module", params=[True, False], ids=["parity", "default"])
def graph(shared: Path, request: pytest.FixtureRequest) -> QuantizedGraph:
    """Return our integers of the original's file, from its constants and fix positions alone."""
    network = network_of(read_xmodel(shared / "vendor/vitis/xmodel/SmallCNN_int.xmodel"))
    setting = NetworkSetting(parity=request.param)
    return lower_network(network.graph, network.formats, setting)


def channels_first(flat: IntArray, shape: tuple[int, ...]) -> IntArray:
    """Return dumped codes (height, width, channels) as a batch of one, channels first."""
    if len(shape) == 1:
        return flat.reshape(1, *shape)
    channels, *sizes = shape
    return np.moveaxis(flat.reshape(*sizes, channels), -1, 0)[None]


def test_every_dumped_operator_is_equal_bit_for_bit(
    graph: QuantizedGraph, dump: Mapping[str, IntArray]
) -> None:
    """Judge, engine and twin give the dumped codes of all nine fixed tensors."""
    (name,) = graph.inputs
    inputs = {name: channels_first(dump[name], graph.tensors[name].shape)}
    judged, fast = run(graph, inputs).tensors, Engine(graph).run(inputs, keep="all").tensors
    twin = Twin(graph).codes({key: _torch(value) for key, value in inputs.items()})
    compared = [tensor for tensor in judged if tensor in dump]
    assert len(compared) == 9
    for tensor in compared:
        expected = channels_first(dump[tensor], graph.tensors[tensor].shape)
        for found in (judged[tensor], fast[tensor], twin[tensor].numpy()):
            np.testing.assert_array_equal(found, expected, err_msg=tensor)


def test_every_dumped_parameter_is_equal(
    graph: QuantizedGraph, dump: Mapping[str, IntArray]
) -> None:
    """Weights and biases have the dumped codes, in the dump's order (out, h, w, in)."""
    compared = 0
    for name, codes in graph.constants.items():
        arranged = codes
        if codes.ndim == 4 and codes.shape[1] == 1 and "dw" in name:
            arranged = codes.transpose(1, 2, 3, 0)  # depthwise: (multiplier, h, w, in)
        elif codes.ndim == 4:
            arranged = codes.transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(arranged.reshape(-1), dump[name], err_msg=name)
        compared += 1
    assert compared == 12


@pytest.mark.parametrize("rounding", [Rounding.FLOOR, Rounding.HALF_AWAY, Rounding.HALF_EVEN])
def test_a_wrong_rounding_is_noticed(
    graph: QuantizedGraph, dump: Mapping[str, IntArray], rounding: Rounding
) -> None:
    """The dump has ties of both signs: any other rounding differs from it somewhere."""
    nodes = [replace(node, steps=tuple(
        replace(step, rounding=rounding) if isinstance(step, ShiftRight) else step
        for step in node.steps
    )) for node in graph.nodes]  # fmt: skip
    (name,) = graph.inputs
    inputs = {name: channels_first(dump[name], graph.tensors[name].shape)}
    found = run(graph.with_nodes(*nodes), inputs).tensors
    assert any(
        not np.array_equal(codes, channels_first(dump[tensor], graph.tensors[tensor].shape))
        for tensor, codes in found.items() if tensor in dump
    )  # fmt: skip


def _torch(values: IntArray) -> object:
    import torch

    return torch.from_numpy(np.ascontiguousarray(values))
