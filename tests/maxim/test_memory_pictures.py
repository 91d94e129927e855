"""The memory plan can be drawn by core's report, with the plan's own numbers."""

from __future__ import annotations

from nibblefit.ir.graph import frozen_mapping
from nibblefit.report.contents import Banks, Grid, Timeline
from nibblefit.report.memory import memory_pictures
from nibblefit.results import Artifact
from nibblefit_maxim.memory.pictures import pictures
from nibblefit_maxim.memory.plan import LayerPlan, MemoryPlan
from nibblefit_maxim.parts import PARTS, PROCESSORS, QUADRANTS


def test_plan_becomes_pictures() -> None:
    """Weight words, bias bytes and the addresses that a layer reads and writes are drawn."""
    part = next(iter(PARTS.values()))
    layer = LayerPlan(
        name="conv1", processors=1, output_processors=3, in_offset=0, out_offset=1024,
        input_bytes=64, output_bytes=256, kernel_column=0, kernel_words=16, bias_group=0,
        bias_bytes=8,
    )  # fmt: skip
    words = (16, *[0] * (PROCESSORS - 1))
    plan = MemoryPlan(part, (layer,), False, words, (8, *[0] * (QUADRANTS - 1)))
    notes = frozen_mapping({"memory": pictures(plan)})
    weights, bias, full, time, data = memory_pictures(Artifact("maxim", part.name, "", (), notes))
    assert isinstance(weights, Banks)
    assert (weights.used, set(weights.capacity)) == (words, {part.kernel_words})
    assert isinstance(bias, Banks)
    assert bias.used[0] == 8
    assert isinstance(full, Banks)
    assert full.used == (64 + 256, *[0] * 15)
    assert isinstance(time, Grid)
    assert (time.layers, time.used) == (("conv1",), (full.used,))
    assert time.capacity == part.instance_bytes
    assert isinstance(data, Timeline)
    assert [(s.layer, s.is_output, s.start, s.stop) for s in data.spans] == [
        ("conv1", False, 0, 64),
        ("conv1", True, 1024, 1280),
    ]
    assert data.capacity == part.instance_bytes
