"""The vendor's single-purpose networks: planned anew from the graph alone, proven, in no time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.maxim.vectors import micro, names_in

from nibblefit_maxim.lift import lift
from nibblefit_maxim.memory.planner import try_plan
from nibblefit_maxim.parts import part_named
from nibblefit_maxim.proving.prover import prove
from nibblefit_maxim.writing.folder import needs_of

#: Layers whose operands are one layer's output, split by channels in the compiler's simulation. The
#: device reads every second word, so no memory plan can give it those operands.
NOT_ON_THE_DEVICE = "multilayer-eltwise"


@pytest.mark.parametrize("name", names_in("micro", ".yaml"))
def test_micro_network_is_planned_anew(shared: Path, name: str) -> None:
    """Never more layers than the vendor's file, under a second, and every word proven."""
    graph = micro(shared / "vendor" / "maxim" / "micro" / name).graph
    part = part_named(str(graph.metadata["part"]))
    needs = [needs_of(item) for item in lift(graph)]
    begin = time.perf_counter()
    plan, shortages = try_plan(needs, part, graph.inputs[0], graph.outputs)
    assert time.perf_counter() - begin < 1.0
    if name == NOT_ON_THE_DEVICE:
        assert [shortage.rule for shortage in shortages] == ["plan.shape"] * 2
        assert "its channels cannot become operands" in shortages[0].message
        return
    assert plan is not None, [shortage.line() for shortage in shortages]
    assert len(plan.layers) == len(needs)
    assert prove([need.layer for need in plan.needs], plan, part) == []
