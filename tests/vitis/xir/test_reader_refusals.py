"""Quantized files of others: what is not the DPU's, or does not fit, is refused by operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from tests.vitis.xir.networks import (
    Net,
    activations,
    combined,
    convolutions,
    flattened,
    formats_of,
    moved,
    pools,
    products,
)

from nibblefit.errors import InputError, NibblefitError, UnsupportedError
from nibblefit.ir.graph import Graph, frozen_mapping
from nibblefit.ir.ops import Op
from nibblefit_vitis.settings import NetworkSetting
from nibblefit_vitis.xir.attributes import flag, number, numbers, raw, real, reals, text
from nibblefit_vitis.xir.graph import Attribute, XirGraph, XirOperator
from nibblefit_vitis.xir.importing.names import OurNames
from nibblefit_vitis.xir.importing.network import network_of
from nibblefit_vitis.xir.network import to_xir

Change = Callable[[XirOperator], XirOperator]


def graph_of(build: Callable[[], Graph]) -> XirGraph:
    """Return a network in XIR's form."""
    return to_xir(build(), formats_of(build()), NetworkSetting()).graph


def changed(graph: XirGraph, kind: str, change: Change) -> XirGraph:
    """Return a graph in which the first operator of a kind is another one."""
    operators = list(graph.operators)
    place = next(i for i, operator in enumerate(operators) if operator.kind == kind)
    operators[place] = change(operators[place])
    return replace(graph, operators=tuple(operators))


def setting(**attributes: Attribute) -> Change:
    """Return a change of attributes."""
    return lambda op: replace(op, attributes=frozen_mapping({**op.attributes, **attributes}))


def without(name: str) -> Change:
    """Return the removal of an attribute."""
    return lambda op: replace(
        op, attributes=frozen_mapping({k: v for k, v in op.attributes.items() if k != name})
    )


def reading(**arguments: tuple[str, ...]) -> Change:
    """Return a change of arguments."""
    return lambda op: replace(op, arguments=frozen_mapping({**op.arguments, **arguments}))


def shaped(*shape: int) -> Change:
    """Return a change of shape."""
    return lambda op: replace(op, tensor=replace(op.tensor, shape=shape))


INPUT = "Net__input_0_fix"
CASES: tuple[tuple[Callable[[], Graph], str, Change, str], ...] = (
    (convolutions, "data", shaped(2, 9, 7, 4), "batch is 2"),
    (convolutions, "data", shaped(), "batch is missing"),
    (convolutions, "fix", setting(round_mode=text("STD_ROUND")), "rounds by STD_ROUND"),
    (convolutions, "fix", setting(bit_width=number(0)), "bit_width is 0"),
    (convolutions, "fix", setting(fix_point=number(1000)), "fix_point is 1000"),
    (convolutions, "conv2d", setting(pad_mode=text("SAME")), "pad_mode is 'SAME'"),
    (convolutions, "conv2d", setting(stride=numbers((1,))), "stride is"),
    (convolutions, "conv2d", without("pad"), "pad is missing"),
    (convolutions, "conv2d", setting(group=text("one")), "group is one"),
    (convolutions, "conv2d", reading(weights=(INPUT,)), "weights .* is no constant"),
    (convolutions, "conv2d", reading(bias=(INPUT,)), "bias .* is no constant"),
    (convolutions, "conv2d", reading(weights=()), "no weights 0"),
    (convolutions, "conv2d", shaped(1, 2, 3), "is no image's"),
    (convolutions, "conv2d", shaped(1, 9, 9, 6), "does not follow"),
    (convolutions, "const", setting(data_type=text("INT8")), "INT8"),
    (convolutions, "const", setting(data=raw(b"abc")), "3 bytes"),
    (convolutions, "const", setting(data=raw(np.full(216, np.nan, "<f4").tobytes())), "finite"),
    (convolutions, "relu", reading(input=("Net__plain_weight",)), "is a constant"),
    (pools, "maxpool2d", setting(**{"global": number(1)}), "global is 1"),
    (pools, "avgpool2d", setting(kernel=numbers((0, 0))), "kernel is"),
    (pools, "avgpool2d", setting(kernel=numbers((2, 2))), "no factor of"),
    (activations, "leaky-relu", without("alpha"), "alpha is missing"),
    (activations, "leaky-relu", setting(alpha=real(float("inf"))), "alpha is inf"),
    (activations, "softmax", setting(axis=number(7)), "axis is 7"),
    (activations, "prelu", reading(weight=(INPUT,)), "weight"),
    (flattened, "matmul", setting(transpose_a=flag(True)), "first operand is transposed"),
    (flattened, "matmul", setting(transpose_b=flag(False)), "no sound network"),
    (flattened, "transpose", setting(order=numbers((0, 1, 1, 2))), "no permutation"),
    (flattened, "transpose", setting(order=numbers((1, 0, 2, 3))), "file"),
    (flattened, "reshape", shaped(1, 5), "cannot become"),
    (flattened, "stack", reading(input=(INPUT,)), "joins tensors"),
    (products, "matmul", setting(transpose_b=flag(True)), "product of tensors"),
    (moved, "strided_slice", setting(strides=numbers((1, 0, 1, 1))), "begin, end and strides"),
    (moved, "pad", setting(mode=text("REFLECT")), "other than a constant"),
    (moved, "pad", setting(constant_values=reals((0.0, 1.0))), "one number"),
    (moved, "resize", setting(mode=text("CUBIC")), "mode is CUBIC"),
    (moved, "resize", shaped(1, 2), "no image's"),
    (moved, "pixel-shuffle", setting(upscale=flag(False)), "smaller"),
    (combined, "concat", reading(input=()), "number of axes"),
    (combined, "sub", reading(input=()), "no inputs"),
    (combined, "scale", reading(scale=(INPUT,)), "no constant"),
    (combined, "add", shaped(8,), "axes"),
)  # fmt: skip


