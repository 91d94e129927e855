"""The proof refutes plans that are wrong, each by the rule that it breaks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.maxim.memory.test_planner import conv, dilated, residual
from tests.maxim.random_networks import plannable

from nibblefit.errors import GraphError
from nibblefit_maxim.layers import Eltwise, Pool, PoolKind
from nibblefit_maxim.memory.plan import MemoryPlan
from nibblefit_maxim.memory.planner import plan_memory
from nibblefit_maxim.parts import MAX78000, MAX78002, PARTS, Part
from nibblefit_maxim.proving.prover import prove
from nibblefit_maxim.proving.violation import broken_plan

POOL = Pool(PoolKind.MAX, (2, 2), (2, 2), (1, 1))


def changed(plan: MemoryPlan, index: int, **values: object) -> MemoryPlan:
    """Return a plan with one layer changed."""
    layers = list(plan.layers)
    layers[index] = replace(layers[index], **values)  # type: ignore[arg-type]
    return replace(plan, layers=tuple(layers))


def rules(plan: MemoryPlan) -> set[str]:
    """Return the rules that a proof finds broken."""
    found = prove([need.layer for need in plan.needs], plan, plan.part)
    assert all(violation.line() for violation in found)
    return {violation.rule for violation in found}


@pytest.mark.parametrize(
    ("index", "values", "rule"),
    [
        (0, {"in_offset": 0x6000}, None),  # the input is loaded where the first layer reads
        (1, {"in_offset": 0x6000}, "prove.unwritten"),
        (3, {"out_offset": 0x0004}, "prove.overwrites-input"),
        (2, {"out_offset": 0x6008}, "prove.outside"),
        (3, {"out_offset": 0x2000}, "prove.stale"),
        (3, {"write_gap": 0}, "prove.stale"),
        (4, {"in_offset": 0x4000}, "prove.unwritten"),
        (4, {"sources": (3, 2)}, "prove.stale"),
        (4, {"sources": (2,)}, "prove.shape"),
        (4, {"read_gap": 1}, "prove.unwritten"),
        (1, {"processors": 0x7FFF}, "prove.map"),
        (2, {"output_processors": 0xFFFFF << 16}, "prove.map"),
        (1, {"kernel_column": 2}, "prove.weights"),
        (3, {"kernel_column": 766}, "prove.weights"),
        (3, {"bias_groups": (0,), "bias_bytes": 513}, "prove.bias"),
    ],
)
def test_each_mutation_of_the_residual_plan_is_refuted(
    index: int, values: dict, rule: str | None
) -> None:
    """Offsets, gaps, maps, sources, columns and biases."""
    plan = plan_memory(residual(), MAX78000, "x")
    assert rules(plan) == set()
    found = rules(changed(plan, index, **values))
    assert (rule in found) if rule else not found


def test_weights_of_two_layers_in_one_place_are_refuted() -> None:
    """Same processors, same column."""
    needs = [conv("a", ("x",), 64, 64, side=4), conv("b", ("a",), 64, 64, side=4)]
    plan = plan_memory(needs, MAX78000, "x")
    assert rules(changed(plan, 1, kernel_column=plan.layers[0].kernel_column)) == {"prove.weights"}


def test_output_that_is_overwritten_is_refuted() -> None:
    """An earlier output must still be there at the end."""
    needs = [conv(f"l{i}", (f"l{i - 1}" if i else "x",), 64, 64) for i in range(4)]
    plan = plan_memory(needs, MAX78000, "x")
    assert rules(plan) == set()
    assert rules(changed(plan, 1, is_output=True)) == {"prove.output-lost"}


def test_streaming_buffers_that_meet_are_refuted() -> None:
    """A rolling buffer inside the output of the last streaming layer."""
    needs = [
        conv("a", ("x",), 3, 8, side=100), conv("b", ("a",), 8, 4, side=90, size=(90, 90)),
    ]  # fmt: skip
    needs[1] = replace(
        needs[1], layer=replace(needs[1].layer, input_shape=(8, 100, 100), pad=(1, 1))
    )
    plan = plan_memory(needs, MAX78000, "x")
    assert plan.uses_fifo
    moved = changed(plan, 1, out_offset=0, output_processors=plan.layers[0].processors | 8)
    assert "prove.stream" in rules(moved)
    assert "prove.stream" in rules(changed(plan, 1, in_offset=plan.layers[1].in_offset + 4))
    assert "prove.stream" in rules(changed(plan, 0, streaming=False))


@pytest.mark.parametrize("part", PARTS.values(), ids=lambda part: part.name)
def test_random_mutations_are_refuted(part: Part) -> None:
    """A read or a write moved by a few words is found in every random plan."""
    random = np.random.default_rng(3)
    caught = 0
    for seed in range(40):
        network = plannable(seed, part)
        plan = plan_memory(network.needs, part, "x", network.outputs)
        readers = [i for i, layer in enumerate(plan.layers) if layer.sources[0] >= 0]
        if not readers:
            continue
        index = readers[int(random.integers(len(readers)))]
        layer = plan.layers[index]
        shift = 4 * int(random.integers(1, 9))
        source = layer.sources[0]
        gap = plan.layers[source].write_gap
        faults = (
            changed(plan, index, in_offset=layer.in_offset + shift),
            changed(plan, source, out_offset=plan.layers[source].out_offset + shift),
            changed(plan, source, write_gap=gap + 1),
        )
        for fault in faults:
            is_single = plan.needs[source].layer.output_pixels * plan.needs[source].out_passes == 1
            if fault is faults[2] and is_single:
                continue  # one word has no gap
            assert rules(fault), (seed, index)
            caught += 1
    assert caught > 80


def test_broken_plan_is_said_in_one_error() -> None:
    """Every violation in its own line."""
    plan = plan_memory(residual(), MAX78000, "x")
    wrong = changed(plan, 4, in_offset=0x4000)
    error = broken_plan(prove([need.layer for need in wrong.needs], wrong, MAX78000))
    assert isinstance(error, GraphError)
    assert "layer 4 ('d')" in str(error)


def test_addition_of_memory_that_nobody_wrote_is_refuted() -> None:
    """The vendor's compiler lets this pass with a warning."""
    needs = [conv("a", ("x",), 3, 8), conv("b", ("x",), 3, 8),
             conv("c", ("a", "b"), 8, 8, eltwise=Eltwise.ADD)]  # fmt: skip
    plan = plan_memory(needs, MAX78000, "x")
    assert rules(changed(plan, 2, in_offset=plan.layers[2].in_offset + 0x1000)) >= {
        "prove.unwritten"
    }


