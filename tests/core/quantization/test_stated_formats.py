"""Lowering of formats that a target states itself: positions of its own, roundings, gates."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from nibblefit.engine import Engine
from nibblefit.errors import UnsupportedError
from nibblefit.fixed.formats import Format, IntArray, Rounding, Scale
from nibblefit.ir.graph import Graph, Node, frozen_mapping
from nibblefit.ir.numerics import GateRule, Numerics, RequantRule
from nibblefit.ir.ops import Op
from nibblefit.ir.reference import run
from nibblefit.ir.shapes import infer_shapes
from nibblefit.quantization.assign import Assignment
from nibblefit.quantization.build import lower
from nibblefit.quantization.twin import Twin
from nibblefit.quantization.units import units
from nibblefit.quantization.weights import Codes

CODES = np.arange(-128, 128, dtype=np.int64).reshape(1, 1, 16, 16)
FLAT = CODES.reshape(-1).tolist()
#: clip(x + 3, 0, 6) · 43 / 2^8 stands for clip(x / 6 + 1/2, 0, 1).
GATE = GateRule(43, 8)
HALF = Fraction(1, 2)


def byte(frac: int) -> Format:
    """Return signed 8 bits with fractional bits."""
    return Format(8, True, Scale.power_of_two(frac))


def executed(op: Op, given: Format, out: Format, *, numerics: Numerics | None = None,
             constants: dict[str, Codes] | None = None, changes: dict[str, Any] | None = None,
             **attributes: Any) -> list[int]:  # fmt: skip
    """Return one operator's output codes for every input code, equal on all executions."""
    weights = constants or {}
    inputs = ("x", *weights)
    shapes = [(1, 16, 16), *(tuple(codes.values.shape) for codes in weights.values())]
    (shape,) = infer_shapes(op, attributes, shapes)
    node = Node("y", op, inputs, ("y",), frozen_mapping(attributes))
    reals = {name: codes.values * codes.format.scale.values()[0] for name, codes in weights.items()}
    graph = Graph("one", ("x",), ("y",), (node,), frozen_mapping({"x": (1, 16, 16), "y": shape}),
                  frozen_mapping(reals))  # fmt: skip
    rules = numerics or Numerics(requant=RequantRule(rounding=Rounding.HALF_UP))
    assignment = Assignment({"x": given, "y": out}, {
        ("y", place): codes for place, codes in enumerate(weights.values(), 1)
    }, **(changes or {}))  # fmt: skip
    lowered = lower(graph, units(graph, rules), rules, assignment)
    found = run(lowered, {"x": CODES}).tensors["y"]
    np.testing.assert_array_equal(Engine(lowered).run({"x": CODES}, keep="all").tensors["y"], found)
    twin = Twin(lowered).codes({"x": torch.from_numpy(CODES)})["y"]
    np.testing.assert_array_equal(twin.numpy(), found)
    return list(found.reshape(-1).tolist())


def codes(values: list[Fraction]) -> list[int]:
    """Return numbers of steps rounded half up and saturated to 8 bits."""
    return [min(max(math.floor(v + Fraction(1, 2)), -128), 127) for v in values]


def constant(values: Any, fmt: Format) -> Codes:
    """Return read-only codes."""
    array: IntArray = np.array(values, np.int64)
    array.flags.writeable = False
    return Codes(array, fmt)


@pytest.mark.parametrize("move", [-2, 0, 1])
@pytest.mark.parametrize(("op", "attributes"), [
    (Op.TRANSPOSE, {"perm": (0, 1, 2, 3)}),
    (Op.FLATTEN, {"start_axis": 1}),
    (Op.PAD, {"pads": (0, 0, 0, 0, 0, 0), "value": 0.0}),
])  # fmt: skip
def test_a_mover_follows_its_outputs_format(move: int, op: Op, attributes: dict[str, Any]) -> None:
    """Codes are shifted behind the operator where the two formats differ."""
    found = executed(op, byte(4), byte(4 + move), **attributes)
    assert found == codes([x * Fraction(2) ** move for x in FLAT])


def test_a_bilinear_resize_rounds_once_into_its_outputs_format() -> None:
    """A resize to the same size leaves the values, moved to the other format."""
    found = executed(Op.RESIZE_BILINEAR, byte(4), byte(2), sizes=(16, 16), coordinates="half_pixel")
    assert found == codes([Fraction(x, 4) for x in FLAT])


@pytest.mark.parametrize("lift", [-9, -3, 0, 4])
def test_a_bias_finer_than_the_sum_loses_its_low_bits(lift: int) -> None:
    """B · 2^lift, floored where it is shifted right."""
    for value in (-77, -1, 5, 127):
        weights = {"w": constant([[[[3]]]], byte(2)), "b": constant([value], byte(6 - lift))}
        found = executed(Op.CONV, byte(4), byte(4), constants=weights)
        joined = math.floor(value * Fraction(2) ** lift)
        assert found == codes([Fraction(3 * x + joined, 4) for x in FLAT])