@pytest.mark.parametrize(("build", "kind", "change", "words"), CASES)
def test_operators_that_do_not_fit_are_named(
    build: Callable[[], Graph], kind: str, change: Change, words: str
) -> None:
    """The text names the operator and what is wrong with it."""
    with pytest.raises(NibblefitError, match=words) as found:
        network_of(changed(graph_of(build), kind, change), file="file")
    assert "file" in found.value.what


@pytest.mark.parametrize(
    ("kind", "words"),
    [("conv2d-fix", "this file is compiled"), ("download", "this file is compiled"),
     ("reluu", "did you mean 'relu'")],
)  # fmt: skip
def test_unknown_operators_are_refused_with_a_hint(kind: str, words: str) -> None:
    """A compiled file is told apart from a misspelt operator."""
    graph = changed(graph_of(convolutions), "relu", lambda op: replace(op, kind=kind))
    with pytest.raises(UnsupportedError, match=words):
        network_of(graph)


def test_pools_without_a_factor_must_be_exact_on_the_dpu() -> None:
    """Areas of a power of two need no factor; another area without one is refused."""
    for size, accepted in ((4, True), (3, False)):
        graph = graph_of(lambda size=size: mean_of(size))
        bare = tuple(op for op in graph.operators if op.kind in ("data", "fix", "avgpool2d"))[:3]
        lone = replace(graph, operators=bare)
        if accepted:
            assert network_of(lone).graph.nodes[-1].op is Op.GLOBAL_AVG_POOL
            continue
        with pytest.raises(InputError, match="no factor"):
            network_of(lone)


def mean_of(size: int) -> Graph:
    """Return a network of one global average pool."""
    net = Net(3, size, size)
    return net.done(net.add(Op.GLOBAL_AVG_POOL, [net.x], "mean"))


def gates() -> XirGraph:
    """Return a hard swish in XIR's form."""
    net = Net(3, 4, 4)
    graph = net.done(net.add(Op.HARD_SWISH, [net.x], "swish"))
    return graph_of(lambda: graph)


def test_wrong_gates_are_refused_or_read_as_products() -> None:
    """Another factor is not the DPU's; another format of the gate is a layer of its own."""
    graph = gates()
    wrong = changed(graph, "const", setting(data=raw(np.float32(0.9).tobytes())))
    with pytest.raises(InputError, match="no factor of"):
        network_of(wrong)

    def other(operator: XirOperator) -> XirOperator:
        position = {"fix_point": number(6)}
        own: Mapping[str, Attribute] = {**operator.attributes, **position}
        return replace(operator, attributes=frozen_mapping(own))

    operators = tuple(other(op) if op.name.endswith("mul_fix") else op for op in graph.operators)
    read = network_of(replace(graph, operators=operators))
    assert [node.op for node in read.graph.nodes] == [Op.HARD_SIGMOID, Op.MUL]


def test_a_gate_without_its_own_rounding_is_still_a_hard_swish() -> None:
    """An unquantized gate is the float hard swish."""
    net = Net(3, 4, 4)
    graph = net.done(net.add(Op.HARD_SWISH, [net.x], "swish"))
    formats = replace(formats_of(graph), outputs=frozen_mapping())
    read = network_of(to_xir(graph, formats, NetworkSetting()).graph)
    assert [node.op for node in read.graph.nodes] == [Op.HARD_SWISH]


def test_one_constant_in_two_arrangements_gets_two_names() -> None:
    """A constant that two layers read differently is entered twice."""
    graph = graph_of(square)
    read = network_of(graph, OurNames(frozen_mapping({"Net__a_weight": "w", "Net__b_weight": "w"})))
    assert len([name for name in read.graph.constants if name.startswith("w")]) == 2


def square() -> Graph:
    """Return two layers."""
    net = Net(4)
    return net.done(net.linear(net.linear(net.x, 4, "a"), 4, "b"))