def test_dilated_layer_that_writes_over_its_input_is_refuted() -> None:
    """Its output alone would fit behind the input; the row in front of it does not."""
    plan = plan_memory([dilated("a", "x", 100)], MAX78000, "x")
    layer = plan.layers[0]
    close = {"output_processors": layer.processors, "out_offset": layer.in_offset + 4 * 100}
    assert rules(changed(plan, 0, **close)) == {"prove.overwrites-input"}
    assert rules(changed(plan, 0, out_offset=0x8000 - 4 * 86)) >= {"prove.outside"}


def test_maps_that_the_hardware_cannot_use_are_refuted() -> None:
    """CHW channels in one instance, shifted passthroughs, unaligned depthwise, no quadrant 0."""
    image = [conv("a", ("x",), 3, 4, size=(100, 100), pool=POOL), conv("b", ("a",), 4, 4, side=50)]
    image[0] = replace(image[0], layer=replace(image[0].layer, output_shape=(4, 50, 50)))
    plan = plan_memory(image, MAX78000, "x")
    assert plan.is_chw
    assert rules(plan) == set()
    assert rules(changed(plan, 0, processors=0x7)) == {"prove.map"}
    plan = plan_memory(residual(), MAX78000, "x")
    moved = plan.layers[2].output_processors << 4
    assert rules(changed(plan, 2, output_processors=moved)) >= {"prove.map"}
    deep = [conv("a", ("x",), 8, 8, groups=8)]
    plan = plan_memory(deep, MAX78002, "x")
    assert rules(changed(plan, 0, output_processors=0x1FE)) == {"prove.map"}
    assert rules(changed(plan, 0, processors=0xFF0000, output_processors=0xFF0000)) == {"prove.map"}


def test_bias_beside_operands_is_refuted_on_the_larger_device() -> None:
    """Its own bias is; another layer's bias in the same quadrant is not."""
    needs = residual()
    needs[3] = replace(needs[3], layer=replace(needs[3].layer))
    plan = plan_memory(needs, MAX78002, "x")
    quadrant = next(q for q in range(4) if plan.layers[3].processors >> 16 * q & 0xFFFF)
    assert rules(changed(plan, 3, bias_groups=(3,), bias_bytes=4)) == {"prove.bias"}
    assert rules(changed(plan, 0, bias_groups=(quadrant,), bias_bytes=4)) == set()


def test_network_whose_input_nobody_reads_is_refuted() -> None:
    """Sources that lead nowhere."""
    plan = plan_memory([conv("a", ("x",), 3, 8)], MAX78000, "x")
    assert rules(changed(plan, 0, sources=())) == {"prove.shape"}
