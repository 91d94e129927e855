"""Both graphs as values: lookups, copies, and data that targets declare."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from tests.core.ir import everything

from nibblefit.fixed.formats import Rounding
from nibblefit.ir.graph import frozen_mapping
from nibblefit.ir.numerics import (
    BiasRule,
    Fusion,
    Numerics,
    Requantization,
    RequantRule,
    ScaleKind,
    Signedness,
    TensorRule,
)
from nibblefit.ir.ops import ACTIVATIONS, ELEMENTWISE, MOVERS, WEIGHTED, Op
from nibblefit.ir.quantized import Placement

QUANTIZED = everything.quantized()
FLOAT = everything.floating()


@pytest.mark.parametrize("graph", [QUANTIZED, FLOAT], ids=["quantized", "float"])
def test_nodes_producers_and_consumers_are_found_by_name(graph):
    """Lookups agree with the list of nodes."""
    conv = graph.node("conv")
    assert conv.output == "conv"
    assert graph.producers()["conv"] is conv
    assert conv in graph.consumers()["x"]
    assert conv in graph.consumers()["w"]
    assert graph.consumers()[graph.outputs[0]] == []
    with pytest.raises(KeyError):
        graph.node("nowhere")


def test_last_uses_free_every_tensor_once_and_no_output():
    """Everything a node reads for the last time, never a constant, an output, or twice."""
    graph = FLOAT
    freed = graph.last_uses()
    assert len(freed) == len(graph.nodes)
    for position, names in enumerate(freed):
        read_later = {name for node in graph.nodes[position + 1 :] for name in node.inputs}
        here = {*graph.nodes[position].inputs, *graph.nodes[position].outputs}
        assert set(names) <= here - read_later
    every = [name for names in freed for name in names]
    made = {name for node in graph.nodes for name in (*node.inputs, *node.outputs)}
    assert sorted(every) == sorted(made - {*graph.outputs, *graph.constants})


def test_layers_group_nodes_in_order():
    """Nodes of one hardware layer stay together; others stand alone."""
    layers = QUANTIZED.layers()
    assert [node.name for node in layers["first"]] == ["conv", "relu"]
    assert [node.name for node in layers["max"]] == ["max"]


def test_steps_of_input_are_empty_where_none_are_declared():
    """No tuple of input steps means no steps anywhere."""
    assert QUANTIZED.node("relu").steps_of_input(0) == ()
    assert len(QUANTIZED.node("conv").steps_of_input(2)) == 1
    assert QUANTIZED.node("conv").placement is Placement.ACCELERATOR


def test_graphs_and_mappings_cannot_be_changed():
    """A graph is a value; changing means making another one."""
    with pytest.raises(TypeError):
        frozen_mapping({"a": 1})["a"] = 2
    with pytest.raises(FrozenInstanceError):
        FLOAT.name = "other"
    other = FLOAT.with_constants({"b": np.zeros(8)})
    assert (other.constants["b"] == 0).all()
    assert FLOAT.constants["b"].any()
    assert QUANTIZED.with_nodes().nodes == ()


def test_declared_arithmetic_is_plain_data_with_defaults():
    """A target states only what differs from int8 with power-of-two scales."""
    numerics = Numerics(
        weights=TensorRule(bits=(8, 4), per_channel=True, scale=ScaleKind.REAL),
        inputs=TensorRule(signedness=Signedness.BY_RANGE),
        bias=BiasRule(8, shift=7),
        requant=RequantRule(Requantization.MULTIPLY_SHIFT, Rounding.HALF_AWAY, 31),
        fusions=(Fusion("conv + relu", (Op.CONV, Op.RELU), frozenset({1})),),
    )
    assert numerics.activations == TensorRule()
    assert numerics.accumulator.bits == 32
    assert numerics.sources == {}


def test_families_of_operators_do_not_overlap():
    """Weights, elementwise, moving and rectifying operators are different things."""
    families = (WEIGHTED, ELEMENTWISE, MOVERS, ACTIVATIONS)
    assert sum(map(len, families)) == len(frozenset().union(*families))