def test_a_node_may_have_a_rounding_and_a_lowest_code_of_its_own() -> None:
    """HALF_AWAY for one node, and −127 as its smallest code."""
    changes = {"roundings": {"y": Rounding.HALF_AWAY}, "lowest": {"y": -127}}
    weights = {"w": constant([[[[1]]]], byte(1))}
    found = executed(Op.CONV, byte(0), byte(0), constants=weights, changes=changes)
    expected = [math.floor(Fraction(abs(x), 2) + Fraction(1, 2)) * (1 if x >= 0 else -1)
                for x in FLAT]  # fmt: skip
    assert found == expected
    same = executed(Op.RELU, byte(0), byte(0), changes={"lowest": {"y": 3}})
    assert min(same) == 3


def test_an_average_may_state_its_reciprocal() -> None:
    """Sum · 7 / 2^6 for nine values, in place of a division."""
    found = executed(
        Op.AVG_POOL, byte(4), byte(4), changes={"reciprocals": {"y": (7, 6)}}, kernel=(3, 3),
        strides=(3, 3), pads=(0, 0, 0, 0), dilations=(1, 1), ceil_mode=False,
        count_include_pad=True,
    )  # fmt: skip
    sums = CODES[0, 0, :15, :15].reshape(5, 3, 5, 3).sum(axis=(1, 3)).reshape(-1).tolist()
    assert found == codes([Fraction(7 * total, 64) for total in sums])


def test_windows_over_the_edge_keep_the_reciprocals_error() -> None:
    """With count_include_pad off, corners average four values: sum / 4 · 63 / 2^6, rounded once."""
    found = executed(
        Op.AVG_POOL, byte(4), byte(4), changes={"reciprocals": {"y": (7, 6)}}, kernel=(3, 3),
        strides=(1, 1), pads=(1, 1, 1, 1), dilations=(1, 1), ceil_mode=False,
        count_include_pad=False,
    )  # fmt: skip
    corner = int(CODES[0, 0, :2, :2].sum())
    assert found[0] == codes([Fraction(9 * 7 * corner, 4 * 64)])[0]
    inner = int(CODES[0, 0, :3, :3].sum())
    assert found[17] == codes([Fraction(7 * inner, 64)])[0]


def gate(x: int, frac: int) -> Fraction:
    """Return clip(x + 3, 0, 6) · 43 / 2^8."""
    real = Fraction(x) / 2**frac + 3
    return Fraction(min(max(real, Fraction(0)), Fraction(6)) * Fraction(43, 256))


@pytest.mark.parametrize("frac", [0, 3, 6])
def test_gates_are_products_with_the_stated_factor(frac: int) -> None:
    """Hard sigmoid rounds once; hard swish rounds its gate to 8 bits first."""
    numerics = Numerics(gates=GATE)
    found = executed(Op.HARD_SIGMOID, byte(frac), byte(7), numerics=numerics)
    assert found == codes([gate(x, frac) * 128 for x in FLAT])
    found = executed(Op.HARD_SWISH, byte(frac), byte(frac), numerics=numerics)
    gates = codes([gate(x, frac) * 128 for x in FLAT])
    assert found == codes([Fraction(x * g, 128) for x, g in zip(FLAT, gates, strict=True)])


def test_a_gate_may_round_in_a_way_of_its_own() -> None:
    """Ties of the gate go up although the output's go to even."""
    rule = RequantRule(rounding=Rounding.HALF_EVEN)
    numerics = Numerics(gates=GateRule(1, 2, rounding=Rounding.HALF_UP), requant=rule)
    found = executed(Op.HARD_SWISH, byte(6), byte(6), numerics=numerics)
    for x, code in zip(FLAT, found, strict=True):
        inside = math.floor(min(max(Fraction(x, 64) + 3, Fraction(0)), Fraction(6)) * 32 + HALF)
        assert code == min(max(round(Fraction(x * min(inside, 127), 128)), -128), 127)


@pytest.mark.parametrize("op", [Op.HARD_SIGMOID, Op.HARD_SWISH])
def test_gates_of_other_scales_are_tables_of_the_same_function(op: Op) -> None:
    """With steps of 0.03 no code is 3; every entry is the stated function, rounded half up."""
    given = Format(8, True, Scale.real(0.03))
    out = Format(8, True, Scale.real(0.03))
    found = executed(op, given, out, numerics=Numerics(gates=GATE))
    for x, code in zip(FLAT, found, strict=True):
        real = min(max(Fraction(0.03) * x + 3, Fraction(0)), Fraction(6)) * Fraction(43, 256)
        if op is Op.HARD_SWISH:
            real = Fraction(0.03) * x * Fraction(min(math.floor(real * 128 + HALF), 127), 128)
        exact = real / Fraction(0.03)
        limited = min(max(exact, Fraction(-128)), Fraction(127))
        assert abs(code - limited) <= HALF + Fraction(1, 2**30)


def test_gates_need_whole_threes_and_the_usual_slope() -> None:
    """A step in which 3 is no whole number, and another slope, are refused by name."""
    numerics = Numerics(gates=GATE)
    with pytest.raises(UnsupportedError, match=r"layer 'y' .* 3 is no whole number"):
        executed(Op.HARD_SWISH, byte(-1), byte(3), numerics=numerics)
    with pytest.raises(UnsupportedError, match=r"slope 0\.2"):
        executed(Op.HARD_SIGMOID, byte(2), byte(7), numerics=numerics, alpha=0.2, beta=0.5)
