"""The comparer finds the first difference and reads its mark."""

from __future__ import annotations

import numpy as np
import pytest
from tests.core.ir import everything

from nibblefit.errors import MismatchError
from nibblefit.fixed import arith
from nibblefit.fixed.formats import Format, Rounding
from nibblefit.ir.compare import Diagnosis, compare, diagnose, require_equal
from nibblefit.ir.reference import run

INT8 = Format(8)
RNG = np.random.default_rng(9)
SUMS = RNG.integers(-9000, 9000, (4, 6, 5, 5))


def requantize(sums, shift=6, rounding=Rounding.HALF_UP, lo=-128, hi=127):
    return np.clip(arith.shift_right(sums, shift, rounding), lo, hi)


GOOD = requantize(SUMS)


@pytest.mark.parametrize(("actual", "diagnosis", "detail"), [
    (requantize(SUMS, rounding=Rounding.HALF_EVEN), Diagnosis.ROUNDING, "one step, down"),
    (requantize(SUMS, rounding=Rounding.FLOOR), Diagnosis.ROUNDING, "one step, down"),
    (requantize(SUMS, rounding=Rounding.HALF_AWAY), Diagnosis.ROUNDING, "one step, down"),
    (arith.wrap(requantize(SUMS, lo=-999, hi=999), 8), Diagnosis.OVERFLOW, "ends of int8"),
    (requantize(SUMS, lo=-999, hi=999), Diagnosis.OVERFLOW, "ends of int8"),
    (requantize(SUMS, lo=-127), Diagnosis.OVERFLOW, "ends of int8"),
    (np.clip(GOOD + np.array([0, 3, 0, 0, -2, 0]).reshape(6, 1, 1), -128, 127),
     Diagnosis.OFFSET, "constant difference"),
    (GOOD[:, [0, 2, 1, 3, 4, 5]], Diagnosis.CHANNEL_ORDER, "channel 1 is found as channel 2"),
    (requantize(SUMS, shift=7), Diagnosis.SCALE, "about 0.5 times"),
    (requantize(SUMS, shift=5), Diagnosis.SCALE, "about 2 times"),
    (RNG.integers(-128, 128, GOOD.shape), Diagnosis.OTHER, "no known mark"),
])  # fmt: skip
def test_faults_leave_their_mark(actual, diagnosis, detail):
    """Rounding, saturation, bias, channel order and shift are told apart."""
    found, words = diagnose(GOOD, actual, INT8)
    assert found is diagnosis
    assert detail in words


def test_rounding_both_ways_is_still_rounding():
    """Differences of one step in both directions."""
    actual = GOOD.copy()
    actual[0, 0, 0, :2] += np.array([1, -1])
    assert diagnose(GOOD, actual, INT8) == (
        Diagnosis.ROUNDING,
        "every difference is one step, both ways",
    )


def test_vectors_without_channels_are_diagnosed_too():
    """Tensors of one axis have no channel order, but all the other marks."""
    expected = np.arange(20)
    assert diagnose(expected, expected + 3, INT8)[0] is Diagnosis.OFFSET
    assert diagnose(expected, expected * 2, INT8)[0] is Diagnosis.SCALE
    assert diagnose(np.array([1]), np.array([9]), INT8)[0] is Diagnosis.OTHER


def executions():
    graph = everything.quantized()
    x = np.random.default_rng(0).integers(-128, 128, (3, 4, 6, 6))
    tensors = dict(run(graph, {"x": x}).tensors)
    return graph, tensors, {name: values.copy() for name, values in tensors.items()}


def test_equal_executions_say_so():
    """Every tensor is counted, none differs."""
    graph, expected, actual = executions()
    comparison = compare(expected, actual, graph)
    assert comparison.equal
    assert set(comparison.counts) == set(expected)
    assert comparison.explain() == f"all {len(expected)} tensors are equal, code by code"
    require_equal(expected, actual, graph)


def test_the_first_difference_in_topological_order_is_reported():
    """Layer, index, both values, count, share and the largest difference."""
    graph, expected, actual = executions()
    actual["logits"][2, 4] += 5
    actual["conv"][1, 2, 3, 4] += 1
    actual["conv"][2, 0, 0, 0] -= 1
    comparison = compare(expected, actual, graph)
    first = comparison.first
    assert (first.name, first.node, first.layer) == ("conv", "conv", "first")
    assert (first.count, first.size, first.largest) == (2, 864, 1)
    assert first.index == (1, 2, 3, 4)
    assert first.actual == first.expected + 1
    assert comparison.counts["logits"] == 1
    with pytest.raises(MismatchError) as caught:
        require_equal(expected, actual, graph)
    text = str(caught.value)
    for words in ("node 'conv' of layer 'first'", "2 of 864 codes (0.231 %)", "rounding",
                  "largest difference 1", "first at (1, 2, 3, 4)", "2 of "):  # fmt: skip
        assert words in text


def test_missing_and_misshapen_tensors_differ():
    """A tensor that is absent or of another shape never counts as equal."""
    graph, expected, actual = executions()
    del actual["relu"]
    comparison = compare(expected, actual, graph)
    assert comparison.first.diagnosis is Diagnosis.MISSING
    assert "looks like: missing" in comparison.explain()
    graph, expected, actual = executions()
    actual["x"] = actual["x"].transpose(0, 1, 3, 2)[:, :, :5]
    comparison = compare(expected, actual, graph)
    assert comparison.first.diagnosis is Diagnosis.SHAPE
    assert "input 'x'" in comparison.explain()
    assert "expected (3, 4, 6, 6), found (3, 4, 5, 6)" in comparison.explain()


def test_only_tensors_that_are_expected_are_compared():
    """Vendor vectors of some layers are enough."""
    graph, expected, actual = executions()
    comparison = compare({"conv": expected["conv"]}, actual, graph)
    assert comparison.counts == {"conv": 0}
