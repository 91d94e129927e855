"""Every rule of well-formedness, each broken by one graph, and only named where it is broken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.core.ir import everything
from tests.core.ir.build import INT8, WIDE, Float, Quantized

from nibblefit.errors import GraphError
from nibblefit.fixed.formats import Accumulator, Format, Rounding, Scale
from nibblefit.fixed.steps import (
    Add,
    Clamp,
    Divide,
    Lookup,
    Mul,
    MulFloat32,
    RoundFloat32,
    ShiftLeft,
    ShiftRight,
    Step,
    Wrap,
    float_param,
    int_param,
)  # fmt: skip
from nibblefit.ir.graph import Node, frozen_mapping
from nibblefit.ir.legal import RULES, check_graph, check_quantized, violations
from nibblefit.ir.ops import Op
from nibblefit.ir.quantized import QuantizedNode, QuantizedTensor

CLAMP = Clamp(-128, 127)


def linear(*, fmt=INT8, steps=(CLAMP,), accumulator=None, attributes=None, input_steps=()):
    """A linear layer with one thing to be broken."""
    net = Quantized()
    net.input("x", (4,))
    net.constant("w", [[1, 2, 3, 4], [5, 6, 7, 8]], INT8)
    net.node(Op.LINEAR, ["x", "w"], "y", fmt, steps=steps, accumulator=accumulator,
             attributes=attributes, input_steps=input_steps)  # fmt: skip
    return net.graph()


def with_node(graph, **changes):
    return graph.with_nodes(replace(graph.nodes[0], **changes))


def with_tensor(graph, name, **changes):
    tensor = replace(graph.tensors[name], **changes)
    return replace(graph, tensors=frozen_mapping({**graph.tensors, name: tensor}))


def rules_of(graph):
    return {violation.rule for violation in violations(graph)}


def test_legal_graphs_break_no_rule():
    """The graphs of all operators, float and quantized."""
    check_quantized(everything.quantized())
    check_graph(everything.floating())
    assert rules_of(linear()) == set()


def test_every_rule_has_an_id_and_a_sentence():
    """Names are stable identifiers; sentences end in a full stop."""
    assert all("." in name and rule.sentence.endswith(".") for name, rule in RULES.items())
    assert len(RULES) == 15


def _duplicate_node():
    graph = linear()
    tensors = {**graph.tensors, "z": replace(graph.tensors["y"], name="z")}
    graph = replace(graph, tensors=frozen_mapping(tensors))
    return graph.with_nodes(graph.nodes[0], replace(graph.nodes[0], outputs=("z",)))


def _duplicate_tensor():
    graph = linear()
    return graph.with_nodes(graph.nodes[0], replace(graph.nodes[0], name="again"))


def _wrong_order():
    net = Quantized()
    net.input("x", (4,))
    net.node(Op.RELU, ["x"], "a", INT8)
    net.node(Op.RELU, ["a"], "b", INT8)
    graph = net.graph()
    return graph.with_nodes(*graph.nodes[::-1])


def _undeclared():
    graph = linear()
    return replace(graph, tensors=frozen_mapping({n: graph.tensors[n] for n in ("x", "w")}))


def _declared_too_much():
    graph = linear()
    extra = {**graph.tensors, "ghost": QuantizedTensor("ghost", (1,), INT8)}
    return replace(graph, tensors=frozen_mapping(extra))


def _computed_weights():
    net = Quantized()
    net.input("x", (4,))
    net.input("w", (2, 4))
    net.node(Op.LINEAR, ["x", "w"], "y", steps=())
    return net.graph()


def _constant_input():
    net = Quantized()
    net.input("x", (4,))
    net.constant("c", np.ones(4), INT8)
    net.constant("w", np.ones((2, 4)), INT8)
    net.node(Op.LINEAR, ["c", "w"], "y")
    return net.graph()


def _too_few_outputs():
    graph = everything.quantized()
    nodes = [replace(n, outputs=n.outputs[:1]) if n.op is Op.SPLIT else n for n in graph.nodes]
    tensors = {name: t for name, t in graph.tensors.items() if name != "right"}
    return replace(graph, nodes=tuple(nodes), tensors=frozen_mapping(tensors))


def _window_of_padding():
    net = Quantized()
    net.input("x", (1, 1))
    net.node(Op.MAX_POOL, ["x"], "y", INT8,
             attributes={"kernel": (2,), "dilations": (3,), "pads": (1, 2)})  # fmt: skip
    return net.graph()


def _constants(values):
    graph = linear()
    return replace(graph, constants=frozen_mapping({"w": values}))


def _state(states, count=1):
    net = Quantized()
    net.input("x", (4,))
    for index in range(count):
        net.node(Op.CHOOSE_SHIFT, ["x"], f"n{index}", INT8,
                 attributes={"bits": 8, "signed": True, "state": "range"})  # fmt: skip
    net.states = states
    return net.graph()


def _table(values, lowest):
    net = Quantized()
    net.input("x", (4,))
    net.constant("t", values)
    net.node(Op.TABLE, ["x", "t"], "y", attributes={"lowest": lowest})
    return net.graph()


def _exponentials(values):
    net = Quantized()
    net.input("x", (4,))
    net.constant("t", values)
    net.node(Op.SOFTMAX, ["x", "t"], "y",
             attributes={"axis": 1, "numerator": 255, "rounding": "floor"})  # fmt: skip
    return net.graph()


def _unsigned_64():
    return linear(fmt=Format(64, False), steps=(Clamp(0, 127),))


def fmt_case(**changes):
    return lambda: with_tensor(linear(), "y", format=Format(8, **changes))


BROKEN = [
    ("names.unique", _duplicate_node, "2 nodes have this name"),
    ("names.unique", _duplicate_tensor, "made 2 times"),
    ("order.topological", _wrong_order, "reads 'a', which nothing before"),
    ("order.topological", lambda: replace(linear(), outputs=("nowhere",)), "no node makes it"),
    ("tensors.declared", _undeclared, "no declared shape"),
    ("tensors.declared", _declared_too_much, "nothing makes it"),
    ("tensors.declared", lambda: with_tensor(linear(), "y", shape=(0,)), "a size below 1"),
    ("attributes.valid", lambda: linear(attributes={"axis": 1}), "'axis' is unknown to linear"),
    ("attributes.valid", lambda: with_node(linear(), op=Op.SOFTMAX), "'axis' is missing"),
    ("attributes.valid", lambda: with_node(linear(), op=Op.DROPOUT), "does not exist in this kind"),
    ("attributes.valid",
     lambda: with_node(linear(), op=Op.FLATTEN, attributes={"start_axis": "1"}),
     "'start_axis' is '1'; expected an integer of 1 or more"),
    ("parameters.constant", _computed_weights, r"input 1 \('w'\) is computed"),
    ("parameters.constant", _constant_input, "reads no tensor"),
    ("shapes.consistent", lambda: with_tensor(linear(), "y", shape=(3,)), r"make \(2,\)"),
    ("shapes.consistent", lambda: with_tensor(linear(), "x", shape=(3,)), r"expect \(4,\)"),
    ("shapes.consistent", _too_few_outputs, "1 outputs; expected 2"),
    ("shapes.consistent", _window_of_padding, "sees padding only"),
    ("constants.codes", lambda: _constants(np.ones((2, 4))), "float64; expected int64"),
    ("constants.codes", lambda: _constants(np.ones((2, 5), dtype=np.int64)), "declared is"),
    ("constants.codes", lambda: _constants(np.full((2, 4), 128)), "128 leave int8"),
    ("formats.valid", fmt_case(axis=2), "channel axis is 2; expected 0 to 1"),
    ("formats.valid", fmt_case(scale=Scale.power_of_two(1, 2, 3), axis=1), "has 3 scales"),
    ("formats.valid", fmt_case(zero_point=(200,)), r"zero point \(200,\) is no code"),
    ("formats.valid", _unsigned_64, "do not fit"),
    ("steps.count", lambda: linear(input_steps=((),)), "1 tuples of input steps for 2 inputs"),
    ("steps.valid", lambda: linear(steps=(Step(), CLAMP)), "Step is not a known step"),
    ("steps.valid", lambda: linear(steps=(MulFloat32(float_param(1.0)), CLAMP)), "without Round"),
    ("steps.valid", lambda: linear(steps=(RoundFloat32(Rounding.FLOOR), CLAMP)), "follows no"),
    ("steps.valid", lambda: linear(steps=(MulFloat32(float_param(1.0)),)), "end in float32"),
    ("steps.valid", lambda: linear(steps=(Mul(0.5), CLAMP)), "is 0.5; expected int64"),
    ("steps.valid", lambda: linear(steps=(Mul(np.ones(2)), CLAMP)), "expected int64"),
    ("steps.valid",
     lambda: linear(steps=(MulFloat32(float_param(float("inf"))), RoundFloat32(Rounding.FLOOR))),
     "not finite"),
    ("steps.valid", lambda: linear(steps=(ShiftLeft(-1), CLAMP)), "shifts by -1"),
    ("steps.valid", lambda: linear(steps=(ShiftRight(99, Rounding.FLOOR), CLAMP)), "to 99 bits"),
    ("steps.valid", lambda: linear(steps=(Divide(0, Rounding.FLOOR), CLAMP)), "the divisor 0"),
    ("steps.valid", lambda: linear(steps=(Clamp(5, 4),)), "runs from 5 to 4"),
    ("steps.valid", lambda: linear(steps=(Wrap(64), CLAMP)), "keeps 64 bits"),
    ("steps.valid", lambda: linear(steps=(Lookup(int_param([[1]]), 0),)), "expected one axis"),
    ("steps.shape", lambda: linear(steps=(Add(int_param([1, 2, 3])), CLAMP)), r"shape \(3,\)"),
    ("steps.shape", lambda: linear(steps=(Add(int_param([[1], [2]])), CLAMP)), r"shape \(2, 1\)"),
    ("steps.shape", lambda: linear(input_steps=((), (Add(int_param([1, 2])),))), "of Add"),
    ("states.exist", lambda: _state({}), "state 'range' does not exist"),
    ("states.exist", lambda: _state({"range": np.zeros(2, dtype=np.int64)}), "three int64"),
    ("states.exist", lambda: _state({"range": np.zeros(3, dtype=np.int64)}, 2), "belongs to 'n0'"),
    ("accumulator.proven", lambda: linear(accumulator=Accumulator(12)),
     "-3328 to 3302 and needs 13 bits; the target has 12"),
    ("accumulator.proven", lambda: _table(np.zeros(100), -50), "can reach a table"),
    ("accumulator.proven", lambda: _exponentials([0, 1]), "no constant of exponentials"),
    ("accumulator.proven",
     lambda: linear(steps=(Lookup(int_param([1]), 0),)), "can reach a lookup table"),
    ("values.in_64_bits",
     lambda: linear(steps=(Mul(2**60), ShiftRight(60, Rounding.FLOOR), CLAMP)),
     "which 64 bits do not hold"),
    ("values.in_64_bits",
     lambda: linear(input_steps=((ShiftLeft(60), CLAMP), ())), "shift earlier"),
    ("output.in_format", lambda: linear(steps=()), "-3328 to 3302; its format int8"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "make", "text"), BROKEN)
def test_a_broken_rule_is_named_with_its_numbers(rule, make, text):
    """One fault gives its rule, and rules that need it are not reported on top."""
    graph = make()
    assert rules_of(graph) == {rule}
    with pytest.raises(GraphError, match=text):
        check_quantized(graph)


def test_every_rule_is_broken_by_some_graph():
    """No rule is a check that cannot fail."""
    assert {case[0] for case in BROKEN} == set(RULES)


def test_steps_of_attributes_are_checked_too():
    """Leaky relus and gates carry steps in their attributes."""
    net = Quantized()
    net.input("x", (4,))
    net.node(Op.LEAKY_RELU, ["x"], "y", INT8, attributes={"negative": (ShiftLeft(-1),)})
    assert rules_of(net.graph()) == {"steps.valid"}


def test_float_graphs_have_rules_as_well():
    """Names, order, attributes and shapes; messages list every violation."""
    net = Float()
    net.input("x", (4,))
    net.node(Op.RELU, ["x"], "y")
    graph = net.graph()
    check_graph(graph)
    broken = replace(graph, nodes=(*graph.nodes, Node("y", Op.CLIP, ("lost",), ("z",))))
    with pytest.raises(GraphError, match="breaks 5 rules or places") as caught:
        check_graph(broken)
    for rule in ("names.unique", "order.topological", "tensors.declared", "attributes.valid"):
        assert f"[{rule}]" in str(caught.value)


def test_a_single_violation_names_rule_node_numbers_and_remedy():
    """The text is enough to act on."""
    with pytest.raises(GraphError) as caught:
        check_quantized(linear(accumulator=Accumulator(12)))
    text = str(caught.value)
    assert "[accumulator.proven] node 'y' (linear)" in text
    assert "fewer input channels" in text


def test_wide_formats_accept_wide_results():
    """The same linear layer is legal where the format holds its range."""
    assert rules_of(linear(fmt=WIDE, steps=(), accumulator=Accumulator(13))) == set()
    node = QuantizedNode("y", Op.LINEAR, ("x", "w"), ("y",))
    assert rules_of(linear(fmt=WIDE).with_nodes(node)) == set()
