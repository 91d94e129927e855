"""Graphs become layers and graphs again: the same integers, for everything the vendor shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.maxim.agreement import relowered
from tests.maxim.vectors import NETS, VendorCase, micro, names_in, net

from nibblefit.engine import Engine
from nibblefit.errors import GraphError
from nibblefit.fixed.formats import Format, Rounding, Scale
from nibblefit.fixed.steps import Clamp, Divide
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedGraph, QuantizedNode, QuantizedTensor
from nibblefit_maxim.lift import lift


def _check(case: VendorCase) -> None:
    again = relowered(case.graph)
    inputs = {case.graph.inputs[0]: case.input[None].astype(np.int64)}
    tensors = Engine(again).run(inputs, keep="all").tensors
    for name, expected in case.expected.items():
        assert np.array_equal(tensors[name][0].reshape(expected.shape), expected), name
    assert [item.layer for item in lift(again)] == [item.layer for item in lift(case.graph)]


@pytest.mark.parametrize("name", names_in("micro", ".yaml"))
def test_single_purpose_network_is_lifted_and_lowered_again(shared: Path, name: str) -> None:
    """The vendor's graph, taken apart into layers and made again, gives the vendor's integers."""
    _check(micro(shared / "vendor" / "maxim" / "micro" / name))


@pytest.mark.parametrize("name", NETS)
def test_vendor_network_is_lifted_and_lowered_again(shared: Path, name: str) -> None:
    """The same for whole networks."""
    _check(net(shared / "vendor" / "maxim" / "nets" / name))


def test_binary_weights_are_recognised(shared: Path) -> None:
    """Codes of plus and minus one need one bit on the MAX78002."""
    case = micro(shared / "vendor" / "maxim" / "micro" / "binary@78002")
    found = [item for item in lift(case.graph) if item.is_binary]
    assert found
    assert all(item.weight_bits == 1 for item in found)


def _pool_graph(rounding: Rounding) -> QuantizedGraph:
    form = Format(8, True, Scale.power_of_two(7))
    node = QuantizedNode(
        "pool", Op.AVG_POOL, ("x",), ("pool",),
        frozen_mapping({"kernel": (2, 2), "strides": (2, 2), "dilations": (1, 1)}),
        steps=(Divide(4, rounding), Clamp(-128, 127)),
    )  # fmt: skip
    tensors = {"x": QuantizedTensor("x", (2, 4, 4), form),
               "pool": QuantizedTensor("pool", (2, 2, 2), form)}  # fmt: skip
    return QuantizedGraph("net", "maxim", ("x",), ("pool",), (node,), frozen_mapping(tensors), {})


def test_roundings_of_averages() -> None:
    """Truncation and half away from zero are the hardware's; any other rounding is refused."""
    (truncated,), (rounded,) = (
        lift(_pool_graph(rounding)) for rounding in (Rounding.TOWARD_ZERO, Rounding.HALF_AWAY)
    )
    assert (truncated.layer.pool.is_rounded, rounded.layer.pool.is_rounded) == (False, True)
    with pytest.raises(GraphError, match="'pool' neither truncates"):
        lift(_pool_graph(Rounding.HALF_EVEN))
