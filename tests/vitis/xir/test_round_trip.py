"""Networks of ours through the bytes of an xmodel and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.vitis.xir.networks import NETWORKS, formats_of, samples

from nibblefit.ir.float_reference import run_float
from nibblefit.ir.graph import Graph
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.writing.onnx_form.agreement import Walk
from nibblefit_vitis.xir.encoding import encode
from nibblefit_vitis.xir.importing.names import names_from
from nibblefit_vitis.xir.importing.network import network_of
from nibblefit_vitis.xir.network import to_xir
from nibblefit_vitis.xir.parameters import plain_position
from nibblefit_vitis.xir.reading import decode

SETTING = NetworkSetting()


def on_grid(values: npt.NDArray[Any], position: int) -> npt.NDArray[np.float32]:
    """Return the 8-bit values nearest to some, ties away from zero."""
    steps = np.asarray(values, np.float64) * 2.0**position
    codes = np.sign(steps) * np.floor(np.abs(steps) + 0.5)
    return (np.clip(codes, -128, 127) * 2.0**-position).astype(np.float32)


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_read_back_computes_the_same(build: Callable[[], Graph]) -> None:
    """Float results and DPU codes of the read network equal those of the written one."""
    graph = build()
    formats = formats_of(graph)
    exported = to_xir(graph, formats, SETTING)
    names = names_from(exported.names.as_json(), "names.json")
    back = network_of(decode(encode(exported.graph)), names)
    inputs = samples(graph)
    rounded = graph.with_constants({
        name: on_grid(array, plain_position(formats.params[name], name).position)
        for name, array in graph.constants.items()
    })  # fmt: skip
    expected, found = run_float(rounded, inputs), run_float(back.graph, inputs)
    assert back.graph.inputs == graph.inputs
    for ours, theirs in zip(graph.outputs, back.graph.outputs, strict=True):
        np.testing.assert_allclose(found[theirs], expected[ours], rtol=1e-12, atol=1e-12)
    walks = [Walk(graph, formats, SETTING), Walk(back.graph, back.formats, SETTING)]
    for walk in walks:
        walk.through(inputs)
    for name, codes in walks[0].codes.items():
        np.testing.assert_array_equal(walks[1].codes[name], codes, name)


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_formats_and_names_survive(build: Callable[[], Graph]) -> None:
    """Every tensor and parameter has the same name and format after reading."""
    graph = build()
    formats = formats_of(graph)
    exported = to_xir(graph, formats, SETTING)
    back = network_of(decode(encode(exported.graph)), exported.names)
    known = {name: back.formats.outputs.get(name) for name in formats.outputs}
    assert known == dict(formats.outputs)
    assert dict(back.formats.params) == dict(formats.params)
    layers = {node.name for node in back.graph.nodes}
    assert {node.name for node in graph.nodes} <= layers


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_bytes_are_the_same_every_time(build: Callable[[], Graph]) -> None:
    """Equal networks give equal files."""
    files = [encode(to_xir(build(), formats_of(build()), SETTING).graph) for _ in range(2)]
    assert files[0] == files[1]


@pytest.mark.parametrize("build", NETWORKS, ids=lambda build: build.__name__)
def test_every_reader_stands_behind_what_it_reads(build: Callable[[], Graph]) -> None:
    """The file is in topological order, and the root subgraph lists every operator."""
    exported = to_xir(build(), formats_of(build()), SETTING).graph
    seen: set[str] = set()
    for operator in exported.operators:
        assert {name for names in operator.arguments.values() for name in names} <= seen
        seen.add(operator.name)
    assert exported.root is not None
    assert set(exported.root.operators) == seen
