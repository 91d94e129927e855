"""Inspection answers for any network: every operator, of any rank, with any legal attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nibblefit.errors import NibblefitError
from nibblefit.ir.attributes import COORDINATES, FLOAT, NEAREST_MODES
from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import WEIGHTED, Op
from nibblefit.nn.builder import GraphBuilder
from nibblefit.results import Status
from nibblefit_tidl.classic.target import TARGET as CLASSIC
from nibblefit_tidl.current.target import TARGET as CURRENT
from nibblefit_tidl.devices import CLASSIC_DEVICES, DEVICES

_SMALL = st.integers(1, 4)


def _attributes(draw: st.DrawFn, op: Op, shape: tuple[int, ...], kernel: tuple[int, ...]) -> Any:
    """Return attributes of an operator; only some combinations are legal."""
    axes = len(shape) - 1
    geometry = {
        "kernel": kernel,
        "strides": tuple(draw(_SMALL) for _ in kernel),
        "pads": tuple(draw(st.integers(0, 1)) for _ in (*kernel, *kernel)),
        "dilations": tuple(draw(st.integers(1, 2)) for _ in kernel),
        "ceil_mode": draw(st.booleans()),
        "count_include_pad": True,
    }
    axis = draw(st.integers(1, len(shape)))
    others: dict[str, Any] = {
        "axis": axis, "keepdims": draw(st.booleans()),
        "lo": draw(st.sampled_from([None, 0.0, 1.0])),
        "hi": draw(st.sampled_from([None, 6.0, 2.0])), "slope": 0.1, "epsilon": 1e-5,
        "sizes": tuple(draw(st.integers(1, 12)) for _ in range(axes)),
        "coordinates": draw(st.sampled_from(COORDINATES)),
        "nearest_mode": draw(st.sampled_from(NEAREST_MODES)), "factor": 2,
        "pads": tuple(draw(st.integers(0, 1)) for _ in range(2 * len(shape))),
        "axes": (axis,), "starts": (0,), "ends": (2,), "strides": (draw(st.integers(1, 2)),),
        "shape": (int(np.prod(shape)),), "perm": (0, *reversed(range(1, len(shape) + 1))),
        "start_axis": 1, "value": 0,
    }  # fmt: skip
    known = FLOAT[op]
    chosen = {**others, **geometry} if "dilations" in known else others
    if op is Op.SPLIT:
        chosen["sizes"] = (1, shape[axis - 1] - 1)
    return {key: value for key, value in chosen.items() if key in known}


@st.composite
def networks(draw: st.DrawFn) -> Graph:
    """Return a legal network of one layer and a rectifier."""
    op = draw(st.sampled_from(sorted(FLOAT)))
    channels, *sizes = draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    shape = (channels, *sizes)
    kernel = tuple(draw(_SMALL) for _ in sizes)
    builder = GraphBuilder("any")
    inputs = [builder.add_input("x", shape)]
    vectors = {Op.BATCH_NORM: 4, Op.SCALE_OFFSET: 2, Op.PRELU: 1}.get(op, 0)
    weights = {Op.LINEAR: (3, shape[-1])}.get(op, (channels, channels, *kernel))
    if op in WEIGHTED:
        inputs.append(builder.add_constant("w", np.ones(weights, np.float32)))
    for place in range(vectors):
        inputs.append(builder.add_constant(f"v{place}", np.ones(channels, np.float32)))
    if op in (Op.ADD, Op.SUB, Op.MUL, Op.OR, Op.XOR, Op.CONCAT, Op.MATMUL):
        inputs.append(draw(st.sampled_from(["x", builder.add_constant("k", np.ones(shape))])))
    try:
        first = builder.add(op, inputs, "layer", **_attributes(draw, op, shape, kernel))
        return builder.finish([builder.add(Op.RELU, [first], "behind")])
    except (NibblefitError, ValueError, IndexError):
        assume(False)
        raise


@pytest.mark.parametrize("target", [CURRENT, CLASSIC], ids=["tidl", "tidl-classic"])
@given(graph=networks(), data=st.data())
def test_inspection_never_raises(target: Any, graph: Graph, data: st.DataObject) -> None:
    """Each layer has a row and a finding, and each refusal a remedy."""
    parts = list(DEVICES if target is CURRENT else CLASSIC_DEVICES)
    report = target.inspect(graph, data.draw(st.sampled_from(parts)), None)
    assert len(report.tables[0].rows) == len(graph.nodes)
    assert {f.where for f in report.findings if f.where} >= {node.name for node in graph.nodes}
    assert all(f.hint for f in report.findings if f.status is Status.FAILED)
