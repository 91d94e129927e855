"""Classic TIDL written in steps, against its formulas in Python integers.

Unsigned weights with an offset, 40-bit accumulator, a right shift chosen per frame from the
running range, unsigned 8-bit activations, and a second layer whose bias follows the first
layer's run-time scale.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from tests.core.fixed.exact import clamp, rounded
from tests.core.ir.build import Quantized

from nibblefit.fixed.formats import Accumulator, Format, Rounding
from nibblefit.fixed.steps import Add, Clamp
from nibblefit.ir.legal import check_quantized
from nibblefit.ir.ops import Op
from nibblefit.ir.reference import run

UINT8, INT16, INT40 = Format(8, False), Format(16), Format(40)
ZERO_WEIGHT = 119  # stored code of a weight of zero
STILL, VIDEO = (0, 0), (20, 5)  # history in percent: first frames, afterwards


def network(w1, b1, w2, b2, history):
    """Two linear layers: sum, choose the shift, shift with rounding, saturate."""
    net = Quantized()
    net.input("x", (4,), UINT8)
    amounts = []
    source = "x"
    for index, (weights, bias) in enumerate(((w1, b1), (w2, b2)), start=1):
        net.constant(f"w{index}", weights, UINT8)
        net.constant(f"b{index}", bias, INT16)
        bias_name = f"b{index}"
        for amount in amounts:
            # The bias has the accumulator's scale, which the earlier shifts made coarser.
            bias_name = net.node(Op.SHIFT_RIGHT, [bias_name, amount], f"bias{index}", INT16,
                                 attributes={"rounding": "half_up"})  # fmt: skip
        net.node(Op.LINEAR, [source, f"w{index}", bias_name], f"sum{index}", INT40,
                 input_steps=((), (Add(-ZERO_WEIGHT),), ()),
                 accumulator=Accumulator(40))  # fmt: skip
        net.states[f"range{index}"] = np.zeros(3, dtype=np.int64)
        settings = {"bits": 8, "signed": False, "history_first": history[0],
                    "history": history[1], "first_frames": 3, "state": f"range{index}"}  # fmt: skip
        net.node(Op.CHOOSE_SHIFT, [f"sum{index}"], f"n{index}", Format(8), attributes=settings)
        source = net.node(Op.SHIFT_RIGHT, [f"sum{index}", f"n{index}"], f"y{index}", UINT8,
                          attributes={"rounding": "half_up"}, steps=(Clamp(0, 255),))  # fmt: skip
        amounts.append(f"n{index}")
    return net.graph("y2", "n1", "n2")


def expected(frames, layers, history):
    """The sheet's formulas, frame after frame: sat((acc + (1 << (n − 1))) >> n)."""
    ranges: list[int | None] = [None, None]
    results = []
    for seen, frame in enumerate(frames):
        values, shifts = frame, []
        for index, (weights, bias) in enumerate(layers):
            follow = [
                rounded(Fraction(b, 2 ** sum(shifts)), Rounding.HALF_UP) if shifts else b
                for b in bias
            ]
            acc = [
                sum((w - ZERO_WEIGHT) * v for w, v in zip(row, values, strict=True)) + b
                for row, b in zip(weights, follow, strict=True)
            ]
            kept = 0 if seen == 0 else history[0] if seen < 3 else history[1]
            old = ranges[index] or 0
            top = -((-(kept * old + (100 - kept) * max(acc))) // 100)
            ranges[index] = top
            n = 0
            while top >> n > 255:
                n += 1
            half = 1 << (n - 1) if n else 0
            values = [clamp((a + half) >> n, 0, 255) for a in acc]
            shifts.append(n)
        results.append((values, shifts))
    return results


@pytest.mark.parametrize("history", [STILL, VIDEO])
def test_two_layers_equal_the_sheet_frame_by_frame(history):
    """Offsets, 40-bit sums, shifts with history, and a bias in the run-time scale."""
    rng = np.random.default_rng(3)
    w1, w2 = rng.integers(90, 256, (5, 4)), rng.integers(90, 256, (3, 5))
    b1, b2 = rng.integers(-3000, 3000, 5), rng.integers(-3000, 3000, 3)
    scene = np.array([[1], [1], [4], [40], [255], [255], [2], [1]])
    frames = rng.integers(0, 256, (8, 4)) * scene // 255
    graph = network(w1, b1, w2, b2, history)
    check_quantized(graph)
    found = run(graph, {"x": frames}).outputs
    layers = [(w1.tolist(), b1.tolist()), (w2.tolist(), b2.tolist())]
    wanted = expected(frames.tolist(), layers, history)
    assert found["y2"].tolist() == [values for values, _ in wanted]
    assert found["n1"][:, 0].tolist() == [shifts[0] for _, shifts in wanted]
    assert found["n2"][:, 0].tolist() == [shifts[1] for _, shifts in wanted]


def test_frames_in_one_batch_equal_frames_one_by_one():
    """The state carries the running ranges from call to call."""
    rng = np.random.default_rng(4)
    graph = network(rng.integers(0, 256, (5, 4)), rng.integers(-99, 99, 5),
                    rng.integers(0, 256, (3, 5)), rng.integers(-99, 99, 3), VIDEO)  # fmt: skip
    frames = rng.integers(0, 256, (6, 4))
    batch = run(graph, {"x": frames})
    state, single = None, []
    for frame in frames:
        execution = run(graph, {"x": frame[None]}, state)
        state = execution.state
        single.append(execution.tensors)
    for name, values in batch.tensors.items():
        assert (np.concatenate([tensors[name] for tensors in single]) == values).all(), name
    assert all((batch.state[name] == state[name]).all() for name in batch.state)
    assert (graph.states["range1"] == 0).all()
