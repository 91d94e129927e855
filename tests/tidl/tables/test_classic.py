"""The limits of the classic generation's table."""

from __future__ import annotations

import pytest
from tests.tidl.networks import Net
from tests.tidl.tables.judged import conv, judged, one, pool

from nibblefit.ir.graph import Graph
from nibblefit.ir.ops import Op
from nibblefit_tidl.classic.numerics import numerics_of
from nibblefit_tidl.classic.options import ClassicOptions
from nibblefit_tidl.tables.judging import Judgement, Setting, judge
from nibblefit_tidl.tables.schema import Severity


@pytest.mark.parametrize(
    ("graph", "reason", "remedy"),
    [
        (conv((3, 3, 3), shape=(4, 5, 5, 5)), "3 axes", "2-D"),
        (conv((1, 1), shape=(1025, 2, 2)), "1,025 channels", "fewer channels"),
        (pool(Op.MAX_POOL, 2, 2, dilations=(2, 2)), "dilation 2", "larger kernel"),
        (one(Op.CLIP, lo=0.0, hi=4.0), "0 … 4", "ReLU6"),
        (one(Op.SLICE, axes=(2,), starts=(0,), ends=(16,), strides=(2,)), "steps 2", "strided"),
        (one(Op.TRANSPOSE, perm=(0, 2, 3, 1)), "no concatenation", "host"),
        (one(Op.RESIZE_NEAREST, sizes=(32, 32), coordinates="asymmetric"), "resize", "bilinear"),
        (one(Op.PAD, pads=(0, 1, 1, 0, 1, 1)), "pad", "inside the convolution"),
        (one(Op.SIGMOID), "no sigmoid", "use"),
        (one(Op.SUB, twice=True), "no sub", "add"),
    ],
)
def test_what_is_refused(graph: Graph, reason: str, remedy: str) -> None:
    """Reason and remedy are said, by the table or, where it has no row, by the arithmetic."""
    found = judged(graph, generation="classic")
    assert found.is_refused
    assert reason in found.refusal[0]
    assert remedy in found.refusal[1]


@pytest.mark.parametrize(
    "graph",
    [conv(), conv((5, 5), 2), conv((4, 4), 2, groups=4, op=Op.CONV_TRANSPOSE),
     pool(Op.AVG_POOL, 3, 2), one(Op.CLIP, lo=0.0, hi=6.0), one(Op.GLOBAL_MAX_POOL),
     one(Op.ARGMAX, axis=1, keepdims=True), one(Op.MUL, twice=True), one(Op.SOFTMAX, axis=1)],
)  # fmt: skip
def test_what_runs(graph: Graph) -> None:
    """Layers of TI's validated networks, among them grouped transposed convolutions."""
    assert not judged(graph, generation="classic").is_refused


def heads(last: Op) -> Graph:
    """Return two detection heads that are joined, and something behind."""
    net, joined = Net((4, 8, 8)), []
    for name in ("a", "b"):
        x = net.add(Op.TRANSPOSE, [net.conv(net.x, 4, name)], f"{name}.t", perm=(0, 2, 3, 1))
        joined.append(net.add(Op.FLATTEN, [x], f"{name}.f", start_axis=1))
    x = net.add(Op.CONCAT, joined, "cat", axis=1)
    return net.finish(net.add(last, [x], "last", **({"axis": 1} if last is Op.SOFTMAX else {})))


def _judged(graph: Graph) -> dict[str, Judgement]:
    setting = Setting("classic", "am5749", numerics_of(ClassicOptions()))
    return {one.node.name: one for one in judge(graph, setting)}


def test_detection_heads_may_transpose() -> None:
    """Permute joins DetectionOutput behind heads; with another layer behind it is refused."""
    assert not any(one.is_refused for one in _judged(heads(Op.SOFTMAX)).values())
    found = _judged(heads(Op.RELU))
    assert found["a.t"].is_refused
    assert "'last'" in found["a.t"].refusal[0]


def test_notes() -> None:
    """One input channel, a missing bias and softmax on EVE are remarked on."""
    for graph in (
        conv(shape=(1, 8, 8)),
        one(Op.LINEAR, (6,), weights=(3, 6)),
        one(Op.SOFTMAX, (6,), axis=1),
    ):
        assert judged(graph, generation="classic").with_severity(Severity.NOTED)
